//! One simulated cluster: the store, the time, and the work that is due.

use crate::api::Trail;
use crate::auth::{self, Tokens, User};
use crate::controllers::{self, Controller};
use crate::events::{Recorder, passed};
use crate::kubelet::machines::Machines;
use crate::lookup::Lookup;
use crate::object::Key;
use crate::resources::Resources;
use crate::store::{Change, Store};
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Characters of generated names (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many pieces of work one [`Cluster::advance`] does before it gives the machine back: a
/// controller that wakes itself without end must not hang the process.
pub const MAX_WORK: usize = 5_000_000;

/// So old are the changes at least that are forgotten, and so often some are
/// (`--etcd-compaction-interval`).
const COMPACTION: Duration = Duration::from_mins(5);

/// So many changes are kept however old they are: a watch on a small cluster survives hours that
/// pass at once.
const KEPT_CHANGES: u64 = 1_000;

/// Which controller, by its place in [`Cluster`]'s list.
type Index = usize;

/// A simulated cluster.
#[derive(Debug)]
pub struct Cluster {
    /// What is served.
    pub resources: Resources,
    /// Every object.
    pub store: Store,
    /// What the recorders of Events remember.
    pub(crate) recorder: Recorder,
    /// The nodes as machines.
    pub(crate) machines: Machines,
    /// Whose token is whose.
    pub tokens: Tokens,
    /// What was asked of the API.
    pub audit: Trail,
    now: Timestamp,
    rng: StdRng,
    /// Taken out while it runs, so that it can be given the cluster.
    controllers: Vec<Option<Box<dyn Controller>>>,
    /// Up to which revision the controllers have heard.
    told: u64,
    /// By time, and by a number of their own where that is the same.
    queue: BTreeMap<(Timestamp, u64), (Index, Key)>,
    /// One entry in the queue per controller and key: the earliest.
    pending: Lookup<(Index, Key), (Timestamp, u64)>,
    sequence: u64,
    /// When changes were last forgotten, and the revision that is forgotten next.
    compacted: (Timestamp, u64),
    /// Objects to be looked at for a reason that is no change of an object.
    nudged: Vec<Key>,
}

/// Work that a controller asks for.
#[derive(Debug, Default)]
pub struct Todo(Vec<(Key, Duration)>);

impl Todo {
    /// Look at this object, now.
    pub fn now(&mut self, key: Key) {
        self.after(key, Duration::ZERO);
    }

    /// Look at all of these, now.
    pub fn all(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            self.now(key);
        }
    }

    /// Look at this object after a while. The earliest wish for a key wins: whoever is called too
    /// early asks again.
    pub fn after(&mut self, key: Key, wait: Duration) {
        self.0.push((key, wait));
    }
}

impl Cluster {
    /// A cluster with its controllers and its system objects, and without nodes.
    pub fn new(seed: u64, start: Timestamp) -> Self {
        let mut cluster = Self::with(seed, start, controllers::all());
        cluster.create_system_objects();
        for (resource, object) in auth::bootstrap() {
            // They have names of their own, and the store is empty.
            let created = cluster.create(resource, object);
            debug_assert!(created.is_ok(), "{created:?}");
        }
        cluster
    }

    /// A cluster without objects in which only these work.
    pub fn with(seed: u64, start: Timestamp, controllers: Vec<Box<dyn Controller>>) -> Self {
        let mut cluster = Self::empty(seed, start);
        cluster.controllers = controllers.into_iter().map(Some).collect();
        cluster
    }

    /// A cluster in which nothing happens by itself.
    pub fn empty(seed: u64, start: Timestamp) -> Self {
        Self {
            resources: Resources::default(),
            store: Store::default(),
            recorder: Recorder::default(),
            machines: Machines::default(),
            tokens: Tokens::default(),
            audit: Trail::default(),
            now: start,
            rng: StdRng::seed_from_u64(seed),
            controllers: Vec::new(),
            told: 0,
            queue: BTreeMap::new(),
            pending: Lookup::default(),
            sequence: 0,
            compacted: (start, 0),
            nudged: Vec::new(),
        }
    }

    /// Lets whoever has this token do everything.
    pub fn add_administrator(&mut self, token: &str) {
        let user = User::new("kubernetes-admin", &[auth::MASTERS]);
        self.tokens.add(token, user, None);
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The present moment in whole seconds, as `metav1.Time` has it.
    pub fn now_seconds(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap_or(self.now)
    }

    /// A number below `end`, from the seed.
    pub fn chance(&mut self, end: u64) -> u64 {
        self.rng.random_range(0..end.max(1))
    }

    /// A duration between two, from the seed.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let spread = most.saturating_sub(least).as_micros();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.chance(spread.saturating_add(1)))
    }

