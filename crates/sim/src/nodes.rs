//! Nodes, what a new cluster has, and faults from outside.

mod faults;
mod system;

use crate::cluster::Cluster;
use crate::events::{EventType, Reference, Source, micros, seconds};
use crate::kubelet::machines::{Machine, node_address, pod_network};
use crate::kubelet::node::{PRESSURES, images, say};
use crate::object::{Key, Object, OwnerReference};
use crate::quantity::Quantity;
use crate::resources::{ResourceId, ids};
use crate::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kubelet renews its lease so often (a quarter of its 40 s).
const RENEWS: i64 = 10;

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// CPUs, as a quantity.
    pub cpu: String,
    /// Memory, as a quantity.
    pub memory: String,
    /// Disk for pods, as a quantity.
    pub disk: String,
    /// Most pods.
    pub pods: u32,
    /// `topology.kubernetes.io/zone`; none when empty.
    pub zone: String,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// Key, value and effect of taints.
    pub taints: Vec<(String, String, String)>,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self {
            cpu: "4".to_owned(),
            memory: "16Gi".to_owned(),
            disk: "100Gi".to_owned(),
            pods: 110,
            zone: String::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
        }
    }
}

impl Cluster {
    /// Adds a node with a kubelet that works, ready at once.
    ///
    /// # Errors
    /// When the API refuses the Node: the name is taken.
    pub fn add_node(&mut self, name: &str, spec: &NodeSpec) -> Result<Arc<Object>, Status> {
        if self.store.get(&Key::new(ids::NODES, "", name)).is_some() {
            // Its machine is at work.
            return Err(Status::already_exists(self.resources.get(ids::NODES), name));
        }
        let memory = Quantity::parse(&spec.memory).map_or(0, Quantity::value);
        self.machines.count = self.machines.count.wrapping_add(1);
        let number = self.machines.count;
        let row = self.resources.get(ids::NODES);
        let mut node = Object::new(row, "", name);
        node.meta.labels = labels(name, spec).into();
        let annotations = [
            ("node.alpha.kubernetes.io/ttl", "0"),
            (
                "volumes.kubernetes.io/controller-managed-attach-detach",
                "true",
            ),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
        node.meta.annotations = BTreeMap::from(annotations).into();
        let taints: Vec<Value> = spec
            .taints
            .iter()
            .map(|(key, value, effect)| json!({"key": key, "value": value, "effect": effect}))
            .collect();
        let cidr = format!("{}.0/24", pod_network(number));
        let mut body = json!({"podCIDR": cidr, "podCIDRs": [cidr]});
        if let (Some(body), false) = (body.as_object_mut(), taints.is_empty()) {
            body.insert("taints".to_owned(), Value::Array(taints));
        }
        node.set("spec", &body);
        self.machines
            .nodes
            .insert(name.into(), Machine::new(number));
        let status = self.node_status(name, number, spec, memory);
        node.set("status", &status);
        let created = self.create(ids::NODES, node).inspect_err(|_| {
            self.machines.nodes.remove(name);
        })?;
        self.add_lease(&created);
        let about = Reference::node(&created.meta.name);
        let source = Source::kubelet(&created.meta.name);
        self.event(
            source.clone(),
            &about,
            EventType::Normal,
            "Starting",
            "Starting kubelet.",
        );
        for reason in [
            "NodeHasSufficientMemory",
            "NodeHasNoDiskPressure",
            "NodeHasSufficientPID",
        ] {
            say(self, name, EventType::Normal, reason, None);
        }
        let enforced = "Updated Node Allocatable limit across pods";
        self.event(
            source,
            &about,
            EventType::Normal,
            "NodeAllocatableEnforced",
            enforced,
        );
        say(self, name, EventType::Normal, "NodeReady", None);
        Ok(created)
    }

    fn node_status(&self, name: &str, number: u16, spec: &NodeSpec, memory: i64) -> Value {
        let now = seconds(self.now());
        let mut conditions: Vec<Value> = PRESSURES
            .into_iter()
            .map(|one| {
                let [kind, _, _, reason, message] = one.texts();
                condition(kind, "False", (reason, message), now)
            })
            .collect();
        let ready = ("KubeletReady", "kubelet is posting ready status");
        conditions.push(condition("Ready", "True", ready, now));
        let sum = |memory: &str| {
            json!({"cpu": spec.cpu, "ephemeral-storage": spec.disk, "hugepages-1Gi": "0",
                   "hugepages-2Mi": "0", "memory": memory, "pods": spec.pods.to_string()})
        };
        // 100Mi are kept back from pods (`evictionHard`).
        let left = Quantity::of_bytes(memory.saturating_sub(100 << 20)).to_string();
        json!({
            "capacity": sum(&spec.memory),
            "allocatable": sum(&left),
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": node_address(number)},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": format!("{number:032x}"),
                "systemUUID": format!("{number:032x}"),
                "bootID": format!("{number:032x}"),
                "kernelVersion": "6.12.0",
                "osImage": "Debian GNU/Linux 12 (bookworm)",
                "containerRuntimeVersion": "containerd://2.4.2",
                "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": images(self, name),
        })
    }

    /// The node owns its lease (`SetNodeOwnerFunc` in `kubelet/util/nodelease.go`).
    fn add_lease(&mut self, node: &Object) {
        let row = self.resources.get(ids::LEASES);
        let name = &*node.meta.name;
        let mut lease = Object::new(row, "kube-node-lease", name);
        let body = json!({"holderIdentity": name, "leaseDurationSeconds": 40,
                          "renewTime": micros(self.now())});
        lease.set("spec", &body);
        lease.meta.owner_references = vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: name.to_owned(),
            uid: node.meta.uid.to_string(),
            ..OwnerReference::default()
        }]
        .into();
        let owners = lease.meta.owner_references.clone();
        let key = lease.key(ids::LEASES);
        if self.create(ids::LEASES, lease).is_err() {
            // That of a node of the same name from before.
            self.modify(&key, |lease| lease.meta.owner_references = owners);
        }
    }

    /// When a kubelet last renewed its lease. `None` for a node that has no kubelet here.
    ///
    /// Leases are not written every ten seconds: what they would say is computed, here and in
    /// [`Cluster::as_read`].
    pub fn last_heartbeat(&self, node: &str) -> Option<Timestamp> {
        let machine = self.machines.nodes.get(node)?;
        let at = machine.silent_since.unwrap_or(self.now());
        // Each at its own second.
        let phase = i64::from(machine.number) % RENEWS;
        let past = (at.as_second().saturating_sub(phase)).rem_euclid(RENEWS);
        Timestamp::from_second(at.as_second().saturating_sub(past)).ok()
    }

    /// An object as a client reads it: a node's lease has the time of its kubelet's last heartbeat.
    pub fn as_read(&self, resource: ResourceId, object: &Arc<Object>) -> Arc<Object> {
        let heartbeat = (resource == ids::LEASES && &*object.meta.namespace == "kube-node-lease")
            .then(|| self.last_heartbeat(&object.meta.name))
            .flatten();
        let Some(at) = heartbeat else {
            return Arc::clone(object);
        };
        let mut fresh = Object::clone(object);
        let mut spec: Value = fresh.field("spec").unwrap_or_default();
        if let Some(spec) = spec.as_object_mut() {
            spec.insert("renewTime".to_owned(), micros(at).into());
        }
        fresh.set("spec", &spec);
        Arc::new(fresh)
    }

    fn node_key(name: &str) -> Key {
        Key::new(ids::NODES, "", name)
    }
}

fn labels(name: &str, spec: &NodeSpec) -> BTreeMap<String, String> {
    let own = [
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut labels = BTreeMap::from(own);
    if !spec.zone.is_empty() {
        labels.insert("topology.kubernetes.io/zone".to_owned(), spec.zone.clone());
    }
    labels.extend(spec.labels.clone());
    labels
}

fn condition(kind: &str, status: &str, (reason, message): (&str, &str), now: Timestamp) -> Value {
    json!({"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": now,
           "reason": reason, "message": message})
}
