//! Where the configuration comes from: options of the commands that need it.

use super::cluster::{ClusterArgs, given, path};
use super::{Failure, OrHelp as _};
use crate::config::{Config, environment};
use std::path::PathBuf;

/// The configuration file; every key is an environment variable too.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE", env = "NIGHTSHIFT_CONFIG", value_parser = path())]
    config: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl SettingsArgs {
    pub(super) fn load(&self) -> Result<Config, Failure> {
        let mut config = Config::load(given(self.config.as_ref()), &environment()).or_help(
            "the configuration cannot be used",
            "`nightshift run --print-config` documents every key",
        )?;
        config.name_cluster(self.cluster.kubeconfig(), self.cluster.context());
        Ok(config)
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
