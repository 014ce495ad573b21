//! The outbox's worker: delivers notices at least once, in order of their age, and never forgets
//! one silently.

use crate::notify::Notifier;
use crate::store::{QueuedNotice, Store, StoreError};
use crate::telemetry::event;
use jiff::{SignedDuration, Timestamp};
use nightshift_cluster::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the outbox is looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// Notices that are delivered before the next look.
const AT_ONCE: u32 = 16;
/// A claim ends after this: longer than `AT_ONCE` deliveries that all time out.
const LEASE: SignedDuration = SignedDuration::from_mins(5);
/// First wait after a failure, doubled with each.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(2);
/// Longest wait after a failure.
const LONGEST_RETRY: SignedDuration = SignedDuration::from_mins(10);
/// Attempts before a notice is given up: about seven hours.
const MAX_ATTEMPTS: u64 = 50;

/// Delivers what the store holds for people.
#[derive(Debug)]
pub struct Outbox {
    store: Store,
    notifier: Notifier,
    clock: Arc<dyn Clock>,
}

impl Outbox {
    /// A worker.
    pub fn new(store: Store, notifier: Notifier, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            notifier,
            clock,
        }
    }

    /// Delivers until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.deliver_due().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the outbox cannot be read or written: notices wait"
                );
            }
            tokio::select! {
                () = self.clock.sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Delivers what is due now.
    pub async fn deliver_due(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for queued in self.store.claim_notices(now, LEASE, AT_ONCE).await? {
            self.deliver(&queued).await?;
        }
        Ok(())
    }

    /// "Delivered" is written only after the receiver said so.
    async fn deliver(&self, queued: &QueuedNotice) -> Result<(), StoreError> {
        let done = self.notifier.deliver(queued).await;
        let (key, now) = (&queued.notice.key, self.clock.now());
        let Err(error) = done else {
            return self.store.notice_delivered(key, now).await;
        };
        let error = error.to_string();
        if queued.attempt >= MAX_ATTEMPTS {
            event::notice_given_up(key, &error);
            self.store.notice_dead(key, &error, now).await
        } else {
            let again_at = again_at(now, queued.attempt);
            event::notice_not_delivered(key, &error, again_at);
            self.store.notice_failed(key, &error, again_at).await
        }
    }
}

fn again_at(now: Timestamp, attempt: u64) -> Timestamp {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 1_i32.checked_shl(doublings).unwrap_or(i32::MAX).max(1);
    let wait = FIRST_RETRY
        .saturating_mul(factor)
        .clamp(FIRST_RETRY, LONGEST_RETRY);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
