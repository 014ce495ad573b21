//! Mark a node unschedulable, or schedulable again.

use super::live::Live;
use super::patch::{Guarded, pointer};
use json_patch::Patch;
use serde_json::Value;

/// The patch that sets `spec.unschedulable`, which is absent while it is false.
pub(super) fn patch(live: &Live, unschedulable: bool) -> Patch {
    let flag = pointer(&["spec", "unschedulable"]);
    let mut patch = Guarded::on(live);
    if flag.resolve(&live.json).is_ok() {
        patch.test(flag.clone(), !unschedulable);
        patch.replace(flag, unschedulable);
    } else {
        patch.add(flag, unschedulable);
    }
    patch.finish()
}

/// Whether the target holds what we would have written.
pub(super) fn holds(live: &Live, unschedulable: bool) -> bool {
    let flag = live.json.pointer("/spec/unschedulable");
    flag.and_then(Value::as_bool).unwrap_or(false) == unschedulable
}
