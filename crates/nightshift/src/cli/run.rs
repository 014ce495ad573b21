//! `nightshift run`: the agent.

use super::settings::SettingsArgs;
use super::{Exit, Failure, OrHelp as _};
use crate::app::{self, RunError};
use crate::output::print;
use crate::telemetry;
use nightshift_cluster::Clock;
use std::sync::Arc;

/// Watches the cluster, diagnoses, and proposes; repairs by itself only when told to
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift run                                        proposes, writes nothing
  AGENT_MODE=auto DRY_RUN=false nightshift run          repairs what every gate lets pass
  nightshift run --print-config                         every key, its default and its variable

SIGTERM stops it: no new step begins, and a write that is out is finished or left as a recorded
intent, which the next start reads back.

Exit codes: 0 stopped when told to, 2 did not start or could not go on")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print the configuration as it is in force, with every key's documentation, and end
    #[arg(long)]
    print_config: bool,
}

impl Args {
    pub(super) async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit, Failure> {
        let config = self.settings.load()?;
        if self.print_config {
            print(&config.print())?;
            return Ok(Exit::Fine);
        }
        telemetry::init(config.log_level).or_help(
            "logging could not be started",
            "this is a defect: please report it",
        )?;
        let ended = app::run(&config, clock).await;
        let what = match &ended {
            Err(RunError::Listen(_) | RunError::Start(_)) => "the agent did not start",
            Err(RunError::Fatal(_)) | Ok(()) => "the agent ended",
        };
        ended.or_help(
            what,
            "`nightshift doctor` checks configuration, cluster, rights and record one by one",
        )?;
        Ok(Exit::Fine)
    }
}
