//! `cordon_node` and `uncordon_node`.

use super::{Proposal, Run, Tool, WRITE_FIELDS, node::problems, owner};
use crate::history::ActOutcome;
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
    let ours = cx.history.acts.iter().rev().find(|act| {
        act.step.target.uid == node.metadata.uid
            && matches!(act.outcome, Some(ActOutcome::Done { .. }))
            && matches!(act.step.action, Action::Cordon | Action::Uncordon)
    });
    match ours.filter(|act| act.step.action == Action::Cordon) {
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
