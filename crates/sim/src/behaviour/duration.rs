//! Durations as people write them.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use std::time::Duration;

/// A duration, written as a number of seconds or as Go does: `1m30s`, `2ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// So many milliseconds.
    pub fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Reads Go's way of writing durations. `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::default());
        }
        let mut rest = text;
        let mut sum = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, after) = rest.split_at_checked(digits)?;
            let unit_end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at_checked(unit_end)?;
            let scale = match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
            let seconds = number.parse::<f64>().ok()? * scale;
            sum = sum.saturating_add(Duration::try_from_secs_f64(seconds).ok()?);
            rest = after;
        }
        (!text.is_empty()).then_some(Self(sum))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Seconds;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("seconds, or a duration such as 1m30s")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Seconds, E> {
        Ok(Seconds(Duration::from_secs(seconds)))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Seconds, E> {
        let seconds = u64::try_from(seconds).map_err(|_| E::custom("less than no time"))?;
        Ok(Seconds(Duration::from_secs(seconds)))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Seconds, E> {
        Duration::try_from_secs_f64(seconds)
            .map(Seconds)
            .map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Seconds, E> {
        Seconds::parse(text).ok_or_else(|| E::custom(format!("{text:?} is no duration")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        let read = |text| Seconds::parse(text).map(|one| one.0);
        assert_eq!(read("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("1.5h"), Some(Duration::from_mins(90)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        for wrong in ["", "5", "s", "5 s", "-1s", "1d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
