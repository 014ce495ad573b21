//! Pods on a node that is silent, tainted or gone.

use super::pods_on;
use crate::cluster::{Cluster, later};
use crate::controllers::common::until;
use crate::controllers::events;
use crate::controllers::placement::{Taint, Wishes, taints};
use crate::controllers::pods::Facts;
use crate::object::{Key, Object};
use crate::pod_spec::node_of;
use crate::registry::DeleteOptions;
use crate::resources::ids;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const COMPONENT: &str = "taint-eviction-controller";

/// Says of all pods on a node that they are not ready: nobody can know it.
pub(super) fn mark_not_ready(cluster: &mut Cluster, node: &str) {
    for pod in pods_on(cluster, node) {
        if Facts::of(&pod).ready_since.is_none() {
            continue;
        }
        let now = cluster.now_seconds();
        let mut status: Value = pod.status();
        let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten() {
            if let Some(map) = condition.as_object_mut()
                && map.get("type") == Some(&json!("Ready"))
            {
                map.insert("status".to_owned(), json!("False"));
                map.insert("lastTransitionTime".to_owned(), json!(now));
            }
        }
        cluster.set_status(&pod.key(ids::PODS), &status);
        let message = "Node is not ready";
        events::warning(cluster, super::COMPONENT, &pod, "NodeNotReady", message);
    }
}

/// Deletes the pods whose toleration of the node's taints is over, or never was. Gives when the
/// next one's is.
pub(super) fn evict(
    cluster: &mut Cluster,
    node: &Object,
    leaving: &mut BTreeSet<Key>,
) -> Option<Duration> {
    let mut hard = taints(node);
    hard.retain(|taint| taint.effect == "NoExecute");
    if hard.is_empty() && leaving.is_empty() {
        return None;
    }
    let now = cluster.now();
    let mut next = None;
    let here = if hard.is_empty() {
        // Only those that are to leave can be told to stay.
        let known = leaving.iter().filter_map(|key| cluster.store.get(key));
        let here = known.filter(|pod| node_of(pod) == node.meta.name);
        here.cloned().collect()
    } else {
        pods_on(cluster, &node.meta.name)
    };
    for pod in here {
        let key = pod.key(ids::PODS);
        if pod.meta.deletion_timestamp.is_some() {
            continue;
        }
        let fate = if hard.is_empty() {
            None
        } else {
            sentence(&pod.spec(), &hard)
        };
        let Some(wait) = fate else {
            if leaving.remove(&key) {
                let message = format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name);
                events::normal(cluster, COMPONENT, &pod, "TaintManagerEviction", &message);
            }
            continue;
        };
        leaving.insert(key.clone());
        let since = hard
            .iter()
            .filter_map(|taint| taint.time_added)
            .max()
            .unwrap_or(now);
        match until(later(since, wait), now) {
            Some(left) => next = Some(next.map_or(left, |next: Duration| next.min(left))),
            None => delete(cluster, &key, &pod),
        }
    }
    next
}

/// How long a pod may stay with these taints; `None` for ever.
fn sentence(wishes: &Wishes, hard: &[Taint]) -> Option<Duration> {
    if !wishes.tolerates(hard, &["NoExecute"]) {
        return Some(Duration::ZERO);
    }
    let used = wishes
        .tolerations
        .iter()
        .filter(|one| hard.iter().any(|taint| one.covers(taint)));
    let least = used.filter_map(|one| one.seconds).min()?;
    Some(Duration::from_secs(u64::try_from(least).unwrap_or(0)))
}

fn delete(cluster: &mut Cluster, key: &Key, pod: &Object) {
    let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
    events::normal(cluster, COMPONENT, pod, "TaintManagerEviction", &message);
    let why = "Taint manager: deleting due to NoExecute taint";
    disrupt(cluster, key, "DeletionByTaintManager", why);
    // Refused only when it has just gone.
    cluster.delete(key, &DeleteOptions::default()).ok();
}

/// Says in the pod's status why it is ended.
fn disrupt(cluster: &mut Cluster, key: &Key, reason: &str, message: &str) {
    let Some(pod) = cluster.store.get(key) else {
        return;
    };
    let mut status: Value = pod.status();
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastProbeTime": null, "lastTransitionTime": cluster.now_seconds(),
    });
    if let Some(map) = status.as_object_mut() {
        let list = map.entry("conditions").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.retain(|one| one.get("type") != condition.get("type"));
            list.push(condition);
        }
    }
    cluster.set_status(key, &status);
}

/// Removes the pods of a node that is gone (the pod garbage collector).
pub(super) fn collect(cluster: &mut Cluster, node: &str) {
    let now = DeleteOptions {
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    for pod in pods_on(cluster, node) {
        let key = pod.key(ids::PODS);
        disrupt(
            cluster,
            &key,
            "DeletionByPodGC",
            "PodGC: node no longer exists",
        );
        // Refused only when it has just gone.
        cluster.delete(&key, &now).ok();
    }
}
