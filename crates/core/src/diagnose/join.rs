//! Findings joined into one diagnosis an owner: the most specific class wins, victims of a node
//! that is down belong to the node, and what changed last and the alerts add their evidence.

use super::alerts::Alerts;
use super::change::{self, Fault};
use super::confidence::confidence;
use super::detectors::{detect_in, owner_sources};
use super::evidence::{Diagnosis, Evidence, Finding};
use super::{FaultClass, View};
use crate::ids::EvidenceId;
use crate::signal::Signal;
use crate::world::{Kind, ObjectRef, Snapshot, Source};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};

/// Findings of one owner whose evidence is kept: more pods of the same fault say nothing new.
const MAX_FINDINGS: usize = 3;

/// Other faults and victims that are named in a path.
const MAX_NAMED: usize = 5;

/// An alert that nothing explains: the detectors get a minute to see what it speaks of.
const PERSISTENCE_UNEXPLAINED: SignedDuration = SignedDuration::from_secs(60);

/// All that is wrong, one diagnosis an owner in order of the owners, and who could not look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosed {
    /// Diagnoses.
    pub diagnoses: Vec<Diagnosis>,
    /// Detectors that could not see, with what was missing. With any, nothing here means health.
    pub blind: Vec<(&'static str, Vec<(Source, String)>)>,
}

/// What is wrong in the snapshot, and why. Alerts add evidence where their name is known to speak
/// of the class that was found; a firing one about an owner without any finding is
/// [`FaultClass::Unexplained`].
pub fn diagnose(snapshot: &Snapshot, alerts: &[Signal]) -> Diagnosed {
    let view = View::of(snapshot);
    let report = detect_in(&view);
    let down: BTreeSet<String> = report
        .findings
        .iter()
        .filter(|f| f.class == FaultClass::NodeNotReady)
        .map(|f| f.subject.name.clone())
        .collect();
    let mut groups: BTreeMap<ObjectRef, Vec<Finding>> = BTreeMap::new();
    let mut victims: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in report.findings {
        match victim_of(&view, &finding, &down) {
            Some(node) => victims.entry(node).or_default().push(finding),
            None => groups
                .entry(finding.owner.clone())
                .or_default()
                .push(finding),
        }
    }
    let alerts = Alerts::of(&view, alerts);
    let mut explained: BTreeSet<ObjectRef> = groups.keys().cloned().collect();
    explained.extend(victims.values().flatten().map(|f| f.owner.clone()));
    let none = Vec::new();
    let mut diagnoses: Vec<Diagnosis> = groups
        .into_iter()
        .filter_map(|(owner, findings)| {
            let is_node = owner.kind == Kind::Node;
            let mine = victims.get(&owner.name).filter(|_| is_node);
            join(&view, findings, mine.unwrap_or(&none), &alerts)
        })
        .collect();
    let unexplained = alerts.by_owner().filter(|(o, _)| !explained.contains(o));
    diagnoses.extend(unexplained.map(|(owner, signals)| only_alerts(&view, owner, signals)));
    diagnoses.sort_by(|a, b| a.owner.cmp(&b.owner));
    Diagnosed {
        diagnoses,
        blind: report.blind,
    }
}

/// The node that is to blame: the pod sits on it, its owner waits for such a pod, or the scheduler
/// names its taint.
fn victim_of(view: &View<'_>, finding: &Finding, down: &BTreeSet<String>) -> Option<String> {
    if down.is_empty() || finding.subject.kind == Kind::Node {
        return None;
    }
    if let Some(pod) = view.pod(&finding.subject.uid) {
        let node_down = finding.class == FaultClass::Unschedulable && finding.reason == "node_down";
        return down
            .get(&pod.spec.node_name)
            .or_else(|| down.first().filter(|_| node_down))
            .cloned();
    }
    let pods = view.pods_of(&finding.owner).iter();
    let mut unready = pods.filter(|pod| !pod.is_ready());
    unready.find_map(|pod| down.get(&pod.spec.node_name).cloned())
}

/// How specific a finding is; the lowest wins.
fn rank(finding: &Finding) -> u8 {
    match finding.class {
        FaultClass::OomKilled | FaultClass::NodeNotReady => 0,
        FaultClass::ConfigMissing | FaultClass::NodePressure => 1,
        FaultClass::ImagePullFailure | FaultClass::NodeCordoned => 2,
        FaultClass::ContainerStuck => 3,
        FaultClass::ProbeFailure if finding.reason != "readiness" => 4,
        FaultClass::CrashLoop => 5,
        FaultClass::Unschedulable => 6,
        FaultClass::ProbeFailure => 7,
        FaultClass::RolloutStuck => 8,
        FaultClass::Unexplained => 9,
    }
}

/// Whether `finding` is the winner's fault seen again, or what follows from it.
fn belongs(finding: &Finding, winner: &Finding) -> bool {
    let follows = finding.class == FaultClass::RolloutStuck
        || (finding.class == FaultClass::CrashLoop
            && winner.class == FaultClass::ProbeFailure
            && finding.subject == winner.subject
            && finding.container == winner.container);
    finding.class == winner.class || follows
}

