//! `nightshift completion`: completions for a shell.

use super::{Cli, Exit, Failure};
use crate::output::print;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

/// Prints the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(nightshift completion bash)
  nightshift completion zsh > \"${fpath[1]}/_nightshift\"")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "nightshift", &mut script);
        print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Fine)
    }
}
