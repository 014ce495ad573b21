//! Probes that fail.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{in_order, main};
use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container_with, pod_of, readiness};
use crate::fidelity::room::{Room, condition, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("probe: readiness over HTTP", readiness_fails),
    Check::new("probe: readiness by a command", command_fails),
    Check::new("probe: liveness restarts the container", liveness),
    Check::new("probe: a port that nobody listens on", tcp),
    Check::new("probe: startup comes before the others", startup),
];

/// A pod with these probes.
fn probed(room: &Room, does: &Does, probes: &Value) -> Result<()> {
    let container = container_with(does, probes);
    room.create("pods", &pod_of("it", &json!({ "containers": [container] })))
        .map(drop)
}

/// A probe that asks often and is patient with a busy machine: an answer that is late has other words.
fn patient(mut probe: Value) -> Value {
    probe["periodSeconds"] = json!(1);
    probe["timeoutSeconds"] = json!(10);
    probe
}

/// Waits for an event Unhealthy with this message.
fn unhealthy(room: &Room, message: &str) -> Result<()> {
    room.wait(&format!("event: {message}"), |room| {
        let events = room.events("Pod", "it")?;
        let mut events = events.iter().filter(|event| event["reason"] == "Unhealthy");
        let found = events.find(|event| text(&event["message"]).ends_with(message));
        Ok(found.is_some_and(|event| event["type"] == "Warning"))
    })
}

fn readiness_fails(room: &Room) -> Result<()> {
    probed(
        room,
        &Does::ServeUnready,
        &json!({ "readinessProbe": readiness() }),
    )?;
    unhealthy(
        room,
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
    )?;
    // A kubelet writes its status and its events apart.
    let pod = room.see("pods/it", "running", |pod| {
        pod["status"]["phase"] == "Running" && main(pod)["state"]["running"].is_object()
    })?;
    same!(main(&pod)["ready"], false);
    same!(main(&pod)["started"], true);
    same!(main(&pod)["restartCount"], 0);
    same!(condition(&pod, "Ready")["status"], "False");
    same!(condition(&pod, "Ready")["reason"], "ContainersNotReady");
    same!(
        condition(&pod, "Ready")["message"],
        "containers with unready status: [main]"
    );
    same!(condition(&pod, "Initialized")["status"], "True");
    // The same words are counted, not written again.
    room.wait("the count to rise", |room| {
        let events = room.events("Pod", "it")?;
        let mut counts = events
            .iter()
            .filter(|event| event["reason"] == "Unhealthy")
            .map(|event| event["count"].as_u64());
        Ok(counts.any(|count| count >= Some(3)))
    })
}

fn command_fails(room: &Room) -> Result<()> {
    let probe = patient(json!({ "exec": { "command": ["sh", "-c", "echo not yet; exit 1"] } }));
    probed(room, &Does::Serve, &json!({ "readinessProbe": probe }))?;
    unhealthy(room, "Readiness probe failed: not yet\n")?;
    let pod = room.see("pods/it", "running", |pod| {
        main(pod)["state"]["running"].is_object()
    })?;
    same!(main(&pod)["ready"], false);
    Ok(())
}

fn liveness(room: &Room) -> Result<()> {
    let probe = patient(json!({ "httpGet": { "path": "/readyz", "port": 8080 } }));
    probed(
        room,
        &Does::ServeUnready,
        &json!({ "livenessProbe": probe }),
    )?;
    unhealthy(
        room,
        "Liveness probe failed: HTTP probe failed with statuscode: 503",
    )?;
    let event = room.event("Pod", "it", "Killing")?;
    same!(
        event["message"],
        "Container main failed liveness probe, will be restarted"
    );
    same!(event["type"], "Normal");
    // The count is written before how the last one ended.
    let pod = room.see("pods/it", "restarted", |pod| {
        main(pod)["restartCount"].as_u64() >= Some(1)
            && main(pod)["lastState"]["terminated"].is_object()
    })?;
    // The program ends well on SIGTERM.
    same!(main(&pod)["lastState"]["terminated"]["reason"], "Completed");
    same!(main(&pod)["lastState"]["terminated"]["exitCode"], 0);
    in_order(room, &["Scheduled", "Started", "Unhealthy", "Killing"])
}

fn tcp(room: &Room) -> Result<()> {
    let probe = json!({ "tcpSocket": { "port": 9999 }, "periodSeconds": 1, "failureThreshold": 2 });
    probed(room, &Does::Serve, &json!({ "livenessProbe": probe }))?;
    unhealthy(room, ":9999: connect: connection refused")?;
    let pod = room.see("pods/it", "restarted", |pod| {
        main(pod)["restartCount"].as_u64() >= Some(1)
    })?;
    let events = room.events("Pod", "it")?;
    let message = format!(
        "Liveness probe failed: dial tcp {}:9999: connect: connection refused",
        text(&pod["status"]["podIP"])
    );
    ensure!(
        events.iter().any(|event| event["message"] == message),
        "no {message}"
    );
    Ok(())
}

fn startup(room: &Room) -> Result<()> {
    let probe = patient(json!({ "httpGet": { "path": "/readyz", "port": 8080 } }));
    probed(
        room,
        &Does::ServeUnready,
        &json!({ "startupProbe": probe, "readinessProbe": readiness() }),
    )?;
    unhealthy(
        room,
        "Startup probe failed: HTTP probe failed with statuscode: 503",
    )?;
    room.see("pods/it", "not started", |pod| {
        main(pod)["started"] == false
    })?;
    let event = room.event("Pod", "it", "Killing")?;
    same!(
        event["message"],
        "Container main failed startup probe, will be restarted"
    );
    let asked = room.events("Pod", "it")?;
    let ready = asked
        .iter()
        .any(|event| text(&event["message"]).starts_with("Readiness"));
    ensure!(!ready, "readiness was asked before the start was over");
    Ok(())
}
