//! How long to wait after a failure: `client-go/util/flowcontrol.Backoff` for one item.

use crate::cluster::later;
use crate::events::passed;
use jiff::Timestamp;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
/// `MaxContainerBackOff`, `MaxImageBackOff`.
const MOST: Duration = Duration::from_mins(5);
/// After so long without a failure it begins again from the start.
const EXPIRES: Duration = Duration::from_mins(10);

/// 10 s, doubling up to 5 minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    entry: Option<(Duration, Timestamp)>,
}

impl Backoff {
    /// A failure that counts from `event`.
    pub(crate) fn next(&mut self, event: Timestamp, now: Timestamp) {
        let wait = match self.entry {
            Some((wait, updated)) if passed(updated, event) <= EXPIRES => {
                wait.saturating_mul(2).min(MOST)
            }
            _ => FIRST,
        };
        self.entry = Some((wait, now));
    }

    /// Until when to wait after something that happened at `event`; `None` when there is no need.
    pub(crate) fn waits_since(&self, event: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let (wait, updated) = self.entry?;
        let until = later(event, wait);
        (passed(updated, event) <= EXPIRES && now < until).then_some(until)
    }

    /// Until when to wait after the last failure.
    pub(crate) fn waits(&self, now: Timestamp) -> Option<Timestamp> {
        let (wait, updated) = self.entry?;
        let until = later(updated, wait);
        (now < until).then_some(until)
    }

    /// How long the present wait is, as Go writes it: `10s`, `1m20s`, `5m0s`.
    pub(crate) fn text(&self) -> String {
        let seconds = self.entry.map_or(0, |(wait, _)| wait.as_secs());
        match (seconds / 60, seconds % 60) {
            (0, seconds) => format!("{seconds}s"),
            (minutes, seconds) => format!("{minutes}m{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_doubles_up_to_five_minutes_and_begins_again_after_ten() {
        let mut backoff = Backoff::default();
        let mut texts = Vec::new();
        for n in 0..7 {
            backoff.next(at(n), at(n));
            texts.push(backoff.text());
        }
        assert_eq!(
            texts,
            ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]
        );
        assert!(backoff.waits_since(at(10), at(309)).is_some());
        assert!(backoff.waits_since(at(10), at(310)).is_none());
        assert!(backoff.waits_since(at(700), at(700)).is_none());
        backoff.next(at(700), at(700));
        assert_eq!(backoff.text(), "10s");
    }
}
