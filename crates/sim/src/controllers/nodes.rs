//! Nodes that go silent, their taints, and the pods that have to leave them.
//!
//! Rules and texts: `pkg/controller/nodelifecycle`, `tainteviction` and `podgc` of Kubernetes 1.36.

mod eviction;

use super::Controller;
use super::common::{Condition, set_condition, until};
use super::events;
use super::placement::{Taint, taints};
use crate::cluster::{Cluster, Todo, later};
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::store::{Change, ChangeKind, Store};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// So long may a node be silent (`--node-monitor-grace-period`).
const GRACE: Duration = Duration::from_secs(50);
/// Nodes are looked at every so often (`--node-monitor-period`): a silence is noticed at the next.
const PERIOD: Duration = Duration::from_secs(5);
/// The pods of a node that is gone stay so long (`quarantineTime` of the pod garbage collector).
const QUARANTINE: Duration = Duration::from_secs(40);
const COMPONENT: &str = "node-controller";
const LEASES: &str = "kube-node-lease";

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Taints by condition: the condition, its value, the taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
];

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Pods that were told they have to leave at some time, so that it can be taken back.
    leaving: BTreeSet<Key>,
    /// Nodes that are gone, and since when.
    gone: BTreeMap<Arc<str>, Timestamp>,
}

/// A node's status, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<NodeCondition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeCondition {
    r#type: String,
    status: String,
}

impl Controller for Nodes {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        match change.resource {
            ids::NODES => {
                if change.kind == ChangeKind::Deleted {
                    let name = Arc::clone(&change.new.meta.name);
                    self.gone.insert(name, Timestamp::MAX);
                }
                todo.now(change.key());
            }
            // A beat changes nothing: the node is looked at when the next one is overdue.
            ids::LEASES
                if change.kind == ChangeKind::Added && &*change.new.meta.namespace == LEASES =>
            {
                todo.now(Key::new(ids::NODES, "", &change.new.meta.name));
            }
            ids::PODS => self.heard_pod(change, todo),
            _ => {}
        }
    }

    fn nudged(&mut self, key: &Key, todo: &mut Todo) {
        if key.resource == ids::NODES {
            todo.now(key.clone());
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        if cluster.store.get(key).is_none() {
            return self.collect(cluster, &key.name);
        }
        self.gone.remove(&key.name);
        let silence = watch(cluster, key);
        let node = cluster.store.get(key)?.clone();
        taint(cluster, key, &node);
        let node = cluster.store.get(key)?.clone();
        let eviction = eviction::evict(cluster, &node, &mut self.leaving);
        [silence, eviction].into_iter().flatten().min()
    }
}

impl Nodes {
    /// A pod that comes to a node may not tolerate it, or the node may be gone.
    fn heard_pod(&mut self, change: &Change, todo: &mut Todo) {
        if change.kind == ChangeKind::Deleted {
            self.leaving.remove(&change.key());
            return;
        }
        let before = change.old.as_ref().map(|old| old.fields.get("spec"));
        if before == Some(change.new.fields.get("spec")) {
            return;
        }
        let node = crate::pod_spec::node_of(&change.new);
        if !node.is_empty() {
            todo.now(Key::new(ids::NODES, "", &node));
        }
    }

    /// Removes the pods of a node that is gone, after a while. A node that was never there has a
    /// picture's pods: they are left alone.
    fn collect(&mut self, cluster: &mut Cluster, node: &str) -> Option<Duration> {
        let since = self.gone.get_mut(node)?;
        *since = (*since).min(cluster.now());
        let left = until(later(*since, QUARANTINE), cluster.now());
        if left.is_none() {
            eviction::collect(cluster, node);
        }
        left
    }
}

