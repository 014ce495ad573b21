//! `cargo xtask fidelity`: one suite of questions, written against a kubeconfig only.
//!
//! The lab's answers are facts; the simulator has to give the same. What it does not yet do is
//! listed with the reason in `differences.rs`, and comes into `docs/fidelity.md`.

mod api;
mod client;
mod clients;
mod controllers;
mod differences;
mod places;
mod pods;
mod room;
mod run;
mod table;
mod trouble;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::check::Tally;
use room::Room;

/// Asks a cluster what a Kubernetes must answer, and compares simulator and lab
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask fidelity lab\n  cargo xtask fidelity --kubeconfig FILE --only watch"
)]
pub struct Fidelity {
    /// `lab`: the lab, started if need be; `sim`: `nightshift sim`; `table`: write docs/fidelity.md
    /// from what the last runs of both found
    #[arg(required_unless_present_any = ["kubeconfig", "list"])]
    place: Option<Place>,
    /// Any cluster: the kubeconfig's user must be allowed everything
    #[arg(long, conflicts_with = "place")]
    kubeconfig: Option<PathBuf>,
    /// Only checks whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Checks at once
    #[arg(long, default_value_t = 6)]
    jobs: usize,
    /// The program that answers to kubectl's arguments, in words [default: the lab's, else kubectl]
    #[arg(long, num_args = 1..)]
    kubectl: Vec<String>,
    /// Where to write what was found, as JSON
    #[arg(long)]
    results: Option<PathBuf>,
    /// Only say which checks there are
    #[arg(long)]
    list: bool,
    /// How to print the results
    #[arg(short, long, default_value = "table")]
    output: Output,
}

/// Where the suite runs, or what is done with what it found.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Place {
    Lab,
    Sim,
    Table,
}

/// A form of the results.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// One question.
#[derive(Clone, Copy)]
pub struct Check {
    /// What it is about.
    name: &'static str,
    /// Asks; an error says what was not as it must be.
    ask: fn(&Room) -> Result<()>,
    /// Touches what others need: runs when they are done.
    alone: bool,
}

impl Check {
    /// A check that lives in its own namespace.
    const fn new(name: &'static str, ask: fn(&Room) -> Result<()>) -> Self {
        Self {
            name,
            ask,
            alone: false,
        }
    }

    /// A check that changes a node.
    const fn alone(name: &'static str, ask: fn(&Room) -> Result<()>) -> Self {
        Self {
            name,
            ask,
            alone: true,
        }
    }
}

/// One list of several.
fn joined(lists: &[&[Check]]) -> Vec<Check> {
    lists.concat()
}

/// All checks, by group.
fn all() -> Vec<(&'static str, Check)> {
    let groups = [
        ("api", api::checks()),
        ("controllers", controllers::checks()),
        ("trouble", trouble::checks()),
        ("clients", clients::checks()),
    ];
    let named = |(group, checks): (&'static str, Vec<Check>)| {
        checks.into_iter().map(move |check| (group, check))
    };
    groups.into_iter().flat_map(named).collect()
}

/// Runs what was asked for.
pub fn run(arguments: &Fidelity) -> Result<ExitCode> {
    if arguments.list {
        for (group, check) in all() {
            println!("{group:12} {}", check.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    match (arguments.place, &arguments.kubeconfig) {
        (Some(Place::Lab), _) => places::lab(arguments),
        (Some(Place::Sim), _) => places::sim(arguments),
        (Some(Place::Table), _) => table::write(),
        (None, Some(kubeconfig)) => run::against(arguments, kubeconfig),
        (None, None) => bail!("where? `lab`, `sim` or --kubeconfig FILE"),
    }
}

/// The suite on the lab, as a part of `cargo xtask test`.
pub fn on_the_lab(tally: &mut Tally) -> Result<()> {
    places::count("lab", tally)
}

/// The suite on the simulator, as a part of `cargo xtask test`.
pub fn on_the_sim(tally: &mut Tally) -> Result<()> {
    places::count("sim", tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            all().iter().map(|(_, check)| check.name).collect();
        assert_eq!(names.len(), all().len());
        assert!(names.len() >= 50, "{}", names.len());
    }

    #[test]
    fn only_checks_that_exist_are_listed_as_different() {
        let names: Vec<_> = all().iter().map(|(_, check)| check.name).collect();
        for (name, reason) in differences::KNOWN {
            assert!(names.contains(name), "{name}");
            assert!(!reason.is_empty(), "{name}");
        }
    }
}
