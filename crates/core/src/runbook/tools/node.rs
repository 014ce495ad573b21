//! `get_node_ready` and `get_node_conditions`: what the node's own status says.

use super::{Run, Tool, cut, owner};
use crate::runbook::advance::Context;
use crate::runbook::types::{flag, list, map};
use crate::world::{Node, Source};
use serde_json::{Map, Value, json};

pub(in crate::runbook) const GET_NODE_READY: Tool = Tool {
    names: &["get_node_ready"],
    fields: &[flag("ready"), flag("not_ready"), flag("unschedulable")],
    needs: &[Source::Nodes],
    params: &[],
    run: Run::Read(ready),
    repeats: false,
};

pub(in crate::runbook) const GET_NODE_CONDITIONS: Tool = Tool {
    names: &["get_node_conditions"],
    fields: &[flag("healthy"), list("problems"), map("conditions")],
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

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::{World, world};
    use crate::world::Source;
    use serde_json::{Value, json};

    fn node() -> World {
        world(AT).node("node1")
    }

    fn result(tool: &str, world: World, field: &str) -> Value {
        Scene::new(FaultClass::NodeNotReady, world)
            .tool(tool)
            .result("it", field)
    }

    #[test]
    fn ready_is_what_the_condition_says_and_nothing_without_one() {
        let condition = |status: &str| node().condition("Ready", status, "Because", 60);
        let none = node().edit_node(|node| node.status.conditions.clear());
        let table = [
            (condition("True"), true, false),
            (condition("False"), false, true),
            (condition("Unknown"), false, true),
            (none, false, false),
        ];
        for (world, ready, not_ready) in table {
            assert_eq!(
                result("get_node_ready", world.clone(), "ready"),
                json!(ready)
            );
            assert_eq!(
                result("get_node_ready", world, "not_ready"),
                json!(not_ready)
            );
        }
        assert_eq!(
            result("get_node_ready", node().cordoned(), "unschedulable"),
            json!(true)
        );
        assert_eq!(
            result("get_node_ready", node(), "unschedulable"),
            json!(false)
        );
        let blind = node().unseen(Source::Nodes);
        assert_eq!(result("get_node_ready", blind, "ready"), Value::Null);
    }

    #[test]
    fn every_condition_that_is_not_good_is_a_problem() {
        let healthy = |world| result("get_node_conditions", world, "healthy");
        assert_eq!(healthy(node()), json!(true));
        let bad = [
            ("Ready", "False"),
            ("Ready", "Unknown"),
            ("MemoryPressure", "True"),
            ("DiskPressure", "Unknown"),
            ("NetworkUnavailable", "True"),
            ("KernelDeadlock", "True"),
        ];
        for (kind, status) in bad {
            let world = node().condition(kind, status, "Because", 60);
            assert_eq!(healthy(world.clone()), json!(false), "{kind}");
            let problems = result("get_node_conditions", world, "problems");
            assert_eq!(problems, json!([format!("{kind} is {status} (Because)")]));
        }
        let none = node().edit_node(|node| node.status.conditions.clear());
        assert_eq!(healthy(none), json!(false));
        assert_eq!(healthy(node().unseen(Source::Nodes)), Value::Null);
        let all = result("get_node_conditions", node(), "conditions");
        assert_eq!(all["Ready"], json!("True"));
        assert_eq!(all["DiskPressure"], json!("False"));
    }
}
