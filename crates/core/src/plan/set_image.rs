//! Set a container's image in the owner's template.

use super::action::{Action, Card, OnNotFixed};
use super::template::{self, container};
use crate::world::Object;
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "patch_image",
    tools: &["fix_imagepullbackoff", "patch_image"],
    on_not_fixed: OnNotFixed::Undo,
};

pub(super) fn describe(object: &str, container: &str, from: &str, to: &str) -> String {
    format!("{object}/{container}:{from}→{to}")
}

pub(super) fn undo(container: &str, from: &str, to: &str) -> Action {
    Action::SetImage {
        container: container.to_owned(),
        from: to.to_owned(),
        to: from.to_owned(),
    }
}

/// The container's presence and image, and whether an operator paused the rollout.
pub(super) fn facts(name: &str, target: &Object) -> Option<Value> {
    let workload = template::workload(target)?;
    Some(json!({
        "container": name,
        "image": container(workload, name)?.image,
        "paused": workload.spec.paused,
    }))
}

/// What the container has now, for a person.
pub(super) fn shown(name: &str, target: &Object) -> Option<String> {
    let workload = template::workload(target)?;
    let image = &container(workload, name)?.image;
    Some(format!("{name} has image {image} now"))
}

pub(super) fn still_from(name: &str, from: &str, target: &Object) -> bool {
    template::workload(target)
        .and_then(|workload| container(workload, name))
        .is_some_and(|container| container.image == from)
}
