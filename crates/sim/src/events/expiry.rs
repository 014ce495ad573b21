//! Events go away by themselves, an hour after their last write.

use super::{TTL, passed};
use crate::cluster::{Cluster, Todo, later};
use crate::controllers::Controller;
use crate::object::Key;
use crate::resources::ids;
use crate::store::{Change, ChangeKind, Store};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// An API server gives all Events of one minute the same lease (`lease_manager.go`), so they live up
/// to a minute longer.
const MINUTE: Duration = Duration::from_mins(1);

/// Deletes Events whose time is over.
#[derive(Debug, Default)]
pub struct Expiry {
    fresh: Vec<Key>,
    /// When which Event goes, unless it has been written again: its revision then.
    queue: VecDeque<(Timestamp, u64, Key)>,
}

impl Controller for Expiry {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        if change.resource == ids::EVENTS && change.kind != ChangeKind::Deleted {
            self.fresh.push(change.key());
            todo.now(Key::new(ids::EVENTS, "", ""));
        }
    }

    fn reconcile(&mut self, _: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let now = cluster.now();
        let end = later(now, TTL);
        for key in std::mem::take(&mut self.fresh) {
            if let Some(event) = cluster.store.get(&key) {
                let revision = event.meta.resource_version;
                self.queue.push_back((end, revision, key));
            }
        }
        while let Some((_, revision, key)) = self.queue.pop_front_if(|(end, ..)| *end <= now) {
            let event = cluster.store.get(&key);
            if event.is_some_and(|event| event.meta.resource_version == revision) {
                cluster.store.remove(&key);
            }
        }
        // A start of many pods leaves room for all their Events.
        if self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to_fit();
        }
        cluster.recorder.forget(now);
        match self.queue.front() {
            Some((next, ..)) => Some(passed(now, *next).max(MINUTE)),
            // What the recorders remember outlives the Events.
            None => (!cluster.recorder.is_empty()).then_some(TTL / 6),
        }
    }

    fn latency(&self) -> Duration {
        MINUTE
    }
}
