//! Put an earlier revision's template back.

use super::action::{Action, Card, OnNotFixed, RevisionRef};
use super::template;
use crate::world::Object;
use serde_json::{Value, json};

pub(super) const CARD: Card = Card {
    word: "rollback",
    tools: &["rollback_deployment"],
    on_not_fixed: OnNotFixed::Keep,
};

pub(super) fn describe(object: &str, from: &RevisionRef, to: &RevisionRef) -> String {
    format!("{object}:rev {}→{}", from.revision, to.revision)
}

pub(super) fn undo(from: &RevisionRef, to: &RevisionRef) -> Action {
    Action::RollBack {
        from: to.clone(),
        to: from.clone(),
    }
}

/// The current revision: the narrow template, and what the controller calls it (a Deployment's
/// revision annotation, a StatefulSet's `status.updateRevision`), which tells apart two templates
/// that differ in a field that the narrow type leaves out.
pub(super) fn facts(target: &Object) -> Option<Value> {
    let workload = template::workload(target)?;
    Some(json!({
        "template": workload.spec.template,
        "revision": workload.revision(),
        "update_revision": workload.status.update_revision,
        "paused": workload.spec.paused,
    }))
}
