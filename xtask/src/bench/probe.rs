//! The part of the bench that runs inside the lab's network, so that its stamps are near to what
//! they stamp: it breaks things, asks the agent, and keeps healthy change going beside it.

use std::io::{self, Read as _};
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::churn::{self, Churn};
use super::fault::Fault;
use super::http::{Connection, MERGE_PATCH};
use crate::lab::{DOOR_ADDRESS, Lab};

/// Where the agent listens.
const AGENT: &str = "127.0.0.1:8080";
/// Pause between two looks at the agent's list: the resolution of the stamps.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// After this a fault counts as missed (or wrong, where something else is shown).
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two faults, at random: the agent must not be met in step.
const PAUSE_MS: std::ops::Range<u64> = 100..500;

/// Runs inside the lab's network for `cargo xtask bench`: a job as JSON on standard input, its
/// result as JSON on standard output
#[derive(Args)]
pub struct Probe {}

/// What a probe does.
#[derive(Debug, Serialize, Deserialize)]
pub enum Job {
    /// Breaks one thing after the other and waits until the agent shows it.
    Latency {
        /// The faults, in order.
        faults: Vec<Fault>,
        /// What else happens.
        churn: Churn,
    },
    /// Only healthy change, for so long.
    Churn {
        /// What happens.
        churn: Churn,
        /// How long.
        last: Duration,
    },
}

/// What a probe brings back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// One a fault, in order.
    pub measured: Vec<Measured>,
    /// From one look at the agent's list to the next, while waiting.
    pub gaps: Vec<Duration>,
    /// Incidents about objects that nobody broke, or a second one about one that was.
    pub wrong: Vec<String>,
    /// Healthy changes made.
    pub changes: usize,
    /// Writes to etcd by everybody.
    pub writes: u64,
    /// How long it all took.
    pub took: Duration,
}

/// What became of one fault.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// From the moment at which the write was sent: the commit is later, so this is the upper bound.
    pub from_sent: Duration,
    /// From the moment at which the write's answer was there: the commit is earlier.
    pub from_answered: Duration,
    /// What the agent showed.
    pub seen: Seen,
    /// Something else that it showed for this owner before.
    pub before: Option<String>,
}

/// What the agent's list says of one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// An incident on the right owner with the right class and subject.
    Right,
    /// An incident on the right owner, but with this class and subject.
    Wrong(String),
    /// Nothing on that owner.
    Missed,
}

/// Runs this program inside the lab's network.
pub fn send(lab: &Lab, job: &Job) -> Result<Report> {
    let mut command = lab.command(std::env::current_exe()?);
    command
        .arg("bench-probe")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start the probe")?;
    let input = child.stdin.take().context("the probe has no input")?;
    serde_json::to_writer(input, job)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the probe failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the probe's report cannot be read")
}

/// The probe's own main.
pub fn run(_: &Probe) -> Result<ExitCode> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    let job: Job = serde_json::from_str(&input).context("not a job")?;
    let report = carry_out(&job)?;
    serde_json::to_writer(io::stdout(), &report)?;
    Ok(ExitCode::SUCCESS)
}

fn carry_out(job: &Job) -> Result<Report> {
    let (Job::Latency { churn, .. } | Job::Churn { churn, .. }) = job;
    let mut api = Connection::open(DOOR_ADDRESS)?;
    let first = churn::version(&mut api)?;
    let start = Instant::now();
    let stop = AtomicBool::new(false);
    let (seen, changes) = std::thread::scope(|scope| {
        let changing = scope.spawn(|| churn::run(churn, &stop));
        let seen = match job {
            Job::Latency { faults, churn } => all(&mut api, faults, churn.seed),
            Job::Churn { last, .. } => {
                std::thread::sleep(*last);
                Ok((Vec::new(), Vec::new()))
            }
        };
        stop.store(true, Ordering::Relaxed);
        (seen, changing.join())
    });
    let (measured, gaps) = seen?;
    let changes = changes.map_err(|_| anyhow::anyhow!("the churn panicked"))??;
    let took = start.elapsed();
    let writes = churn::version(&mut api)?.saturating_sub(first);
    let faults: &[Fault] = match job {
        Job::Latency { faults, .. } => faults,
        Job::Churn { .. } => &[],
    };
    Ok(Report {
        measured,
        gaps,
        wrong: wrong(&every_incident()?, faults),
        changes,
        writes,
        took,
    })
}

fn all(
    api: &mut Connection,
    faults: &[Fault],
    seed: u64,
) -> Result<(Vec<Measured>, Vec<Duration>)> {
    let mut agent = Connection::open(AGENT)?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut measured = Vec::new();
    let mut gaps = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        measured.push(one(api, &mut agent, (number, fault), &mut gaps)?);
        std::thread::sleep(Duration::from_millis(random.random_range(PAUSE_MS)));
        let (method, path, body) = fault.undo();
        let media = if method == "PATCH" {
            MERGE_PATCH
        } else {
            "application/json"
        };
        api.send(method, &path, Some((media, &body)))?;
        std::thread::sleep(Duration::from_millis(random.random_range(PAUSE_MS)));
    }
    Ok((measured, gaps))
}

