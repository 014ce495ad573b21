//! Whether a node takes a pod that was given to it (`lifecycle/predicate.go`, `eviction_manager.go`).

use super::machines::Pressure;
use super::run::PodRun;
use super::spec::PodSpec;
use crate::cluster::Cluster;
use crate::object::Key;
use crate::quantity::Quantity;
use crate::resources::ids;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    allocatable: BTreeMap<String, Value>,
}

/// Reason and message of a refusal.
pub(super) fn refuses(cluster: &Cluster, pod: &PodRun) -> Option<(String, String)> {
    let machine = cluster.machines.nodes.get(&pod.node)?;
    let besteffort = pod.spec.qos() == "BestEffort";
    let condition = machine.pressure.keys().find_map(|pressure| match pressure {
        Pressure::Memory if besteffort => Some("MemoryPressure"),
        Pressure::Disk => Some("DiskPressure"),
        Pressure::Memory | Pressure::Pid => None,
    });
    if let Some(condition) = condition {
        let message = format!("The node had condition: [{condition}]. ");
        return Some(("Evicted".to_owned(), message));
    }
    let node = cluster.store.get(&Key::new(ids::NODES, "", &pod.node))?;
    let allocatable = node.status::<NodeStatus>().allocatable;
    let wanted = pod.asks;
    let used = machine.asked.minus(pod.counted);
    let of = |name: &str| {
        allocatable
            .get(name)
            .and_then(|value| Quantity::of_value(value).ok())
    };
    let cpu = of("cpu").map_or(i64::MAX, Quantity::milli);
    let memory = of("memory").map_or(i64::MAX, Quantity::value);
    let table = [
        ("cpu", wanted.milli_cpu, used.milli_cpu, cpu),
        ("memory", wanted.memory, used.memory, memory),
    ];
    table.into_iter().find_map(|(name, wanted, used, capacity)| {
        let short = wanted > 0 && used.saturating_add(wanted) > capacity;
        short.then(|| {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            (format!("OutOf{name}"), message)
        })
    })
}

/// What a pod asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requests {
    pub(crate) milli_cpu: i64,
    pub(crate) memory: i64,
}

impl Requests {
    pub(super) fn of(spec: &PodSpec) -> Self {
        let sidecars = spec.init_containers.iter().filter(|one| one.is_sidecar());
        let each = spec.containers.iter().chain(sidecars).map(|one| Self {
            milli_cpu: one.resources.request("cpu").map_or(0, Quantity::milli),
            memory: one.resources.request("memory").map_or(0, Quantity::value),
        });
        each.fold(Self::default(), Self::plus)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_add(other.milli_cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_sub(other.milli_cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}
