//! What the scheduler remembers of nodes and of the pods on them.

use super::pod::{Amounts, PodInfo, amount};
use super::terms::Taint;
use crate::object::{Key, Object, Shared};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A node.
#[derive(Debug, Default)]
pub(super) struct NodeInfo {
    pub(super) labels: Shared<BTreeMap<String, String>>,
    pub(super) taints: Vec<Taint>,
    pub(super) unschedulable: bool,
    pub(super) allocatable: Amounts,
    pub(super) used: Amounts,
    pub(super) pods: BTreeSet<Key>,
    /// How many of the pods each owner has, by its uid.
    pub(super) owners: BTreeMap<String, i64>,
    pub(super) ports: BTreeSet<(u16, String, Key)>,
}

/// Nodes, and pods that have one.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) nodes: BTreeMap<Arc<str>, NodeInfo>,
    pub(super) pods: BTreeMap<Key, (Arc<str>, PodInfo)>,
    /// Pods with a required anti-affinity of their own.
    pub(super) shy: BTreeSet<Key>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    taints: Vec<Taint>,
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    allocatable: BTreeMap<String, Value>,
}

impl Cache {
    /// Notes a node. Has anything changed that lets a pod fit?
    pub(super) fn set_node(&mut self, node: &Object) -> bool {
        let spec: Spec = node.spec();
        let status: Status = node.status();
        let allocatable = status.allocatable.iter();
        let allocatable: Amounts = allocatable
            .map(|(name, value)| (name.clone(), amount(name, value)))
            .collect();
        let name = Arc::clone(&node.meta.name);
        let known = self.nodes.contains_key(&name);
        let info = self.nodes.entry(name).or_default();
        let same = info.labels == node.meta.labels
            && info.taints == spec.taints
            && info.unschedulable == spec.unschedulable
            && info.allocatable == allocatable;
        if known && same {
            return false;
        }
        info.labels.clone_from(&node.meta.labels);
        info.taints = spec.taints;
        info.unschedulable = spec.unschedulable;
        info.allocatable = allocatable;
        true
    }

    pub(super) fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Notes that a pod is on a node.
    pub(super) fn place(&mut self, key: &Key, node: &str, info: PodInfo) {
        self.displace(key);
        let place = self.nodes.entry(node.into()).or_default();
        for (name, amount) in &info.requests {
            let used = place.used.entry(name.clone()).or_default();
            *used = used.saturating_add(*amount);
        }
        for (port, protocol) in &info.ports {
            place.ports.insert((*port, protocol.clone(), key.clone()));
        }
        place.pods.insert(key.clone());
        if let Some(owner) = &info.owner {
            let count = place.owners.entry(owner.clone()).or_default();
            *count = count.saturating_add(1);
        }
        if !info.anti.is_empty() {
            self.shy.insert(key.clone());
        }
        self.pods.insert(key.clone(), (node.into(), info));
    }

    /// Notes that a pod is gone or over. Was it there?
    pub(super) fn displace(&mut self, key: &Key) -> bool {
        let Some((node, info)) = self.pods.remove(key) else {
            return false;
        };
        self.shy.remove(key);
        if let Some(place) = self.nodes.get_mut(&node) {
            for (name, amount) in &info.requests {
                if let Some(used) = place.used.get_mut(name) {
                    *used = used.saturating_sub(*amount);
                }
            }
            place.ports.retain(|(.., owner)| owner != key);
            place.pods.remove(key);
            if let Some(owner) = &info.owner
                && let Some(count) = place.owners.get_mut(owner)
            {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    place.owners.remove(owner);
                }
            }
        }
        true
    }

    /// A label of the node that a pod is on.
    pub(super) fn node_label(&self, pod: &Key, label: &str) -> Option<&str> {
        let (node, _) = self.pods.get(pod)?;
        self.nodes.get(node)?.labels.get(label).map(String::as_str)
    }
}
