//! The agent was away for so long that its watches cannot go on where they stopped (410): it lists
//! anew, and nothing that happened meanwhile is lost.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::silence::await_blind;
use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::audit;
use crate::faults::{PATIENCE, Stage};
use crate::lab::{Identity, Lab, until};

pub static STORIES: &[Story] = &[Story {
    name: "a_version_that_is_too_old_is_listed_anew",
    long: false,
    play: too_old,
}];

/// Three workloads: one is broken all the time, one is broken and then deleted while nobody looks,
/// one is broken while nobody looks.
fn too_old(lab: &Lab) -> Result<()> {
    let proxied = lab.start_proxy(Identity::Agent)?;
    let settings = Settings::recommend().with("KUBECONFIG", &proxied.display().to_string());
    let tag = tag();
    let mut stage = Stage::new(lab, "gap", &tag)?;
    let names = ["stays", "goes", "comes"].map(|name| format!("{name}-{tag}"));
    for name in &names {
        stage.name.clone_from(name);
        stage.roll_out(&stage.deployment(&["serve"], ""))?;
    }
    let agent = Agent::start(lab, settings)?;
    let played = play(&agent, &mut stage, &names);
    // However it went, the next story finds both servers.
    lab.start_proxy(Identity::Agent)?;
    stage.remove()?;
    played
}

fn play(agent: &Agent<'_>, stage: &mut Stage<'_>, names: &[String; 3]) -> Result<()> {
    let [stays, goes, comes] = names;
    let mut before = Vec::new();
    break_it(stage, stays)?;
    break_it(stage, goes)?;
    for name in [stays, goes] {
        before.push(agent.await_incident(name, &["waiting"], PATIENCE)?);
    }
    stage.lab.stop_proxy()?;
    await_blind(stage.lab, "Pods", true)?;
    let mark = audit::mark(&stage.lab.audit_log())?;
    meanwhile(stage, goes, comes)?;
    stage.lab.start_proxy(Identity::Agent)?;

    let found = agent.await_incident(comes, &["waiting"], PATIENCE)?;
    ensure!(
        found["fingerprint"]["class"] == json!("ImagePullFailure"),
        "it is taken for something else: {found}"
    );
    let gone = agent.await_incident(goes, &["closed"], PATIENCE)?;
    ensure!(gone["outcome"] == json!("gone"), "it ended: {gone}");
    await_blind(stage.lab, "Pods", false)?;
    let incidents = agent.incidents()?;
    let on_it: Vec<&Value> = incidents
        .iter()
        .filter(|incident| incident["owner"]["name"] == stays.as_str())
        .collect();
    let same = on_it.len() == 1 && on_it[0]["id"] == before[0]["id"];
    ensure!(
        same && on_it[0]["phase"] == json!("waiting"),
        "what stayed broken is now {on_it:?}"
    );
    let (user, _) = Identity::Agent.user_and_group();
    let lists = audit::lists_of(user, "pods", &stage.lab.audit_log(), mark)?;
    ensure!(lists > 0, "the audit log has no new list of pods");
    let writes = stage.writes()?;
    ensure!(writes.is_empty(), "the audit log has {writes:?}");
    Ok(())
}

fn break_it(stage: &mut Stage<'_>, name: &str) -> Result<()> {
    name.clone_into(&mut stage.name);
    stage.change_container(&json!({ "image": "img.test/app:nowhere" }))
}

/// What the agent cannot hear, and then an API server that no longer keeps the changes: its watch
/// caches begin where it is started.
fn meanwhile(stage: &mut Stage<'_>, goes: &str, comes: &str) -> Result<()> {
    let lab = stage.lab;
    let list = lab.get("/api/v1/pods?limit=1")?;
    let version = list["metadata"]["resourceVersion"].as_str();
    let version = version.context("a list has a version")?.to_owned();
    let target = format!("deployment/{goes}");
    let namespace = stage.namespace.clone();
    lab.kubectl(&["-n", &namespace, "delete", &target, "--wait=true"])?;
    break_it(stage, comes)?;
    stage.await_pull_failure()?;
    lab.stop_apiserver()?;
    lab.start_apiserver()?;
    let watch = format!("/api/v1/pods?watch=true&timeoutSeconds=1&resourceVersion={version}");
    // A server that is ready may still be filling its watch caches.
    until("the version from before to be too old", PATIENCE, || {
        let answer = lab
            .get_text(&watch)
            .unwrap_or_else(|error| format!("{error:#}"));
        let old = answer.contains("too old resource version");
        Ok(old.then_some(()).ok_or(answer))
    })
}
