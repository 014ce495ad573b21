//! Pods that no node takes: the scheduler's words.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container, container_with, pod_of};
use crate::fidelity::room::{Room, condition, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("unschedulable: cpu and memory", resources),
    Check::new("unschedulable: selectors and affinity", selectors),
    Check::new("unschedulable: a taken host port", host_port),
    Check::new("unschedulable: a claim that is not there", no_claim),
    Check::new("unschedulable: until a gate opens", gate),
    Check::new("unschedulable: placed when it fits", fits_later),
];

const UNHELPFUL: &str = "no new claims to deallocate, preemption: 0/2 nodes are available: \
    2 Preemption is not helpful for scheduling.";

/// Fails unless the scheduler says this about pod `name`: in an event and in a condition.
fn refused(room: &Room, name: &str, why: &str) -> Result<()> {
    let wanted = format!("0/2 nodes are available: {why}");
    let event = room.event("Pod", name, "FailedScheduling")?;
    same!(event["message"], wanted);
    same!(event["type"], "Warning");
    same!(event["reportingComponent"], "default-scheduler");
    let pod = room.see(&format!("pods/{name}"), "unschedulable", |pod| {
        condition(pod, "PodScheduled")["reason"] == "Unschedulable"
    })?;
    let found = condition(&pod, "PodScheduled");
    same!(found["status"], "False");
    same!(found["message"], wanted);
    same!(pod["status"]["phase"], "Pending");
    same!(pod["status"].get("containerStatuses"), None);
    Ok(())
}

/// A pod with these fields in its spec and its container.
fn wish(room: &Room, name: &str, spec: &Value, container: &Value) -> Result<()> {
    let mut wanted = json!({ "containers": [container_with(&Does::Serve, container)] });
    for (key, value) in spec.as_object().into_iter().flatten() {
        wanted[key] = value.clone();
    }
    room.create("pods", &pod_of(name, &wanted)).map(drop)
}

fn resources(room: &Room) -> Result<()> {
    let asks = |requests: Value| json!({ "resources": { "requests": requests } });
    wish(room, "cpu", &json!({}), &asks(json!({ "cpu": "64" })))?;
    refused(room, "cpu", &format!("2 Insufficient cpu. {UNHELPFUL}"))?;
    wish(
        room,
        "both",
        &json!({}),
        &asks(json!({ "cpu": "64", "memory": "1Ti" })),
    )?;
    refused(
        room,
        "both",
        &format!("2 Insufficient cpu, 2 Insufficient memory. {UNHELPFUL}"),
    )
}

fn selectors(room: &Room) -> Result<()> {
    wish(
        room,
        "selector",
        &json!({ "nodeSelector": { "disk": "ssd" } }),
        &json!({}),
    )?;
    let why = format!("2 node(s) didn't match Pod's node affinity/selector. {UNHELPFUL}");
    refused(room, "selector", &why)?;
    let near = json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "nobody" } },
    }] } } });
    wish(room, "near", &near, &json!({}))?;
    refused(
        room,
        "near",
        &format!("2 node(s) didn't match pod affinity rules. {UNHELPFUL}"),
    )?;
    let apart = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": { "matchExpressions": [{ "key": "app", "operator": "In", "values": ["a", "b", "c"] }] },
    }] } } });
    for name in ["a", "b"] {
        wish(room, name, &apart, &json!({}))?;
        room.see(&format!("pods/{name}"), "placed", |pod| {
            pod["spec"]["nodeName"].is_string()
        })?;
    }
    wish(room, "c", &apart, &json!({}))?;
    let none = "no new claims to deallocate, preemption: 0/2 nodes are available: \
        2 No preemption victims found for incoming pod.";
    refused(
        room,
        "c",
        &format!("2 node(s) didn't match pod anti-affinity rules. {none}"),
    )
}

fn host_port(room: &Room) -> Result<()> {
    let port = json!({ "ports": [{ "containerPort": 8080, "hostPort": 18081 }] });
    for name in ["a", "b"] {
        wish(room, name, &json!({}), &port)?;
        room.see(&format!("pods/{name}"), "placed", |pod| {
            pod["spec"]["nodeName"].is_string()
        })?;
    }
    wish(room, "c", &json!({}), &port)?;
    let none = "no new claims to deallocate, preemption: 0/2 nodes are available: \
        2 No preemption victims found for incoming pod.";
    refused(
        room,
        "c",
        &format!("2 node(s) didn't have free ports for the requested pod ports. {none}"),
    )
}

fn no_claim(room: &Room) -> Result<()> {
    let volumes =
        json!({ "volumes": [{ "name": "d", "persistentVolumeClaim": { "claimName": "data" } }] });
    wish(room, "it", &volumes, &json!({}))?;
    let event = room.event("Pod", "it", "FailedScheduling")?;
    crate::fidelity::room::shaped(
        &event["message"],
        "0/2 nodes are available: persistentvolumeclaim \"data\" not found. ",
        "",
    )
}

fn gate(room: &Room) -> Result<()> {
    let gates = json!({ "schedulingGates": [{ "name": "example.com/wait" }] });
    wish(room, "it", &gates, &json!({}))?;
    let pod = room.see("pods/it", "gated", |pod| {
        condition(pod, "PodScheduled")["reason"] == "SchedulingGated"
    })?;
    same!(
        condition(&pod, "PodScheduled")["message"],
        "Scheduling is blocked due to non-empty scheduling gates"
    );
    room.merge("pods/it", &json!({ "spec": { "schedulingGates": null } }))?;
    room.see("pods/it", "placed", |pod| {
        pod["spec"]["nodeName"].is_string()
    })
    .map(drop)
}

fn fits_later(room: &Room) -> Result<()> {
    let mut first = pod_of("first", &json!({ "containers": [container(&Does::Serve)] }));
    first["spec"]["affinity"] = alone();
    let mut second = first.clone();
    second["metadata"]["name"] = json!("second");
    let mut third = first.clone();
    third["metadata"]["name"] = json!("third");
    for pod in [&first, &second] {
        room.create("pods", pod)?;
    }
    room.wait("both nodes to be taken", |room| {
        Ok(room.names("pods?fieldSelector=spec.nodeName!%3D")?.len() == 2)
    })?;
    room.create("pods", &third)?;
    room.event("Pod", "third", "FailedScheduling")?;
    room.delete("pods/first")?.is(200)?;
    room.see("pods/third", "placed", |pod| {
        pod["spec"]["nodeName"].is_string()
    })?;
    let found = room.get("pods/third")?;
    same!(condition(&found, "PodScheduled")["status"], "True");
    Ok(())
}

/// At most one of label `app=first` on a node.
fn alone() -> Value {
    json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "first" } },
    }] } })
}
