//! What a kubelet says of its node: conditions, heartbeats, and its evictions under pressure
//! (`nodestatus/setters.go`, `eviction/eviction_manager.go`).

use super::machines::Pressure;
use super::run::{PodRun, Stage};
use super::status::{Condition, Phase};
use crate::cluster::{Cluster, later};
use crate::events::{EventType, Reference, Source, passed, seconds};
use crate::object::{Key, Object};
use crate::resources::ids;
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// A node without news writes its status so often (`NodeStatusReportFrequency`).
const REPORT: Duration = Duration::from_mins(5);
/// The eviction manager looks so often (`evictionMonitoringPeriod`).
const MONITOR: Duration = Duration::from_secs(10);
/// A pressure is reported for so long after its end (`EvictionPressureTransitionPeriod`).
const TRANSITION: Duration = Duration::from_mins(5);

impl Pressure {
    /// Name of the condition; its reasons and messages when it is true and when it is not.
    pub(crate) fn texts(self) -> [&'static str; 5] {
        match self {
            Self::Memory => [
                "MemoryPressure",
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ],
            Self::Disk => [
                "DiskPressure",
                "KubeletHasDiskPressure",
                "kubelet has disk pressure",
                "KubeletHasNoDiskPressure",
                "kubelet has no disk pressure",
            ],
            Self::Pid => [
                "PIDPressure",
                "KubeletHasInsufficientPID",
                "kubelet has insufficient PID available",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ],
        }
    }

    /// Reason of the Event when the condition becomes true, and false.
    fn events(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
            Self::Disk => ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
            Self::Pid => ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
        }
    }

    /// What is short, the threshold (`eviction/defaults_linux.go`) and what is left.
    fn shortage(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Memory => ("memory", "100Mi", "74836Ki"),
            Self::Disk => ("ephemeral-storage", "10%", "8%"),
            Self::Pid => ("pids", "0", "0"),
        }
    }
}

/// Every pressure, in the order of the conditions.
pub(crate) const PRESSURES: [Pressure; 3] = [Pressure::Memory, Pressure::Disk, Pressure::Pid];

/// A look at a node. How long until the next.
pub(super) fn reconcile(cluster: &mut Cluster, key: &Key) -> Option<Duration> {
    let node = cluster.store.get(key).cloned()?;
    if !cluster.machines.works(&key.name) {
        return None;
    }
    let now = cluster.now();
    say_cordon(cluster, &node);
    let written = report(cluster, &node, now);
    let short = evict(cluster, &key.name, now);
    let machine = cluster.machines.nodes.get(&key.name)?;
    let next = if short || !machine.relieved.is_empty() {
        MONITOR
    } else {
        REPORT
    };
    let heartbeat = later(written, REPORT);
    Some(
        next.min(passed(now, heartbeat))
            .max(Duration::from_millis(1)),
    )
}

fn say_cordon(cluster: &mut Cluster, node: &Object) {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Spec {
        unschedulable: bool,
    }
    let cordoned = node.spec::<Spec>().unschedulable;
    let name = Arc::clone(&node.meta.name);
    let Some(machine) = cluster.machines.nodes.get_mut(&name) else {
        return;
    };
    if std::mem::replace(&mut machine.cordoned, cordoned) != cordoned {
        let reason = if cordoned {
            "NodeNotSchedulable"
        } else {
            "NodeSchedulable"
        };
        say(cluster, &name, EventType::Normal, reason, None);
    }
}

/// Says an Event about a node.
pub(crate) fn say(
    cluster: &mut Cluster,
    name: &str,
    kind: EventType,
    reason: &'static str,
    message: Option<&str>,
) {
    let status = format!("Node {name} status is now: {reason}");
    let name = Arc::from(name);
    let message = message.unwrap_or(&status);
    cluster.event(
        Source::kubelet(&name),
        &Reference::node(&name),
        kind,
        reason,
        message,
    );
}

