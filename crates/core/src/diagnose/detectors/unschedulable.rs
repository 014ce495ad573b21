//! No node can take the pod. The scheduler's message says why, as a count of nodes for each cause:
//! `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {x: }. preemption: ...`

use super::Detector;
use crate::diagnose::view::View;
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{Pod, Source};
use jiff::SignedDuration;

/// A cluster autoscaler brings a node within about three minutes.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(180);

/// Words of the scheduler's plugins by reason; the reason of the most nodes wins, the earlier one
/// of two with equally many.
const WORDS: &[(&str, &[&str])] = &[
    (
        "volume",
        &[
            "volume node affinity conflict",
            "persistentvolumeclaim",
            "persistent volume",
            "max volume count",
        ],
    ),
    ("resources", &["insufficient", "too many pods"]),
    (
        "selector",
        &[
            "didn't match pod's node affinity/selector",
            "didn't match node selector",
        ],
    ),
    (
        "affinity",
        &[
            "pod affinity rules",
            "anti-affinity rules",
            "didn't satisfy existing pods",
        ],
    ),
    ("topology", &["topology spread constraints"]),
    ("ports", &["didn't have free ports"]),
    (
        "cordoned",
        &["were unschedulable", "node.kubernetes.io/unschedulable"],
    ),
    (
        "node_down",
        &[
            "node.kubernetes.io/unreachable",
            "node.kubernetes.io/not-ready",
        ],
    ),
    ("taints", &["taint"]),
    ("no_nodes", &["no nodes available"]),
];

/// See the file.
pub(super) struct Unschedulable;

impl Detector for Unschedulable {
    fn name(&self) -> &'static str {
        "unschedulable"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        view.live_pods()
            .filter_map(|pod| self.judge(view, pod))
            .collect()
    }
}

impl Unschedulable {
    /// Scheduling gates have a reason of their own (`SchedulingGated`): an operator holds the pod.
    fn judge(&self, view: &View<'_>, pod: &Pod) -> Option<Finding> {
        let condition = pod.status.conditions.iter().find(|c| {
            c.kind == "PodScheduled" && c.status == "False" && c.reason == "Unschedulable"
        })?;
        if !pod.spec.node_name.is_empty() || !pod.spec.scheduling_gates.is_empty() {
            return None;
        }
        let subject = pod.reference();
        let since = condition
            .last_transition_time
            .or(pod.metadata.creation_timestamp)
            .unwrap_or(view.now())
            .min(view.now());
        let mut evidence = vec![Evidence::status(
            subject.clone(),
            Some(since),
            &format!("no node takes the pod: {}", condition.message),
        )];
        let events = view.agreeing(&subject, &["FailedScheduling"]);
        evidence.extend(events.first().map(|e| Evidence::event(e, &subject)));
        Some(Finding {
            detector: self.name().to_owned(),
            class: FaultClass::Unschedulable,
            owner: view.owner(&subject),
            subject,
            container: None,
            reason: reason(&condition.message).to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        })
    }
}

/// The reason that keeps most nodes away.
fn reason(message: &str) -> &'static str {
    let message = message.to_lowercase();
    // What preemption could do about it repeats the same words for other nodes.
    let causes = message.split("preemption:").next().unwrap_or_default();
    let causes = causes.split_once(": ").map_or(causes, |(_, rest)| rest);
    let mut best = ("other", 0);
    for (reason, words) in WORDS {
        let count: u64 = causes
            .split(", ")
            .filter(|cause| words.iter().any(|word| cause.contains(word)))
            .filter(|cause| first_reason(cause) == Some(*reason))
            .map(|cause| {
                let number = cause.split_whitespace().next().and_then(|n| n.parse().ok());
                number.unwrap_or(1)
            })
            .sum();
        if count > best.1 {
            best = (reason, count);
        }
    }
    best.0
}

/// A cause belongs to the first row that knows it: a taint that stands for a cordon is a cordon.
fn first_reason(cause: &str) -> Option<&'static str> {
    let mut rows = WORDS.iter();
    rows.find(|(_, words)| words.iter().any(|word| cause.contains(word)))
        .map(|(reason, _)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};
    use crate::world::pod::LocalName;

    const AT: &str = "2026-01-05T10:00:00Z";
    const FULL: &str = "0/3 nodes are available: 1 node(s) had untolerated taint \
                        {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. \
                        preemption: 0/3 nodes are available: 1 Preemption is not helpful for \
                        scheduling, 2 No preemption victims found for incoming pod.";

    fn pod() -> World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .age(60)
    }

    #[test]
    fn the_cause_of_most_nodes_is_the_reason() {
        let table = [
            (FULL, "resources"),
            (
                "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: true}. preemption: \
                 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
                "taints",
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
                "selector",
            ),
            (
                "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match pod \
                 anti-affinity rules.",
                "affinity",
            ),
            (
                "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.",
                "topology",
            ),
            (
                "0/2 nodes are available: 2 node(s) were unschedulable.",
                "cordoned",
            ),
            (
                "0/1 nodes are available: 1 node(s) had untolerated taint \
                 {node.kubernetes.io/unreachable: }.",
                "node_down",
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod \
                 ports.",
                "ports",
            ),
            (
                "0/2 nodes are available: persistentvolumeclaim \"data\" not found.",
                "volume",
            ),
            (
                "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
                "volume",
            ),
            ("no nodes available to schedule pods", "no_nodes"),
            ("0/2 nodes are available: 2 something new.", "other"),
        ];
        for (message, expected) in table {
            assert_eq!(reason(message), expected, "{message}");
        }
    }

    #[test]
    fn condition_and_event_agree() {
        let world = pod().unscheduled(FULL).event("FailedScheduling", FULL);
        let findings = found(&Unschedulable, world);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].evidence.len(), 2);
        assert_eq!(findings[0].reason, "resources");
    }

    #[test]
    fn gates_new_pods_and_bound_pods_are_none() {
        let gate = LocalName {
            name: "example.test/wait".to_owned(),
            optional: false,
        };
        for world in [
            pod(),
            pod()
                .unscheduled("Scheduling is blocked due to non-empty scheduling gates")
                .edit_pod(|p| p.status.conditions[0].reason = "SchedulingGated".into()),
            pod()
                .unscheduled(FULL)
                .edit_pod(|p| p.spec.scheduling_gates = vec![gate]),
            pod().unscheduled(FULL).on("node1"),
            pod().event("FailedScheduling", FULL),
        ] {
            assert_eq!(found(&Unschedulable, world), []);
        }
    }

    #[test]
    fn without_pods_it_is_blind() {
        assert!(blind(&Unschedulable, pod().unseen(Source::Pods)));
    }
}
