//! How commands end: with a documented exit code, or with an error that names the next step.

use crate::output::complain;
use std::process::ExitCode;

/// Exit codes of all commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and nothing is wrong.
    Fine = 0,
    /// 1: done, and something was found (a fault, a lint, a difference, a failed check).
    Found = 1,
    /// 2: could not be done, or only in part; also a wrong command line.
    Failed = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with what to do about it.
#[derive(Debug)]
pub struct Failure {
    error: anyhow::Error,
    help: String,
}

impl Failure {
    /// An error without another beneath it.
    pub fn new(error: impl std::fmt::Display, help: impl Into<String>) -> Self {
        Self {
            error: anyhow::anyhow!("{error}"),
            help: help.into(),
        }
    }

    /// What failed, with its causes, in one line.
    pub fn text(&self) -> String {
        super::settings::chain(self.error.as_ref())
    }

    /// The next step.
    #[cfg(test)]
    pub(super) fn help(&self) -> &str {
        &self.help
    }

    /// Tells the person, and gives the exit code.
    pub fn report(&self) -> Exit {
        complain(&format!("error: {}", self.text()));
        complain(&format!("help: {}", self.help));
        Exit::Failed
    }
}

/// Commands cannot pass an error on without saying what to do about it.
pub trait OrHelp<T> {
    /// Adds what failed and the next step.
    fn or_help(self, what: &str, help: &str) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrHelp<T> for Result<T, E> {
    fn or_help(self, what: &str, help: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            error: error.into().context(what.to_owned()),
            help: help.to_owned(),
        })
    }
}

/// Printing fails only where the disk or pipe behind standard output does.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let error = anyhow::Error::from(error).context("could not write to standard output");
        Self {
            error,
            help: "check the file or device that output goes to".to_owned(),
        }
    }
}
