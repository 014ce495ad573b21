//! Objects that are served under another group or version than they are kept under.

use crate::api::route::Target;
use crate::object::{Object, Raw};
use crate::resources::{Resource, Resources, ids};
use std::sync::Arc;

/// Fields of an Event: in the core group, and in `events.k8s.io/v1`
/// (`k8s.io/kubernetes/pkg/apis/events/v1/conversion.go`).
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// How the objects of a target are shown.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// As they are kept.
    Stored,
    /// Events as `events.k8s.io/v1`.
    Events,
    /// Another version of a custom resource: only the apiVersion differs.
    Version(Arc<str>),
}

impl View {
    /// The view of a target.
    pub(super) fn of(resources: &Resources, target: &Target) -> Self {
        if target.shown == target.stored {
            return Self::Stored;
        }
        if target.shown == ids::EVENTS_V1 {
            return Self::Events;
        }
        Self::Version(resources.get(target.shown).api_version())
    }

    /// A kept object as it is shown.
    pub(super) fn show(&self, object: &Arc<Object>) -> Arc<Object> {
        match self {
            Self::Stored => Arc::clone(object),
            Self::Events => {
                let mut shown = Object::clone(object);
                shown.api_version = "events.k8s.io/v1".into();
                for (core, new) in EVENT_FIELDS {
                    rename(&mut shown, core, new);
                }
                Arc::new(shown)
            }
            Self::Version(version) => {
                let mut shown = Object::clone(object);
                shown.api_version = Arc::clone(version);
                Arc::new(shown)
            }
        }
    }

    /// An object that was sent, as it is kept.
    pub(super) fn keep(&self, mut object: Object, stored: &Resource) -> Object {
        match self {
            Self::Stored => return object,
            Self::Events => {
                for (core, new) in EVENT_FIELDS {
                    rename(&mut object, new, core);
                }
            }
            Self::Version(_) => {}
        }
        object.api_version = stored.api_version();
        object
    }
}

fn rename(object: &mut Object, from: &str, to: &str) {
    let value: Option<Raw> = object.fields.remove(from);
    if let Some(value) = value {
        object.fields.insert(to, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_the_same_under_both_groups() {
        let core = json!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": "a"},
            "message": "m", "involvedObject": {"name": "p"}, "reason": "R"});
        let core = Arc::new(Object::from_value(core).unwrap());
        let shown = View::Events.show(&core);
        assert_eq!(shown.to_value()["note"], "m");
        assert_eq!(shown.to_value()["regarding"]["name"], "p");
        let row = Resources::default().get(ids::EVENTS).clone();
        assert_eq!(View::Events.keep(Object::clone(&shown), &row), *core);
    }
}
