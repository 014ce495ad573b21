//! How fast a cluster's time goes that is not handed in by a test: as on the wall, or faster.
//!
//! Faster time is a metronome, not a multiple of the wall clock: of a stretch in which nobody asked
//! for the time, only `LONGEST` counts. So a machine that is busy or suspended makes the cluster
//! slow, and never makes minutes of it pass between a question and its answer.

use crate::cluster::later;
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest stretch of the machine's time that counts as one.
const LONGEST: Duration = Duration::from_millis(20);
/// Shortest nap: a timer of the runtime has a resolution of a millisecond.
const SHORTEST: Duration = Duration::from_millis(1);
/// Highest speed. At this one a request of a millisecond takes three seconds of the cluster's time.
pub const MAX_SPEED: u32 = 3_600;

/// How many seconds pass in the cluster while one passes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u32);

impl Speed {
    /// As on the wall.
    pub const REAL: Self = Self(1);

    /// So many times as fast, 1 to [`MAX_SPEED`].
    pub fn times(times: u32) -> Option<Self> {
        (1..=MAX_SPEED).contains(&times).then_some(Self(times))
    }

    /// How many times as fast.
    pub fn factor(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim_end_matches(['x', '×']);
        let times = number.parse().ok().and_then(Self::times);
        times.ok_or_else(|| format!("expected a whole number from 1 to {MAX_SPEED}, such as 60"))
    }
}

/// A cluster's time as it goes on.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    told: Mutex<Told>,
}

/// When the time was asked for last, and what it was.
#[derive(Debug)]
struct Told {
    at: Instant,
    now: Timestamp,
}

impl Pace {
    /// Time that begins now, at `start` (at real speed: with the machine's own time, so that clocks
    /// outside agree).
    pub fn new(speed: Speed, start: Timestamp) -> Self {
        let told = Mutex::new(Told {
            at: instant(),
            now: start,
        });
        Self { speed, told }
    }

    /// How fast it goes.
    pub fn speed(&self) -> Speed {
        self.speed
    }

    /// The cluster's present moment.
    pub fn now(&self) -> Timestamp {
        if self.speed == Speed::REAL {
            return wall();
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let at = instant();
        let passed = at.saturating_duration_since(told.at).min(LONGEST);
        told.at = at;
        told.now = later(told.now, passed.saturating_mul(self.speed.0));
        told.now
    }

    /// Waits until the cluster's time is `at`.
    pub async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.duration_since(self.now());
            let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero()) else {
                return;
            };
            let nap = left.checked_div(self.speed.0).unwrap_or(left);
            // Longer naps would make time stand still: see LONGEST.
            let nap = match self.speed {
                Speed::REAL => nap,
                _ => nap.min(LONGEST / 2),
            };
            tokio::time::sleep(nap.max(SHORTEST)).await;
        }
    }

    /// Waits for a stretch of the cluster's time.
    pub async fn sleep(&self, wait: Duration) {
        self.sleep_until(later(self.now(), wait)).await;
    }
}

/// The machine's time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the simulator that asks"
)]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the simulator that asks"
)]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_whole_number_within_its_limits() {
        assert_eq!("60".parse(), Ok(Speed(60)));
        assert_eq!("60x".parse(), Ok(Speed(60)));
        for wrong in ["0", "3601", "fast", "-1", "1.5"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn fast_time_never_goes_back_and_never_leaps() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let pace = Pace::new(Speed(60), start);
        pace.told.lock().unwrap().at = instant().checked_sub(Duration::from_secs(5)).unwrap();
        let first = pace.now();
        let leap = LONGEST * 60;
        assert_eq!(
            first,
            later(start, leap),
            "five seconds of silence count as {LONGEST:?}"
        );
        assert!(pace.now() >= first);
    }
}
