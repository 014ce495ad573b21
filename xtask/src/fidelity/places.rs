//! Where the suite runs: in the lab's network, or beside a simulator that is started for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Fidelity;
use super::differences::KNOWN;
use super::run::{self, Found};
use crate::check::{Tally, cargo, root, succeed};
use crate::lab::{Identity, Lab, Progress, until};

/// Where the results of one place are kept.
pub fn results(place: &str) -> Result<PathBuf> {
    Ok(root()?.join(format!("target/fidelity/{place}.json")))
}

/// Builds the clients of the suite: kubectl, the informer and the operator.
fn clients(lab: &Lab, progress: &Progress) -> Result<()> {
    lab.build_clients(progress)?;
    let args = [
        "build",
        "--quiet",
        "--package",
        "xtask",
        "--example",
        "operator",
    ];
    succeed(&mut cargo(&root()?, &args))
}

/// The kube-rs program.
pub fn operator() -> Result<PathBuf> {
    // xtask itself was built into the folder above.
    let own = std::env::current_exe().context("no name of this program")?;
    let program = own.with_file_name("examples").join("operator");
    ensure!(program.exists(), "{} is not built", program.display());
    Ok(program)
}

/// Runs the suite in the lab's network; starts the lab if it is down, and then takes it down.
pub fn lab(arguments: &Fidelity) -> Result<ExitCode> {
    let lab = Lab::here()?;
    let progress = Progress::new();
    clients(&lab, &progress)?;
    let ours = !lab.is_up();
    lab.up(&progress)?;
    let program = std::env::current_exe().context("no name of this program")?;
    let mut command = lab.command(program);
    command
        .arg("fidelity")
        .arg("--kubeconfig")
        .arg(lab.kubeconfig(Identity::Admin));
    let ran = again(
        &mut command,
        arguments,
        &results("lab")?,
        &lab.kubectl_words(),
    );
    if ours {
        lab.down(&progress)?;
    }
    ran
}

/// Runs the suite against `nightshift sim`, built now, with two nodes.
pub fn sim(arguments: &Fidelity) -> Result<ExitCode> {
    clients(&Lab::here()?, &Progress::new())?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    let mut simulator = Simulator::start(&kubeconfig)?;
    let mut command = Command::new(std::env::current_exe().context("no name of this program")?);
    command.arg("fidelity").arg("--kubeconfig").arg(&kubeconfig);
    let ran = again(
        &mut command,
        arguments,
        &results("sim")?,
        &Lab::here()?.kubectl_words(),
    );
    simulator.stop()?;
    ran
}

/// This program once more, with the rest of its arguments.
fn again(
    command: &mut Command,
    arguments: &Fidelity,
    results: &Path,
    kubectl: &[String],
) -> Result<ExitCode> {
    let kubectl = if arguments.kubectl.is_empty() {
        kubectl
    } else {
        &arguments.kubectl
    };
    command
        .args([
            "--only",
            &arguments.only,
            "--jobs",
            &arguments.jobs.to_string(),
        ])
        .arg("--results")
        .arg(results)
        .args([
            "--output",
            if arguments.output == super::Output::Json {
                "json"
            } else {
                "table"
            },
        ])
        .arg("--kubectl")
        .args(kubectl);
    let status = command.status().context("cannot run the suite")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A simulator that runs.
struct Simulator(Child);

impl Simulator {
    /// Builds and starts it, and waits for its kubeconfig.
    fn start(kubeconfig: &Path) -> Result<Self> {
        let child = Command::new(crate::agent::build()?)
            .args([
                "sim",
                "--nodes",
                "2",
                "--listen",
                "127.0.0.1:0",
                "--kubeconfig",
            ])
            .arg(kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start nightshift sim")?;
        let mut simulator = Self(child);
        until(
            "the simulator's kubeconfig",
            Duration::from_secs(30),
            || {
                if let Some(status) = simulator.0.try_wait()? {
                    bail!("nightshift sim ended with {status}");
                }
                Ok(if kubeconfig.exists() {
                    Ok(())
                } else {
                    Err("not written".to_owned())
                })
            },
        )?;
        Ok(simulator)
    }

    fn stop(&mut self) -> Result<()> {
        self.0.kill().context("the simulator ended by itself")?;
        self.0.wait()?;
        Ok(())
    }
}

/// Runs the suite in a place and counts each check.
pub fn count(place: &str, tally: &mut Tally) -> Result<()> {
    let path = results(place)?;
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let program = std::env::current_exe().context("no name of this program")?;
    Command::new(program)
        .args(["fidelity", place])
        .status()
        .context("cannot run the suite")?;
    let found = run::read(&path)?;
    ensure!(!found.is_empty(), "the suite found nothing: did it start?");
    for one in found.values() {
        let known = place == "sim" && KNOWN.iter().any(|(name, _)| *name == one.name);
        let name = format!("fidelity {place}: {}", one.name);
        tally.count(&name, judged(one, known));
    }
    Ok(())
}

/// A result, and whether it is listed as a difference.
fn judged(found: &Found, known: bool) -> Result<()> {
    match &found.failure {
        Some(_) if known => Ok(()),
        Some(failure) => bail!("{failure}"),
        None if known => bail!("listed as a difference, but it passes: take it off the list"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_unless_it_is_listed() {
        let found = |failure: Option<&str>| Found {
            group: "api".to_owned(),
            name: "no such check".to_owned(),
            failure: failure.map(str::to_owned),
            seconds: 0.0,
        };
        assert!(judged(&found(None), false).is_ok());
        assert!(judged(&found(Some("no")), false).is_err());
        assert!(judged(&found(Some("no")), true).is_ok());
        assert!(judged(&found(None), true).is_err());
    }
}
