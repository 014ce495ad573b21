//! The one source of time. The shell, the eyes and the hands take it as a value, so that a story
//! can run them on virtual time.

use futures::future::{BoxFuture, Either, select};
use jiff::Timestamp;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

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

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
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
