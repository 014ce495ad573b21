//! The simulator, without lab and root: each part of `crates/sim/benches` in a process of its own.

use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

/// Measures the simulator: objects in and out, fan-out, memory, virtual time
#[derive(Args)]
#[command(after_help = "Example: cargo xtask bench sim --only list --only watch")]
pub struct Sim {
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// The parts, by the names that the bench has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Pods created, in process and over HTTP
    Objects,
    /// A list of 10,000 pods over HTTP
    List,
    /// 100 watchers over HTTP
    Watch,
    /// Memory at 10,000 pods that are only kept
    Store,
    /// Memory at 10,000 pods that run
    Memory,
    /// Pod events and virtual seconds a second of CPU
    Events,
    /// Two days of 50 nodes with 200 incidents
    History,
}

/// Runs the parts.
pub fn run(sim: &Sim) -> Result<ExitCode> {
    bench(&["--no-run"])?;
    println!("{}\n", machine()?);
    println!("| what | measured | goal |\n|---|---|---|");
    let wanted = |part: &&Part| sim.only.is_empty() || sim.only.contains(part);
    for part in Part::value_variants().iter().filter(wanted) {
        let name = part.to_possible_value().context("each part has a name")?;
        bench(&["--", name.get_name()])?;
    }
    println!("\n{}", machine()?);
    Ok(ExitCode::SUCCESS)
}

fn bench(arguments: &[&str]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["bench", "--quiet", "--package", "nightshift-sim"])
        .args(["--bench", "sim"])
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo bench {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// How big the machine is, and how busy: whoever reads the figures has to know.
fn machine() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg").context("no /proc/loadavg")?;
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cores = thread::available_parallelism()?;
    Ok(format!("{cores} cores, load average {}", load.join(" ")))
}
