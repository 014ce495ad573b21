//! Server-side apply: who owns which field.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{config_map, idle_deployment};
use crate::fidelity::Check;
use crate::fidelity::client::AGENT;
use crate::fidelity::room::{APPLY, MERGE_PATCH, Room, condition, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("apply: creates, and remembers who", creates),
    Check::new("apply: conflicts name fields and managers", conflicts),
    Check::new("apply: force takes over", force),
    Check::new(
        "apply: a field given up goes with its last owner",
        giving_up,
    ),
    Check::new("apply: lists by key have many owners", shared_lists),
    Check::new("apply: other writers own fields too", other_writers),
    Check::new("apply: refusals", refusals),
    Check::new("apply: same again writes nothing", idempotent),
];

/// A ConfigMap to apply.
fn wanted(data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "it" }, "data": data })
}

/// What a manager owns, by its entry in `managedFields`.
fn entry<'o>(object: &'o Value, manager: &str) -> Result<&'o Value> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .context("no managedFields")?;
    let found = entries.iter().find(|entry| entry["manager"] == manager);
    found.with_context(|| format!("{manager} owns nothing: {entries:?}"))
}

fn creates(room: &Room) -> Result<()> {
    let made = room
        .apply("configmaps/it", "alice", &wanted(&json!({ "a": "1" })))?
        .is(201)?;
    let alice = entry(&made, "alice")?;
    same!(alice["operation"], "Apply");
    same!(alice["apiVersion"], "v1");
    same!(alice["fieldsType"], "FieldsV1");
    same!(alice["fieldsV1"], json!({ "f:data": { "f:a": {} } }));
    let again = room
        .apply("configmaps/it", "alice", &wanted(&json!({ "a": "2" })))?
        .is(200)?;
    same!(again["data"]["a"], "2");
    Ok(())
}

fn conflicts(room: &Room) -> Result<()> {
    room.apply(
        "configmaps/it",
        "alice",
        &wanted(&json!({ "a": "1", "b": "1" })),
    )?
    .is(201)?;
    let message = "Apply failed with 1 conflict: conflict with \"alice\": .data.a";
    let answer = room.apply("configmaps/it", "bob", &wanted(&json!({ "a": "2" })))?;
    let status = answer.refused(409, "Conflict", message)?;
    let cause = json!({
        "reason": "FieldManagerConflict", "message": "conflict with \"alice\"", "field": ".data.a",
    });
    same!(status["details"]["causes"], json!([cause]));
    let message = "Apply failed with 2 conflicts: conflicts with \"alice\":\n- .data.a\n- .data.b";
    let answer = room.apply(
        "configmaps/it",
        "bob",
        &wanted(&json!({ "a": "2", "b": "2" })),
    )?;
    answer.refused(409, "Conflict", message)?;
    // The same value is no conflict: both own it.
    let both = room
        .apply("configmaps/it", "bob", &wanted(&json!({ "a": "1" })))?
        .is(200)?;
    same!(
        entry(&both, "bob")?["fieldsV1"],
        json!({ "f:data": { "f:a": {} } })
    );
    entry(&both, "alice")?;
    Ok(())
}

fn force(room: &Room) -> Result<()> {
    room.apply(
        "configmaps/it",
        "alice",
        &wanted(&json!({ "a": "1", "b": "1" })),
    )?
    .is(201)?;
    let path = "configmaps/it?fieldManager=bob&force=true";
    let forced = room
        .patch(APPLY, path, &wanted(&json!({ "a": "2" })))?
        .is(200)?;
    same!(forced["data"], json!({ "a": "2", "b": "1" }));
    same!(
        entry(&forced, "alice")?["fieldsV1"],
        json!({ "f:data": { "f:b": {} } })
    );
    Ok(())
}

fn giving_up(room: &Room) -> Result<()> {
    room.apply(
        "configmaps/it",
        "alice",
        &wanted(&json!({ "a": "1", "b": "1" })),
    )?
    .is(201)?;
    room.apply("configmaps/it", "bob", &wanted(&json!({ "b": "1" })))?
        .is(200)?;
    let left = room
        .apply("configmaps/it", "alice", &wanted(&json!({})))?
        .is(200)?;
    same!(left["data"], json!({ "b": "1" }));
    let none = room
        .apply("configmaps/it", "bob", &wanted(&json!({})))?
        .is(200)?;
    ensure!(
        none["data"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty),
        "{none}"
    );
    Ok(())
}

