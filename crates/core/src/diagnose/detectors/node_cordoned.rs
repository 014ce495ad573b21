//! A node is cordoned. Only a fact: it is an operator's intent unless our own record says that it
//! was us, which is for a gate to ask.

use super::Detector;
use crate::diagnose::view::View;
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{Field, Node, Source};
use jiff::SignedDuration;

/// Whoever cordons a node for a moment, or drains it, is not to be talked into a hurry.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(60);

/// See the file.
pub(super) struct NodeCordoned;

impl Detector for NodeCordoned {
    fn name(&self) -> &'static str {
        "node_cordoned"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Nodes]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let nodes = view.snapshot.nodes.iter();
        nodes
            .filter(|n| n.spec.unschedulable && n.metadata.deletion_timestamp.is_none())
            .map(|node| self.finding(view, node))
            .collect()
    }
}

impl NodeCordoned {
    fn finding(&self, view: &View<'_>, node: &Node) -> Finding {
        let subject = node.reference();
        let managers = node.metadata.managed_fields.iter();
        let by = managers
            .filter(|m| m.touches.contains(&Field::Unschedulable))
            .max_by_key(|m| m.time);
        let taints = node.spec.taints.iter();
        let tainted = taints
            .filter(|t| t.key == "node.kubernetes.io/unschedulable")
            .find_map(|t| t.time_added);
        let events = view.agreeing(&subject, &["NodeNotSchedulable"]);
        let event = events.first();
        let since = by
            .and_then(|m| m.time)
            .or(tainted)
            .or_else(|| event.and_then(|e| e.last_seen()))
            .unwrap_or(view.now())
            .min(view.now());
        let fact = "the node is cordoned (spec.unschedulable)";
        let mut evidence = vec![Evidence::status(subject.clone(), tainted, fact)];
        evidence.extend(event.map(|e| Evidence::event(e, &subject)));
        evidence.extend(by.map(|m| {
            let fact = format!("{} set spec.unschedulable", m.manager);
            Evidence::change(subject.clone(), m.time, &fact)
        }));
        let after = event
            .and_then(|e| e.last_seen())
            .unwrap_or(since)
            .max(since);
        evidence.extend(view.against(&subject, &["NodeSchedulable"], after));
        Finding {
            detector: self.name().to_owned(),
            class: FaultClass::NodeCordoned,
            owner: subject.clone(),
            subject,
            container: None,
            reason: if node.is_ready() {
                "ready"
            } else {
                "not_ready"
            }
            .to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        }
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
    fn a_cordon_is_found_with_who_set_it_and_when() {
        let world = node()
            .cordoned()
            .managed("kubectl-cordon", &[Field::Unschedulable], 300)
            .event(
                "NodeNotSchedulable",
                "Node node1 status is now: NodeNotSchedulable",
            )
            .seen(290, 290, 1);
        let findings = found(&NodeCordoned, world);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].reason, "ready");
        assert_eq!(findings[0].evidence.len(), 3);
        assert!(findings[0].evidence[2].fact.contains("kubectl-cordon"));
        let age = findings[0]
            .since
            .duration_until(AT.parse().expect("a time"));
        assert_eq!(age.as_secs(), 300);
    }

    #[test]
    fn a_schedulable_node_is_none() {
        assert_eq!(found(&NodeCordoned, node()), []);
    }

    #[test]
    fn without_nodes_it_is_blind() {
        assert!(blind(&NodeCordoned, node().unseen(Source::Nodes)));
    }
}
