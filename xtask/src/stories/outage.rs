//! The API server goes away or falls silent in the middle of a repair.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Story, tag};
use crate::agent::{self, Agent, Settings};
use crate::faults::{FAULTS, PATIENCE, Stage};
use crate::lab::{Lab, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "api_server_away_in_mid_step",
        long: false,
        play: api_server_away,
    },
    Story {
        name: "silent_connections_are_blind_and_close_nothing",
        long: false,
        play: silent,
    },
];

/// Away for 60 s in the middle of a step: no incident is lost, and it is repaired once.
fn api_server_away(lab: &Lab) -> Result<()> {
    let agent = Agent::start(lab, Settings::auto())?;
    let fault = FAULTS
        .iter()
        .find(|f| f.name() == "image_pull")
        .context("image_pull is a fault")?;
    let stage = Stage::new(lab, "outage", &tag())?;
    fault.prepare(&stage)?;
    fault.inject(&stage)?;
    // In the middle of a step: its intent is recorded, and the rollout that it began is under way.
    let any = ["acting", "reading_back", "verifying"];
    agent.await_incident(&stage.name, &any, PATIENCE)?;
    lab.stop_apiserver()?;
    std::thread::sleep(Duration::from_secs(60));
    lab.start_apiserver()?;
    until("the repair after the outage", PATIENCE, || {
        fault.judge(&stage, &stage.writes_inside()?)
    })?;
    agent.await_incident(&stage.name, &["closed"], PATIENCE)?;
    // A controller that found no server may ask again only a minute later (client-go's reflector: after
    // 30 s, and as much again by chance). The next story needs all of them.
    stage.change_container(&json!({ "env": [{ "name": "VERSION", "value": "2" }] }))?;
    until("the controllers", PATIENCE, || stage.is_available())?;
    // Nodes whose kubelet could not report look lost for a while; what was cordoned for it must be
    // schedulable again.
    until("every node to be schedulable", PATIENCE, || {
        let nodes = lab.get("/api/v1/nodes")?;
        let cordoned = |node: &&serde_json::Value| node["spec"]["unschedulable"] == true;
        let left = nodes["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(cordoned)
            .count();
        Ok(if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} are cordoned"))
        })
    })?;
    stage.remove()
}

/// Every connection stays open and says nothing: each source is reported blind, and an incident
/// whose workload was repaired meanwhile is not closed before it is seen again.
fn silent(lab: &Lab) -> Result<()> {
    let agent = Agent::start(
        lab,
        Settings::recommend().with("NIGHTSHIFT_SOURCE_SILENCE", "8s"),
    )?;
    let fault = FAULTS
        .iter()
        .find(|f| f.name() == "image_pull")
        .context("image_pull is a fault")?;
    let stage = Stage::new(lab, "silent", &tag())?;
    fault.prepare(&stage)?;
    fault.inject(&stage)?;
    agent.await_incident(&stage.name, &["waiting"], PATIENCE)?;
    lab.freeze("apiserver")?;
    let blind = until("every source to be blind", PATIENCE, || {
        let metrics = lab.fetch_url(&format!("{}/metrics", agent::URL))?;
        let sources = metrics
            .lines()
            .filter(|l| l.starts_with("nightshift_source_blind{"));
        let seeing: Vec<&str> = sources.clone().filter(|l| l.ends_with(" 0")).collect();
        let none = sources.count() == 0;
        Ok(if none || !seeing.is_empty() {
            Err(format!("{seeing:?}"))
        } else {
            Ok(())
        })
    });
    let phase = agent.await_incident(&stage.name, &["waiting"], Duration::from_secs(1));
    lab.thaw("apiserver")?;
    blind?;
    phase.context("an incident did not survive blindness")?;
    stage.change_container(&serde_json::json!({ "image": "img.test/app:1" }))?;
    agent.await_incident(&stage.name, &["closed"], PATIENCE)?;
    stage.remove()
}
