//! When to wake: at most one time a key, the earliest asked for.

use crate::ids::IncidentId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Times at which incidents want to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timers {
    at: BTreeMap<IncidentId, Timestamp>,
    armed: Option<Timestamp>,
}

impl Timers {
    /// Wakes `id` at `at`, or earlier if that was asked for before.
    pub(super) fn wake(&mut self, id: &IncidentId, at: Timestamp) {
        let slot = self.at.entry(id.clone()).or_insert(at);
        *slot = at.min(*slot);
    }

    /// Forgets `id`.
    pub(super) fn forget(&mut self, id: &IncidentId) {
        self.at.remove(id);
    }

    /// Takes those that are due.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<IncidentId> {
        if self.armed.is_some_and(|at| at <= now) {
            self.armed = None;
        }
        let due: Vec<_> = self
            .at
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &due {
            self.at.remove(id);
        }
        due
    }

    /// The time to arm, if it is earlier than what is armed already.
    pub(super) fn rearm(&mut self) -> Option<Timestamp> {
        let next = self.at.values().min().copied()?;
        if self.armed.is_some_and(|armed| armed <= next) {
            return None;
        }
        self.armed = Some(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_is_armed_once_and_again_after_it_was_due() {
        let mut timers = Timers::default();
        let at = |s| Timestamp::from_second(s).expect("in range");
        timers.wake(&"a".into(), at(10));
        timers.wake(&"a".into(), at(20));
        timers.wake(&"b".into(), at(5));
        assert_eq!(timers.rearm(), Some(at(5)));
        assert_eq!(timers.rearm(), None);
        assert_eq!(timers.due(at(5)), ["b".into()]);
        assert_eq!(timers.rearm(), Some(at(10)));
        assert_eq!(timers.due(at(9)), []);
    }
}