fn join(
    view: &View<'_>,
    mut findings: Vec<Finding>,
    victims: &[Finding],
    alerts: &Alerts<'_>,
) -> Option<Diagnosis> {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (rank(f), std::cmp::Reverse(sources(f)), f.since);
        key(a)
            .cmp(&key(b))
            .then_with(|| (&a.subject, &a.container).cmp(&(&b.subject, &b.container)))
    });
    let winner = findings.first()?.clone();
    let same: Vec<&Finding> = findings
        .iter()
        .filter(|f| f.class == winner.class)
        .collect();
    let fault = Fault {
        class: winner.class,
        owner: &winner.owner,
        failing: same.iter().map(|f| f.subject.uid.clone()).collect(),
        since: same.iter().map(|f| f.since).min()?,
    };
    let (changes, change_evidence) = change::changes(view, &fault);
    let mine = findings.iter().filter(|f| belongs(f, &winner));
    let mut evidence: Vec<Evidence> = mine
        .take(MAX_FINDINGS)
        .flat_map(|f| f.evidence.clone())
        .collect();
    let mut path = path(view, &winner, &findings, victims);
    path.extend(change_evidence.iter().map(|e| e.fact.clone()));
    evidence.extend(change_evidence);
    evidence.extend(alerts.agreeing(&winner));
    let evidence = numbered(evidence);
    let blind = view.snapshot.blind_to(&relevant(&winner));
    let (confidence, confidence_rows) = confidence(&evidence, !blind.is_empty(), false);
    Some(Diagnosis {
        since: fault.since,
        class: winner.class,
        reason: winner.reason,
        owner: winner.owner,
        subject: winner.subject,
        container: winner.container,
        persistence: winner.persistence,
        path,
        changes,
        evidence,
        confidence,
        confidence_rows,
        blind,
    })
}

/// How many independent sources a finding rests on.
fn sources(finding: &Finding) -> usize {
    let supporting = finding.evidence.iter().filter(|e| e.supports);
    supporting.map(|e| e.source).collect::<BTreeSet<_>>().len()
}

/// Ids `E1`, `E2`, ... in a stable order, each fact once.
fn numbered(mut evidence: Vec<Evidence>) -> Vec<Evidence> {
    evidence.sort_by(|a, b| {
        let key = |e: &Evidence| (e.source, e.object.clone(), e.at, e.fact.clone(), e.supports);
        key(a).cmp(&key(b))
    });
    evidence.dedup();
    for (index, fact) in evidence.iter_mut().enumerate() {
        fact.id = EvidenceId::from(format!("E{}", index + 1));
    }
    evidence
}

/// Sources that a diagnosis of this owner and class would want to see.
fn relevant(finding: &Finding) -> Vec<Source> {
    let mut sources = vec![Source::Events, Source::Nodes];
    if finding.owner.kind != Kind::Node {
        sources.push(Source::Pods);
        sources.extend(owner_sources(&finding.owner));
    }
    if matches!(finding.owner.kind, Kind::StatefulSet | Kind::DaemonSet) {
        sources.push(Source::ControllerRevisions);
    }
    if finding.class.may_come_with_config() {
        sources.push(Source::ConfigMaps);
    }
    sources
}

/// Symptom to cause, one short sentence each.
fn path(
    view: &View<'_>,
    winner: &Finding,
    findings: &[Finding],
    victims: &[Finding],
) -> Vec<String> {
    let mut path = Vec::new();
    for victim in victims.iter().take(MAX_NAMED) {
        path.push(format!(
            "{} shows {} as a victim",
            victim.subject, victim.class
        ));
    }
    if victims.len() > MAX_NAMED {
        path.push(format!("{} more victims", victims.len() - MAX_NAMED));
    }
    let others: BTreeSet<_> = findings
        .iter()
        .filter(|f| f.class != winner.class)
        .map(|f| (f.class, &f.reason))
        .collect();
    for (class, reason) in others.iter().take(MAX_NAMED) {
        path.push(format!("{} also shows {class} ({reason})", winner.owner));
    }
    let mut same = BTreeSet::new();
    let of_class = findings.iter().filter(|f| f.class == winner.class);
    same.extend(of_class.map(|f| &f.subject));
    if winner.owner.kind != Kind::Node && winner.subject.kind == Kind::Pod {
        let all = view.pods_of(&winner.owner).len();
        path.push(format!(
            "{} of {all} pods of {} are affected",
            same.len(),
            winner.owner
        ));
    }
    let container = winner.container.as_ref();
    let container = container.map_or(String::new(), |name| format!(", container {name}"));
    path.push(format!(
        "{}{container}: {} ({})",
        winner.subject, winner.class, winner.reason
    ));
    path
}

/// The diagnosis of alerts that nothing explains.
fn only_alerts(view: &View<'_>, owner: &ObjectRef, signals: &[&Signal]) -> Diagnosis {
    let evidence = numbered(
        signals
            .iter()
            .filter_map(|s| super::alerts::evidence(s))
            .collect(),
    );
    let heard = signals.iter().map(|s| s.heard_at).min();
    let since = evidence.iter().filter_map(|e| e.at).min().or(heard);
    let mut needs = vec![Source::Events, Source::Nodes, Source::Pods];
    needs.extend(owner_sources(owner));
    let blind = view.snapshot.blind_to(&needs);
    let (confidence, confidence_rows) = confidence(&evidence, !blind.is_empty(), true);
    Diagnosis {
        class: FaultClass::Unexplained,
        reason: "alert".to_owned(),
        owner: owner.clone(),
        subject: signals
            .first()
            .map_or_else(|| owner.clone(), |s| s.subject.clone()),
        container: None,
        since: since.unwrap_or(view.now()).min(view.now()),
        persistence: PERSISTENCE_UNEXPLAINED,
        path: vec![format!(
            "an alert speaks of {owner} and no detector finds anything there"
        )],
        changes: Vec::new(),
        evidence,
        confidence,
        confidence_rows,
        blind,
    }
}
