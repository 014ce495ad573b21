//! What the scheduler remembers of nodes and of the pods on them.

use super::amounts::Amounts;
use super::pod::PodInfo;
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
    pub(super) ports: BTreeSet<(u16, String, Key)>,
}

/// Nodes, and pods that have one.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) nodes: BTreeMap<Arc<str>, NodeInfo>,
    pub(super) pods: BTreeMap<Key, (Arc<str>, Arc<PodInfo>)>,
    /// How many pods an owner has on a node, by its uid and the node.
    pub(super) owners: BTreeMap<String, BTreeMap<Arc<str>, i64>>,
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
        let allocatable: Amounts = status.allocatable.iter().collect();
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
        let info = self.like_neighbour(key, info);
        let known = self.nodes.get_key_value(node);
        let node: Arc<str> = known.map_or_else(|| node.into(), |(name, _)| Arc::clone(name));
        let place = self.nodes.entry(Arc::clone(&node)).or_default();
        place.used.add(&info.requests);
        for (port, protocol) in &info.ports {
            place.ports.insert((*port, protocol.clone(), key.clone()));
        }
        place.pods.insert(key.clone());
        if let Some(owner) = &info.owner {
            let counts = self.owners.entry(owner.clone()).or_default();
            let count = counts.entry(Arc::clone(&node)).or_default();
            *count = count.saturating_add(1);
        }
        if !info.anti.is_empty() {
            self.shy.insert(key.clone());
        }
        self.pods.insert(key.clone(), (node, info));
    }

    /// Pods of one template are neighbours in the order of names, and alike: kept once.
    fn like_neighbour(&self, key: &Key, info: PodInfo) -> Arc<PodInfo> {
        let before = self.pods.range(..key).next_back();
        let after = || self.pods.range(key..).next();
        let neighbour = before.or_else(after).map(|(_, (_, other))| other);
        match neighbour {
            Some(other) if **other == info => Arc::clone(other),
            _ => Arc::new(info),
        }
    }

    /// Notes that a pod is gone or over. Was it there?
    pub(super) fn displace(&mut self, key: &Key) -> bool {
        let Some((node, info)) = self.pods.remove(key) else {
            return false;
        };
        self.shy.remove(key);
        if let Some(place) = self.nodes.get_mut(&node) {
            place.used.subtract(&info.requests);
            place.ports.retain(|(.., owner)| owner != key);
            place.pods.remove(key);
        }
        if let Some(owner) = &info.owner
            && let Some(counts) = self.owners.get_mut(owner)
            && let Some(count) = counts.get_mut(&node)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&node);
            }
            if counts.is_empty() {
                self.owners.remove(owner);
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

#[cfg(test)]
mod tests {
    use super::super::pod;
    use super::*;
    use crate::resources::ids;
    use serde_json::json;

    #[test]
    fn pods_that_are_alike_are_kept_once() {
        let mut cache = Cache::default();
        let mut place = |name: &str, cpu: &str| {
            let container = json!({"resources": {"requests": {"cpu": cpu}}});
            let pod = json!({"metadata": {"name": name, "namespace": "shop"},
                "spec": {"containers": [container]}});
            let pod = Object::from_value(pod).unwrap();
            let info = PodInfo::of(&pod, &pod.spec::<pod::Spec>());
            let key = pod.key(ids::PODS);
            cache.place(&key, "n1", info);
            Arc::clone(&cache.pods.get(&key).unwrap().1)
        };
        let (one, other) = (place("b", "1"), place("c", "1"));
        assert!(Arc::ptr_eq(&one, &other));
        assert!(Arc::ptr_eq(&one, &place("a", "1")));
        assert_eq!(place("d", "2").requests.get("cpu"), 2000);
        assert_eq!(cache.nodes.get("n1").unwrap().used.get("cpu"), 5000);
    }
}
