//! Deployments and their ReplicaSets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::client::Stream;
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
    room.see("deployments/it", "rolled out", |it| {
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
    let found = room.see("deployments/it", "complete", |it| {
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
    let event = room.event("Deployment", "it", "ScalingReplicaSet")?;
    same!(
        event["message"],
        format!("Scaled up replica set {name} from 0 to 1")
    );
    same!(event["source"]["component"], "deployment-controller");
    same!(event["type"], "Normal");
    let event = room.event("ReplicaSet", &name, "SuccessfulCreate")?;
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
    let found = room.see("deployments/it", "paused", |it| {
        condition(it, "Progressing")["reason"] == "DeploymentPaused"
    })?;
    same!(condition(&found, "Progressing")["status"], "Unknown");
    same!(
        condition(&found, "Progressing")["message"],
        "Deployment is paused"
    );
    let changed = room.strategic("deployments/it", &image("img.test/app:2"))?;
    room.see("deployments/it", "seen", |it| {
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
    room.wait("one pod", |room| Ok(room.names("pods")?.len() == 1))?;
    let name = text(&active(room)?[0]["metadata"]["name"]);
    for change in [
        "up replica set NAME from 1 to 3",
        "down replica set NAME from 3 to 1",
    ] {
        let wanted = format!("Scaled {}", change.replace("NAME", &name));
        room.wait(&wanted, |room| {
            let events = room.events("Deployment", "it")?;
            Ok(events.iter().any(|event| event["message"] == wanted))
        })?;
    }
    Ok(())
}

/// Follows what a watch says of a kind's objects, by name, from a list on, until `done`; `holds` is
/// asked after each change.
fn follow(
    watch: &mut Stream,
    list: &Value,
    mut holds: impl FnMut(&BTreeMap<String, Value>) -> Result<()>,
    done: impl Fn(&BTreeMap<String, Value>) -> bool,
) -> Result<()> {
    let name = |object: &Value| text(&object["metadata"]["name"]);
    let items = list["items"].as_array().into_iter().flatten().cloned();
    let mut there: BTreeMap<String, Value> = items.map(|item| (name(&item), item)).collect();
    while !done(&there) {
        let mut event = watch.next()?;
        let object = event["object"].take();
        if event["type"] == "DELETED" {
            there.remove(&name(&object));
        } else {
            there.insert(name(&object), object);
        }
        holds(&there)?;
    }
    Ok(())
}

/// Is it ready, and not about to end?
fn ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True" && stays(pod)
}

fn stays(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_none()
}

/// How many pods have been ready and stay. A kubelet may take back for a moment that a pod that has
/// just started is ready, when the controller has already gone by it.
fn serving(pods: &BTreeMap<String, Value>, were_ready: &mut BTreeSet<String>) -> usize {
    let now = pods.iter().filter(|(_, pod)| ready(pod));
    were_ready.extend(now.map(|(name, _)| name.clone()));
    let all = pods.iter();
    all.filter(|(name, pod)| stays(pod) && were_ready.contains(*name))
        .count()
}

/// What the Deployment controller keeps (`rolling.go`): the ReplicaSets together never want more
/// than the surge allows, and never fewer pods are ready than may be unavailable. Pods may be more
/// for a moment: a new one can be made before an old one is told to go, and what
/// `status.replicas` says is added up from ReplicaSets that were seen at different times.
fn limits(room: &Room) -> Result<()> {
    for (surge, unavailable, most, least) in [(1, 0, 4, 3), (0, 1, 3, 2)] {
        let mut wanted = workload("it", 3);
        wanted["spec"]["strategy"] = json!({
            "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable },
        });
        available(room, &wanted)?;
        let (pods, sets) = (room.get("pods")?, room.get("replicasets")?);
        let watch = |kind: &str, list: &Value| {
            let from = text(&list["metadata"]["resourceVersion"]);
            room.watch(&format!("{kind}?resourceVersion={from}"))
        };
        let (mut of_pods, mut of_sets) = (watch("pods", &pods)?, watch("replicasets", &sets)?);
        room.strategic("deployments/it", &image("img.test/app:2"))?;
        let mut were_ready = BTreeSet::new();
        let is_new = |pod: &Value| pod["spec"]["containers"][0]["image"] == "img.test/app:2";
        follow(
            &mut of_pods,
            &pods,
            |pods| {
                let found = serving(pods, &mut were_ready);
                ensure!(found >= least, "{found} pods are ready, fewer than {least}");
                Ok(())
            },
            |pods| {
                pods.values()
                    .filter(|pod| ready(pod) && is_new(pod))
                    .count()
                    == 3
            },
        )?;
        let replicas = |set: &Value| set["spec"]["replicas"].as_u64().unwrap_or(0);
        follow(
            &mut of_sets,
            &sets,
            |sets| {
                let found: u64 = sets.values().map(replicas).sum();
                ensure!(
                    found <= most,
                    "{found} replicas are wanted, more than {most}"
                );
                Ok(())
            },
            |sets| {
                let old = sets.values().find(|set| !is_new(&set["spec"]["template"]));
                sets.len() == 2 && old.is_some_and(|set| replicas(set) == 0)
            },
        )?;
        rolled_out(room)?;
        room.delete_with(
            "deployments/it",
            &json!({ "propagationPolicy": "Foreground" }),
        )?
        .is(200)?;
        room.gone("deployments/it")?;
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
    let mut there = BTreeSet::new();
    loop {
        let event = watch.next()?;
        let metadata = &event["object"]["metadata"];
        let is_old = metadata["labels"]["pod-template-hash"] == old.as_str();
        // One that has ended may still be there.
        let phase = text(&event["object"]["status"]["phase"]);
        let ended = ["Succeeded", "Failed"].contains(&phase.as_str());
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
    let found = room.see("deployments/it", "late", |it| {
        condition(it, "Progressing")["reason"] == "ProgressDeadlineExceeded"
            && it["status"]["unavailableReplicas"] == 1
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
    Ok(())
}

fn history(room: &Room) -> Result<()> {
    let mut wanted = workload("it", 0);
    wanted["spec"]["revisionHistoryLimit"] = json!(1);
    room.create("deployments", &wanted)?;
    for tag in ["2", "3", "4"] {
        let changed = room.strategic("deployments/it", &image(&format!("img.test/app:{tag}")))?;
        room.see("deployments/it", "seen", |it| {
            it["status"]["observedGeneration"] == changed["metadata"]["generation"]
        })?;
    }
    room.wait("two ReplicaSets", |room| {
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
    // A controller hears of pods and of ReplicaSets apart: it would replace a stray that it does not
    // know yet. All controllers share what they have heard of pods, and a budget shows that.
    let budget = json!({ "metadata": { "name": "it" }, "spec": {
        "minAvailable": 1, "selector": { "matchLabels": { "app": "it" } },
    } });
    room.create("poddisruptionbudgets", &budget)?;
    room.see("poddisruptionbudgets/it", "the stray is known", |it| {
        it["status"]["currentHealthy"] == 1
    })?;
    room.create("replicasets", &set)?;
    room.see("pods/stray", "adopted", |it| {
        it["metadata"]["ownerReferences"][0]["name"] == "it"
    })?;
    room.see("replicasets/it", "two pods", |it| {
        it["status"]["readyReplicas"] == 2
    })?;
    same!(room.names("pods")?.len(), 2);
    // Another label: it is let go and replaced.
    room.merge(
        "pods/stray",
        &json!({ "metadata": { "labels": { "app": "own" } } }),
    )?;
    room.see("pods/stray", "let go", |it| {
        it["metadata"].get("ownerReferences").is_none()
    })?;
    room.wait("three pods", |room| Ok(room.names("pods")?.len() == 3))?;
    // One that is deleted is replaced.
    let owned = room.names("pods?labelSelector=app%3Dit")?.swap_remove(0);
    room.delete(&format!("pods/{owned}"))?.is(200)?;
    room.gone(&format!("pods/{owned}"))?;
    room.wait("two others", |room| {
        let names = room.names("pods?labelSelector=app%3Dit")?;
        Ok(names.len() == 2 && !names.contains(&owned))
    })
}