/// Brings the taints that mirror its state in line.
fn taint(cluster: &mut Cluster, key: &Key, node: &Object) {
    let status: NodeStatus = node.status();
    let now = cluster.now_seconds();
    let before = taints(node);
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    if unschedulable(node) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    for (kind, value, name) in BY_CONDITION {
        let mut conditions = status.conditions.iter();
        if conditions.any(|one| one.r#type == kind && one.status == value) {
            wanted.push((name, "NoSchedule"));
            if kind == "Ready" {
                wanted.push((name, "NoExecute"));
            }
        }
    }
    let ours = |taint: &Taint| {
        taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(.., name)| *name == taint.key)
    };
    let is = |taint: &Taint, name: &str, effect: &str| taint.key == name && taint.effect == effect;
    let mut after: Vec<Taint> = before
        .iter()
        .filter(|taint| !ours(taint) || wanted.iter().any(|(name, effect)| is(taint, name, effect)))
        .cloned()
        .collect();
    for (name, effect) in wanted {
        if !after.iter().any(|taint| is(taint, name, effect)) {
            after.push(Taint {
                key: name.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(now),
                value: String::new(),
            });
        }
    }
    if after != before {
        cluster.modify(key, |node| set_taints(node, &after));
    }
}

fn set_taints(node: &mut Object, taints: &[Taint]) {
    let mut spec: Value = node.spec();
    if !spec.is_object() {
        spec = json!({});
    }
    if let Some(map) = spec.as_object_mut() {
        if taints.is_empty() {
            map.remove("taints");
        } else {
            map.insert("taints".to_owned(), json!(taints));
        }
    }
    node.set("spec", &spec);
}

fn unschedulable(node: &Object) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        unschedulable: bool,
    }
    node.spec::<Spec>().unschedulable
}

/// When a node was last heard of: by its kubelet, or, where it has none, by its lease. `None` of one
/// whose kubelet works (it will be said when it stops), and of a picture of a node.
fn last_beat(cluster: &Cluster, node: &str) -> Option<Timestamp> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct LeaseSpec {
        renew_time: Option<Timestamp>,
    }
    if cluster.machines.works(node) {
        return None;
    }
    cluster.last_heartbeat(node).or_else(|| {
        let lease = cluster.store.get(&Key::new(ids::LEASES, LEASES, node))?;
        lease.spec::<LeaseSpec>().renew_time
    })
}

/// Says that nothing is known of a node whose beats have stopped. Gives when the next beat is
/// overdue.
fn watch(cluster: &mut Cluster, key: &Key) -> Option<Duration> {
    let beat = last_beat(cluster, &key.name)?;
    let overdue = later(beat, GRACE + PERIOD);
    if let Some(wait) = until(overdue, cluster.now()) {
        return Some(wait);
    }
    let node = cluster.store.get(key)?.clone();
    let mut status: Value = node.status();
    let conditions = status.get("conditions").cloned().unwrap_or_default();
    let conditions = heard_nothing(conditions, cluster.now_seconds())?;
    if let Some(map) = status.as_object_mut() {
        map.insert("conditions".to_owned(), conditions);
    } else {
        status = json!({"conditions": conditions});
    }
    cluster.set_status(key, &status);
    let message = format!("Node {} status is now: NodeNotReady", key.name);
    events::normal(cluster, COMPONENT, &node, "NodeNotReady", &message);
    eviction::mark_not_ready(cluster, &key.name);
    None
}

/// The conditions of a node that is silent; `None` when they say so already.
fn heard_nothing(conditions: Value, now: Timestamp) -> Option<Value> {
    const KINDS: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];
    let mut list = match conditions {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    let mut changed = false;
    for kind in KINDS {
        let known = list
            .iter_mut()
            .find(|one| one.get("type") == Some(&json!(kind)));
        let Some(known) = known.and_then(Value::as_object_mut) else {
            let reason = "NodeStatusNeverUpdated";
            let mut added = Vec::new();
            let message = "Kubelet never posted node status.";
            set_condition(
                &mut added,
                Condition::new(kind, "Unknown", reason, message, now),
            );
            list.extend(added.iter().map(|one| json!(one)));
            changed = true;
            continue;
        };
        if known.get("status") == Some(&json!("Unknown")) {
            continue;
        }
        changed = true;
        known.insert("status".to_owned(), json!("Unknown"));
        known.insert("reason".to_owned(), json!("NodeStatusUnknown"));
        let message = json!("Kubelet stopped posting node status.");
        known.insert("message".to_owned(), message);
        known.insert("lastTransitionTime".to_owned(), json!(now));
    }
    changed.then_some(Value::Array(list))
}

/// The pods on a node.
fn pods_on(cluster: &Cluster, node: &str) -> Vec<Arc<Object>> {
    let all = cluster.store.list(ids::PODS, None);
    all.filter(|pod| *crate::pod_spec::node_of(pod) == *node)
        .cloned()
        .collect()
}
