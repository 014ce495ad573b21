//! SIGTERM while a write is out: it has reached the API server, and its answer has not come.
//!
//! A StatefulSet that is stuck needs two writes, so that a step that must not begin is known: the
//! second.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::ordered::Ordered;
use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::faults::{PATIENCE, Stage};
use crate::lab::{Identity, Lab, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "sigterm_while_a_write_is_out_leaves_a_recorded_intent",
        long: false,
        play: |lab| stopped(lab, Answer::Never, "no answer"),
    },
    Story {
        name: "sigterm_while_a_write_is_out_lets_it_finish",
        long: false,
        play: |lab| stopped(lab, Answer::AfterTheSignal, "done"),
    },
];

/// Kubernetes kills a container that has not ended so long after SIGTERM
/// (`terminationGracePeriodSeconds`, by default).
const GRACE: Duration = Duration::from_secs(30);

/// When the write that is out is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Never,
    AfterTheSignal,
}

/// `result` is how the first write's fate begins on the record.
fn stopped(lab: &Lab, answer: Answer, result: &str) -> Result<()> {
    let proxied = lab.start_proxy(Identity::Agent)?;
    let settings = Settings::auto().with("KUBECONFIG", &proxied.display().to_string());
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "stopped", &tag())?;
    let set = Ordered::roll_out(&stage, 2)?;
    lab.hold_answers("statefulsets")?;
    set.break_image()?;
    let ended = stop_in_mid_write(&agent, &stage, answer);
    let played = ended.and_then(|()| {
        agent.go_on(&[])?;
        set.await_repair()?;
        agent.await_incident(&stage.name, &["closed"], PATIENCE)
    });
    lab.flow()?;
    stage.remove()?;
    let closed = played?;
    ensure!(closed["outcome"] == json!("fixed"), "it ended {closed}");
    let shown = agent.incident(closed["id"].as_str().unwrap_or_default())?;
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let mut results = events.iter().filter(|event| event["kind"] == "result");
    let first = results.next().map(|event| event["text"].to_string());
    let first = first.unwrap_or_default();
    ensure!(first.contains(result), "the first write: {first}");
    Ok(())
}

/// From the write in the audit log to the end of the process, with exactly that write done.
fn stop_in_mid_write(agent: &Agent<'_>, stage: &Stage<'_>, answer: Answer) -> Result<()> {
    let lab = stage.lab;
    let roll_back = [("patch", "statefulsets")];
    let one_write = || Ok(stage.only(&stage.writes_inside()?, &roll_back));
    until("the write", PATIENCE, one_write)?;
    agent.ask_to_end()?;
    if answer == Answer::AfterTheSignal {
        lab.flow()?;
    }
    let code = agent.exit_code(GRACE)?;
    lab.flow()?;
    ensure!(code == 0, "it ended with exit code {code}");
    if let Err(more) = one_write()? {
        anyhow::bail!("after SIGTERM: {more}");
    }
    Ok(())
}