    /// A new uid (a version 4 UUID from the seed).
    pub fn uid(&mut self) -> Arc<str> {
        let bits: u128 = self.rng.random();
        let bits = bits & !(0xf << 76) | (4 << 76);
        let bits = bits & !(0x3 << 62) | (2 << 62);
        let hex = format!("{bits:032x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or(""));
        parts.join("-").into()
    }

    /// Five random characters for a generated name.
    pub fn name_suffix(&mut self) -> String {
        let mut one = || {
            let index = self.rng.random_range(0..ALPHABET.len());
            ALPHABET.get(index).copied().map_or('x', char::from)
        };
        (0..5).map(|_| one()).collect()
    }

    /// When the next piece of work is due; `None` when nothing will ever happen by itself.
    pub fn next_due(&mut self) -> Option<Timestamp> {
        self.tell();
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Lets time pass up to `until`: does all work that is due, in order.
    pub fn advance(&mut self, until: Timestamp) {
        for _ in 0..MAX_WORK {
            self.tell();
            let due = self.queue.keys().next();
            if due.is_none_or(|(at, _)| *at > until) {
                break;
            }
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Lets a duration pass.
    pub fn pass(&mut self, duration: Duration) {
        self.advance(later(self.now, duration));
    }

    /// Does the first piece of work in the queue.
    fn step(&mut self) {
        let Some(((at, _), id)) = self.queue.pop_first() else {
            return;
        };
        self.now = self.now.max(at);
        self.compact();
        let index = id.0;
        self.pending.remove(&id);
        let Some(mut controller) = self.controllers.get_mut(index).and_then(Option::take) else {
            return;
        };
        let again = controller.reconcile(&id.1, self);
        if let Some(place) = self.controllers.get_mut(index) {
            *place = Some(controller);
        }
        if let Some(wait) = again {
            self.enqueue(index, id.1, wait);
        }
    }

    /// Forgets changes that everybody has had the time to hear of, as an API server has etcd do
    /// (`etcd3/compact.go`).
    fn compact(&mut self) {
        let (last, revision) = self.compacted;
        if passed(last, self.now) >= COMPACTION {
            let present = self.store.revision();
            self.store
                .compact(revision.min(present.saturating_sub(KEPT_CHANGES)));
            self.compacted = (self.now, present);
        }
    }

    /// Tells the controllers what has changed.
    fn tell(&mut self) {
        let nudged = std::mem::take(&mut self.nudged);
        if self.told == self.store.revision() && nudged.is_empty() {
            return;
        }
        let changes: Vec<Change> = match self.store.changes_since(self.told) {
            Ok(changes) => changes.cloned().collect(),
            // More was written in one go than is kept: everybody looks at everything.
            Err(_) => self.store.everything(),
        };
        self.told = self.store.revision();
        for index in 0..self.controllers.len() {
            let Some(Some(controller)) = self.controllers.get_mut(index) else {
                continue;
            };
            let latency = controller.latency();
            let mut todo = Todo::default();
            for change in &changes {
                controller.heard(change, &self.store, &mut todo);
            }
            for key in &nudged {
                controller.nudged(key, &mut todo);
            }
            for (key, wait) in todo.0 {
                self.enqueue(index, key, wait + latency);
            }
        }
    }

    /// Asks for a look at an object for a reason that is no change of it: a fault from outside.
    pub(crate) fn nudge(&mut self, key: Key) {
        self.nudged.push(key);
    }

    fn enqueue(&mut self, index: Index, key: Key, wait: Duration) {
        let at = later(self.now, wait);
        self.sequence = self.sequence.saturating_add(1);
        let id = (index, key);
        if let Some((before, sequence)) = self.pending.get(&id).copied() {
            if before <= at {
                return;
            }
            self.queue.remove(&(before, sequence));
        }
        self.queue.insert((at, self.sequence), id.clone());
        self.pending.insert(id, (at, self.sequence));
    }
}

/// `at` plus a duration.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use crate::resources::ids;

    /// Wakes itself each second, and counts in the annotations of what it looks at.
    #[derive(Debug)]
    struct Counter;

    impl Controller for Counter {
        fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
            todo.now(change.key());
        }

        fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
            let now = cluster.now().to_string();
            cluster.modify(key, |object| {
                object.meta.annotations.insert("seen".to_owned(), now);
            });
            None
        }
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn work_is_done_at_its_time_and_time_never_goes_back() {
        let mut cluster = Cluster::empty(1, start());
        cluster.controllers.push(Some(Box::new(Counter)));
        let row = cluster.resources.get(ids::NODES).clone();
        cluster
            .create(ids::NODES, Object::new(&row, "", "n"))
            .unwrap();
        assert!(cluster.next_due().is_some());
        cluster.pass(Duration::from_secs(1));
        assert_eq!(cluster.now(), later(start(), Duration::from_secs(1)));
        cluster.advance(start());
        assert_eq!(cluster.now(), later(start(), Duration::from_secs(1)));
    }

    #[test]
    fn the_same_seed_gives_the_same_names() {
        let names = |seed| {
            let mut cluster = Cluster::empty(seed, start());
            (cluster.uid(), cluster.name_suffix())
        };
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
    }

    /// Looks at what changes, and leaves it.
    #[derive(Debug)]
    struct Onlooker;

    impl Controller for Onlooker {
        fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
            todo.now(change.key());
        }

        fn reconcile(&mut self, _: &Key, _: &mut Cluster) -> Option<Duration> {
            None
        }
    }

    #[test]
    fn old_changes_are_forgotten_but_the_latest() {
        let mut cluster = Cluster::with(1, start(), vec![Box::new(Onlooker)]);
        let row = cluster.resources.get(ids::NODES).clone();
        let write = |cluster: &mut Cluster, many: u64| {
            for _ in 0..many {
                cluster.store.put(ids::NODES, Object::new(&row, "", "n"));
            }
            cluster.pass(Duration::from_secs(1));
        };
        write(&mut cluster, 2 * KEPT_CHANGES);
        cluster.pass(COMPACTION);
        write(&mut cluster, 1);
        assert!(cluster.store.changes_since(0).is_ok(), "five minutes old");
        cluster.pass(COMPACTION);
        write(&mut cluster, 1);
        let present = cluster.store.revision();
        assert!(cluster.store.changes_since(0).is_err(), "ten minutes old");
        assert!(cluster.store.changes_since(present - KEPT_CHANGES).is_ok());
    }
}
