//! Deployments and their ReplicaSets.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::pods::workload;
use crate::fidelity::room::{Room, condition, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("deployment: a rollout to its end", rollout),
    Check::new("deployment: events and owners", owners),
    Check::new("deployment: a new revision, and back", revisions),
    Check::new("deployment: paused", paused),
    Check::new("deployment: scaled up and down", scaled),
    Check::new("deployment: surge and unavailable are kept", limits),
    Check::new("deployment: Recreate ends the old first", recreate),
    Check::new("deployment: progress deadline", deadline),
    Check::new("deployment: old revisions are forgotten", history),
    Check::new("replicaset: replaces, adopts and lets go", adoption),
];

/// A Deployment that is available; returns it.
fn available(room: &Room, wanted: &Value) -> Result<Value> {
    room.create("deployments", wanted)?;
    rolled_out(room)
}

/// Waits until Deployment `it` has rolled out what it wants now.
fn rolled_out(room: &Room) -> Result<Value> {
    room.see("deployments/it", "rolled out", 90, |it| {
        let (spec, status) = (&it["spec"], &it["status"]);
        status["observedGeneration"] == it["metadata"]["generation"]
            && status["updatedReplicas"] == spec["replicas"]
            && status["replicas"] == spec["replicas"]
            && status["availableReplicas"] == spec["replicas"]
    })
}

/// A patch that sets the image.
fn image(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": image }] } } } })
}

/// The ReplicaSets with replicas.
fn active(room: &Room) -> Result<Vec<Value>> {
    let list = room.get("replicasets")?;
    let items = list["items"].as_array().context("no items")?;
    Ok(items
        .iter()
        .filter(|set| set["spec"]["replicas"] != 0)
        .cloned()
        .collect())
}

