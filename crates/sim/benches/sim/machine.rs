//! What this process has used of the machine, from /proc.

use std::fs;

/// Ticks of `/proc/self/stat` in a second: 100 on every Linux that Rust runs on (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Seconds of CPU, user's and system's, of all threads, ended ones too.
pub(crate) fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The second field, in brackets, may hold anything; user and system are the 14th and 15th.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let times = rest.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.map(|one| one.parse::<f64>().unwrap()).sum();
    ticks / TICKS
}

/// Bytes in RAM now.
pub(crate) fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<f64>().unwrap() * 1024.0
}
