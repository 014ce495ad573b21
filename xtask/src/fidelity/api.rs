//! What an API server says: the same to every client, whatever runs in the cluster.

mod access;
mod applying;
mod defaults;
mod deleting;
mod discovery;
mod errors;
mod lists;
mod patches;
mod subresources;
mod validation;
mod watches;

use anyhow::Result;
use serde_json::{Value, json};

use super::room::Room;
use super::{Check, joined};

/// All checks of this group.
pub fn checks() -> Vec<Check> {
    joined(&[
        errors::CHECKS,
        validation::CHECKS,
        lists::CHECKS,
        watches::CHECKS,
        patches::CHECKS,
        applying::CHECKS,
        subresources::CHECKS,
        deleting::CHECKS,
        access::CHECKS,
        defaults::CHECKS,
        discovery::CHECKS,
    ])
}

/// A small ConfigMap.
fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

/// A Deployment that runs nothing.
fn idle_deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "img.test/app:1" }] },
            },
        },
    })
}

/// A pod that no scheduler places.
fn idle_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "schedulerName": "nobody",
            "containers": [{ "name": "main", "image": "img.test/app:1" }],
        },
    })
}

/// ConfigMaps with these names; returns the last one.
fn config_maps(room: &Room, names: &[&str]) -> Result<Value> {
    let mut last = Value::Null;
    for name in names {
        last = room.create("configmaps", &config_map(name))?;
    }
    Ok(last)
}

/// A version that a list or an object carries.
fn version(object: &Value) -> String {
    super::room::text(&object["metadata"]["resourceVersion"])
}
