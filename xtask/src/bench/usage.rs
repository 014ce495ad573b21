//! Memory and processor time of a process, from /proc.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Ticks of `/proc/PID/stat` in a second: 100 on every Linux that Rust runs on (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What a process used at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Memory in RAM now, in KiB.
    pub rss_kib: u64,
    /// The most that it ever was, in KiB.
    pub peak_kib: u64,
    ticks: u64,
    at: Instant,
}

impl Usage {
    /// Reads it.
    pub fn of(process: i32) -> Result<Self> {
        let read = |file: &str| {
            let path = PathBuf::from(format!("/proc/{process}/{file}"));
            fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))
        };
        let status = read("status")?;
        let field = |name| kib(&status, name).with_context(|| format!("no {name} in {status}"));
        Ok(Self {
            rss_kib: field("VmRSS")?,
            peak_kib: field("VmHWM")?,
            ticks: ticks(&read("stat")?).context("no times in /proc/PID/stat")?,
            at: Instant::now(),
        })
    }

    /// Share of one processor since an earlier moment, in percent.
    #[expect(clippy::cast_precision_loss, reason = "ticks of minutes are small")]
    pub fn processor_since(&self, before: &Self) -> f64 {
        let elapsed = self.at.duration_since(before.at);
        let elapsed = elapsed.max(Duration::from_millis(1));
        let used = self.ticks.saturating_sub(before.ticks) as f64 / TICKS;
        100.0 * used / elapsed.as_secs_f64()
    }
}

/// A line like `VmRSS:     1234 kB`.
fn kib(status: &str, name: &str) -> Option<u64> {
    let of = |line: &str| {
        line.strip_prefix(name)?
            .strip_prefix(':')
            .map(str::to_owned)
    };
    let value = status.lines().find_map(of)?;
    value.split_whitespace().next()?.parse().ok()
}

/// User and system time: the fourteenth and fifteenth field; the second may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_read_from_the_right_fields() {
        let status = "Name:\tx\nVmHWM:\t   99 kB\nVmRSS:\t   42 kB\n";
        assert_eq!(
            (kib(status, "VmRSS"), kib(status, "VmHWM")),
            (Some(42), Some(99))
        );
        assert_eq!(kib(status, "VmSwap"), None);
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 4711";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn this_test_uses_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = Usage::of(own).unwrap();
        assert!(usage.rss_kib > 100 && usage.peak_kib >= usage.rss_kib);
    }
}
