//! Events go away by themselves, an hour after their last write.

use super::{TTL, passed};
use crate::cluster::{Cluster, Todo, later};
use crate::controllers::Controller;
use crate::object::Key;
use crate::resources::ids;
use crate::store::{Change, ChangeKind, Store};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// An API server gives all Events of one minute the same lease (`lease_manager.go`), so they live up
/// to a minute longer.
const MINUTE: Duration = Duration::from_mins(1);

/// Deletes Events whose time is over.
#[derive(Debug, Default)]
pub struct Expiry {
    fresh: Vec<Key>,
    ends: BTreeMap<Key, Timestamp>,
    queue: VecDeque<(Timestamp, Key)>,
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
        for key in self.fresh.drain(..) {
            let end = later(now, TTL);
            self.queue.push_back((end, key.clone()));
            self.ends.insert(key, end);
        }
        while let Some((end, key)) = self.queue.pop_front_if(|(end, _)| *end <= now) {
            if self.ends.get(&key) == Some(&end) {
                self.ends.remove(&key);
                cluster.store.remove(&key);
            }
        }
        cluster.recorder.forget(now);
        match self.queue.front() {
            Some((next, _)) => Some(passed(now, *next).max(MINUTE)),
            // What the recorders remember outlives the Events.
            None => (!cluster.recorder.is_empty()).then_some(TTL / 6),
        }
    }

    fn latency(&self) -> Duration {
        MINUTE
    }
}
