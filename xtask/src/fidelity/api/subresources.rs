//! Dry run, status, scale, binding, eviction.

use anyhow::Result;
use serde_json::{Value, json};

use super::{config_map, idle_deployment, idle_pod, version};
use crate::fidelity::Check;
use crate::fidelity::room::{MERGE_PATCH, Room, condition, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("dry run: answers and stores nothing", dry_run),
    Check::new(
        "status: spec is left alone, and the other way round",
        status,
    ),
    Check::new("scale: get, put, patch, conflict", scale),
    Check::new("binding: once", binding),
    Check::new("eviction: of a pod without a budget", eviction),
    Check::new("eviction: 429 by a budget", eviction_refused),
    Check::new("eviction: two budgets", two_budgets),
    Check::new("eviction: refusals", eviction_refusals),
];

fn dry_run(room: &Room) -> Result<()> {
    let made = room
        .post("configmaps?dryRun=All", &config_map("it"))?
        .is(201)?;
    same!(super::super::room::text(&made["metadata"]["uid"]).len(), 36);
    same!(room.read("configmaps/it")?.code, 404);
    let made = room.create("configmaps", &config_map("it"))?;
    let patch = json!({ "data": { "a": "2" } });
    let found = room
        .patch(MERGE_PATCH, "configmaps/it?dryRun=All", &patch)?
        .is(200)?;
    same!(found["data"]["a"], "2");
    same!(version(&found), version(&made));
    room.delete("configmaps/it?dryRun=All")?.is(200)?;
    same!(room.get("configmaps/it")?, made);
    let twice = room.post("configmaps?dryRun=All", &config_map("it"))?;
    twice.status(409, "AlreadyExists")?;
    let message = "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: \
        supported values: \"All\"";
    room.delete("configmaps/it?dryRun=Some")?
        .refused(422, "Invalid", message)?;
    Ok(())
}

fn status(room: &Room) -> Result<()> {
    room.create("pods", &idle_pod("it"))?;
    let change = json!({
        "metadata": { "labels": { "new": "1" } },
        "spec": { "containers": [{ "name": "main", "image": "other" }] },
        "status": { "reason": "Mine", "conditions": [{ "type": "Mine", "status": "True" }] },
    });
    let found = room.strategic("pods/it/status", &change)?;
    same!(found["status"]["reason"], "Mine");
    same!(condition(&found, "Mine")["status"], "True");
    same!(found["spec"]["containers"][0]["image"], "img.test/app:1");
    let found = room.strategic("pods/it", &json!({ "status": { "reason": "Other" } }))?;
    same!(found["status"]["reason"], "Mine");
    let mut written = found;
    written["status"] = json!({ "phase": "Failed" });
    let found = room.put("pods/it", &written)?.is(200)?;
    same!(found["status"]["phase"], "Pending");
    same!(room.get("pods/it/status")?["status"]["reason"], "Mine");
    Ok(())
}

fn scale(room: &Room) -> Result<()> {
    let mut wanted = idle_deployment("it");
    wanted["spec"]["paused"] = json!(true);
    room.create("deployments", &wanted)?;
    let path = "deployments/it/scale";
    let mut found = room.see(path, "observed", |it| it["status"]["selector"] == "app=it")?;
    same!(found["kind"], "Scale");
    same!(found["apiVersion"], "autoscaling/v1");
    same!(found["spec"], json!({}));
    same!(
        found["status"],
        json!({ "replicas": 0, "selector": "app=it" })
    );
    found["spec"]["replicas"] = json!(2);
    found["metadata"]["resourceVersion"] = json!("1");
    let message = "Operation cannot be fulfilled on deployments.apps \"it\": the object has been modified; \
        please apply your changes to the latest version and try again";
    room.put(path, &found)?.refused(409, "Conflict", message)?;
    found["metadata"] = json!({ "name": "it", "namespace": room.namespace });
    same!(room.put(path, &found)?.is(200)?["spec"]["replicas"], 2);
    let deployment = room.get("deployments/it")?;
    same!(deployment["spec"]["replicas"], 2);
    same!(
        room.merge(path, &json!({ "spec": { "replicas": 0 } }))?["spec"],
        json!({})
    );
    Ok(())
}

