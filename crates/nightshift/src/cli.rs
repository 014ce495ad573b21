//! The command line. One command is one file and one line in [`Command`].
//!
//! Commands print data through [`crate::output`] and end with [`Exit`]; an error always names the
//! next step.

mod completion;
mod failure;
mod incidents;
mod story;

pub use failure::{Exit, Failure, OrHelp};

use clap::Parser;

/// An autonomous SRE for Kubernetes: sees a fault, finds its cause, repairs it behind guards, and
/// hands over to a person whenever it is not sure
#[derive(Debug, Parser)]
#[command(name = "nightshift", version, max_term_width = 100)]
#[command(after_help = "Examples:
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
    Incidents(incidents::Args),
    Completion(completion::Args),
}

/// Runs the command that the arguments name, and gives its exit code.
pub async fn run(now: jiff::Timestamp) -> Exit {
    let done = match Cli::parse().command {
        Command::Incidents(args) => args.run(now).await,
        Command::Completion(args) => args.run(),
    };
    done.unwrap_or_else(|failure| failure.report())
}
