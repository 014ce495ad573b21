//! The command line. One command is one file and one line in `Command`.
//!
//! Commands print data through [`crate::output`] and end with [`Exit`]; an error always names the
//! next step.

mod cluster;
mod completion;
mod demo;
mod doctor;
mod failure;
mod incidents;
mod rbac;
mod replay;
mod run;
mod runbook;
mod scan;
mod settings;
mod sim;
mod story;
mod values;

pub use failure::{Exit, Failure, OrHelp};

use clap::Parser;
use nightshift_cluster::Clock;
use std::sync::Arc;

/// An autonomous SRE for Kubernetes: sees a fault, finds its cause, repairs it behind guards, and
/// hands over to a person whenever it is not sure
#[derive(Debug, Parser)]
#[command(name = "nightshift", version, max_term_width = 100)]
#[command(after_help = "Examples:
  nightshift demo --once                   what it does, on a simulated cluster; needs nothing
  nightshift doctor                        can the agent work here?
  nightshift scan                          what is wrong now? writes nothing
  nightshift run                           watch, diagnose, propose (writes only when told to)
  nightshift incidents show inc-...        why, and what was done

Exit codes: 0 fine, 1 something was found, 2 could not be done")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Scan(scan::Args),
    Incidents(incidents::Args),
    Runbook(runbook::Args),
    Rbac(rbac::Args),
    Replay(replay::Args),
    Sim(sim::Args),
    Doctor(doctor::Args),
    Completion(completion::Args),
}

/// Runs the command that the arguments name, and gives its exit code.
pub async fn run(clock: Arc<dyn Clock>) -> Exit {
    let done = match Cli::parse().command {
        Command::Demo(args) => args.run(clock).await,
        Command::Run(args) => args.run(clock).await,
        Command::Scan(args) => args.run(clock).await,
        Command::Incidents(args) => args.run(clock.now()).await,
        Command::Runbook(args) => args.run(),
        Command::Rbac(args) => args.run(),
        Command::Replay(args) => args.run().await,
        Command::Sim(args) => args.run().await,
        Command::Doctor(args) => args.run(clock).await,
        Command::Completion(args) => args.run(),
    };
    done.unwrap_or_else(|failure| failure.report())
}

#[cfg(test)]
mod tests;
