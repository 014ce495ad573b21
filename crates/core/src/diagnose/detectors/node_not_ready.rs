//! A node is not ready (its kubelet says so) or does not report (the controller says so).

use super::Detector;
use crate::diagnose::view::View;
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{Node, Source};
use jiff::SignedDuration;

/// A kubelet or a runtime that restarts is back within a minute. Pods are moved only after 300 s,
/// so a minute is not lost.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(60);

/// A node this young that was never ready is still joining: its network comes up last.
const JOINING: SignedDuration = SignedDuration::from_secs(120);

/// A kubelet registers its node with a first Ready condition within this time; a later change of
/// the condition means that the node has been ready before.
const REGISTERING: SignedDuration = SignedDuration::from_secs(5);

/// An event may be written this much before the condition that it speaks of.
const EARLY: SignedDuration = SignedDuration::from_secs(60);

/// See the file.
pub(super) struct NodeNotReady;

impl Detector for NodeNotReady {
    fn name(&self) -> &'static str {
        "node_not_ready"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Nodes]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let nodes = view.snapshot.nodes.iter();
        nodes.filter_map(|node| self.judge(view, node)).collect()
    }
}

impl NodeNotReady {
    fn judge(&self, view: &View<'_>, node: &Node) -> Option<Finding> {
        let created = node.metadata.creation_timestamp.unwrap_or(view.now());
        let leaving = node.metadata.deletion_timestamp.is_some();
        let condition = node.condition("Ready");
        let changed = condition.and_then(|c| c.last_transition_time);
        let never_ready = changed.is_none_or(|at| at.duration_since(created) <= REGISTERING);
        let joining = never_ready && view.age(created) < JOINING;
        if node.is_ready() || leaving || joining {
            return None;
        }
        let subject = node.reference();
        let (reason, fact) = match condition {
            Some(c) if c.status == "Unknown" => ("unreachable", &*c.message),
            Some(c) => ("not_ready", &*c.message),
            None => ("no_condition", "the node has no Ready condition"),
        };
        let since = changed.unwrap_or(created).min(view.now());
        let status = condition.map_or("absent", |c| &*c.status);
        let fact = format!("Ready is {status}: {fact}");
        let mut evidence = vec![Evidence::status(subject.clone(), Some(since), &fact)];
        let earliest = since.saturating_sub(EARLY).unwrap_or(since);
        let events = view.agreeing(&subject, &["NodeNotReady"]);
        let agrees = events.iter().find(|e| e.last_seen() >= Some(earliest));
        evidence.extend(agrees.map(|e| Evidence::event(e, &subject)));
        let last = agrees
            .and_then(|e| e.last_seen())
            .unwrap_or(since)
            .max(since);
        evidence.extend(view.against(&subject, &["NodeReady"], last));
        Some(Finding {
            detector: self.name().to_owned(),
            class: FaultClass::NodeNotReady,
            owner: subject.clone(),
            subject,
            container: None,
            reason: reason.to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn node() -> World {
        testkit::world(AT).node("node1")
    }

    #[test]
    fn a_node_that_says_no_and_one_that_says_nothing_are_told_apart() {
        let table = [
            (
                node().condition("Ready", "False", "KubeletNotReady", 30),
                "not_ready",
            ),
            (
                node().condition("Ready", "Unknown", "NodeStatusUnknown", 30),
                "unreachable",
            ),
            (
                node().edit_node(|n| n.status.conditions.clear()),
                "no_condition",
            ),
            (
                node()
                    .age(60)
                    .condition("Ready", "False", "KubeletNotReady", 30),
                "not_ready",
            ),
        ];
        for (world, expected) in table {
            let findings = found(&NodeNotReady, world);
            assert_eq!(findings.len(), 1, "{expected}");
            assert_eq!(findings[0].reason, expected);
        }
    }

    #[test]
    fn the_controllers_event_agrees_and_an_old_one_does_not() {
        let sick = || node().condition("Ready", "Unknown", "NodeStatusUnknown", 30);
        let event =
            |world: World| world.event("NodeNotReady", "Node node1 status is now: NodeNotReady");
        assert_eq!(
            found(&NodeNotReady, event(sick()).seen(29, 29, 1))[0]
                .evidence
                .len(),
            2
        );
        assert_eq!(
            found(&NodeNotReady, event(sick()).seen(900, 900, 1))[0]
                .evidence
                .len(),
            1
        );
    }

    #[test]
    fn a_later_ready_event_speaks_against_it() {
        let world = node()
            .condition("Ready", "False", "KubeletNotReady", 30)
            .event("NodeReady", "Node node1 status is now: NodeReady")
            .seen(5, 5, 1);
        let evidence = &found(&NodeNotReady, world)[0].evidence;
        assert_eq!(evidence.iter().filter(|e| !e.supports).count(), 1);
    }

    #[test]
    fn ready_joining_and_leaving_nodes_are_none() {
        let sick = || node().condition("Ready", "False", "KubeletNotReady", 30);
        for world in [
            node(),
            node()
                .age(60)
                .condition("Ready", "False", "KubeletNotReady", 58),
            node().age(60).edit_node(|n| n.status.conditions.clear()),
            sick().edit_node(|n| n.metadata.deletion_timestamp = n.metadata.creation_timestamp),
        ] {
            assert_eq!(found(&NodeNotReady, world), []);
        }
    }

    #[test]
    fn without_nodes_it_is_blind() {
        assert!(blind(&NodeNotReady, node().unseen(Source::Nodes)));
    }
}