/// Breaks one thing and waits until the agent shows it.
fn one(
    api: &mut Connection,
    agent: &mut Connection,
    (number, fault): (usize, &Fault),
    gaps: &mut Vec<Duration>,
) -> Result<Measured> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (path, patch) = fault.patch(&now, number);
    let sent = Instant::now();
    api.json("PATCH", &path, Some((MERGE_PATCH, &patch)))?;
    let answered = Instant::now();
    let mut before = None;
    let mut looked = Instant::now();
    loop {
        let list = agent.get("/api/incidents?status=open&limit=5")?;
        let at = Instant::now();
        let seen = look(
            list["incidents"].as_array().map_or(&[], Vec::as_slice),
            fault,
        );
        gaps.push(at.duration_since(looked));
        looked = at;
        let is_late = sent.elapsed() > PATIENCE;
        if seen == Seen::Right || is_late {
            return Ok(Measured {
                from_sent: at.duration_since(sent),
                from_answered: at.duration_since(answered),
                seen,
                before,
            });
        }
        if let Seen::Wrong(other) = seen {
            before = Some(other);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a list of incidents says of a fault.
fn look(incidents: &[Value], fault: &Fault) -> Seen {
    let mut seen = Seen::Missed;
    for incident in incidents {
        if !is(&incident["owner"], &fault.owner) {
            continue;
        }
        let class = incident["fingerprint"]["class"]
            .as_str()
            .unwrap_or_default();
        if class == format!("{:?}", fault.class) && is(&incident["subject"], &fault.subject) {
            return Seen::Right;
        }
        seen = Seen::Wrong(said(incident));
    }
    seen
}

fn is(named: &Value, object: &super::fault::Object) -> bool {
    named["kind"] == object.kind.as_str()
        && named["namespace"].as_str().unwrap_or_default() == object.namespace
        && named["name"] == object.name.as_str()
}

fn said(incident: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let [owner, subject] = ["owner", "subject"].map(|key| &incident[key]);
    format!(
        "{} on {} {}/{} shown by {} {}",
        text(&incident["fingerprint"]["class"]),
        text(&owner["kind"]),
        text(&owner["namespace"]),
        text(&owner["name"]),
        text(&subject["kind"]),
        text(&subject["name"]),
    )
}

/// Incidents that no fault explains: another owner, another class, or a second one.
fn wrong(incidents: &[Value], faults: &[Fault]) -> Vec<String> {
    let mut explained = vec![false; faults.len()];
    let mut wrong = Vec::new();
    for incident in incidents {
        let alone = std::slice::from_ref(incident);
        let place = faults
            .iter()
            .position(|fault| look(alone, fault) == Seen::Right);
        match place.and_then(|place| explained.get_mut(place)) {
            Some(explained) if !*explained => *explained = true,
            _ => wrong.push(said(incident)),
        }
    }
    wrong
}

/// All incidents that the agent ever had, open or closed.
fn every_incident() -> Result<Vec<Value>> {
    const PAGE: usize = 200;
    let mut agent = Connection::open(AGENT)?;
    let mut all = Vec::new();
    loop {
        let path = format!("/api/incidents?limit={PAGE}&offset={}", all.len());
        let mut page = agent.get(&path)?;
        let Value::Array(incidents) = page["incidents"].take() else {
            bail!("the API lists no incidents");
        };
        let is_last = incidents.len() < PAGE;
        all.extend(incidents);
        if is_last {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Class, Object};
    use super::*;
    use serde_json::json;

    fn fault() -> Fault {
        let object = |kind: &str, name: &str| Object {
            kind: kind.to_owned(),
            namespace: "bench".to_owned(),
            name: name.to_owned(),
        };
        Fault {
            class: Class::OomKilled,
            subject: object("Pod", "cart-1-a"),
            owner: object("Deployment", "cart"),
        }
    }

    fn incident(class: &str, owner: &str, subject: &str) -> Value {
        json!({
            "fingerprint": { "class": class },
            "owner": { "kind": "Deployment", "namespace": "bench", "name": owner },
            "subject": { "kind": "Pod", "namespace": "bench", "name": subject },
        })
    }

    #[test]
    fn right_is_the_right_class_on_the_right_owner_and_subject() {
        let right = incident("OomKilled", "cart", "cart-1-a");
        let class = incident("CrashLoop", "cart", "cart-1-a");
        let subject = incident("OomKilled", "cart", "cart-1-b");
        let owner = incident("OomKilled", "shop", "cart-1-a");
        assert_eq!(look(std::slice::from_ref(&right), &fault()), Seen::Right);
        assert!(matches!(
            look(std::slice::from_ref(&class), &fault()),
            Seen::Wrong(_)
        ));
        assert!(matches!(look(&[subject], &fault()), Seen::Wrong(_)));
        assert_eq!(look(&[owner], &fault()), Seen::Missed);
        assert_eq!(look(&[class, right], &fault()), Seen::Right);
    }

    #[test]
    fn a_cluster_scoped_object_has_no_namespace() {
        let node = json!({ "kind": "Node", "namespace": "", "name": "n1" });
        let wanted = Object {
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: "n1".to_owned(),
        };
        assert!(is(&node, &wanted));
        assert!(is(&json!({ "kind": "Node", "name": "n1" }), &wanted));
        assert!(!is(&json!({ "kind": "Node", "name": "n2" }), &wanted));
    }

    #[test]
    fn an_incident_that_nobody_caused_is_wrong_and_so_is_a_second_one() {
        let right = incident("OomKilled", "cart", "cart-1-a");
        let stray = incident("RolloutStuck", "shop", "shop-1-a");
        let found = wrong(&[right.clone(), stray, right], &[fault()]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("RolloutStuck") && found[1].contains("OomKilled"));
    }
}
