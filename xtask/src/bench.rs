//! `cargo xtask bench`: measures the release build on the lab, or the simulator (`bench sim`). It
//! prints and never asserts: a weak row stays in the table.

mod churn;
mod fault;
mod http;
mod latency;
mod mitigation;
pub mod probe;
mod scale;
mod scan;
mod sim;
mod stats;
mod usage;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::agent;
use crate::lab::{Lab, Progress, Up};

/// Measures the agent on a real cluster: latency, mitigation, scale, scan
#[derive(Args)]
#[command(
    after_help = "Examples: cargo xtask bench --only latency --seed 7 · cargo xtask bench sim",
    args_conflicts_with_subcommands = true
)]
pub struct Bench {
    #[command(subcommand)]
    of: Option<Of>,
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Which faults come in which order, and what else changes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fake pods of the largest cluster
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1100..=20_000))]
    pods: u32,
    /// How often each of the six real faults is repaired
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measures this binary instead of building one: to compare two versions
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Leave the lab up afterwards
    #[arg(long)]
    keep: bool,
}

/// What is measured instead of the agent.
#[derive(Subcommand)]
enum Of {
    Sim(sim::Sim),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time to mitigation per runbook, and the share repaired without a person
    Mitigation,
    /// Memory and CPU with 0, 1,000 and 5,000 pods
    Scale,
    /// From the API server's commit to the right incident
    Latency,
    /// `nightshift scan` against plain lists
    Scan,
}

/// Path and kubectl's name of everything that the agent watches.
const WATCHED: [(&str, &str); 15] = [
    ("/api/v1/pods", "pods"),
    ("/api/v1/nodes", "nodes"),
    ("/api/v1/events", "events"),
    ("/api/v1/namespaces", "namespaces"),
    ("/api/v1/services", "services"),
    ("/api/v1/configmaps", "configmaps"),
    ("/apis/apps/v1/deployments", "deployments.apps"),
    ("/apis/apps/v1/replicasets", "replicasets.apps"),
    ("/apis/apps/v1/statefulsets", "statefulsets.apps"),
    ("/apis/apps/v1/daemonsets", "daemonsets.apps"),
    (
        "/apis/apps/v1/controllerrevisions",
        "controllerrevisions.apps",
    ),
    ("/apis/batch/v1/jobs", "jobs.batch"),
    (
        "/apis/autoscaling/v2/horizontalpodautoscalers",
        "horizontalpodautoscalers.autoscaling",
    ),
    (
        "/apis/policy/v1/poddisruptionbudgets",
        "poddisruptionbudgets.policy",
    ),
    (
        "/apis/discovery.k8s.io/v1/endpointslices",
        "endpointslices.discovery.k8s.io",
    ),
];

/// Runs the bench.
pub fn run(bench: &Bench) -> Result<ExitCode> {
    if let Some(Of::Sim(sim)) = &bench.of {
        return sim::run(sim);
    }
    let lab = Lab::here()?;
    let progress = Progress::new();
    let binary = if let Some(binary) = &bench.binary {
        binary.canonicalize()?
    } else {
        progress.doing("building the agent as it is shipped");
        agent::build_release()?
    };
    let was_up = lab.up(&progress)? == Up::Already;
    let measured = lab
        .install_agent(&agent::rbac_of(&binary)?)
        .and_then(|_| measure(&lab, bench, &binary, &progress));
    if !bench.keep && !was_up {
        lab.down(&progress)?;
    }
    measured.map(|()| ExitCode::SUCCESS)
}

/// In this order: the small cluster first, because it only grows.
fn measure(lab: &Lab, bench: &Bench, binary: &Path, progress: &Progress) -> Result<()> {
    let wanted = |part| bench.only.is_empty() || bench.only.contains(&part);
    if wanted(Part::Mitigation) {
        progress.doing("repairing six real faults");
        show("Time to mitigation", &mitigation::run(lab, bench, binary)?);
    }
    if wanted(Part::Scale) {
        show("Memory and CPU", &scale::run(lab, bench, binary, progress)?);
    }
    if wanted(Part::Latency) {
        world::grow(lab, bench.pods(), progress)?;
        progress.doing("200 faults, one after the other");
        show(
            "Commit to the right incident",
            &latency::run(lab, bench, binary)?,
        );
    }
    if wanted(Part::Scan) {
        world::grow(lab, bench.pods(), progress)?;
        progress.doing("scanning");
        show("Scan", &scan::run(lab, binary)?);
    }
    Ok(())
}

impl Bench {
    fn pods(&self) -> usize {
        self.pods as usize
    }
}

fn show(title: &str, lines: &[String]) {
    println!("\n## {title}\n");
    for line in lines {
        println!("{line}");
    }
}
