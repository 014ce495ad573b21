//! `nightshift scan`: what is wrong now. It reads, and writes nothing, not even to a record.

use super::cluster::{ClusterArgs, HELP, with_spinner};
use super::{Exit, Failure, OrHelp as _};
use crate::output::{Output, Style, Tone, age};
use jiff::Timestamp;
use nightshift_cluster::{Clock, Eyes, Limits};
use nightshift_core::diagnose::{Diagnosis, diagnose};
use nightshift_core::world::{Coverage, Snapshot, Source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Says what is wrong in the cluster now, and why. Writes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift scan
  nightshift scan -n demo --context staging
  nightshift scan -o json | jq '.diagnoses[].owner'

Exit codes: 0 healthy, 1 something is wrong, 2 could not look (or not everywhere)")]
pub(super) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only what concerns this namespace; nodes are left out
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What a scan found.
#[derive(Debug, Serialize)]
struct Found {
    taken_at: Timestamp,
    /// Only this namespace was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// What was looked through.
    seen: Seen,
    /// What is wrong, one diagnosis an owner.
    diagnoses: Vec<Diagnosis>,
    /// Detectors that could not look, with the sources that they missed.
    blind: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Seen {
    pods: usize,
    workloads: usize,
    /// None where a namespace was asked for.
    nodes: usize,
}

impl Args {
    pub(super) async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit, Failure> {
        let clients = self.cluster.connect().await?;
        let uid = clients
            .identify(&*clock)
            .await
            .or_help("the cluster does not say which one it is", HELP)?;
        let limits = Limits::default();
        let look = Eyes::scan(&clients.read, uid, clock, &limits);
        let snapshot = with_spinner("looking at the cluster", look).await;
        if let Some(name) = &self.namespace {
            exists(&snapshot, name)?;
        }
        let found = Found::of(&snapshot, self.namespace);
        self.output.print(&found, table)?;
        Ok(found.exit())
    }
}

/// A namespace with a slip of the pen in it must not look healthy.
fn exists(snapshot: &Snapshot, namespace: &str) -> Result<(), Failure> {
    let mut namespaces = snapshot.namespaces.iter();
    if namespaces.any(|other| other.metadata.name == namespace) {
        return Ok(());
    }
    let help = "`kubectl get namespaces` lists them";
    Err(match snapshot.coverage.get(&Source::Namespaces) {
        Some(Coverage::Seen { .. }) => {
            Failure::new(format!("there is no namespace `{namespace}`"), help)
        }
        Some(Coverage::Blind { why }) => {
            let text = format!("whether there is a namespace `{namespace}` cannot be seen: {why}");
            Failure::new(text, "scan without -n, or get the right to list namespaces")
        }
        None => Failure::new("the namespaces were not looked at", help),
    })
}

impl Found {
    fn of(snapshot: &Snapshot, namespace: Option<String>) -> Self {
        let is_asked_for = |other: &str| namespace.as_deref().is_none_or(|name| name == other);
        let mut diagnosed = diagnose(snapshot, &[]);
        let diagnoses = &mut diagnosed.diagnoses;
        diagnoses.retain(|d| is_asked_for(&d.owner.namespace));
        let missed = |(source, why): &(Source, String)| format!("{source:?}: {why}");
        let blind = diagnosed.blind.iter();
        let (pods, workloads) = (snapshot.pods.iter(), snapshot.workloads.iter());
        let nodes = snapshot.nodes.iter();
        Self {
            taken_at: snapshot.taken_at,
            seen: Seen {
                pods: pods
                    .filter(|pod| is_asked_for(&pod.metadata.namespace))
                    .count(),
                workloads: workloads
                    .filter(|w| is_asked_for(&w.metadata.namespace))
                    .count(),
                nodes: nodes.filter(|_| namespace.is_none()).count(),
            },
            namespace,
            diagnoses: diagnosed.diagnoses,
            blind: blind
                .map(|(name, missing)| ((*name).to_owned(), missing.iter().map(missed).collect()))
                .collect(),
        }
    }

    /// Not seen is not healthy: a blind detector with nothing else found is "could not look".
    fn exit(&self) -> Exit {
        match (self.diagnoses.is_empty(), self.blind.is_empty()) {
            (false, _) => Exit::Found,
            (true, false) => Exit::Failed,
            (true, true) => Exit::Fine,
        }
    }
}

fn table(found: &Found, style: Style) -> String {
    let Found {
        taken_at,
        namespace,
        seen,
        diagnoses,
        blind,
    } = found;
    let mut text = String::new();
    if !diagnoses.is_empty() {
        let row = |d: &Diagnosis| {
            let cause = d.path.last().cloned().unwrap_or_default();
            vec![
                (Tone::Plain, d.owner.to_string()),
                (Tone::Bad, d.class.to_string()),
                (Tone::Plain, d.reason.clone()),
                (Tone::Dim, d.confidence.to_string()),
                (Tone::Dim, age(taken_at.duration_since(d.since))),
                (Tone::Plain, cause),
            ]
        };
        let header = ["OWNER", "CLASS", "REASON", "CONFIDENCE", "SINCE", "CAUSE"];
        text.push_str(&style.table(&header, diagnoses.iter().map(row).collect()));
        text.push('\n');
    }
    for (detector, missing) in blind {
        let line = format!("blind: {detector} could not look: {}", missing.join("; "));
        text.push_str(&style.paint(Tone::Warn, &line));
        text.push('\n');
    }
    let Seen {
        pods,
        workloads,
        nodes,
    } = seen;
    let (tone, verdict) = match (diagnoses.len(), blind.len()) {
        (0, 0) => (Tone::Good, "nothing is wrong".to_owned()),
        (0, n) => (
            Tone::Warn,
            format!("nothing found, but {n} detectors could not look"),
        ),
        (n, 0) => (Tone::Bad, format!("{n} found")),
        (n, m) => (
            Tone::Bad,
            format!("{n} found, and {m} detectors could not look"),
        ),
    };
    text.push_str(&style.paint(tone, &verdict));
    let looked_at = match namespace {
        Some(name) => format!(" in {pods} pods and {workloads} workloads of namespace {name}\n"),
        None => format!(" in {pods} pods, {workloads} workloads and {nodes} nodes\n"),
    };
    text.push_str(&style.paint(Tone::Dim, &looked_at));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_core::testkit;
    use nightshift_core::world::{NamespaceObject, ObjectRef};

    fn diagnosis() -> Diagnosis {
        let reply = crate::cli::story::tests::fixed();
        reply.incident.diagnosis.expect("one")
    }

    fn found(diagnoses: Vec<Diagnosis>, blind: &[(&str, &str)]) -> Found {
        let taken_at = "2026-11-22T08:05:00Z".parse().expect("a time");
        let blind = blind.iter();
        Found {
            taken_at,
            namespace: None,
            seen: Seen {
                pods: 12,
                workloads: 5,
                nodes: 2,
            },
            diagnoses,
            blind: blind
                .map(|(name, why)| ((*name).to_owned(), vec![(*why).to_owned()]))
                .collect(),
        }
    }

    #[test]
    fn the_exit_code_says_healthy_found_or_could_not_look() {
        let blind = [("oom", "Pods: 403 forbidden")];
        assert_eq!(found(Vec::new(), &[]).exit(), Exit::Fine);
        assert_eq!(found(vec![diagnosis()], &[]).exit(), Exit::Found);
        assert_eq!(found(vec![diagnosis()], &blind).exit(), Exit::Found);
        assert_eq!(found(Vec::new(), &blind).exit(), Exit::Failed);
    }

    #[test]
    fn a_picture_without_coverage_is_not_healthy() {
        let found = Found::of(&Snapshot::default(), None);
        assert_eq!(found.exit(), Exit::Failed);
        let half = Snapshot {
            coverage: [(Source::Pods, Coverage::Seen { age_ms: 0 })].into(),
            ..Snapshot::default()
        };
        assert_eq!(Found::of(&half, None).exit(), Exit::Failed);
    }

    #[test]
    fn what_is_wrong_and_what_was_not_seen_stand_together() {
        let node = Diagnosis {
            owner: ObjectRef::default(),
            ..diagnosis()
        };
        let found = found(
            vec![diagnosis(), node],
            &[("node_pressure", "Nodes: 403 forbidden")],
        );
        insta::assert_snapshot!(table(&found, Style::PLAIN));
    }

    fn two_namespaces() -> Snapshot {
        let mut snapshot = testkit::world("2026-11-22T08:05:00Z")
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .deployment("shop", "db")
            .revision(1)
            .pod("db-1-a")
            .snapshot();
        let mut demo = NamespaceObject::default();
        demo.metadata.name = "demo".to_owned();
        snapshot.namespaces = vec![Arc::new(demo)];
        let seen = Coverage::Seen { age_ms: 0 };
        snapshot.coverage.insert(Source::Namespaces, seen);
        snapshot
    }

    #[test]
    fn a_namespace_that_does_not_exist_or_is_not_seen_is_an_error() {
        let mut snapshot = two_namespaces();
        assert!(exists(&snapshot, "demo").is_ok());
        let missing = exists(&snapshot, "typo").unwrap_err();
        assert_eq!(missing.text(), "there is no namespace `typo`");
        snapshot.namespaces.clear();
        let why = "403 forbidden".to_owned();
        let blind = Coverage::Blind { why };
        snapshot.coverage.insert(Source::Namespaces, blind);
        assert!(
            exists(&snapshot, "demo")
                .unwrap_err()
                .text()
                .contains("403")
        );
    }

    #[test]
    fn only_what_is_in_the_namespace_that_was_asked_for_is_counted() {
        let found = Found::of(&two_namespaces(), Some("demo".to_owned()));
        let text = table(&found, Style::PLAIN);
        assert!(
            text.ends_with(" in 1 pods and 2 workloads of namespace demo\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_wrong_is_said_in_one_line() {
        let text = table(&found(Vec::new(), &[]), Style::PLAIN);
        assert_eq!(
            text,
            "nothing is wrong in 12 pods, 5 workloads and 2 nodes\n"
        );
    }
}