fn shared_lists(room: &Room) -> Result<()> {
    let made = room
        .apply("deployments/it", "alice", &idle_deployment("it"))?
        .is(201)?;
    let keys =
        &entry(&made, "alice")?["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
    same!(keys["k:{\"name\":\"main\"}"]["f:image"], json!({}));
    let template = |containers: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "it" },
            "spec": { "template": { "spec": { "containers": containers } } },
        })
    };
    let side = json!([{ "name": "side", "image": "x" }]);
    let found = room
        .apply("deployments/it", "bob", &template(side))?
        .is(200)?;
    same!(
        found["spec"]["template"]["spec"]["containers"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let message = "Apply failed with 1 conflict: conflict with \"alice\": \
        .spec.template.spec.containers[name=\"main\"].image";
    let main = json!([{ "name": "main", "image": "x" }, { "name": "side", "image": "x" }]);
    room.apply("deployments/it", "bob", &template(main))?
        .refused(409, "Conflict", message)?;
    let found = room
        .apply("deployments/it", "bob", &template(json!([])))?
        .is(200)?;
    same!(
        found["spec"]["template"]["spec"]["containers"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    Ok(())
}

fn other_writers(room: &Room) -> Result<()> {
    let made = room.create("configmaps", &config_map("it"))?;
    let first = entry(&made, AGENT)?;
    same!(first["operation"], "Update");
    same!(
        first["fieldsV1"],
        json!({ "f:data": { ".": {}, "f:a": {} } })
    );
    let path = "configmaps/it?fieldManager=kubectl-edit";
    room.patch(MERGE_PATCH, path, &json!({ "data": { "a": "2" } }))?
        .is(200)?;
    let message = "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.a";
    let answer = room.apply("configmaps/it", "bob", &wanted(&json!({ "a": "3" })))?;
    answer.refused(409, "Conflict", message)?;
    room.create("pods", &super::idle_pod("it"))?;
    let status = json!({ "status": { "conditions": [{ "type": "Mine", "status": "True" }] } });
    let found = room.merge("pods/it/status", &status)?;
    let entries = found["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let by_status = entries
        .iter()
        .filter(|entry| entry["subresource"] == "status")
        .count();
    same!(by_status, 1);
    Ok(())
}

fn refusals(room: &Room) -> Result<()> {
    let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
    let answer = room.patch(APPLY, "configmaps/it", &wanted(&json!({})))?;
    answer.refused(422, "Invalid", message)?;
    let mut kept = wanted(&json!({}));
    kept["metadata"]["managedFields"] = json!([{ "manager": "x", "operation": "Apply" }]);
    let message = "metadata.managedFields must be nil";
    room.apply("configmaps/it", "bob", &kept)?
        .refused(400, "BadRequest", message)?;
    let mut odd = wanted(&json!({}));
    odd["nonsense"] = json!(1);
    let status = room.apply("configmaps/it", "bob", &odd)?.status(500, "")?;
    crate::fidelity::room::shaped(
        &status["message"],
        "failed to create typed patch object (",
        "field not declared in schema",
    )
}

fn idempotent(room: &Room) -> Result<()> {
    let first = room
        .apply("deployments/it", "alice", &idle_deployment("it"))?
        .is(201)?;
    // Its controller writes no more.
    let settled = room.see("deployments/it", "complete", |it| {
        it["status"]["observedGeneration"] == 1
            && condition(it, "Progressing")["reason"] == "NewReplicaSetAvailable"
    })?;
    let again = room
        .apply("deployments/it", "alice", &idle_deployment("it"))?
        .is(200)?;
    same!(
        again["metadata"]["generation"],
        first["metadata"]["generation"]
    );
    ensure!(
        super::version(&again) == super::version(&settled),
        "written again: {}",
        again["metadata"]
    );
    Ok(())
}
