//! A node is short of memory, disk or process ids, and its kubelet evicts pods.

use super::Detector;
use crate::diagnose::symptom::PRESSURES;
use crate::diagnose::view::View;
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{Node, NodeCondition, Source};
use jiff::SignedDuration;

/// The kubelet evicts by itself first; its condition stays for 5 minutes after the pressure ends.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(60);

/// See the file.
pub(super) struct NodePressure;

impl Detector for NodePressure {
    fn name(&self) -> &'static str {
        "node_pressure"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Nodes]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for node in &view.snapshot.nodes {
            let pressed = node.status.conditions.iter();
            let pressed =
                pressed.filter(|c| PRESSURES.contains(&c.kind.as_str()) && c.status == "True");
            findings.extend(pressed.map(|c| self.finding(view, node, c)));
        }
        findings
    }
}

impl NodePressure {
    fn finding(&self, view: &View<'_>, node: &Node, condition: &NodeCondition) -> Finding {
        let subject = node.reference();
        let (reason, event) = match condition.kind.as_str() {
            "MemoryPressure" => ("memory", "NodeHasInsufficientMemory"),
            "DiskPressure" => ("disk", "NodeHasDiskPressure"),
            _ => ("pid", "NodeHasInsufficientPID"),
        };
        let since = condition
            .last_transition_time
            .unwrap_or(view.now())
            .min(view.now());
        let fact = format!("{} is True: {}", condition.kind, condition.message);
        let mut evidence = vec![Evidence::status(subject.clone(), Some(since), &fact)];
        let events = view.agreeing(&subject, &[event, "EvictionThresholdMet"]);
        evidence.extend(events.first().map(|e| Evidence::event(e, &subject)));
        Finding {
            detector: self.name().to_owned(),
            class: FaultClass::NodePressure,
            owner: subject.clone(),
            subject,
            container: None,
            reason: reason.to_owned(),
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
    fn each_pressure_is_told_apart() {
        for (kind, expected) in [
            ("MemoryPressure", "memory"),
            ("DiskPressure", "disk"),
            ("PIDPressure", "pid"),
        ] {
            let world = node()
                .condition(kind, "True", "KubeletHasPressure", 30)
                .event("EvictionThresholdMet", "Attempting to reclaim resources");
            let findings = found(&NodePressure, world);
            assert_eq!(findings.len(), 1, "{expected}");
            assert_eq!(findings[0].reason, expected);
            assert_eq!(findings[0].evidence.len(), 2);
        }
    }

    #[test]
    fn no_pressure_unknown_pressure_and_custom_conditions_are_none() {
        for world in [
            node(),
            node().condition("MemoryPressure", "Unknown", "NodeStatusUnknown", 30),
            node().condition("FrequentRestart", "True", "Custom", 30),
        ] {
            assert_eq!(found(&NodePressure, world), []);
        }
    }

    #[test]
    fn without_nodes_it_is_blind() {
        assert!(blind(&NodePressure, node().unseen(Source::Nodes)));
    }
}