fn binding(room: &Room) -> Result<()> {
    room.create("pods", &idle_pod("it"))?;
    let nodes = room.names("/api/v1/nodes")?;
    let to = |node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "it" },
            "target": { "kind": "Node", "name": node },
        })
    };
    let bound = room.create("pods/it/binding", &to(&nodes[0]))?;
    same!(bound["status"], "Success");
    let pod = room.get("pods/it")?;
    same!(pod["spec"]["nodeName"], nodes[0].as_str());
    same!(condition(&pod, "PodScheduled")["status"], "True");
    let message = format!(
        "Operation cannot be fulfilled on pods/binding \"it\": pod it is already assigned to node \"{}\"",
        nodes[0]
    );
    room.post("pods/it/binding", &to(&nodes[1]))?
        .refused(409, "Conflict", &message)?;
    Ok(())
}

/// What `kubectl drain` sends.
fn evict(name: &str) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } })
}

/// A budget over pods of this name.
fn budget(name: &str, app: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": app } } },
    })
}

fn eviction(room: &Room) -> Result<()> {
    room.create("pods", &idle_pod("it"))?;
    let rehearsed = room
        .post("pods/it/eviction?dryRun=All", &evict("it"))?
        .is(201)?;
    same!(rehearsed["status"], "Success");
    room.get("pods/it")?;
    let status = room.create("pods/it/eviction", &evict("it"))?;
    same!(status["kind"], "Status");
    same!(status["status"], "Success");
    same!(status["code"], 201);
    // Never scheduled: gone at once.
    room.gone("pods/it")
}

/// A pod that runs, covered by budgets, the last of which has been counted.
fn covered(room: &Room, budgets: &[&str]) -> Result<()> {
    room.create(
        "pods",
        &crate::fidelity::pods::pod("it", &crate::fidelity::pods::Does::Serve),
    )?;
    // A pod that two budgets cover is counted by one of them only when it changes: it is ready first.
    room.see("pods/it", "ready", |it| {
        condition(it, "Ready")["status"] == "True"
    })?;
    // One after the other: when the first has counted the pod, its controller knows that it is ready.
    for name in budgets {
        room.create("poddisruptionbudgets", &budget(name, "it"))?;
        let path = format!("poddisruptionbudgets/{name}");
        room.see(&path, "counted", |it| it["status"]["currentHealthy"] == 1)?;
    }
    Ok(())
}

fn eviction_refused(room: &Room) -> Result<()> {
    covered(room, &["guard"])?;
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let status =
        room.post("pods/it/eviction", &evict("it"))?
            .refused(429, "TooManyRequests", message)?;
    let cause = json!({
        "reason": "DisruptionBudget",
        "message": "The disruption budget guard needs 1 healthy pods and has 1 currently",
    });
    same!(status["details"]["causes"], json!([cause]));
    same!(
        room.get("pods/it")?["metadata"].get("deletionTimestamp"),
        None
    );
    room.merge(
        "poddisruptionbudgets/guard",
        &json!({ "spec": { "minAvailable": 0 } }),
    )?;
    room.see("poddisruptionbudgets/guard", "allows one", |it| {
        it["status"]["disruptionsAllowed"] == 1
    })?;
    let mut watch = room.watch(&format!(
        "pods?resourceVersion={}",
        version(&room.get("pods")?)
    ))?;
    room.post("pods/it/eviction", &evict("it"))?.is(201)?;
    // It may be gone before it is asked for.
    loop {
        let pod = watch.next()?["object"].take();
        if pod["metadata"].get("deletionTimestamp").is_some() {
            same!(
                condition(&pod, "DisruptionTarget")["reason"],
                "EvictionByEvictionAPI"
            );
            return Ok(());
        }
    }
}

fn two_budgets(room: &Room) -> Result<()> {
    covered(room, &["one", "two"])?;
    let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    room.post("pods/it/eviction", &evict("it"))?
        .refused(500, "", message)?;
    Ok(())
}

fn eviction_refusals(room: &Room) -> Result<()> {
    room.post("pods/none/eviction", &evict("none"))?
        .status(404, "NotFound")?;
    room.create("pods", &idle_pod("it"))?;
    let message = "name in URL does not match name in Eviction object";
    room.post("pods/it/eviction", &evict("other"))?
        .refused(400, "BadRequest", message)?;
    Ok(())
}
