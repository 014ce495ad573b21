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

/// An error with its causes, in one line. Many libraries repeat a cause in their own text: what was
/// said already is left out.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
