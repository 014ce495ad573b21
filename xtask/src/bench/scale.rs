//! Memory and processor time of the agent in clusters of several sizes, at rest and with change.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::churn::Churn;
use super::latency::{CHURN_EVERY, per_second};
use super::probe::{self, Job};
use super::usage::Usage;
use super::{Bench, world};
use crate::agent::{Agent, Settings};
use crate::lab::{Lab, Progress};

/// Start and first lists are over.
const SETTLE: Duration = Duration::from_secs(20);
/// How long the agent is watched, at rest and with change.
const WATCHED: Duration = Duration::from_secs(60);
const MIB: u64 = 1024;

/// Measures each size, and returns lines for the table. The world grows on the way.
pub(super) fn run(
    lab: &Lab,
    bench: &Bench,
    binary: &Path,
    progress: &Progress,
) -> Result<Vec<String>> {
    let mut sizes = vec![0, bench.pods().min(1000), bench.pods()];
    sizes.dedup();
    let mut lines = vec![
        "| fake pods (all pods, objects watched) | ready after | RSS at rest | RSS with change | peak | CPU at rest | CPU with change | change |".to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for pods in sizes {
        world::grow(lab, pods, progress)?;
        progress.doing(&format!("watching the agent with {pods} fake pods"));
        lines.push(one(lab, bench, binary, pods)?);
    }
    Ok(lines)
}

fn one(lab: &Lab, bench: &Bench, binary: &Path, pods: usize) -> Result<String> {
    let start = Instant::now();
    let agent = Agent::start(lab, Settings::shipped(binary, "recommend"))?;
    let ready = start.elapsed();
    let process = agent.process().context("the agent has ended")?;
    std::thread::sleep(SETTLE);
    let began = Usage::of(process)?;
    std::thread::sleep(WATCHED);
    let rested = Usage::of(process)?;
    let deployments: Vec<_> = world::targets(lab)?.into_iter().map(|t| t.owner).collect();
    let (changed, change) = if deployments.is_empty() {
        (rested, "none: there is no fake pod".to_owned())
    } else {
        let churn = Churn {
            deployments,
            every: CHURN_EVERY,
            seed: bench.seed,
        };
        let job = Job::Churn {
            churn,
            last: WATCHED,
        };
        let report = probe::send(lab, &job)?;
        let seen = format!(
            "{} changes, {} writes a second, {} incidents",
            report.changes,
            per_second(&report),
            report.wrong.len()
        );
        (Usage::of(process)?, seen)
    };
    Ok(format!(
        "| {pods} ({}, {}) | {:.1} s | {} MiB | {} MiB | {} MiB | {:.1} % | {:.1} % | {change} |",
        world::count(lab, "/api/v1/pods")?,
        watched(lab)?,
        ready.as_secs_f64(),
        rested.rss_kib.div_ceil(MIB),
        changed.rss_kib.div_ceil(MIB),
        changed.peak_kib.div_ceil(MIB),
        rested.processor_since(&began),
        changed.processor_since(&rested),
    ))
}

/// Objects that the agent's watches hold.
fn watched(lab: &Lab) -> Result<usize> {
    super::WATCHED
        .iter()
        .map(|(path, _)| world::count(lab, path))
        .sum()
}
