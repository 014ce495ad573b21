//! The API server's clock does not agree with the agent's: nothing that rests on a time is done.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::silence::await_blind;
use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::faults::{FAULTS, PATIENCE, Stage};
use crate::lab::{Identity, Lab, until};

pub static STORIES: &[Story] = &[Story {
    name: "a_clock_that_is_wrong_stops_every_write_until_it_is_right",
    long: false,
    play: wrong_clock,
}];

/// More than the 5 s that two clocks may differ.
const AHEAD: Duration = Duration::from_secs(8);

fn wrong_clock(lab: &Lab) -> Result<()> {
    let fault = FAULTS.iter().find(|f| f.name() == "image_pull");
    let fault = fault.context("image_pull is a fault")?;
    let proxied = lab.start_proxy(Identity::Agent)?;
    let settings = Settings::auto()
        .with("KUBECONFIG", &proxied.display().to_string())
        // The clock is measured three times in that.
        .with("NIGHTSHIFT_SOURCE_SILENCE", "8s");
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "clock", &tag())?;
    fault.prepare(&stage)?;
    lab.set_date_ahead(AHEAD)?;
    let played = await_blind(lab, "Clock", true).and_then(|()| {
        fault.inject(&stage)?;
        writes_nothing(&agent, &stage)
    });
    lab.flow()?;
    played?;
    await_blind(lab, "Clock", false)?;
    until("the repair", PATIENCE, || {
        fault.judge(&stage, &stage.writes_inside()?)
    })?;
    let closed = agent.await_incident(&stage.name, &["closed"], PATIENCE)?;
    stage.remove()?;
    ensure!(closed["outcome"] == json!("fixed"), "it ended {closed}");
    Ok(())
}

/// The fault is seen, the record says what is not, and there is time enough for a write.
fn writes_nothing(agent: &Agent<'_>, stage: &Stage<'_>) -> Result<()> {
    let open = ["open", "preparing", "waiting"];
    let seen = agent.await_incident(&stage.name, &open, PATIENCE)?;
    let id = seen["id"].as_str().context("an incident has an id")?;
    until("the record of it", PATIENCE, || {
        let shown = agent.incident(id)?;
        let events = shown["events"].as_array().cloned().unwrap_or_default();
        let mut blind = events.iter().filter(|event| event["kind"] == "blind");
        let found = blind.any(|event| event["text"].to_string().contains("Clock"));
        Ok(found.then_some(()).ok_or_else(|| format!("{events:?}")))
    })?;
    std::thread::sleep(Duration::from_secs(8));
    let writes = stage.writes()?;
    ensure!(writes.is_empty(), "the audit log has {writes:?}");
    Ok(())
}
