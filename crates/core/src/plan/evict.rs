//! Evict a pod through the eviction subresource, so that budgets are honoured.

use super::action::{Card, OnNotFixed};
use crate::world::{Object, Pod};
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "evict",
    tools: &["drain_node"],
    on_not_fixed: OnNotFixed::Keep,
};

/// The pod itself, who makes it anew, and that nobody else is deleting it.
pub(super) fn facts(target: &Object) -> Option<Value> {
    let pod = pod(target)?;
    Some(json!({
        "uid": pod.metadata.uid,
        "controller": pod.metadata.controller(),
        "mirror": pod.is_mirror(),
        "deleting": pod.metadata.deletion_timestamp.is_some(),
    }))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other kind is no pod, the ones to come too"
)]
pub(super) fn pod(target: &Object) -> Option<&Pod> {
    match target {
        Object::Pod(pod) => Some(pod),
        _ => None,
    }
}
