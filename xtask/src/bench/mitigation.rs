//! How long from a fault until it is repaired (or made safe, or with a person), per runbook, with
//! the timers that the agent ships with; and how many were repaired without a person.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::Bench;
use super::stats::Sample;
use crate::agent::{Agent, Settings};
use crate::faults::{Ending, FAULTS, Fault, Stage};
use crate::lab::Lab;
use crate::stories::tag;

/// Longer than any detector's persistence and a rollout.
const PATIENCE: Duration = Duration::from_secs(240);
/// After a repair: the verification, and its record.
const CLOSING: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// One fault's times from its injection.
#[derive(Debug, Default)]
struct Times {
    runbook: String,
    shown: Option<Duration>,
    /// The ending was right.
    ended: Option<Duration>,
    /// The agent itself says that it is fixed.
    verified: Option<Duration>,
    alone: bool,
}

/// Measures, and returns lines for the table.
pub(super) fn run(lab: &Lab, bench: &Bench, binary: &Path) -> Result<Vec<String>> {
    let agent = Agent::start(lab, Settings::shipped(binary, "auto"))?;
    let mut lines = vec![
        "| fault | runbook | right ending | incident shown after | ending reached after | verified and closed after |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    let (mut alone, mut all) = (0, 0);
    for fault in FAULTS {
        let mut rounds = Vec::new();
        for _ in 0..bench.rounds {
            rounds.push(one(lab, *fault, &agent)?);
        }
        all += rounds.len();
        alone += rounds.iter().filter(|times| times.alone).count();
        lines.push(row(*fault, &rounds));
    }
    lines.push(String::new());
    lines.push(format!("Repaired without a person: {alone} of {all}."));
    Ok(lines)
}

fn row(fault: &dyn Fault, rounds: &[Times]) -> String {
    let sample = |of: fn(&Times) -> Option<Duration>| {
        let sample = Sample::of(rounds.iter().filter_map(of));
        let missing = rounds.len() - sample.count();
        if missing == 0 {
            sample.to_string()
        } else {
            format!("{sample}, {missing} of {} never", rounds.len())
        }
    };
    let runbooks: BTreeSet<_> = rounds.iter().map(|times| times.runbook.as_str()).collect();
    let runbooks: Vec<_> = runbooks.into_iter().collect();
    let verified = if fault.ending() == Ending::Repaired {
        sample(|times| times.verified)
    } else {
        "-".to_owned()
    };
    format!(
        "| {} | {} | {:?} | {} | {} | {verified} |",
        fault.name(),
        runbooks.join(", "),
        fault.ending(),
        sample(|times| times.shown),
        sample(|times| times.ended),
    )
}

fn one(lab: &Lab, fault: &dyn Fault, agent: &Agent<'_>) -> Result<Times> {
    let stage = Stage::new(lab, fault.name(), &tag())?;
    fault.prepare(&stage)?;
    let object = fault.object(&stage);
    let known: BTreeSet<String> = of(&agent.incidents()?, &object).map(id).collect();
    let start = Instant::now();
    fault.inject(&stage)?;
    let mut times = Times::default();
    while start.elapsed() < PATIENCE && times.ended.is_none() {
        look(fault, &stage, agent, &known, (&mut times, start))?;
        std::thread::sleep(PAUSE);
    }
    let is_repaired = times.ended.is_some() && fault.ending() == Ending::Repaired;
    while is_repaired && times.verified.is_none() && start.elapsed() < PATIENCE + CLOSING {
        look(fault, &stage, agent, &known, (&mut times, start))?;
        std::thread::sleep(PAUSE);
    }
    fault.clean_up(&stage)?;
    if let Err(error) = agent.await_none_open(&object, CLOSING) {
        eprintln!("{} is still open: {error:#}", fault.name());
    }
    Ok(times)
}

fn look(
    fault: &dyn Fault,
    stage: &Stage<'_>,
    agent: &Agent<'_>,
    known: &BTreeSet<String>,
    (times, start): (&mut Times, Instant),
) -> Result<()> {
    let incidents = agent.incidents()?;
    let object = fault.object(stage);
    let mut new = of(&incidents, &object).filter(|incident| !known.contains(&id(incident)));
    let Some(incident) = new.next() else {
        return Ok(());
    };
    let at = start.elapsed();
    times.shown.get_or_insert(at);
    if let Some(runbook) = incident["runbook"].as_str() {
        runbook.clone_into(&mut times.runbook);
    }
    let waits = incident["phase"] == "waiting";
    let by_a_person = fault.ending() != Ending::Repaired;
    if times.ended.is_none()
        && waits == by_a_person
        && fault.judge(stage, &stage.writes()?)?.is_ok()
    {
        times.ended = Some(start.elapsed());
    }
    if times.ended.is_some() && incident["phase"] == "closed" && incident["outcome"] == "fixed" {
        times.verified.get_or_insert(start.elapsed());
        times.alone = true;
    }
    Ok(())
}

fn of<'i>(incidents: &'i [Value], object: &'i str) -> impl Iterator<Item = &'i Value> {
    incidents
        .iter()
        .filter(move |incident| incident["owner"]["name"] == object)
}

fn id(incident: &Value) -> String {
    incident["id"].as_str().unwrap_or_default().to_owned()
}
