//! How much memory a container uses over time.

use crate::quantity::Quantity;
use serde::Deserialize;
use std::time::Duration;

/// A straight line from `start`, by `perSecond` a second, up to `peak`; Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Memory {
    /// At its start; a few MiB when empty.
    pub start: String,
    /// More each second; nothing when empty.
    pub per_second: String,
    /// Never more than this; no bound when empty.
    pub peak: String,
}

/// What a container uses that nothing is said of: 12 MiB.
const SMALL: i64 = 12 << 20;

impl Memory {
    /// Bytes in use after so long.
    pub fn after(&self, running: Duration) -> i64 {
        let grown = f64::from(bytes(&self.per_second)) * running.as_secs_f64();
        self.first().saturating_add(whole(grown)).min(self.bound())
    }

    /// After how long it passes a limit; `None` when it never does.
    pub fn passes(&self, limit: i64) -> Option<Duration> {
        if self.bound() <= limit {
            return None;
        }
        let missing = limit.saturating_sub(self.first());
        if missing < 0 {
            return Some(Duration::from_millis(100));
        }
        let rate = bytes(&self.per_second).0;
        (rate > 0).then(|| {
            let missing = f64::from(Bytes(missing));
            Duration::try_from_secs_f64(missing / f64::from(Bytes(rate))).unwrap_or(Duration::MAX)
        })
    }

    fn first(&self) -> i64 {
        if self.start.is_empty() {
            SMALL
        } else {
            bytes(&self.start).0
        }
    }

    fn bound(&self) -> i64 {
        if self.peak.is_empty() {
            let grows = bytes(&self.per_second).0 > 0;
            return if grows { i64::MAX } else { self.first() };
        }
        bytes(&self.peak).0
    }
}

#[derive(Clone, Copy)]
struct Bytes(i64);

impl From<Bytes> for f64 {
    #[expect(clippy::cast_precision_loss, reason = "a simulated amount of memory")]
    fn from(bytes: Bytes) -> Self {
        bytes.0 as Self
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, as it should")]
fn whole(amount: f64) -> i64 {
    amount as i64
}

/// The bytes of a quantity; none when it is not one.
fn bytes(text: &str) -> Bytes {
    Bytes(Quantity::parse(text).map_or(0, Quantity::value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_passes_its_limit_when_the_line_does() {
        let leak = Memory {
            start: "16Mi".to_owned(),
            per_second: "1Mi".to_owned(),
            peak: "64Mi".to_owned(),
        };
        assert_eq!(leak.after(Duration::from_secs(4)), 20 << 20);
        assert_eq!(leak.passes(48 << 20), Some(Duration::from_secs(32)));
        assert_eq!(leak.passes(64 << 20), None);
        assert_eq!(Memory::default().passes(32 << 20), None);
    }
}
