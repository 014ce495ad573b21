//! A real Alertmanager delivers the alert.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Story, tag};
use crate::agent::{Agent, Settings, URL};
use crate::faults::{FAULTS, PATIENCE, Stage};
use crate::lab::{Lab, until};

pub static STORIES: &[Story] = &[Story {
    name: "alert_and_watch_of_the_same_workload_end_in_one_incident",
    long: false,
    play: alert_and_watch_join,
}];

fn alert_and_watch_join(lab: &Lab) -> Result<()> {
    let agent = Agent::start(lab, Settings::recommend())?;
    lab.start_alertmanager(&format!("{URL}/alertmanager"), None)?;
    let played = deliver(lab, &agent);
    lab.stop_alertmanager()?;
    played
}

fn deliver(lab: &Lab, agent: &Agent<'_>) -> Result<()> {
    let fault = FAULTS
        .iter()
        .find(|f| f.name() == "image_pull")
        .context("image_pull is a fault")?;
    let stage = Stage::new(lab, "alert", &tag())?;
    fault.prepare(&stage)?;
    fault.inject(&stage)?;
    let pod = stage.await_pull_failure()?;
    let labels = json!({
        "alertname": "KubePodNotReady", "namespace": stage.namespace, "pod": pod,
        "severity": "warning",
    });
    let alert = json!([{ "labels": labels, "annotations": { "summary": "a pod is not ready" } }]);
    lab.send_alerts(&alert)?;
    let waiting = agent.await_incident(&stage.name, &["waiting"], PATIENCE)?;
    let id = waiting["id"]
        .as_str()
        .context("an incident has an id")?
        .to_owned();
    until("the alert to be on the incident's record", PATIENCE, || {
        let shown = agent.incident(&id)?;
        let events = shown["events"].as_array().cloned().unwrap_or_default();
        let heard = events.iter().any(|e| {
            ["webhook_received", "merged"].contains(&e["kind"].as_str().unwrap_or_default())
        });
        Ok(if heard {
            Ok(())
        } else {
            Err(format!("{} events", events.len()))
        })
    })?;
    let open = agent.incidents()?;
    let on_it = open
        .iter()
        .filter(|i| i["phase"] != "closed" && i["owner"]["namespace"] == stage.namespace.as_str());
    let count = on_it.count();
    stage.remove()?;
    ensure!(count == 1, "{count} open incidents on one workload");
    Ok(())
}
