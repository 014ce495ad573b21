//! Deleting: finalizers, preconditions, propagation, grace, collections, namespaces.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{config_map, config_maps, idle_deployment, idle_pod, version};
use crate::fidelity::Check;
use crate::fidelity::room::{MERGE_PATCH, Room, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("delete: what is answered", answers),
    Check::new("delete: finalizers hold an object", finalizers),
    Check::new("delete: preconditions", preconditions),
    Check::new("delete: orphans stay", orphans),
    Check::new("delete: foreground waits for the dependents", foreground),
    Check::new("delete: background takes them along", background),
    Check::new("delete: grace of a pod that runs", grace),
    Check::new("delete: a collection", collection),
    Check::new("delete: a namespace with all in it", namespace),
    Check::new("delete: refusals", refusals),
];

fn answers(room: &Room) -> Result<()> {
    let made = room.create("configmaps", &config_map("it"))?;
    let status = room.delete("configmaps/it")?.is(200)?;
    same!(status["kind"], "Status");
    same!(status["status"], "Success");
    let details = json!({ "name": "it", "kind": "configmaps", "uid": made["metadata"]["uid"] });
    same!(status["details"], details);
    room.create("pods", &idle_pod("it"))?;
    // A pod answers with itself.
    same!(room.delete("pods/it")?.is(200)?["kind"], "Pod");
    room.gone("pods/it")
}

fn finalizers(room: &Room) -> Result<()> {
    let mut made = config_map("it");
    made["metadata"]["finalizers"] = json!(["example.com/hold"]);
    room.create("configmaps", &made)?;
    let held = room.delete("configmaps/it")?.is(200)?;
    same!(held["kind"], "ConfigMap");
    same!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    ensure!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    let more = json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/new"] } });
    let status = room
        .patch(MERGE_PATCH, "configmaps/it", &more)?
        .status(422, "Invalid")?;
    let begin = "ConfigMap \"it\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if \
        the object is being deleted, found new finalizers []string{\"example.com/new\"}";
    let message = super::super::room::text(&status["message"]);
    ensure!(
        message.contains(begin.trim_start_matches("ConfigMap \"it\" is invalid: ")),
        "{message}"
    );
    // Still writable; the second delete changes nothing.
    room.merge("configmaps/it", &json!({ "data": { "a": "2" } }))?;
    let again = room.delete("configmaps/it")?.is(200)?;
    same!(
        again["metadata"]["deletionTimestamp"],
        held["metadata"]["deletionTimestamp"]
    );
    room.merge(
        "configmaps/it",
        &json!({ "metadata": { "finalizers": null } }),
    )?;
    same!(room.read("configmaps/it")?.code, 404);
    Ok(())
}

fn preconditions(room: &Room) -> Result<()> {
    let made = room.create("configmaps", &config_map("it"))?;
    let now = room.merge("configmaps/it", &json!({ "data": { "a": "2" } }))?;
    let with = |preconditions: Value| json!({ "preconditions": preconditions });
    let status = room
        .delete_with("configmaps/it", &with(json!({ "uid": "x" })))?
        .status(409, "Conflict")?;
    let message = format!(
        "Operation cannot be fulfilled on ConfigMap \"it\": the UID in the precondition (x) does not match \
         the UID in record ({}). The object might have been deleted and then recreated",
        made["metadata"]["uid"].as_str().unwrap_or_default()
    );
    same!(status["message"], message);
    let stale = with(json!({ "resourceVersion": version(&made) }));
    let status = room
        .delete_with("configmaps/it", &stale)?
        .status(409, "Conflict")?;
    let message = format!(
        "Operation cannot be fulfilled on ConfigMap \"it\": the ResourceVersion in the precondition ({}) does \
         not match the ResourceVersion in record ({}). The object might have been modified",
        version(&made),
        version(&now)
    );
    same!(status["message"], message);
    let right = with(json!({ "uid": now["metadata"]["uid"], "resourceVersion": version(&now) }));
    room.delete_with("configmaps/it", &right)?.is(200)?;
    Ok(())
}

/// A Deployment and its ReplicaSet, which the garbage collector knows; returns the ReplicaSet's name.
fn deployment(room: &Room) -> Result<String> {
    room.create("deployments", &idle_deployment("it"))?;
    room.wait("a ReplicaSet", |room| {
        Ok(room.names("replicasets")?.len() == 1)
    })?;
    let name = room.names("replicasets")?.swap_remove(0);
    // The collector hears of Deployments and of ReplicaSets apart, and takes a Deployment for one
    // without dependents if it does not know them yet. Of ReplicaSets it hears in their order: when a
    // later one, whose owner never was, is collected, it knows the first.
    let mut later = idle_deployment("later");
    later["kind"] = json!("ReplicaSet");
    later["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "none",
        "uid": "b3b9b7c0-0000-4000-8000-000000000000",
    }]);
    room.create("replicasets", &later)?;
    room.gone("replicasets/later")?;
    Ok(name)
}