fn rollout(room: &Room) -> Result<()> {
    let found = available(room, &workload("it", 2))?;
    same!(
        found["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    same!(found["status"]["readyReplicas"], 2);
    same!(found["status"].get("unavailableReplicas"), None);
    let ready = condition(&found, "Available");
    same!(ready["status"], "True");
    same!(ready["reason"], "MinimumReplicasAvailable");
    same!(ready["message"], "Deployment has minimum availability.");
    let found = room.see("deployments/it", "complete", 10, |it| {
        condition(it, "Progressing")["reason"] == "NewReplicaSetAvailable"
    })?;
    let set = text(&active(room)?[0]["metadata"]["name"]);
    let message = format!("ReplicaSet \"{set}\" has successfully progressed.");
    same!(condition(&found, "Progressing")["message"], message);
    same!(condition(&found, "Progressing")["status"], "True");
    Ok(())
}

fn owners(room: &Room) -> Result<()> {
    let found = available(room, &workload("it", 1))?;
    let set = active(room)?.swap_remove(0);
    let name = text(&set["metadata"]["name"]);
    let hash = text(&set["metadata"]["labels"]["pod-template-hash"]);
    same!(name, format!("it-{hash}"));
    same!(
        set["spec"]["selector"]["matchLabels"],
        json!({ "app": "it", "pod-template-hash": hash })
    );
    let owner = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "it", "uid": found["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }]);
    same!(set["metadata"]["ownerReferences"], owner);
    same!(
        set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"],
        "1"
    );
    same!(
        set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"],
        "2"
    );
    let pod = room.get("pods")?["items"][0].take();
    same!(pod["metadata"]["generateName"], format!("{name}-"));
    same!(pod["metadata"]["labels"]["pod-template-hash"], hash);
    same!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
    let event = room.event("Deployment", "it", "ScalingReplicaSet", 10)?;
    same!(
        event["message"],
        format!("Scaled up replica set {name} from 0 to 1")
    );
    same!(event["source"]["component"], "deployment-controller");
    same!(event["type"], "Normal");
    let event = room.event("ReplicaSet", &name, "SuccessfulCreate", 10)?;
    same!(
        event["message"],
        format!("Created pod: {}", text(&pod["metadata"]["name"]))
    );
    same!(event["source"]["component"], "replicaset-controller");
    Ok(())
}

fn revisions(room: &Room) -> Result<()> {
    available(room, &workload("it", 1))?;
    let first = text(&active(room)?[0]["metadata"]["name"]);
    room.strategic("deployments/it", &image("img.test/app:2"))?;
    let second = rolled_out(room)?;
    same!(
        second["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    let now = text(&active(room)?[0]["metadata"]["name"]);
    ensure!(now != first, "the same ReplicaSet");
    room.strategic("deployments/it", &image("img.test/app:1"))?;
    let third = rolled_out(room)?;
    same!(
        third["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
    let set = active(room)?.swap_remove(0);
    // The old one is used again, and remembers what it was.
    same!(set["metadata"]["name"], first.as_str());
    same!(
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
    same!(
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"],
        "1"
    );
    same!(room.names("replicasets")?.len(), 2);
    Ok(())
}

fn paused(room: &Room) -> Result<()> {
    available(room, &workload("it", 1))?;
    room.merge("deployments/it", &json!({ "spec": { "paused": true } }))?;
    let found = room.see("deployments/it", "paused", 10, |it| {
        condition(it, "Progressing")["reason"] == "DeploymentPaused"
    })?;
    same!(condition(&found, "Progressing")["status"], "Unknown");
    same!(
        condition(&found, "Progressing")["message"],
        "Deployment is paused"
    );
    let changed = room.strategic("deployments/it", &image("img.test/app:2"))?;
    room.see("deployments/it", "seen", 10, |it| {
        it["status"]["observedGeneration"] == changed["metadata"]["generation"]
    })?;
    same!(room.names("replicasets")?.len(), 1);
    room.merge("deployments/it", &json!({ "spec": { "paused": false } }))?;
    rolled_out(room)?;
    same!(room.names("replicasets")?.len(), 2);
    Ok(())
}

fn scaled(room: &Room) -> Result<()> {
    available(room, &workload("it", 1))?;
    room.merge(
        "deployments/it/scale",
        &json!({ "spec": { "replicas": 3 } }),
    )?;
    rolled_out(room)?;
    same!(active(room)?[0]["spec"]["replicas"], 3);
    room.merge("deployments/it", &json!({ "spec": { "replicas": 1 } }))?;
    rolled_out(room)?;
    room.wait("one pod", 40, |room| Ok(room.names("pods")?.len() == 1))?;
    let name = text(&active(room)?[0]["metadata"]["name"]);
    let events = room.events("Deployment", "it")?;
    let said: Vec<_> = events.iter().map(|event| text(&event["message"])).collect();
    for change in [
        "up replica set NAME from 1 to 3",
        "down replica set NAME from 3 to 1",
    ] {
        let wanted = format!("Scaled {}", change.replace("NAME", &name));
        ensure!(said.contains(&wanted), "no {wanted}: {said:?}");
    }
    Ok(())
}

/// Watches the statuses of Deployment `it` until it has settled on a generation.
fn statuses(room: &Room, generation: &Value) -> Result<Vec<Value>> {
    let mut watch = room.watch("deployments?fieldSelector=metadata.name%3Dit")?;
    let mut seen = Vec::new();
    loop {
        let mut event = watch.next(Duration::from_secs(60))?;
        let it = event["object"].take();
        let (status, wanted) = (&it["status"], &it["spec"]["replicas"]);
        let done = status["observedGeneration"] == *generation
            && status["updatedReplicas"] == *wanted
            && status["replicas"] == *wanted
            && status["availableReplicas"] == *wanted;
        seen.push(it["status"].clone());
        if done {
            return Ok(seen);
        }
    }
}

fn limits(room: &Room) -> Result<()> {
    for (surge, unavailable, most, least) in [(1, 0, 4, 3), (0, 1, 3, 2)] {
        let name = "it";
        let mut wanted = workload(name, 3);
        wanted["spec"]["strategy"] = json!({
            "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable },
        });
        available(room, &wanted)?;
        let changed = room.strategic("deployments/it", &image("img.test/app:2"))?;
        for status in statuses(room, &changed["metadata"]["generation"])? {
            let number = |field: &str| status[field].as_i64().unwrap_or(0);
            ensure!(number("replicas") <= most, "more than {most}: {status}");
            ensure!(
                number("availableReplicas") >= least,
                "less than {least}: {status}"
            );
        }
        room.delete_with(
            "deployments/it",
            &json!({ "propagationPolicy": "Foreground" }),
        )?
        .is(200)?;
        room.gone("deployments/it", 60)?;
    }
    Ok(())
}

fn recreate(room: &Room) -> Result<()> {
    let mut wanted = workload("it", 2);
    wanted["spec"]["strategy"] = json!({ "type": "Recreate" });
    available(room, &wanted)?;
    let mut watch = room.watch("pods?resourceVersion=0")?;
    let old = text(&active(room)?[0]["metadata"]["labels"]["pod-template-hash"]);
    room.strategic("deployments/it", &image("img.test/app:2"))?;
    let mut there = std::collections::BTreeSet::new();
    loop {
        let event = watch.next(Duration::from_secs(60))?;
        let metadata = &event["object"]["metadata"];
        let is_old = metadata["labels"]["pod-template-hash"] == old.as_str();
        // One that has ended may still be there.
        let ended = event["object"]["status"]["phase"] == "Succeeded";
        match text(&event["type"]).as_str() {
            _ if is_old && ended => drop(there.remove(&text(&metadata["name"]))),
            "DELETED" => drop(there.remove(&text(&metadata["name"]))),
            _ if is_old => drop(there.insert(text(&metadata["name"]))),
            _ => {
                ensure!(there.is_empty(), "a new pod while {there:?} are there");
                break;
            }
        }
    }
    rolled_out(room).map(drop)
}

fn deadline(room: &Room) -> Result<()> {
    let mut wanted = workload("it", 1);
    wanted["spec"]["progressDeadlineSeconds"] = json!(5);
    wanted["spec"]["template"]["spec"]["nodeSelector"] = json!({ "no": "node" });
    room.create("deployments", &wanted)?;
    let found = room.see("deployments/it", "late", 40, |it| {
        condition(it, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    })?;
    let late = condition(&found, "Progressing");
    same!(late["status"], "False");
    let set = text(&active(room)?[0]["metadata"]["name"]);
    same!(
        late["message"],
        format!("ReplicaSet \"{set}\" has timed out progressing.")
    );
    let missing = condition(&found, "Available");
    same!(missing["reason"], "MinimumReplicasUnavailable");
    same!(
        missing["message"],
        "Deployment does not have minimum availability."
    );
    same!(found["status"]["unavailableReplicas"], 1);
    Ok(())
}

fn history(room: &Room) -> Result<()> {
    let mut wanted = workload("it", 0);
    wanted["spec"]["revisionHistoryLimit"] = json!(1);
    room.create("deployments", &wanted)?;
    for tag in ["2", "3", "4"] {
        let changed = room.strategic("deployments/it", &image(&format!("img.test/app:{tag}")))?;
        room.see("deployments/it", "seen", 20, |it| {
            it["status"]["observedGeneration"] == changed["metadata"]["generation"]
        })?;
    }
    room.wait("two ReplicaSets", 20, |room| {
        Ok(room.names("replicasets")?.len() == 2)
    })
}

fn adoption(room: &Room) -> Result<()> {
    let mut set = workload("it", 2);
    set["apiVersion"] = json!("apps/v1");
    let stray = json!({
        "metadata": { "name": "stray", "labels": { "app": "it" } }, "spec": set["spec"]["template"]["spec"],
    });
    room.create("pods", &stray)?;
    room.create("replicasets", &set)?;
    room.see("pods/stray", "adopted", 20, |it| {
        it["metadata"]["ownerReferences"][0]["name"] == "it"
    })?;
    room.see("replicasets/it", "two pods", 60, |it| {
        it["status"]["readyReplicas"] == 2
    })?;
    same!(room.names("pods")?.len(), 2);
    // Another label: it is let go and replaced.
    room.merge(
        "pods/stray",
        &json!({ "metadata": { "labels": { "app": "own" } } }),
    )?;
    room.see("pods/stray", "let go", 20, |it| {
        it["metadata"].get("ownerReferences").is_none()
    })?;
    room.wait("three pods", 20, |room| Ok(room.names("pods")?.len() == 3))?;
    // One that is deleted is replaced.
    let owned = room.names("pods?labelSelector=app%3Dit")?.swap_remove(0);
    room.delete(&format!("pods/{owned}"))?.is(200)?;
    room.gone(&format!("pods/{owned}"), 40)?;
    room.see("replicasets/it", "two pods", 60, |it| {
        it["status"]["readyReplicas"] == 2
    })?;
    Ok(())
}
