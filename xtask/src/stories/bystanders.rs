//! Things that look like faults and are none, or are nobody's to repair: the agent keeps off.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::ordered::Ordered;
use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::faults::{PATIENCE, Stage};
use crate::lab::{Lab, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "healthy_rolling_update_opens_nothing",
        long: false,
        play: |lab| in_both_modes(lab, healthy_update),
    },
    Story {
        name: "paused_rollout_is_left_alone",
        long: false,
        play: |lab| in_both_modes(lab, paused_rollout),
    },
    Story {
        name: "bare_pod_is_never_deleted",
        long: false,
        play: |lab| in_both_modes(lab, bare_pod),
    },
    Story {
        name: "pod_under_two_disruption_budgets_asks",
        long: false,
        play: |lab| in_both_modes(lab, two_budgets),
    },
    Story {
        name: "workload_of_a_custom_resource_asks",
        long: false,
        play: |lab| in_both_modes(lab, custom_owner),
    },
];

/// In `auto`, and in `recommend` with an account that could write.
fn in_both_modes(lab: &Lab, play: fn(&Lab, Settings) -> Result<()>) -> Result<()> {
    play(lab, Settings::auto())?;
    play(lab, Settings::recommend()).context("in recommend")
}

/// Two updates of a healthy Deployment, and nothing is opened and nothing written.
fn healthy_update(lab: &Lab, settings: Settings) -> Result<()> {
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "healthy", &tag())?;
    stage.roll_out(&stage.deployment(&["serve"], ""))?;
    for value in ["2", "3"] {
        stage.change_container(&json!({ "env": [{ "name": "VERSION", "value": value }] }))?;
        until("the update", PATIENCE, || stage.is_available())?;
    }
    let opened = agent.incidents()?;
    let writes = stage.writes()?;
    stage.remove()?;
    let of: Vec<_> = opened
        .iter()
        .filter(|i| i["owner"]["namespace"] == stage.namespace.as_str())
        .collect();
    ensure!(of.is_empty(), "a healthy update opened {of:?}");
    ensure!(
        writes.is_empty(),
        "a healthy update made it write {writes:?}"
    );
    Ok(())
}

/// Paused with a broken revision half rolled out: an operator is at it.
fn paused_rollout(lab: &Lab, settings: Settings) -> Result<()> {
    let stage = Stage::new(lab, "paused", &tag())?;
    stage.roll_out(&stage.deployment(&["serve"], ""))?;
    stage.change_container(&json!({ "image": "img.test/app:nowhere" }))?;
    // A controller that hears of the pause first rolls out nothing, and an agent that hears of it last
    // goes back.
    stage.await_pull_failure()?;
    let target = format!("deployment/{}", stage.name);
    lab.kubectl(&["-n", &stage.namespace, "rollout", "pause", &target])?;
    let agent = Agent::start(lab, settings)?;
    keeps_off(&agent, &stage, &stage.name)
}

fn bare_pod(lab: &Lab, settings: Settings) -> Result<()> {
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "bare", &tag())?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": stage.name, "namespace": stage.namespace },
        "spec": { "containers": [{
            "name": "app", "image": "img.test/app:1", "command": ["/app", "exit", "-code", "1"],
        }]},
    });
    lab.apply(&pod.to_string())?;
    keeps_off(&agent, &stage, &stage.name)
}

/// An ordered StatefulSet is rolled back, and its stuck pod would have to be deleted; two budgets
/// speak of that pod, so a person decides that second step.
fn two_budgets(lab: &Lab, settings: Settings) -> Result<()> {
    let most = usize::from(settings.mode == "auto");
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "budgets", &tag())?;
    let (namespace, name) = (&stage.namespace, &stage.name);
    let set = Ordered::roll_out(&stage, 2)?;
    for budget in ["one", "two"] {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": budget, "namespace": namespace },
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": name } } },
        });
        lab.apply(&budget.to_string())?;
    }
    set.break_image()?;
    let waiting = agent.await_incident(name, &["waiting"], PATIENCE);
    std::thread::sleep(Duration::from_secs(3));
    let writes = stage.writes()?;
    stage.remove()?;
    waiting?;
    let deleted = writes.iter().any(|w| w.resource.starts_with("pods"));
    ensure!(!deleted, "it went past two budgets: {writes:?}");
    ensure!(writes.len() <= most, "more than the roll back: {writes:?}");
    Ok(())
}

/// A Deployment that an operator's custom resource owns: what we change there is changed back.
fn custom_owner(lab: &Lab, settings: Settings) -> Result<()> {
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "custom", &tag())?;
    let group = "stories.nightshift.test";
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("shops.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "kind": "Shop", "plural": "shops", "singular": "shop" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
            }}],
        },
    });
    lab.apply(&definition.to_string())?;
    lab.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        &format!("crd/shops.{group}"),
    ])?;
    let shop = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Shop",
        "metadata": { "name": "shop", "namespace": stage.namespace },
    });
    until("the new kind to be served", PATIENCE, || {
        Ok(lab
            .apply(&shop.to_string())
            .map(drop)
            .map_err(|error| format!("{error:#}")))
    })?;
    let path = format!("/apis/{group}/v1/namespaces/{}/shops/shop", stage.namespace);
    let uid = lab.get(&path)?["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let manifest = stage.deployment(&["serve"], "");
    let manifest = manifest.replacen(
        "metadata: {name:",
        "metadata: {ownerReferences: [OWNER], name:",
        1,
    );
    let owner =
        format!("{{apiVersion: {group}/v1, kind: Shop, name: shop, uid: {uid}, controller: true}}");
    stage.roll_out(&manifest.replacen("OWNER", &owner, 1))?;
    stage.change_container(&json!({ "image": "img.test/app:nowhere" }))?;
    keeps_off(&agent, &stage, "shop")
}

/// A person gets it, and nothing is written then or later.
fn keeps_off(agent: &Agent<'_>, stage: &Stage<'_>, object: &str) -> Result<()> {
    let waiting = agent.await_incident(object, &["waiting"], PATIENCE);
    std::thread::sleep(Duration::from_secs(3));
    let writes = stage.writes()?;
    stage.remove()?;
    waiting?;
    ensure!(writes.is_empty(), "the audit log has {writes:?}");
    Ok(())
}
