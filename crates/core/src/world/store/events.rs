//! Which events are kept, and how many.

use super::{Key, World};
use crate::world::{Event, Object};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Events kept about one object; the newest stay.
pub const MAX_EVENTS_PER_OBJECT: usize = 20;

/// Events kept in all (about 10 MB); the newest stay.
pub const MAX_EVENTS: usize = 10_000;

/// Events older than this are dropped. kube-apiserver's `--event-ttl` is one hour by default, after
/// which the watch reports their deletion; this bounds clusters where it is longer.
pub const MAX_EVENT_AGE: SignedDuration = SignedDuration::from_hours(2);

/// An event that is seen again is told at most once in so many seconds.
const REPETITION_SECONDS: i64 = 30;

/// Events of type `Normal` that explain something even where they show no trouble. All others of
/// that type (`Scheduled`, `Pulled`, `Created`, ...) are most of a cluster's events, and no rule
/// reads them.
const KEPT_NORMAL_EVENTS: &[&str] = &[
    "BackOff",
    "Killing",
    "NodeReady",
    "NodeSchedulable",
    "NotTriggerScaleUp",
    "SandboxChanged",
    "TaintManagerEviction",
    "TriggeredScaleUp",
];

impl World {
    /// Drops events that are too old.
    pub fn expire_events(&mut self, now: Timestamp) {
        let oldest = now.checked_sub(MAX_EVENT_AGE).unwrap_or(Timestamp::MIN);
        while let Some((seen, key)) = self.events_by_age.first().cloned() {
            if seen >= oldest {
                break;
            }
            self.take(&key);
        }
    }

    pub(super) fn keeps(&self, object: &Object) -> bool {
        let Object::Event(event) = object else {
            return true;
        };
        event.kind != "Normal"
            || KEPT_NORMAL_EVENTS.contains(&event.reason.as_str())
            || (self.is_symptom)(object)
    }

    /// Drops the oldest events about the same object, then the oldest of all.
    pub(super) fn bound_events(&mut self, object: &Object) {
        let Object::Event(event) = object else {
            return;
        };
        let same = self.about.get(&about(event));
        if same.is_some_and(|keys| keys.len() > MAX_EVENTS_PER_OBJECT) {
            let age = |key: &&Arc<Key>| match self.objects.get(*key) {
                Some(Object::Event(event)) => Some(seen(event)),
                _ => None,
            };
            let oldest = same.and_then(|keys| keys.iter().min_by_key(age)).cloned();
            if let Some(oldest) = oldest {
                self.take(&oldest);
            }
        }
        while self.events_by_age.len() > MAX_EVENTS {
            let Some((_, oldest)) = self.events_by_age.first().cloned() else {
                break;
            };
            self.take(&oldest);
        }
    }
}

/// Whether `new` is `old` seen again so soon that it is no news. A failing probe or a back-off
/// repeats its event every few seconds for hours.
pub(super) fn repeats(old: &Object, new: &Object) -> bool {
    let (Object::Event(old), Object::Event(new)) = (old, new) else {
        return false;
    };
    let round = |event: &Event| seen(event).as_second().div_euclid(REPETITION_SECONDS);
    old.metadata.uid == new.metadata.uid
        && old.reason == new.reason
        && old.message == new.message
        && round(old) == round(new)
}

/// What an event is about, by name.
pub(super) fn about(event: &Event) -> Key {
    let about = &event.involved_object;
    Key {
        kind: about.kind.clone(),
        namespace: about.namespace.clone(),
        name: about.name.clone(),
    }
}

/// When an event was last seen.
pub(super) fn seen(event: &Event) -> Timestamp {
    event.last_seen().unwrap_or(Timestamp::MIN)
}
