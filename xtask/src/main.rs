//! The repository's own commands: `cargo xtask --help`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{bench, check, demo, fidelity, lab, layers, schema, sizes};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The repository's own commands")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// One file each; this one only knows their names.
#[derive(Subcommand)]
enum Task {
    /// A real Kubernetes with two nodes on this machine
    #[command(subcommand)]
    Lab(lab::cli::Action),
    Demo(demo::Demo),
    Test(check::Test),
    Bench(bench::Bench),
    #[command(hide = true)]
    BenchProbe(bench::probe::Probe),
    Fidelity(fidelity::Fidelity),
    /// Writes the table of Kubernetes' types for the simulator, from the Go modules
    Schema,
    /// The dependency table of the design
    Layers,
    /// Lengths of the source files
    Sizes,
}

fn main() -> ExitCode {
    run(Arguments::parse().task).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Lab(action) => lab::cli::run(action),
        Task::Demo(demo) => demo::run(&demo),
        Task::Test(test) => check::run(&test),
        Task::Bench(bench) => bench::run(&bench),
        Task::BenchProbe(probe) => bench::probe::run(&probe),
        Task::Fidelity(fidelity) => fidelity::run(&fidelity),
        Task::Schema => check::one(schema::write),
        Task::Layers => check::one(layers::check),
        Task::Sizes => check::one(sizes::check),
    }
}
