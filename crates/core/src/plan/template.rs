//! Access to the template that an action changes.

use crate::world::{Container, Object, Workload};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other kind has no template, the ones to come too"
)]
pub(super) fn workload(target: &Object) -> Option<&Workload> {
    match target {
        Object::Workload(workload) => Some(workload),
        _ => None,
    }
}

/// The container of that name in the workload's template, main or init.
pub(super) fn container<'a>(workload: &'a Workload, name: &str) -> Option<&'a Container> {
    workload.spec.template.spec.container(name)
}
