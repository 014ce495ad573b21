//! Clients that people use, as they are: kubectl, client-go, kube-rs.

mod kubectl;
mod operate;
mod programs;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::room::{PATIENCE, Room};
use super::{Check, joined};

/// All checks of this group.
pub fn checks() -> Vec<Check> {
    joined(&[kubectl::CHECKS, operate::CHECKS, programs::CHECKS])
}

/// What a program said and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it printed, if it ended well.
    fn ok(self) -> Result<String> {
        self.code(0)
    }

    /// What it printed, if it ended with this code.
    fn code(self, code: i32) -> Result<String> {
        let Self {
            code: found,
            out,
            err,
        } = self;
        ensure!(found == code, "ended with {found}, not {code}: {err}{out}");
        Ok(out)
    }
}

impl Room {
    /// A program with the target's kubeconfig, ended when it takes too long.
    fn program(&self, words: &[String]) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg(PATIENCE.as_secs().to_string())
            .args(words)
            .env("KUBECONFIG", &self.target.kubeconfig);
        command
    }

    /// kubectl in the room's namespace.
    fn kubectl(&self, args: &[&str]) -> Result<Said> {
        self.kubectl_with(args, "")
    }

    /// kubectl in the room's namespace with something on standard input.
    fn kubectl_with(&self, args: &[&str], input: &str) -> Result<Said> {
        let mut command = self.program(&self.target.kubectl);
        command.args(["--namespace", &self.namespace]).args(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start kubectl")?;
        let mut pipe = child.stdin.take().context("no standard input")?;
        pipe.write_all(input.as_bytes())
            .context("kubectl does not read")?;
        drop(pipe);
        Ok(Said::of(&child.wait_with_output()?))
    }
}

/// Fails unless a text contains each of these.
fn contains(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    Ok(())
}
