//! `nightshift demo`: what the agent does, shown on a simulated cluster.

use super::{Exit, Failure, OrHelp as _, values};
use crate::demo::{self, Ending, Options};
use crate::output::Output;
use nightshift_cluster::Clock;
use nightshift_sim::Speed;
use std::sync::Arc;

/// Breaks a simulated shop in many ways and shows what the agent does about each; a judge that is
/// not the agent says whether that was right
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift demo --once                     the story, and an exit code
  nightshift demo                            new faults keep coming; kubectl can look on, until Ctrl-C
  nightshift demo --once --seed 7            the same order of faults again
  nightshift demo --once -o json             one JSON document a line, for scripts (docs/demo.md)

It needs no cluster, no network and no rights: everything is in this process.

Exit codes: 0 every ending was right, 1 one was wrong, 2 could not be played, or not to the end
            of the story with --once")]
pub(super) struct Args {
    /// End after the story
    #[arg(long)]
    once: bool,
    /// Order of the faults, and chance in the cluster; random by default, always printed
    #[arg(long, value_parser = values::seed)]
    seed: Option<u64>,
    /// How many times as fast as the wall the cluster's time goes
    #[arg(long, value_name = "X", default_value = "60")]
    speed: Speed,
    /// Leave the agent off: every ending has to be wrong
    #[arg(long, hide = true)]
    agent_off: bool,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) async fn run(self, wall: Arc<dyn Clock>) -> Result<Exit, Failure> {
        let options = Options {
            once: self.once,
            seed: self
                .seed
                .unwrap_or_else(|| rand::random_range(1..1_000_000)),
            speed: self.speed,
            agent_off: self.agent_off,
            format: self.output.format,
        };
        let ending = demo::run(&options, &*wall).await.or_help(
            "the demo could not be played",
            "try again with --speed 20: a slow machine needs slower time; else please report it",
        )?;
        Ok(match ending {
            Ending::Right => Exit::Fine,
            Ending::Wrong => Exit::Found,
            Ending::Interrupted => Exit::Failed,
        })
    }
}
