//! `cordon_node` and `uncordon_node`.

use super::{Proposal, Run, Tool, WRITE_FIELDS, node::problems, owner};
use crate::plan::Action;
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Field, Node, Object, Source};
use jiff::SignedDuration;

pub(in crate::runbook) const CORDON_NODE: Tool = Tool {
    names: &["cordon_node"],
    fields: WRITE_FIELDS,
    needs: &[Source::Nodes],
    params: &[],
    run: Run::Write(cordon),
    repeats: false,
};

pub(in crate::runbook) const UNCORDON_NODE: Tool = Tool {
    names: &["uncordon_node"],
    fields: WRITE_FIELDS,
    needs: &[Source::Nodes],
    params: &[],
    run: Run::Write(uncordon),
    repeats: false,
};

/// The intent is recorded before the write: a change of the flag within this time after it is ours.
const WRITE_TAKES: SignedDuration = SignedDuration::from_secs(60);

/// Taints that say nothing of an operator's intent.
const USUAL_TAINTS: &[&str] = &["node.kubernetes.io/", "node-role.kubernetes.io/"];

fn cordon(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let Some(node) = owner::node(cx) else {
        return Proposal::Person("the fault is not about a node that was seen".to_owned());
    };
    if node.spec.unschedulable {
        return Proposal::Pass(format!("{} is cordoned already", node.reference()));
    }
    let target = Object::Node(node.clone());
    owner::propose(cx, def, Action::Cordon, &target, Vec::new())
}

fn uncordon(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let Some(node) = owner::node(cx) else {
        return Proposal::Person("the fault is not about a node that was seen".to_owned());
    };
    if !node.spec.unschedulable {
        return Proposal::Pass(format!("{} is not cordoned", node.reference()));
    }
    let problems = problems(node);
    if !problems.is_empty() {
        return Proposal::Person(format!("{}: {}", node.reference(), problems.join(", ")));
    }
    let target = Object::Node(node.clone());
    owner::propose(
        cx,
        def,
        Action::Uncordon,
        &target,
        intent_of_others(cx, node),
    )
}

/// Why the cordon may be somebody's intent: only one that our own record knows is taken back alone.
fn intent_of_others(cx: &Context<'_>, node: &Node) -> Vec<String> {
    let mut asks = Vec::new();
    match cx.history.our_cordon(&node.metadata.uid) {
        None => asks.push("our record does not say that we cordoned it".to_owned()),
        Some(act) => {
            let managers = node.metadata.managed_fields.iter();
            let others = managers.filter(|m| m.touches.contains(&Field::Unschedulable));
            let ours_until = act.at.saturating_add(WRITE_TAKES).unwrap_or(act.at);
            for other in others.filter(|m| m.time.is_some_and(|at| at > ours_until)) {
                asks.push(format!("{} cordoned it after we did", other.manager));
            }
        }
    }
    for taint in &node.spec.taints {
        let usual = USUAL_TAINTS
            .iter()
            .any(|prefix| taint.key.starts_with(prefix));
        if !usual && taint.effect != "PreferNoSchedule" {
            asks.push(format!("taint {} keeps pods away", taint.key));
        }
    }
    asks
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::history::ActOutcome;
    use crate::plan::Action;
    use crate::runbook::scene::{AT, Scene, done};
    use crate::testkit::{World, reference, world};
    use crate::world::{Field, Kind, ObjectRef, Taint};

    fn node1() -> ObjectRef {
        reference(Kind::Node, "", "node1")
    }

    fn cordoned() -> World {
        world(AT).node("node1").cordoned()
    }

    fn scene(world: World) -> Scene {
        Scene::new(FaultClass::NodeCordoned, world).tool("uncordon_node")
    }

    fn tainted(key: &str, effect: &str) -> World {
        cordoned().edit_node(|node| {
            node.spec.taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                ..Taint::default()
            });
        })
    }

    #[test]
    fn a_node_is_cordoned_once() {
        let says = |world| {
            Scene::new(FaultClass::NodeNotReady, world)
                .tool("cordon_node")
                .says()
        };
        assert_eq!(says(world(AT).node("node1")), "cordon:node1");
        assert!(says(cordoned()).contains("is cordoned already"));
    }

    #[test]
    fn only_our_own_cordon_is_taken_back_alone() {
        let ours = scene(cordoned()).acted(Action::Cordon, &node1(), 2, done());
        assert_eq!(ours.says(), "uncordon:node1");
        let nobody = scene(cordoned()).says();
        assert_eq!(
            nobody,
            "uncordon:node1 asks: our record does not say that we cordoned it"
        );
        let unknown = Some(ActOutcome::Unknown { why: "x".into() });
        let unknown = scene(cordoned()).acted(Action::Cordon, &node1(), 2, unknown);
        assert_eq!(unknown.says(), nobody);
        let taken_back = scene(cordoned())
            .acted(Action::Cordon, &node1(), 3, done())
            .acted(Action::Uncordon, &node1(), 2, done());
        assert_eq!(taken_back.says(), nobody);
        let another = reference(Kind::Node, "", "node2");
        assert_eq!(
            scene(cordoned())
                .acted(Action::Cordon, &another, 2, done())
                .says(),
            nobody
        );
    }

    #[test]
    fn somebody_who_cordoned_it_after_us_is_asked() {
        let by = |ago| {
            let world = cordoned().managed("kubectl-cordon", &[Field::Unschedulable], ago);
            scene(world)
                .acted(Action::Cordon, &node1(), 2, done())
                .says()
        };
        assert_eq!(by(7200), "uncordon:node1");
        assert_eq!(by(7200 - 60), "uncordon:node1");
        assert_eq!(
            by(7200 - 61),
            "uncordon:node1 asks: kubectl-cordon cordoned it after we did"
        );
    }

    #[test]
    fn a_taint_of_an_operator_asks() {
        let says = |world| {
            scene(world)
                .acted(Action::Cordon, &node1(), 2, done())
                .says()
        };
        assert!(
            says(tainted("maintenance", "NoSchedule"))
                .contains("taint maintenance keeps pods away")
        );
        assert_eq!(
            says(tainted("maintenance", "PreferNoSchedule")),
            "uncordon:node1"
        );
        let usual = tainted("node.kubernetes.io/unschedulable", "NoSchedule");
        assert_eq!(says(usual), "uncordon:node1");
    }

    #[test]
    fn a_node_that_is_not_well_or_not_cordoned_is_not_uncordoned() {
        let bad = cordoned().condition("DiskPressure", "True", "Full", 60);
        assert_eq!(
            scene(bad).says(),
            "person: it: Node node1: DiskPressure is True (Full)"
        );
        let lost = cordoned().condition("Ready", "Unknown", "Lost", 60);
        assert!(scene(lost).says().starts_with("person: it: "));
        assert!(
            scene(world(AT).node("node1"))
                .says()
                .contains("is not cordoned")
        );
    }

    #[test]
    fn a_fault_of_a_pod_cordons_nothing() {
        let pod = world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .pod("a")
            .unready();
        for tool in ["cordon_node", "uncordon_node", "drain_node"] {
            let says = Scene::new(FaultClass::CrashLoop, pod.clone())
                .tool(tool)
                .says();
            assert!(says.contains("not about a node"), "{says}");
        }
    }
}
