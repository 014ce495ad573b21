//! Retention's worker: from time to time it drops what is older than the configuration keeps.

use crate::store::{Dropped, Horizon, Store, StoreError};
use crate::telemetry::event;
use jiff::{SignedDuration, Timestamp};
use nightshift_cluster::Clock;
use nightshift_core::ids::ClusterUid;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks for something old.
const EVERY: Duration = Duration::from_hours(1);
/// Between two rounds: the engine's commits go first.
const PAUSE: Duration = Duration::from_millis(100);
/// Rounds of one run: what is left then waits for the next one.
const ROUNDS: u32 = 500;

/// How long the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Closed incidents with all that belongs to them.
    pub incidents: SignedDuration,
    /// The journal that a replay needs.
    pub journal: SignedDuration,
}

impl Keep {
    fn horizon(self, now: Timestamp) -> Horizon {
        let before = |keep| now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
        Horizon {
            incidents: before(self.incidents),
            journal: before(self.journal),
        }
    }
}

/// Drops what is old.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    cluster: ClusterUid,
    keep: Keep,
    clock: Arc<dyn Clock>,
}

impl Retention {
    /// A worker.
    pub fn new(store: Store, cluster: ClusterUid, keep: Keep, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            cluster,
            keep,
            clock,
        }
    }

    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                match self.drop_old().await {
                    Ok(dropped) if dropped.is_empty() => {}
                    Ok(dropped) => event::record_dropped(dropped),
                    Err(error) => event::record_not_dropped(&error),
                }
                self.clock.sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    /// One run: as many rounds as there is something old, up to a limit.
    pub async fn drop_old(&self) -> Result<Dropped, StoreError> {
        let horizon = self.keep.horizon(self.clock.now());
        let mut all = Dropped::default();
        for _ in 0..ROUNDS {
            let round = self.store.drop_old(&self.cluster, &horizon).await?;
            if round.is_empty() {
                break;
            }
            all = all.and(round);
            self.clock.sleep(PAUSE).await;
        }
        Ok(all)
    }
}
