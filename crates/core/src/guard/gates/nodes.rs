//! Nodes are taken out one at a time, never in a larger outage, and given back only when healthy.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::history::{Act, FIELD_MANAGER};
use crate::plan::Action;
use crate::world::{Field, Node, Source};

pub(super) struct Nodes;

/// Pressure and network conditions that must not be true on a node that is given back.
const BAD: &[&str] = &[
    "MemoryPressure",
    "DiskPressure",
    "PIDPressure",
    "NetworkUnavailable",
];

impl Gate for Nodes {
    fn name(&self) -> &'static str {
        "nodes"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        match step.action {
            Action::Cordon | Action::Uncordon | Action::Evict => vec![Source::Nodes],
            Action::SetImage { .. }
            | Action::SetMemory { .. }
            | Action::RollBack { .. }
            | Action::DeletePod => Vec::new(),
        }
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let of_pod = || {
            let pod = scene.target_pod()?;
            scene.snapshot.node(&pod.spec.node_name)
        };
        match scene.step.action {
            Action::Cordon => on(scene.target_node(), |node| cordon(scene, node)),
            Action::Uncordon => on(scene.target_node(), |node| uncordon(scene, node)),
            Action::Evict => on(of_pod(), |node| drain(scene, node)),
            Action::SetImage { .. }
            | Action::SetMemory { .. }
            | Action::RollBack { .. }
            | Action::DeletePod => pass("no node is taken out"),
        }
    }
}

fn on(node: Option<&std::sync::Arc<Node>>, rule: impl Fn(&Node) -> Ruled) -> Ruled {
    node.map_or_else(|| deny("the node is gone"), |node| rule(node))
}

/// What forbids to take a node out, by a cordon or an eviction.
fn outage(scene: &Scene<'_>, node: &Node) -> Option<Ruled> {
    let policy = scene.policy;
    if policy.own_node.as_deref() == Some(&node.metadata.name) {
        return Some(deny("the agent itself runs on this node"));
    }
    if policy.own_node.is_none() && policy.own_namespace.is_some() {
        return Some(ask(
            "the agent runs in this cluster and does not know on which node: set own_node",
        ));
    }
    let nodes = scene.snapshot.nodes.iter();
    let not_ready: Vec<_> = nodes
        .filter(|node| !node.is_ready())
        .map(|node| node.metadata.name.as_str())
        .collect();
    (not_ready.len() >= 2).then(|| {
        deny(format!(
            "{} are not ready: this is no fault of one node",
            not_ready.join(", ")
        ))
    })
}

fn cordon(scene: &Scene<'_>, node: &Node) -> Ruled {
    if let Some(ruled) = outage(scene, node) {
        return ruled;
    }
    let others = || {
        let nodes = scene.snapshot.nodes.iter();
        nodes.filter(|other| other.metadata.uid != node.metadata.uid)
    };
    let ours = others().find(|other| {
        other.spec.unschedulable && scene.history.cordoned_by_us(&other.metadata.uid)
    });
    if let Some(other) = ours {
        return deny(format!(
            "{} is cordoned by us already: one node at a time",
            other.metadata.name
        ));
    }
    let mut open = scene.history.open_permits();
    if let Some(act) = open.find(|act| act.step.action == Action::Cordon) {
        return deny(format!(
            "a cordon of {} is out: one node at a time",
            act.step.target
        ));
    }
    if others().any(|other| other.is_ready() && !other.spec.unschedulable) {
        pass("no other node is cordoned by us, and another one can take pods")
    } else {
        ask("no other node could take pods")
    }
}

fn drain(scene: &Scene<'_>, node: &Node) -> Ruled {
    outage(scene, node).unwrap_or_else(|| pass("it is a fault of one node, not of the agent's own"))
}

fn uncordon(scene: &Scene<'_>, node: &Node) -> Ruled {
    let bad = BAD.iter().find(|kind| {
        let condition = node.condition(kind);
        condition.is_some_and(|condition| condition.status != "False")
    });
    if !node.is_ready() {
        return deny("the node is not ready");
    }
    if let Some(kind) = bad {
        return deny(format!("the node has {kind}"));
    }
    match scene.history.our_cordon(&node.metadata.uid) {
        None => ask("our own record does not say that we cordoned this node"),
        Some(cordon) if cordoned_anew(node, cordon) => {
            ask("somebody changed the node's schedulability after our cordon")
        }
        Some(cordon) => pass(format!("it was cordoned by {}", cordon.permit)),
    }
}

