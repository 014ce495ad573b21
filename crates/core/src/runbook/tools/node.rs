//! `get_node_ready` and `get_node_conditions`: what the node's own status says.

use super::{Run, Tool, cut, owner};
use crate::runbook::advance::Context;
use crate::world::{Node, Source};
use serde_json::{Map, Value, json};

pub(in crate::runbook) const GET_NODE_READY: Tool = Tool {
    names: &["get_node_ready"],
    fields: &["ready", "not_ready", "unschedulable"],
    needs: &[Source::Nodes],
    params: &[],
    run: Run::Read(ready),
    repeats: false,
};

pub(in crate::runbook) const GET_NODE_CONDITIONS: Tool = Tool {
    names: &["get_node_conditions"],
    fields: &["healthy", "problems", "conditions"],
    needs: &[Source::Nodes],
    params: &[],
    run: Run::Read(conditions),
    repeats: false,
};

/// A node without a `Ready` condition is neither ready nor confirmed not to be: nothing is done.
fn ready(cx: &Context<'_>) -> Value {
    let Some(node) = owner::node(cx) else {
        return json!({});
    };
    let seen = node.condition("Ready").is_some();
    json!({
        "ready": node.is_ready(),
        "not_ready": seen && !node.is_ready(),
        "unschedulable": node.spec.unschedulable,
    })
}

fn conditions(cx: &Context<'_>) -> Value {
    let Some(node) = owner::node(cx) else {
        return json!({});
    };
    let all: Map<String, Value> = node
        .status
        .conditions
        .iter()
        .map(|c| (cut(&c.kind), Value::from(cut(&c.status))))
        .collect();
    let problems = problems(node);
    json!({ "healthy": problems.is_empty(), "problems": problems, "conditions": all })
}

/// What is wrong with the node. Every condition beside `Ready` counts as bad unless it is `False`,
/// those that we do not know too: careful, since most of them report problems.
pub(super) fn problems(node: &Node) -> Vec<String> {
    let mut problems = Vec::new();
    if node.condition("Ready").is_none() {
        problems.push("no Ready condition".to_owned());
    }
    for condition in &node.status.conditions {
        let good = if condition.kind == "Ready" {
            "True"
        } else {
            "False"
        };
        if condition.status != good {
            problems.push(format!(
                "{} is {} ({})",
                cut(&condition.kind),
                cut(&condition.status),
                cut(&condition.reason)
            ));
        }
    }
    problems
}