/// Writes the conditions when one has changed or a heartbeat is due. When the last one was written.
fn report(cluster: &mut Cluster, node: &Object, now: Timestamp) -> Timestamp {
    let name = Arc::clone(&node.meta.name);
    let mut status: Value = node.field("status").unwrap_or_default();
    let old: Vec<Condition> = status
        .get("conditions")
        .and_then(|all| serde_json::from_value(all.clone()).ok())
        .unwrap_or_default();
    // Another one's heartbeat field is read apart: a pod's condition has none.
    let heartbeat = status
        .pointer("/conditions/0/lastHeartbeatTime")
        .and_then(Value::as_str);
    let heartbeat = heartbeat.and_then(|text| text.parse::<Timestamp>().ok());
    let wanted = conditions(cluster, &name, now);
    let changed: Vec<&(String, bool, &str, &str)> = wanted
        .iter()
        .filter(|(kind, value, ..)| {
            let status = if *value { "True" } else { "False" };
            !old.iter()
                .any(|one| one.r#type == *kind && one.status == status)
        })
        .collect();
    if let Some(heartbeat) = heartbeat
        && changed.is_empty()
        && passed(heartbeat, now) < REPORT
    {
        return heartbeat;
    }
    let events: Vec<&'static str> = changed
        .iter()
        .map(|(kind, value, ..)| event_of(kind, *value))
        .collect();
    let list: Vec<Value> = wanted
        .iter()
        .map(|(kind, value, reason, message)| {
            let word = if *value { "True" } else { "False" };
            let before = old
                .iter()
                .find(|one| one.r#type == *kind && one.status == word);
            let since = before
                .and_then(|one| one.last_transition_time)
                .unwrap_or(seconds(now));
            serde_json::json!({"type": kind, "status": word, "lastHeartbeatTime": seconds(now),
                "lastTransitionTime": since, "reason": reason, "message": message})
        })
        .collect();
    if let Some(map) = status.as_object_mut() {
        map.insert("conditions".to_owned(), Value::Array(list));
        map.insert("images".to_owned(), images(cluster, &name));
    }
    cluster.set_status(&node.key(ids::NODES), &status);
    for reason in events {
        say(cluster, &name, EventType::Normal, reason, None);
    }
    now
}

fn event_of(kind: &str, value: bool) -> &'static str {
    let pressure = PRESSURES
        .into_iter()
        .find(|one| one.texts().first() == Some(&kind));
    match (pressure, value) {
        (Some(pressure), true) => pressure.events().0,
        (Some(pressure), false) => pressure.events().1,
        (None, true) => "NodeReady",
        (None, false) => "NodeNotReady",
    }
}

fn conditions(
    cluster: &mut Cluster,
    name: &str,
    now: Timestamp,
) -> Vec<(String, bool, &'static str, &'static str)> {
    let Some(machine) = cluster.machines.nodes.get_mut(name) else {
        return Vec::new();
    };
    machine
        .relieved
        .retain(|_, since| passed(*since, now) < TRANSITION);
    let mut all: Vec<_> = PRESSURES
        .into_iter()
        .map(|one| {
            let [kind, reason, message, calm, calm_message] = one.texts();
            let short = machine.pressure.contains_key(&one) || machine.relieved.contains_key(&one);
            let (reason, message) = if short {
                (reason, message)
            } else {
                (calm, calm_message)
            };
            (kind.to_owned(), short, reason, message)
        })
        .collect();
    all.push((
        "Ready".to_owned(),
        true,
        "KubeletReady",
        "kubelet is posting ready status",
    ));
    all
}

/// `status.images`: the fifty largest (`nodeStatusMaxImages`).
pub(crate) fn images(cluster: &Cluster, name: &str) -> Value {
    let machine = cluster.machines.nodes.get(name);
    let mut images: Vec<(&String, &u64)> =
        machine.into_iter().flat_map(|one| &one.images).collect();
    images.sort_by_key(|(name, size)| (Reverse(**size), (*name).clone()));
    images.truncate(50);
    let each = images
        .into_iter()
        .map(|(name, size)| serde_json::json!({"names": [name], "sizeBytes": size}));
    Value::Array(each.collect())
}

/// Evicts one pod when the node is short of something. Is it?
fn evict(cluster: &mut Cluster, node: &str, now: Timestamp) -> bool {
    let Some(machine) = cluster.machines.nodes.get(node) else {
        return false;
    };
    let Some((&pressure, &since)) = machine.pressure.first_key_value() else {
        return false;
    };
    let (resource, ..) = pressure.shortage();
    let message = format!("Attempting to reclaim {resource}");
    let first = passed(since, now) < MONITOR;
    let mut candidates: Vec<(i64, i64, Reverse<i64>, Key)> = Vec::new();
    for key in &machine.pods {
        let Some(pod) = cluster.machines.pods.get(key) else {
            continue;
        };
        if pod.phase.is_over() || pod.fate.is_some() || pod.priority >= 2_000_000_000 {
            continue;
        }
        let over = pod.memory(now).saturating_sub(pod.asks.memory);
        // Those over their requests first, then by priority, then by how much (`rankMemoryPressure`).
        candidates.push((
            i64::from(over <= 0),
            pod.priority,
            Reverse(over),
            key.clone(),
        ));
    }
    candidates.sort();
    if first {
        say(
            cluster,
            node,
            EventType::Warning,
            "EvictionThresholdMet",
            Some(&message),
        );
    }
    if let Some((.., key)) = candidates.into_iter().next()
        && let Some(mut pod) = cluster.machines.pods.remove(&key)
    {
        evict_pod(cluster, &mut pod, pressure, now);
        cluster.machines.pods.insert(key.clone(), pod);
        cluster.nudge(key);
    }
    true
}

fn evict_pod(cluster: &mut Cluster, pod: &mut PodRun, pressure: Pressure, now: Timestamp) {
    let (resource, threshold, available) = pressure.shortage();
    let mut message = format!(
        "The node was low on resource: {resource}. Threshold quantity: {threshold}, available: {available}. "
    );
    if pressure == Pressure::Memory {
        for (spec, run) in pod.spec.all().zip(&pod.containers) {
            let used = run.memory(now);
            let request = spec.resources.request("memory");
            let asked = request.map_or(0, crate::quantity::Quantity::value);
            if used > asked {
                let asked = spec
                    .resources
                    .requests
                    .get("memory")
                    .and_then(Value::as_str)
                    .unwrap_or("0");
                let used = used >> 10;
                let name = &spec.name;
                message = format!(
                    "{message}Container {name} was using {used}Ki, request is {asked}, has larger consumption of memory. "
                );
            }
        }
    }
    let source = Arc::clone(&pod.node);
    cluster.event(
        Source::kubelet(&source),
        &pod.reference,
        EventType::Warning,
        "Evicted",
        &message,
    );
    pod.fate = Some(("Evicted".to_owned(), message));
    pod.phase = Phase::Failed;
    cluster.machines.give_back(pod);
    let mut sync = super::sync::Sync::new(cluster, pod);
    if sync.pod.stage != Stage::Over {
        sync.end_all();
    }
}
