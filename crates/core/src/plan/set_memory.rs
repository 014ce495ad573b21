//! Set a container's memory limit and request in the owner's template.

use super::action::{Action, Card, MemoryChange, OnNotFixed};
use super::template::{self, container};
use crate::world::{Container, Object, Quantity};
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "patch_memory_limit",
    tools: &["increase_memory_limit", "patch_resources"],
    on_not_fixed: OnNotFixed::Undo,
};

pub(super) fn describe(object: &str, container: &str, limit: &MemoryChange) -> String {
    format!(
        "{object}/{container}:{}→{}",
        words(limit.from.as_ref()),
        words(limit.to.as_ref())
    )
}

pub(super) fn undo(container: &str, limit: &MemoryChange, request: &MemoryChange) -> Action {
    let swap = |change: &MemoryChange| MemoryChange {
        from: change.to.clone(),
        to: change.from.clone(),
    };
    Action::SetMemory {
        container: container.to_owned(),
        limit: swap(limit),
        request: swap(request),
    }
}

/// The container's presence and memory, and whether an operator paused the rollout.
pub(super) fn facts(name: &str, target: &Object) -> Option<Value> {
    let workload = template::workload(target)?;
    let (limit, request) = memory(container(workload, name)?);
    Some(json!({
        "container": name,
        "limit": limit,
        "request": request,
        "paused": workload.spec.paused,
    }))
}

/// What the container has now, for a person.
pub(super) fn shown(name: &str, target: &Object) -> Option<String> {
    let workload = template::workload(target)?;
    let (limit, request) = memory(container(workload, name)?);
    Some(format!(
        "{name} has memory limit {} and request {} now",
        words(limit),
        words(request)
    ))
}

pub(super) fn still_from(
    name: &str,
    limit: &MemoryChange,
    request: &MemoryChange,
    target: &Object,
) -> bool {
    let now = template::workload(target)
        .and_then(|workload| container(workload, name))
        .map(memory);
    now == Some((limit.from.as_ref(), request.from.as_ref()))
}

fn words(quantity: Option<&Quantity>) -> String {
    quantity.map_or_else(|| "unset".to_owned(), ToString::to_string)
}

fn memory(container: &Container) -> (Option<&Quantity>, Option<&Quantity>) {
    (
        container.resources.limits.get("memory"),
        container.resources.requests.get("memory"),
    )
}
