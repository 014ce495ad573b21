//! Pods.

use super::format;
use super::{AGE, Column, NAME, Row, text, wide};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", |row| {
        let seen = look(row);
        json!(format!("{}/{}", seen.ready, seen.total))
    }),
    text("Status", |row| json!(look(row).reason)),
    text("Restarts", |row| json!(look(row).restarts(row.now))),
    AGE,
    wide("IP", |row| row.or_none("/status/podIP")),
    wide("Node", |row| row.or_none("/spec/nodeName")),
    wide("Nominated Node", |row| {
        row.or_none("/status/nominatedNodeName")
    }),
    wide("Readiness Gates", gates),
];

fn gates(row: &Row<'_>) -> Value {
    let gates = row.list("/spec/readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let pod: Pod = row.object.status();
    let open = gates.iter().filter(|gate| {
        let kind = gate.get("conditionType").and_then(Value::as_str);
        kind.is_some_and(|kind| pod.has(kind))
    });
    json!(format!("{}/{}", open.count(), gates.len()))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    restart_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pod {
    phase: String,
    reason: String,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<Status>,
    container_statuses: Vec<Status>,
}

impl Pod {
    fn has(&self, kind: &str) -> bool {
        let mut all = self.conditions.iter();
        all.any(|one| one.kind == kind && one.status == "True")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    name: String,
    ready: bool,
    started: Option<bool>,
    restart_count: u64,
    state: State,
    last_state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Value>,
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    reason: String,
    exit_code: i64,
    signal: i64,
    finished_at: Option<Timestamp>,
}

impl Terminated {
    fn word(&self) -> String {
        match (self.reason.as_str(), self.signal) {
            ("", 0) => format!("ExitCode:{}", self.exit_code),
            ("", signal) => format!("Signal:{signal}"),
            (reason, _) => reason.to_owned(),
        }
    }
}

/// What the columns say of a pod.
struct Seen {
    ready: usize,
    total: usize,
    reason: String,
    restarts: u64,
    last_restart: Option<Timestamp>,
}

impl Seen {
    fn restarts(&self, now: Timestamp) -> String {
        match self.last_restart {
            Some(at) if self.restarts > 0 => {
                format!("{} ({} ago)", self.restarts, format::since(at, now))
            }
            _ => self.restarts.to_string(),
        }
    }

    fn count(&mut self, status: &Status) {
        self.restarts = self.restarts.saturating_add(status.restart_count);
        let last = status.last_state.terminated.as_ref();
        self.last_restart = self.last_restart.max(last.and_then(|one| one.finished_at));
    }
}

fn look(row: &Row<'_>) -> Seen {
    let spec: Spec = row.object.spec();
    let pod: Pod = row.object.status();
    let sidecars: Vec<&str> = spec
        .init_containers
        .iter()
        .filter(|one| one.restart_policy == "Always")
        .map(|one| one.name.as_str())
        .collect();
    let mut seen = Seen {
        ready: 0,
        total: spec.containers.len().saturating_add(sidecars.len()),
        reason: if pod.reason.is_empty() {
            pod.phase.clone()
        } else {
            pod.reason.clone()
        },
        restarts: 0,
        last_restart: None,
    };
    let gated = |one: &Condition| one.kind == "PodScheduled" && one.reason == "SchedulingGated";
    if pod.conditions.iter().any(gated) {
        "SchedulingGated".clone_into(&mut seen.reason);
    }
    let initializing = look_at_init(&pod, &spec, &sidecars, &mut seen);
    if !initializing || pod.has("Initialized") {
        look_at_containers(&pod, &sidecars, &mut seen);
    }
    if row.object.meta.deletion_timestamp.is_some() {
        let over = matches!(pod.phase.as_str(), "Succeeded" | "Failed");
        if pod.reason == "NodeLost" {
            "Unknown".clone_into(&mut seen.reason);
        } else if !over {
            "Terminating".clone_into(&mut seen.reason);
        }
    }
    seen
}

/// Is an init container still at work, or has it failed?
fn look_at_init(pod: &Pod, spec: &Spec, sidecars: &[&str], seen: &mut Seen) -> bool {
    for (index, status) in pod.init_container_statuses.iter().enumerate() {
        seen.count(status);
        let sidecar = sidecars.contains(&status.name.as_str());
        let word = match (&status.state.terminated, &status.state.waiting) {
            (Some(ended), _) if ended.exit_code == 0 => continue,
            _ if sidecar && status.started == Some(true) => {
                seen.ready = seen.ready.saturating_add(usize::from(status.ready));
                continue;
            }
            (Some(ended), _) => ended.word(),
            (None, Some(waiting))
                if !waiting.reason.is_empty() && waiting.reason != "PodInitializing" =>
            {
                waiting.reason.clone()
            }
            _ => format!("{index}/{}", spec.init_containers.len()),
        };
        seen.reason = format!("Init:{word}");
        return true;
    }
    false
}

fn look_at_containers(pod: &Pod, sidecars: &[&str], seen: &mut Seen) {
    seen.restarts = 0;
    seen.last_restart = None;
    let init = pod.init_container_statuses.iter();
    for status in init.filter(|one| sidecars.contains(&one.name.as_str())) {
        seen.count(status);
    }
    let mut running = false;
    for status in pod.container_statuses.iter().rev() {
        seen.count(status);
        let waiting = status.state.waiting.as_ref();
        if let Some(waiting) = waiting.filter(|one| !one.reason.is_empty()) {
            seen.reason.clone_from(&waiting.reason);
        } else if let Some(ended) = &status.state.terminated {
            seen.reason = ended.word();
        } else if status.ready && status.state.running.is_some() {
            running = true;
            seen.ready = seen.ready.saturating_add(1);
        }
    }
    if seen.reason == "Completed" && running {
        let word = if pod.has("Ready") {
            "Running"
        } else {
            "NotReady"
        };
        word.clone_into(&mut seen.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cells;
    use super::*;
    use crate::resources::ids;

    fn pod(spec: &Value, status: &Value) -> Value {
        let meta = json!({"name": "it", "creationTimestamp": "2026-11-22T10:56:38Z"});
        json!(cells(
            ids::PODS,
            json!({"metadata": meta, "spec": spec, "status": status})
        ))
    }

    #[test]
    fn a_crash_loop_is_printed_as_by_the_real_one() {
        let spec = json!({"nodeName": "node2", "containers": [{"name": "main"}]});
        let status = json!({"phase": "Running", "podIP": "10.244.2.4", "containerStatuses": [{
            "name": "main", "ready": false, "restartCount": 18,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 3, "finishedAt": "2026-11-22T10:59:52Z"}},
        }]});
        assert_eq!(
            pod(&spec, &status),
            json!([
                "it",
                "0/1",
                "CrashLoopBackOff",
                "18 (8s ago)",
                "3m22s",
                "10.244.2.4",
                "node2",
                "<none>",
                "<none>"
            ])
        );
    }

    #[test]
    fn init_containers_and_sidecars_are_counted() {
        let spec = json!({"containers": [{"name": "main"}], "initContainers": [
            {"name": "proxy", "restartPolicy": "Always"}, {"name": "setup"}]});
        let status = json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "proxy", "ready": true, "started": true, "state": {"running": {}}},
            {"name": "setup", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]});
        let cells = pod(&spec, &status);
        assert_eq!(
            (&cells[1], &cells[2]),
            (&json!("1/2"), &json!("Init:Error"))
        );
    }
}