fn orphans(room: &Room) -> Result<()> {
    let set = format!("replicasets/{}", deployment(room)?);
    same!(
        room.get(&set)?["metadata"]["ownerReferences"][0]["controller"],
        true
    );
    room.delete_with("deployments/it", &json!({ "propagationPolicy": "Orphan" }))?
        .is(200)?;
    room.gone("deployments/it")?;
    let left = room.get(&set)?;
    same!(left["metadata"].get("ownerReferences"), None);
    Ok(())
}

fn foreground(room: &Room) -> Result<()> {
    let set = format!("replicasets/{}", deployment(room)?);
    room.merge(
        &set,
        &json!({ "metadata": { "finalizers": ["example.com/hold"] } }),
    )?;
    let held = room
        .delete_with(
            "deployments/it",
            &json!({ "propagationPolicy": "Foreground" }),
        )?
        .is(200)?;
    same!(
        held["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    room.see(&set, "being deleted", |it| {
        it["metadata"]["deletionTimestamp"].is_string()
    })?;
    room.get("deployments/it")?;
    room.patch(
        MERGE_PATCH,
        &set,
        &json!({ "metadata": { "finalizers": null } }),
    )?
    .is(200)?;
    room.gone("deployments/it")
}

fn background(room: &Room) -> Result<()> {
    let set = format!("replicasets/{}", deployment(room)?);
    let status = room
        .delete_with(
            "deployments/it",
            &json!({ "propagationPolicy": "Background" }),
        )?
        .is(200)?;
    same!(status["status"], "Success");
    same!(room.read("deployments/it")?.code, 404);
    room.gone(&set)
}

fn grace(room: &Room) -> Result<()> {
    let mut wanted = crate::fidelity::pods::pod("it", &crate::fidelity::pods::Does::Serve);
    wanted["spec"]["terminationGracePeriodSeconds"] = json!(7);
    room.create("pods", &wanted)?;
    room.see("pods/it", "running", |it| {
        it["status"]["phase"] == "Running"
    })?;
    let going = room.delete("pods/it")?.is(200)?;
    same!(going["metadata"]["deletionGracePeriodSeconds"], 7);
    ensure!(
        going["metadata"]["deletionTimestamp"].is_string(),
        "{}",
        going["metadata"]
    );
    room.event("Pod", "it", "Killing")?;
    room.gone("pods/it")?;
    room.create("pods", &idle_pod("other"))?;
    room.delete_with("pods/other", &json!({ "gracePeriodSeconds": 0 }))?
        .is(200)?;
    same!(room.read("pods/other")?.code, 404);
    Ok(())
}

fn collection(room: &Room) -> Result<()> {
    for (name, on) in [("a", "yes"), ("b", "yes"), ("c", "no")] {
        let mut made = config_map(name);
        made["metadata"]["labels"] = json!({ "on": on });
        room.create("configmaps", &made)?;
    }
    let gone = room
        .call(Method::DELETE, "configmaps?labelSelector=on%3Dyes")?
        .is(200)?;
    same!(gone["kind"], "ConfigMapList");
    same!(gone["items"].as_array().map(Vec::len), Some(2));
    same!(room.names("configmaps?labelSelector=on")?, ["c"]);
    Ok(())
}

fn namespace(room: &Room) -> Result<()> {
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    room.create("configmaps", &held)?;
    config_maps(room, &["free"])?;
    let path = format!("/api/v1/namespaces/{}", room.namespace);
    let going = room.delete(&path)?.is(200)?;
    same!(going["status"]["phase"], "Terminating");
    same!(going["spec"]["finalizers"], json!(["kubernetes"]));
    let message = format!(
        "configmaps \"new\" is forbidden: unable to create new content in namespace {} because it is being terminated",
        room.namespace
    );
    let status =
        room.post("configmaps", &config_map("new"))?
            .refused(403, "Forbidden", &message)?;
    same!(
        status["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    room.gone("configmaps/free")?;
    let waits = room.see(&path, "says what it waits for", |it| {
        super::super::room::condition(it, "NamespaceFinalizersRemaining")["status"] == "True"
    })?;
    let found = super::super::room::condition(&waits, "NamespaceFinalizersRemaining");
    same!(found["reason"], "SomeFinalizersRemain");
    same!(
        found["message"],
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    );
    room.merge(
        "configmaps/held",
        &json!({ "metadata": { "finalizers": null } }),
    )?;
    room.gone(&path)
}

fn refusals(room: &Room) -> Result<()> {
    let message = "namespaces \"default\" is forbidden: this namespace may not be deleted";
    room.delete("/api/v1/namespaces/default?dryRun=All")?
        .refused(403, "Forbidden", message)?;
    room.create("configmaps", &config_map("it"))?;
    let message = "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": \
        supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"";
    let answer = room.delete_with("configmaps/it", &json!({ "propagationPolicy": "Sideways" }))?;
    answer.refused(422, "Invalid", message)?;
    Ok(())
}
