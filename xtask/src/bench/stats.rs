//! Percentiles and medians of what was measured.

use std::fmt;
use std::time::Duration;

/// Durations of one kind, in order of length.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// A sample of these durations.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest duration that `percent` of all do not exceed (nearest rank: a measured value,
    /// never one in between); `None` of an empty sample.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// The longest.
    pub fn max(&self) -> Option<Duration> {
        self.0.last().copied()
    }
}

/// `median (shortest to longest)` in seconds.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(least), Some(most)) = (self.0.first(), self.0.last()) else {
            return f.write_str("nothing measured");
        };
        let median = self.percentile(50).unwrap_or_default();
        if self.0.len() == 1 {
            return write!(f, "{:.2} s", median.as_secs_f64());
        }
        write!(
            f,
            "{:.2} s ({:.2} to {:.2})",
            median.as_secs_f64(),
            least.as_secs_f64(),
            most.as_secs_f64()
        )
    }
}

/// A duration in whole milliseconds, rounded up; `-` for none.
pub fn millis(duration: Option<Duration>) -> String {
    duration.map_or("-".to_owned(), |d| {
        format!("{} ms", d.as_micros().div_ceil(1000))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: impl IntoIterator<Item = u64>) -> Sample {
        Sample::of(millis.into_iter().map(Duration::from_millis))
    }

    #[test]
    fn percentiles_are_measured_values_by_nearest_rank() {
        let hundred = sample((1..=100).rev());
        let at = |percent| hundred.percentile(percent).unwrap().as_millis();
        assert_eq!((at(1), at(50), at(99), at(100)), (1, 50, 99, 100));
        let two_hundred = sample(1..=200);
        assert_eq!(two_hundred.percentile(99).unwrap().as_millis(), 198);
        assert_eq!(sample([7]).percentile(99).unwrap().as_millis(), 7);
    }

    #[test]
    fn nothing_measured_is_not_zero() {
        assert_eq!(sample([]).percentile(50), None);
        assert_eq!(millis(None), "-");
        assert_eq!(sample([]).to_string(), "nothing measured");
    }

    #[test]
    fn a_millisecond_begun_counts_whole() {
        assert_eq!(millis(Some(Duration::from_micros(1001))), "2 ms");
    }

    #[test]
    fn spread_is_shown_beside_the_median() {
        let text = sample([1500, 1000, 3000]).to_string();
        assert_eq!(text, "1.50 s (1.00 to 3.00)");
        assert_eq!(sample([1000]).to_string(), "1.00 s");
    }
}
