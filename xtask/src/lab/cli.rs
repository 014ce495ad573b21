//! `cargo xtask lab ...`: the lab for a person.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

use super::life::readiness;
use super::{Identity, Lab, Node, Progress, Up};

/// What can be done with the lab.
#[derive(Subcommand)]
pub enum Action {
    /// Start it: two nodes, ready for work. Does nothing if it runs.
    Up {
        /// A nightshift binary whose `rbac` output becomes the agent's rights
        /// [default: target/debug/nightshift, if it is there]
        #[arg(long, value_name = "BINARY")]
        agent: Option<PathBuf>,
    },
    /// Stop it and remove everything but its logs.
    Down,
    /// Say what runs and where; exit code 1 if it is down.
    Status,
    /// Run kubectl in it, as the admin.
    Kubectl {
        /// Arguments for kubectl
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Enter its network, with KUBECONFIG set.
    Shell {
        /// A command to run there instead of a shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Runs one action on the lab of this checkout.
pub fn run(action: Action) -> Result<ExitCode> {
    let lab = Lab::here()?;
    match action {
        Action::Up { agent } => up(&lab, agent.as_deref())?,
        Action::Down => {
            let progress = Progress::new();
            lab.down(&progress)?;
            progress.say(&format!(
                "the lab is down; logs: {}",
                lab.folder().join("logs").display()
            ));
        }
        Action::Status => return status(&lab),
        Action::Kubectl { args } => {
            needs_up(&lab)?;
            let error = lab.kubectl_command(Identity::Admin).args(args).exec();
            return Err(error).context("cannot run kubectl");
        }
        Action::Shell { command } => return shell(&lab, &command),
    }
    Ok(ExitCode::SUCCESS)
}

fn up(lab: &Lab, agent: Option<&Path>) -> Result<()> {
    let progress = Progress::new();
    match lab.up(&progress)? {
        Up::Already => progress.say("the lab is up already"),
        Up::Started(time) => {
            progress.say(&format!(
                "two nodes are ready after {:.1} s",
                time.as_secs_f64()
            ));
        }
    }
    install_agent(lab, agent, &progress)?;
    progress.say(&format!(
        "kubeconfig: {}",
        lab.kubeconfig(Identity::Admin).display()
    ));
    progress.say("next: cargo xtask lab kubectl get nodes, or: cargo xtask lab shell");
    Ok(())
}

/// Gives the agent its account, with the rights that its binary prints.
fn install_agent(lab: &Lab, named: Option<&Path>, progress: &Progress) -> Result<()> {
    let built = lab.folder().with_file_name("target/debug/nightshift");
    let Some(binary) = named
        .map(PathBuf::from)
        .or_else(|| built.exists().then_some(built))
    else {
        progress.say("no agent account: build nightshift, then `cargo xtask lab up` again");
        return Ok(());
    };
    let rbac = super::shell::run(Command::new(&binary).args(["rbac", "--write"]));
    match rbac {
        Ok(yaml) if !yaml.trim().is_empty() => {
            let kubeconfig = lab.install_agent(&yaml)?;
            progress.say(&format!("the agent's kubeconfig: {}", kubeconfig.display()));
        }
        Ok(_) => progress.say(&format!(
            "no agent account: {} rbac is silent",
            binary.display()
        )),
        Err(error) if named.is_some() => return Err(error),
        Err(error) => progress.say(&format!("no agent account: {error}")),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a person asked for")]
fn status(lab: &Lab) -> Result<ExitCode> {
    let up = lab.is_up();
    println!("lab {} is {}", lab.id(), if up { "up" } else { "down" });
    println!("state       {}", lab.state().display());
    println!("network     {}", lab.netns().display());
    for (name, pid, alive) in lab.programs() {
        let state = if alive { "runs" } else { "has ended" };
        println!("{name:26} {pid:>8}  {state}");
    }
    if !up {
        return Ok(ExitCode::from(1));
    }
    for node in Node::ALL {
        let object = lab.get(&format!("/api/v1/nodes/{}", node.name()))?;
        println!("{}  {}", node.name(), readiness(&object));
    }
    for who in [Identity::Admin, Identity::Judge, Identity::Agent] {
        let file = lab.kubeconfig(who);
        if file.exists() {
            println!("kubeconfig of {:12} {}", who.name(), file.display());
        }
    }
    println!("audit log   {}", lab.audit_log().display());
    Ok(ExitCode::SUCCESS)
}

fn shell(lab: &Lab, command: &[String]) -> Result<ExitCode> {
    needs_up(lab)?;
    let own = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    let (program, args) = command
        .split_first()
        .map_or((&own, &[][..]), |(p, a)| (p, a));
    let path = std::env::var("PATH").unwrap_or_default();
    let error = lab
        .command(program)
        .args(args)
        .env("KUBECONFIG", lab.kubeconfig(Identity::Admin))
        .env("PATH", format!("{}/bin:{path}", lab.state().display()))
        .env("NIGHTSHIFT_LAB", lab.id())
        .exec();
    Err(error).context("cannot enter the lab")
}

fn needs_up(lab: &Lab) -> Result<()> {
    if !lab.is_up() {
        bail!("the lab is down: start it with `cargo xtask lab up`");
    }
    Ok(())
}
