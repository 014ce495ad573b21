//! The eyes: watches that keep a live picture, fresh looks on demand, and an honest account of what
//! was seen and how long ago. Nothing in here can write.

mod backoff;
pub(crate) mod fetch;
mod keep;
mod logs;
mod look;
mod mailbox;
mod reader;
mod resource;
mod scan;
mod sight;
#[cfg(test)]
mod tests;
mod watch;

pub use fetch::FetchError;
pub use mailbox::Hearing;

use crate::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use mailbox::{Sender, mailbox};
use nightshift_core::diagnose::is_symptom;
use nightshift_core::ids::ClusterUid;
use nightshift_core::world::{Coverage, ObjectRef, Scope, Snapshot, Source, World};
use reader::Reader;
use resource::{RESOURCES, Resource};
use sight::Sights;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Clocks that differ by more make every time in the picture doubtful.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// What the eyes tell without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something about this object (a topmost owner, where one is known) is worth a look: trouble,
    /// the end of trouble, or any change of an object under a watched owner.
    Subject {
        /// What to look at.
        subject: ObjectRef,
        /// When the first news of it was heard since it was last taken from the queue.
        at: Timestamp,
    },
    /// The workload's current revision was fully available for long enough.
    KnownGood {
        /// The workload.
        workload: ObjectRef,
        /// The ReplicaSet or ControllerRevision.
        revision: ObjectRef,
    },
    /// A source went blind.
    Blind {
        /// Which.
        source: Source,
        /// Why.
        why: String,
    },
    /// A source that was blind sees again.
    Sees {
        /// Which.
        source: Source,
    },
}

/// Times that tests shorten. Everything else is a constant beside the code that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A source without event and bookmark for this long is probed. Bookmarks come about once a
    /// minute (kube-apiserver's `bookmarkFrequency`).
    pub silence: Duration,
    /// How long a probe may take before the source is blind.
    pub probe: Duration,
    /// How long one list page or GET may take.
    pub request: Duration,
    /// How long a revision has to be fully available to be known good.
    pub known_good_after: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(90),
            probe: Duration::from_secs(10),
            request: Duration::from_secs(30),
            known_good_after: SignedDuration::from_mins(10),
        }
    }
}

/// The eyes on one cluster.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "holds kube's client, which has no Debug"
)]
pub struct Eyes {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What the watches and looks share. Locks are never held across an await.
struct Shared {
    reader: Reader,
    cluster: ClusterUid,
    world: Mutex<World>,
    sights: Mutex<Sights>,
    news: Sender,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sights(&self) -> MutexGuard<'_, Sights> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a watched resource was heard.
    async fn heard(&self, resource: &Resource, at: Timestamp) {
        if self.sights().heard(resource.source, at) {
            self.world().regained_sight(&resource.kind, at);
            let source = resource.source;
            self.news.send(Heard::Sees { source }).await;
        }
    }

    /// Notes that a watched resource cannot be seen.
    async fn blind(&self, resource: &Resource, why: &str) {
        let news = self.sights().blind(resource.source, why);
        self.world().lost_sight(&resource.kind);
        if news {
            let (source, why) = (resource.source, why.to_owned());
            self.news.send(Heard::Blind { source, why }).await;
        }
    }

    async fn tell(&self, subjects: BTreeSet<ObjectRef>) {
        for subject in subjects {
            let at = self.reader.now();
            self.news.send(Heard::Subject { subject, at }).await;
        }
    }

    fn coverage(&self, now: Timestamp) -> BTreeMap<Source, Coverage> {
        let limits = &self.reader.limits;
        let longest = limits.silence + 2 * limits.probe;
        let sights = self.sights();
        let mut coverage: BTreeMap<_, _> = RESOURCES
            .iter()
            .map(|resource| resource.source)
            .map(|source| (source, sights.coverage(source, now, longest)))
            .collect();
        coverage.insert(Source::Clock, self.reader.clock_coverage(now));
        coverage
    }
}

impl Eyes {
    /// Starts all watches. The client should be the read-only one.
    pub fn start(
        client: Client,
        cluster: ClusterUid,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> (Self, Hearing) {
        let (news, hearing) = mailbox();
        let shared = Arc::new(Shared {
            reader: Reader::new(client, clock, limits),
            world: Mutex::new(World::new(cluster.clone(), is_symptom)),
            cluster,
            sights: Mutex::new(Sights::default()),
            news,
        });
        let eyes = Self {
            shared,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        for resource in &RESOURCES {
            eyes.spawn((resource.watch)(Arc::clone(&eyes.shared), resource));
        }
        eyes.spawn(keep::house(Arc::clone(&eyes.shared)));
        eyes.spawn(keep::time(Arc::clone(&eyes.shared)));
        eyes.tasks.close();
        (eyes, hearing)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        // Without an end of its own: it is dropped at its next await when the eyes are stopped.
        drop(self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(task).await;
        }));
    }

    /// A picture of the scope. With `fresh`, the scope's own objects are read from the API server
    /// now; with `logs`, the ends of the logs of failing containers come with it. A read that fails
    /// makes its source blind; the look itself never fails.
    pub async fn observe(&self, scope: &Scope, fresh: bool, logs: bool) -> Snapshot {
        let shared = &self.shared;
        let mut snapshot = if fresh {
            look::fresh(shared, scope).await
        } else {
            let now = shared.reader.now();
            // Coverage first: it may be older than the picture, never newer.
            let coverage = shared.coverage(now);
            shared.world().snapshot(scope, now, coverage)
        };
        if logs {
            logs::read(&shared.reader, scope, &mut snapshot).await;
        }
        snapshot
    }

    /// How well every watched source, and the API server's clock, is seen at this moment.
    pub fn coverage(&self) -> BTreeMap<Source, Coverage> {
        self.shared.coverage(self.shared.reader.now())
    }

    /// Lists everything once, without watches: one picture of the whole cluster.
    pub async fn scan(
        client: &Client,
        cluster: ClusterUid,
        clock: Arc<dyn Clock>,
        limits: &Limits,
    ) -> Snapshot {
        let reader = Reader::new(client.clone(), clock, limits.clone());
        scan::scan(&reader, cluster).await
    }

    /// From now on any change of an object under this owner is heard, so that recovery is noticed
    /// without asking again and again.
    pub fn watch_owner(&self, owner: ObjectRef) {
        self.shared.world().watch_owner(owner);
    }

    /// Ends [`Self::watch_owner`].
    pub fn unwatch(&self, owner: &ObjectRef) {
        self.shared.world().unwatch(owner);
    }

    /// Stops all watches and waits until they have ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        self.shared.news.close();
    }
}
