//! `cargo xtask demo`: a real cluster, six real faults, and a judge that is not the agent.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::agent::{self, Agent, Settings};
use crate::faults::{Ending, FAULTS, Fault, PATIENCE, Stage};
use crate::lab::{Lab, Progress};

/// Breaks six real things on a real cluster and shows what the agent does about each
#[derive(Args)]
#[command(after_help = "Example: cargo xtask demo --seed 7")]
pub struct Demo {
    /// Order and names of the faults; random by default, always printed
    #[arg(long)]
    seed: Option<u64>,
    /// Leave the agent off: the judge must then find everything broken
    #[arg(long)]
    agent_off: bool,
    /// Leave the lab up afterwards
    #[arg(long)]
    keep: bool,
}

/// With the agent off nothing will come; that is seen soon.
const PATIENCE_OFF: Duration = Duration::from_secs(10);
/// After a hand-over the judge goes on watching so long that nothing is written after all.
const HANDS_OFF: Duration = Duration::from_secs(5);

/// Runs the demo. Exit code 0 only if the judge finds every ending right.
pub fn run(demo: &Demo) -> Result<ExitCode> {
    let lab = Lab::here()?;
    let progress = Progress::new();
    if !demo.agent_off {
        progress.doing("building the agent");
        agent::build()?;
    }
    lab.up(&progress)?;
    if !demo.agent_off {
        lab.install_agent(&agent::rbac()?)?;
    }
    let seed = demo
        .seed
        .unwrap_or_else(|| rand::rng().random_range(1..1_000_000));
    let verdict = play(&lab, seed, demo.agent_off);
    if !demo.keep {
        lab.down(&progress)?;
    }
    let wrong = verdict?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Plays all faults; the number of endings that the judge found wrong.
pub fn play(lab: &Lab, seed: u64, agent_off: bool) -> Result<usize> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut faults: Vec<&dyn Fault> = FAULTS.to_vec();
    faults.shuffle(&mut random);
    println!("\nSix faults, seed {seed}. The judge reads the API server and its audit log.\n");
    let agent = if agent_off {
        None
    } else {
        Some(Agent::start(lab, Settings::auto())?)
    };
    let mut wrong = 0;
    let mut alone = 0;
    for (number, fault) in faults.iter().enumerate() {
        let tag = format!("{:04x}", random.random_range(0..=u16::MAX));
        println!("{}. {}: {}", number + 1, fault.name(), fault.about());
        let verdict = one(lab, *fault, &tag, agent.as_ref())?;
        match &verdict {
            Ok(()) => {
                alone += usize::from(fault.ending() == Ending::Repaired);
                println!("   judge: right ({:?})\n", fault.ending());
            }
            Err(why) => {
                wrong += 1;
                println!("   judge: WRONG, expected {:?}: {why}\n", fault.ending());
            }
        }
    }
    println!(
        "{} of {} endings right, {alone} repaired without a person",
        faults.len() - wrong,
        faults.len()
    );
    Ok(wrong)
}

/// One fault from its stage to the judge's word.
pub fn one(
    lab: &Lab,
    fault: &dyn Fault,
    tag: &str,
    agent: Option<&Agent<'_>>,
) -> Result<Result<(), String>> {
    let stage = Stage::new(lab, fault.name(), tag)?;
    fault.prepare(&stage)?;
    let object = fault.object(&stage);
    let known = agent
        .map(|agent| ids_of(agent, &object))
        .transpose()?
        .unwrap_or_default();
    let start = Instant::now();
    fault.inject(&stage)?;
    let mut teller = Teller {
        start,
        told: BTreeSet::new(),
        known,
        object,
    };
    let verdict = await_ending(fault, &stage, agent, &mut teller);
    if let Some(agent) = agent {
        teller.tell(agent)?;
    }
    fault.clean_up(&stage)?;
    if let Some(agent) = agent {
        let object = &teller.object;
        // Put back as it was, it is closed by a fresh healthy look: nothing stays with a person.
        let closed = agent.await_none_open(object, PATIENCE);
        return Ok(verdict?.and(closed.map_err(|error| format!("{error:#}"))));
    }
    verdict
}

/// Ids of the incidents on an object.
fn ids_of(agent: &Agent<'_>, object: &str) -> Result<BTreeSet<String>> {
    let incidents = agent.incidents()?;
    let of = incidents.iter().filter(|i| i["owner"]["name"] == object);
    Ok(of
        .filter_map(|i| i["id"].as_str().map(str::to_owned))
        .collect())
}

fn await_ending(
    fault: &dyn Fault,
    stage: &Stage<'_>,
    agent: Option<&Agent<'_>>,
    teller: &mut Teller,
) -> Result<Result<(), String>> {
    let patience = if agent.is_some() {
        PATIENCE
    } else {
        PATIENCE_OFF
    };
    loop {
        let ended = match agent {
            Some(agent) => teller.tell(agent)?,
            None => false,
        };
        let verdict = fault.judge(stage, &stage.writes()?)?;
        let repaired = fault.ending() == Ending::Repaired && verdict.is_ok();
        if repaired && (ended || agent.is_none()) {
            return Ok(verdict);
        }
        if ended {
            // A hand-over is right only if nothing is written afterwards either.
            std::thread::sleep(HANDS_OFF);
            return fault.judge(stage, &stage.writes()?);
        }
        if teller.start.elapsed() > patience {
            let state = verdict
                .err()
                .unwrap_or_else(|| "the agent does not say so".to_owned());
            return Ok(Err(format!(
                "nothing after {} s: {state}",
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Prints what the agent's record says of one object, each line once.
struct Teller {
    start: Instant,
    told: BTreeSet<String>,
    /// Incidents of earlier faults on the same object.
    known: BTreeSet<String>,
    object: String,
}

impl Teller {
    /// Whether the newest incident on the object is closed or waits for a person.
    fn tell(&mut self, agent: &Agent<'_>) -> Result<bool> {
        let incidents = agent.incidents()?;
        let is_new = |i: &Value| i["id"].as_str().is_some_and(|id| !self.known.contains(id));
        let of = |i: &&Value| i["owner"]["name"] == self.object.as_str() && is_new(i);
        let Some(incident) = incidents.iter().find(of) else {
            return Ok(false);
        };
        let id = incident["id"].as_str().unwrap_or_default();
        let shown = agent.incident(id)?;
        for event in shown["events"].as_array().into_iter().flatten() {
            let line = format!(
                "{:<10} {}",
                event["kind"].as_str().unwrap_or_default(),
                event["text"].as_str().unwrap_or_default()
            );
            if self.told.insert(format!("{id} {line}")) {
                println!("   {:6.1} s  {line}", self.start.elapsed().as_secs_f64());
            }
        }
        let phase = shown["incident"]["phase"].as_str().unwrap_or_default();
        Ok(["closed", "waiting"].contains(&phase))
    }
}