/// Managers' times are whole seconds: one in the second of our intent is not after it.
fn cordoned_anew(node: &Node, ours: &Act) -> bool {
    let entries = node.metadata.managed_fields.iter();
    let mut others = entries.filter(|e| e.touches.contains(&Field::Unschedulable));
    others.any(|e| e.manager != FIELD_MANAGER && e.time.is_none_or(|at| at > ours.at))
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::{Stage, done};
    use crate::plan::Action;
    use crate::world::{Field, ManagedField, Node, Source};
    use jiff::SignedDuration;

    fn node(stage: Stage, name: &str, change: impl Fn(&mut Node)) -> Stage {
        stage.with(|s| {
            s.edit_nodes(|node| {
                if node.metadata.name == name {
                    change(node);
                }
            });
        })
    }

    fn not_ready(node: &mut Node) {
        let ready = node
            .status
            .conditions
            .iter_mut()
            .find(|c| c.kind == "Ready");
        ready.expect("a condition").status = "Unknown".to_owned();
    }

    #[test]
    fn the_first_bad_node_is_cordoned_and_drained() {
        Stage::cordon().says("nodes", Verdict::Pass, "no other node");
        Stage::evict().says("nodes", Verdict::Pass, "one node");
        Stage::memory()
            .blind(Source::Nodes)
            .says("nodes", Verdict::Pass, "no node is taken");
    }

    #[test]
    fn never_in_a_larger_outage() {
        for stage in [Stage::cordon(), Stage::evict()] {
            node(stage, "node2", not_ready).says("nodes", Verdict::Deny, "node1, node2 are not");
        }
    }

    #[test]
    fn never_the_agents_own_node() {
        for stage in [Stage::cordon(), Stage::evict()] {
            stage
                .with(|s| s.policy.own_node = Some("node1".to_owned()))
                .says("nodes", Verdict::Deny, "agent itself");
        }
        let inside = |s: &mut Stage| s.policy.own_namespace = Some("sre".to_owned());
        Stage::cordon()
            .with(inside)
            .says("nodes", Verdict::Ask, "set own_node");
        Stage::cordon()
            .with(inside)
            .with(|s| s.policy.own_node = Some("node2".to_owned()))
            .says("nodes", Verdict::Pass, "no other");
    }

    /// We cordoned node2 a minute ago.
    fn second(outcome: bool) -> Stage {
        Stage::cordon().with(|s| {
            let mut step = s.step.clone();
            let other = s.snapshot.node("node2").expect("node2");
            step.target = other.reference();
            step.check.owner = step.target.clone();
            s.act(60, step, outcome.then(done));
        })
    }

    #[test]
    fn one_node_at_a_time() {
        node(second(true), "node2", |n| n.spec.unschedulable = true).says(
            "nodes",
            Verdict::Deny,
            "node2 is cordoned by us",
        );
        second(false).says("nodes", Verdict::Deny, "is out");
        second(true).says("nodes", Verdict::Pass, "no other node");
    }

    #[test]
    fn the_last_node_that_can_take_pods_asks() {
        node(Stage::cordon(), "node2", |n| n.spec.unschedulable = true).says(
            "nodes",
            Verdict::Ask,
            "no other node could",
        );
    }

    #[test]
    fn our_own_cordon_is_taken_back_from_a_healthy_node() {
        Stage::uncordon().says("nodes", Verdict::Pass, "cordoned by permit-1");
        Stage::uncordon().with(|s| s.history.acts.clear()).says(
            "nodes",
            Verdict::Ask,
            "our own record",
        );
        node(Stage::uncordon(), "node1", not_ready).says("nodes", Verdict::Deny, "not ready");
        node(Stage::uncordon(), "node1", |n| {
            let disk = n
                .status
                .conditions
                .iter_mut()
                .find(|c| c.kind == "DiskPressure");
            disk.expect("a condition").status = "True".to_owned();
        })
        .says("nodes", Verdict::Deny, "DiskPressure");
    }

    #[test]
    fn a_cordon_that_is_no_longer_ours_asks() {
        let by = |manager: &str| {
            let stage = Stage::uncordon();
            let time = Some(stage.now - SignedDuration::from_secs(10));
            node(stage, "node1", |n| {
                n.metadata.managed_fields.push(ManagedField {
                    manager: manager.to_owned(),
                    time,
                    touches: [Field::Unschedulable].into(),
                    ..ManagedField::default()
                });
            })
        };
        by("kubectl-cordon").says("nodes", Verdict::Ask, "somebody changed");
        by("nightshift").says("nodes", Verdict::Pass, "cordoned by");
        Stage::uncordon()
            .with(|s| {
                let mut step = s.step.clone();
                step.action = Action::Uncordon;
                s.act(30, step, Some(done()));
            })
            .says("nodes", Verdict::Ask, "our own record");
    }

    #[test]
    fn blind_to_nodes_asks() {
        for stage in [Stage::cordon(), Stage::uncordon(), Stage::evict()] {
            stage
                .blind(Source::Nodes)
                .says("nodes", Verdict::Ask, "not seen");
        }
        Stage::cordon()
            .with(|s| s.snapshot.nodes.clear())
            .says("nodes", Verdict::Deny, "gone");
    }
}
