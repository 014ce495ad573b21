//! Mark a node unschedulable.

use super::action::{Card, OnNotFixed};
use crate::world::{Node, Object};
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "cordon",
    tools: &["cordon_node"],
    on_not_fixed: OnNotFixed::Keep,
};

/// Only the flag: heartbeats change a node every few seconds.
pub(super) fn facts(target: &Object) -> Option<Value> {
    Some(json!({ "unschedulable": unschedulable(target)? }))
}

/// The flag; `None` when it is not a node.
pub(super) fn unschedulable(target: &Object) -> Option<bool> {
    node(target).map(|node| node.spec.unschedulable)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other kind is no node, the ones to come too"
)]
pub(super) fn node(target: &Object) -> Option<&Node> {
    match target {
        Object::Node(node) => Some(node),
        _ => None,
    }
}
