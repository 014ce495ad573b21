//! Runs other programs: with a limit, and with errors that say what was run and
//! what it said.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A command that is killed when it runs longer than `limit`.
pub(crate) fn limited<S: AsRef<OsStr>>(limit: Duration, argv: &[S]) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=2")
        .arg(limit.as_secs().max(1).to_string())
        .args(argv);
    command
}

/// Runs a command and returns its standard output; a failure carries its standard error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    finish(command, &output)
}

/// Like [`run`], with `input` on standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    // A program that stops reading early says why on standard error: that is the better message.
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut pipe| pipe.write_all(input));
    let output = child.wait_with_output().with_context(|| shown(command))?;
    let text = finish(command, &output)?;
    written.with_context(|| format!("{} did not read its input", shown(command)))?;
    Ok(text)
}

/// Turns an exit status into a result.
fn finish(command: &Command, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = if output.status.code() == Some(124) {
        "took too long"
    } else {
        "failed"
    };
    bail!(
        "{} {why} ({}): {}",
        shown(command),
        output.status,
        said.trim()
    );
}

/// The command as a person would type it, shortened.
fn shown(command: &Command) -> String {
    const LONGEST: usize = 240;
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let text = words.join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_run_and_what_it_said() {
        let mut command = Command::new("sh");
        let error = run(command.args(["-c", "echo too bad >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c") && error.contains("too bad"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let error = run(&mut limited(Duration::from_secs(1), &["sleep", "60"])).unwrap_err();
        assert!(error.to_string().contains("took too long"), "{error}");
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(
            run_with_input(&mut Command::new("cat"), b"hello").unwrap(),
            "hello"
        );
    }
}
