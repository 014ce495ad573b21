//! Where the configuration comes from: option of the commands that need it.

use super::{Failure, OrHelp as _};
use crate::config::{Config, environment};
use std::path::PathBuf;

/// The configuration file; every key is an environment variable too.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE", env = "NIGHTSHIFT_CONFIG")]
    config: Option<PathBuf>,
}

impl SettingsArgs {
    pub(super) fn load(&self) -> Result<Config, Failure> {
        Config::load(self.config.as_deref(), &environment()).or_help(
            "the configuration cannot be used",
            "`nightshift run --print-config` documents every key",
        )
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
