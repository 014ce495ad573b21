//! Findings joined into one diagnosis an owner: the most specific class wins, victims of a node
//! that is down belong to the node, and what changed last and the alerts add their evidence.

use super::alerts::Alerts;
use super::change::{self, Fault};
use super::confidence::{self, confidence};
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

/// A diagnosis that is not sure enough to act alone goes to a person. It gets at least this long
/// before: the kubelet's Events follow its status, a second kill follows a first one, and what
/// speaks against a fault often means that it is passing.
const PERSISTENCE_UNSURE: SignedDuration = SignedDuration::from_secs(60);

/// All that is wrong, one diagnosis an owner in order of the owners, and who could not look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosed {
    /// Diagnoses.
    pub diagnoses: Vec<Diagnosis>,
    /// Detectors that could not see, with what was missing. With any, nothing here means health.
    pub blind: Vec<(&'static str, Vec<(Source, String)>)>,
}

/// What is wrong in the snapshot, and why. Alerts add evidence where their name is known to speak
/// of the class that was found. One about an owner without any finding makes no diagnosis: whether
/// the snapshot shows all of that owner is for the caller to know.
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
    let none = Vec::new();
    let diagnoses = groups
        .into_iter()
        .filter_map(|(owner, findings)| {
            let is_node = owner.kind == Kind::Node;
            let mine = victims.get(&owner.name).filter(|_| is_node);
            join(&view, findings, mine.unwrap_or(&none), &alerts)
        })
        .collect();
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
    let blind = blind_to(view, &relevant(&winner));
    let (confidence, confidence_rows) = confidence(&evidence, !blind.is_empty());
    let unsure = confidence <= confidence::ONE_SOURCE;
    let least = if unsure {
        PERSISTENCE_UNSURE
    } else {
        SignedDuration::ZERO
    };
    Some(Diagnosis {
        since: fault.since,
        class: winner.class,
        reason: winner.reason,
        owner: winner.owner,
        subject: winner.subject,
        container: winner.container,
        persistence: winner.persistence.max(least),
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
fn relevant(finding: &Finding) -> BTreeSet<Source> {
    let mut sources = BTreeSet::from([Source::Events, Source::Nodes]);
    if finding.owner.kind != Kind::Node {
        sources.insert(Source::Pods);
        sources.extend(owner_sources(&finding.owner));
    }
    if matches!(finding.owner.kind, Kind::StatefulSet | Kind::DaemonSet) {
        sources.insert(Source::ControllerRevisions);
    }
    if finding.class.may_come_with_config() {
        sources.insert(Source::ConfigMaps);
    }
    sources
}

fn blind_to(view: &View<'_>, needs: &BTreeSet<Source>) -> Vec<(Source, String)> {
    let needs: Vec<_> = needs.iter().copied().collect();
    view.snapshot.blind_to(&needs)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::EvidenceSource;
    use crate::policy::Policy;
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn cart() -> World {
        testkit::world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .age(120)
    }

    fn pull(world: World) -> World {
        world
            .waiting(
                "ImagePullBackOff",
                "Back-off pulling image \"img.test/cart:9\"",
            )
            .event(
                "Failed",
                "Failed to pull image \"img.test/cart:9\": not found",
            )
    }

    fn back_off(world: World) -> World {
        world.event(
            "BackOff",
            "Back-off restarting failed container app in pod cart-1-a_demo(x)",
        )
    }

    fn only(world: World) -> Diagnosis {
        let mut diagnosed = diagnose(&world.snapshot(), &[]);
        assert_eq!(diagnosed.diagnoses.len(), 1, "{:#?}", diagnosed.diagnoses);
        diagnosed.diagnoses.remove(0)
    }

    #[test]
    fn a_clear_fault_with_status_and_event_is_enough_to_act_alone_and_either_alone_is_not() {
        let probe = "Readiness probe failed: HTTP probe failed with statuscode: 503";
        let full = "0/1 nodes are available: 1 Insufficient memory.";
        let config = "configmap \"cart\" not found";
        let mount = "MountVolume.SetUp failed for volume \"data\" : mount failed: exit status 32";
        let table = [
            (pull(cart()), FaultClass::ImagePullFailure),
            (
                back_off(
                    cart()
                        .edit_pod(|p| {
                            let limits = &mut p.spec.containers[0].resources.limits;
                            limits.insert("memory".to_owned(), "64Mi".into());
                        })
                        .crash_loop(137, "OOMKilled", 20, 3),
                ),
                FaultClass::OomKilled,
            ),
            (
                back_off(cart().crash_loop(1, "Error", 20, 3)),
                FaultClass::CrashLoop,
            ),
            (
                cart()
                    .waiting("CreateContainerConfigError", config)
                    .event("Failed", &format!("Error: {config}")),
                FaultClass::ConfigMissing,
            ),
            (
                cart()
                    .waiting("ContainerCreating", "")
                    .event("FailedMount", mount),
                FaultClass::ContainerStuck,
            ),
            (
                cart().unready().event("Unhealthy", probe).seen(90, 5, 9),
                FaultClass::ProbeFailure,
            ),
            (
                cart().unscheduled(full).event("FailedScheduling", full),
                FaultClass::Unschedulable,
            ),
            (
                testkit::world(AT)
                    .node("node1")
                    .condition("Ready", "Unknown", "NodeStatusUnknown", 90)
                    .event("NodeNotReady", "Node node1 status is now: NodeNotReady")
                    .seen(90, 90, 1),
                FaultClass::NodeNotReady,
            ),
        ];
        let over = Policy::default().confidence_over;
        for (world, class) in table {
            let diagnosis = only(world.clone());
            assert_eq!(diagnosis.class, class);
            assert!(
                diagnosis.confidence.0 > over,
                "{class}: {:?}",
                diagnosis.confidence_rows
            );
            for blind in [Source::Events, Source::Nodes] {
                let seen = diagnose(&world.clone().unseen(blind).snapshot(), &[]);
                let bold = seen.diagnoses.iter().any(|d| d.confidence.0 > over);
                assert!(!bold, "{class} without {blind:?}");
            }
        }
    }

    #[test]
    fn the_most_specific_class_wins_and_the_others_are_named() {
        let late =
            |world: World| world.condition("Progressing", "False", "ProgressDeadlineExceeded", 30);
        let deployment = || testkit::world(AT).deployment("demo", "cart");
        let killing = "Container app failed liveness probe, will be restarted";
        let table = [
            (
                pull(late(deployment()).revision(1).pod("cart-1-a")),
                FaultClass::ImagePullFailure,
                "RolloutStuck",
            ),
            (
                cart()
                    .crash_loop(137, "Error", 20, 4)
                    .event("Killing", killing),
                FaultClass::ProbeFailure,
                "CrashLoop",
            ),
            (
                deployment()
                    .pod("cart-a")
                    .crash_loop(1, "Error", 20, 4)
                    .pod("cart-b")
                    .crash_loop(137, "OOMKilled", 20, 4),
                FaultClass::OomKilled,
                "CrashLoop",
            ),
        ];
        for (world, class, other) in table {
            let diagnosis = only(world);
            assert_eq!(diagnosis.class, class);
            assert!(
                diagnosis.path.iter().any(|step| step.contains(other)),
                "{:?}",
                diagnosis.path
            );
        }
    }

    #[test]
    fn many_pods_of_one_owner_are_one_diagnosis_with_bounded_evidence_and_ids_in_order() {
        let mut world = testkit::world(AT)
            .deployment("demo", "cart")
            .replicas(20)
            .revision(1);
        for index in 0..20 {
            world = pull(world.pod(&format!("cart-1-{index}")));
        }
        let diagnosis = only(world);
        assert_eq!(diagnosis.evidence.len(), MAX_FINDINGS * 2);
        let ids: Vec<_> = diagnosis.evidence.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["E1", "E2", "E3", "E4", "E5", "E6"]);
        let count = "20 of 20 pods of Deployment demo/cart are affected";
        assert!(diagnosis.path.iter().any(|step| step == count));
    }

    #[test]
    fn two_owners_are_two_diagnoses_whatever_the_order_of_the_snapshot() {
        let world = pull(cart()).deployment("demo", "shop").pod("shop-a");
        let mut snapshot = back_off(world.crash_loop(1, "Error", 20, 3)).snapshot();
        let one = diagnose(&snapshot, &[]);
        assert_eq!(one.diagnoses.len(), 2);
        snapshot.pods.reverse();
        snapshot.workloads.reverse();
        snapshot.events.reverse();
        assert_eq!(diagnose(&snapshot, &[]), one);
    }

    #[test]
    fn pods_of_a_node_that_is_down_are_its_victims() {
        let taint = "0/1 nodes are available: 1 node(s) had untolerated taint \
                     {node.kubernetes.io/unreachable: }.";
        let world = testkit::world(AT)
            .node("node1")
            .condition("Ready", "Unknown", "NodeStatusUnknown", 90)
            .node("node2")
            .deployment("demo", "cart")
            .condition("Progressing", "False", "ProgressDeadlineExceeded", 30)
            .revision(1)
            .pod("cart-1-a")
            .crash_loop(1, "Error", 20, 3)
            .pod("cart-1-b")
            .unscheduled(taint)
            .deployment("demo", "shop")
            .revision(1)
            .pod("shop-1-a")
            .on("node2");
        let node_alone = only(world.clone());
        assert_eq!(node_alone.class, FaultClass::NodeNotReady);
        assert_eq!(node_alone.path.len(), 4, "{:?}", node_alone.path);
        // The same crash on a node that is well is the owner's own.
        let diagnosed = diagnose(&world.crash_loop(1, "Error", 20, 3).snapshot(), &[]);
        let classes: Vec<_> = diagnosed.diagnoses.iter().map(|d| d.class).collect();
        assert_eq!(classes, [FaultClass::NodeNotReady, FaultClass::CrashLoop]);
    }

    #[test]
    fn a_crash_of_a_static_pod_is_the_pods_and_not_the_nodes() {
        let node = testkit::reference(Kind::Node, "", "node1");
        let world = testkit::world(AT)
            .node("node1")
            .bare_pod("kube-system", "etcd-node1")
            .crash_loop(1, "Error", 20, 3)
            .edit_pod(|pod| {
                pod.metadata.owner_references = vec![crate::world::OwnerReference {
                    kind: Kind::Node,
                    name: node.name,
                    uid: node.uid,
                    controller: true,
                    ..Default::default()
                }];
            });
        assert_eq!(only(world).owner.to_string(), "Pod kube-system/etcd-node1");
    }

    #[test]
    fn a_contradiction_is_a_persons_case() {
        let world = cart()
            .waiting("CreateContainerConfigError", "configmap \"cart\" not found")
            .event("Failed", "Error: configmap \"cart\" not found")
            .config_map("demo", "cart");
        let diagnosis = only(world);
        assert_eq!(diagnosis.confidence.0, 60);
        assert_eq!(diagnosis.persistence, PERSISTENCE_UNSURE);
        let mut rows = diagnosis.confidence_rows.iter();
        assert!(rows.any(|row| row.contains("against")));
    }

    #[test]
    fn what_was_not_seen_is_named_in_the_diagnosis_and_in_the_report() {
        let snapshot = back_off(cart().crash_loop(1, "Error", 20, 3))
            .unseen(Source::ConfigMaps)
            .unseen(Source::Deployments)
            .snapshot();
        let diagnosed = diagnose(&snapshot, &[]);
        assert_eq!(diagnosed.diagnoses, []);
        let names: Vec<_> = diagnosed.blind.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["crash_loop", "rollout_stuck"]);
        let world = back_off(cart().crash_loop(1, "Error", 20, 3)).unseen(Source::ConfigMaps);
        let diagnosis = only(world);
        assert_eq!(diagnosis.blind.len(), 1);
        assert_eq!(diagnosis.confidence.0, 70);
    }

    #[test]
    fn since_and_persistence_are_the_strongest_findings() {
        let diagnosis = only(back_off(cart().crash_loop(1, "Error", 20, 3)).seen(100, 10, 5));
        let age = diagnosis.since.duration_until(AT.parse().expect("a time"));
        assert_eq!(age.as_secs(), 100);
        assert_eq!(diagnosis.persistence.as_secs(), 30);
        let sources: Vec<_> = diagnosis.evidence.iter().map(|e| e.source).collect();
        assert_eq!(sources, [EvidenceSource::Status, EvidenceSource::Event]);
    }

    #[test]
    fn what_is_not_sure_waits_for_more_evidence() {
        let diagnosis = only(cart().crash_loop(1, "Error", 20, 3));
        assert_eq!(diagnosis.confidence.0, 70);
        assert_eq!(diagnosis.persistence, PERSISTENCE_UNSURE);
    }
}
