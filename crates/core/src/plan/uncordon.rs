//! Mark a node schedulable.

use super::action::{Card, OnNotFixed};
use super::cordon;
use crate::world::Object;
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "uncordon",
    tools: &["uncordon_node"],
    on_not_fixed: OnNotFixed::Ask,
};

/// The flag, and the status of the `Ready` condition, since the step relies on it.
pub(super) fn facts(target: &Object) -> Option<Value> {
    let node = cordon::node(target)?;
    Some(json!({
        "unschedulable": node.spec.unschedulable,
        "ready": node.condition("Ready").map(|condition| &condition.status),
    }))
}
