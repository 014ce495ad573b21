//! The agent's clock where the cluster is a simulated one: both live in the same time.

use futures::future::BoxFuture;
use jiff::Timestamp;
use nightshift_cluster::Clock;
use nightshift_sim::Pace;
use std::sync::Arc;
use std::time::Duration;

/// A simulated cluster's time as the agent's clock. What the agent waits for in the cluster goes as
/// fast as the cluster; limits on its own requests stay those of the machine, which is no faster.
#[derive(Clone, Debug)]
pub struct PacedClock(pub Arc<Pace>);

impl Clock for PacedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let pace = Arc::clone(&self.0);
        let until = pace.now().saturating_add(duration);
        Box::pin(async move { pace.sleep_until(until.unwrap_or(Timestamp::MAX)).await })
    }

    fn limit(&self, limit: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_sim::Speed;

    #[tokio::test]
    async fn waits_go_with_the_cluster_and_limits_do_not() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let speed = Speed::times(3_600).unwrap();
        let clock = PacedClock(Arc::new(Pace::new(speed, start)));
        clock.sleep(Duration::from_secs(30)).await;
        assert!(clock.now() >= start + Duration::from_secs(30));
        let limit = clock.limit(Duration::from_hours(1));
        tokio::select! {
            () = limit => panic!("an hour went by"),
            () = clock.sleep(Duration::from_secs(30)) => {}
        }
    }
}
