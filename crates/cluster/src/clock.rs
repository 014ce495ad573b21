//! The one source of time. The shell, the eyes and the hands take it as a value, so that a story
//! can run them on virtual time.

use futures::future::{BoxFuture, Either, select};
use jiff::Timestamp;
use std::fmt;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells the time and waits.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Completes after `limit` of this machine's own time: a limit on our own work and requests, which
    /// get no faster where a simulated cluster's time does. The same as [`Clock::sleep`] wherever
    /// there is one time only.
    fn limit(&self, limit: Duration) -> BoxFuture<'static, ()> {
        self.sleep(limit)
    }
}

/// The system's clock, except that it never runs backwards. Set back, it goes at half its pace until
/// the system's clock has caught up: whatever waits for a time waits twice as long at worst, and not
/// until the old time comes again.
#[derive(Debug, Default)]
pub struct SystemClock {
    told: Mutex<Option<Told>>,
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system"
    )]
    fn now(&self) -> Timestamp {
        let read = Told {
            at: Timestamp::now(),
            steady: Instant::now(),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = told.take().map_or(read, |last| last.then(read));
        *told = Some(now);
        now.at
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// What was told, and when by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Timestamp,
    steady: Instant,
}

impl Told {
    /// What to tell next, when the system's clocks say `read`.
    fn then(self, read: Self) -> Self {
        let passed = read.steady.saturating_duration_since(self.steady);
        let slowly = self.at.saturating_add(passed / 2).unwrap_or(self.at);
        let at = if read.at < self.at { slowly } else { read.at };
        Self { at, ..read }
    }
}

/// Awaits `work` for at most `limit` of the machine's time; `None` when it did not finish and was
/// dropped.
pub async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), clock.limit(limit)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(((), _)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    /// What is told when the system's clock says so many seconds, one true second apart each.
    #[expect(clippy::disallowed_methods, reason = "any instant is as good")]
    fn told(system: &[i64]) -> Vec<i64> {
        let start: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        let mut steady = Instant::now();
        let mut last: Option<Told> = None;
        let mut all = Vec::new();
        for seconds in system {
            let at = start + SignedDuration::from_secs(*seconds);
            let read = Told { at, steady };
            let now = last.map_or(read, |last| last.then(read));
            all.push(now.at.duration_since(start).as_millis().try_into().unwrap());
            last = Some(now);
            steady += Duration::from_secs(1);
        }
        all
    }

    #[test]
    fn it_follows_the_systems_clock_forward() {
        assert_eq!(told(&[0, 1, 60, 61]), [0, 1_000, 60_000, 61_000]);
    }

    #[test]
    fn set_back_it_slows_down_until_it_agrees_and_never_stops() {
        assert_eq!(
            told(&[10, 7, 8, 9, 10, 11, 12, 13, 14]),
            [
                10_000, 10_500, 11_000, 11_500, 12_000, 12_500, 13_000, 13_000, 14_000
            ]
        );
    }

    #[test]
    fn it_never_runs_backwards_however_far_it_is_set_back() {
        let told = told(&[0, -3_600, -3_599, -7_200, 5]);
        assert!(told.is_sorted(), "{told:?}");
        assert_eq!(told.last(), Some(&5_000));
    }
}
