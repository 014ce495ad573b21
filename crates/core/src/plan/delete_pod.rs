//! Delete a pod that a controller will make anew.

use super::action::{Card, OnNotFixed};
use super::evict;
use crate::world::Object;
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "delete_pod",
    tools: &["delete_pod"],
    on_not_fixed: OnNotFixed::Keep,
};

/// As for an eviction, and that the pod is not ready: one that recovered is left alone.
pub(super) fn facts(target: &Object) -> Option<Value> {
    let pod = evict::pod(target)?;
    Some(json!({ "pod": evict::facts(target)?, "ready": pod.is_ready() }))
}
