//! How the cluster's time runs beside the real one.

use crate::cluster::later;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// How fast time passes in the cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many seconds in the cluster for each real one; 1 is real time. Above 0.
    Times(f64),
    /// Only when told: [`super::Server::advance`], or `POST /sim/advance?seconds=N`.
    Virtual,
}

impl Pace {
    /// Real time.
    pub const REAL: Self = Self::Times(1.0);

    /// How long a wait in the cluster takes; `None` when it never ends by itself.
    pub fn real(self, wait: Duration) -> Option<Duration> {
        match self {
            Self::Times(speed) => Duration::try_from_secs_f64(wait.as_secs_f64() / speed).ok(),
            Self::Virtual => None,
        }
    }

    /// How much time passes in the cluster in a real duration.
    fn passed(self, real: Duration) -> Duration {
        match self {
            Self::Times(speed) => {
                Duration::try_from_secs_f64(real.as_secs_f64() * speed).unwrap_or(real)
            }
            Self::Virtual => Duration::ZERO,
        }
    }
}

/// A moment of which both times are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    real: Instant,
    cluster: Timestamp,
}

impl Anchor {
    pub(super) fn new(real: Instant, cluster: Timestamp) -> Self {
        Self { real, cluster }
    }

    /// The cluster's present.
    pub(super) fn present(&self, pace: Pace, now: Instant) -> Timestamp {
        let passed = pace.passed(now.saturating_duration_since(self.real));
        later(self.cluster, passed)
    }
}
