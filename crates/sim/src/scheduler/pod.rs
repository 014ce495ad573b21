//! What a scheduler reads of a pod.

use super::amounts::Amounts;
use super::terms::{LabelSelector, NodeSelector, NodeTerm, Toleration};
use crate::object::{Object, Shared};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `core/v1 PodSpec`, as far as it decides where a pod runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    pub(super) scheduler_name: String,
    pub(super) scheduling_gates: Vec<Value>,
    pub(super) node_selector: BTreeMap<String, String>,
    pub(super) affinity: Affinity,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) topology_spread_constraints: Vec<Spread>,
    pub(super) volumes: Vec<Volume>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    overhead: BTreeMap<String, Value>,
    host_network: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the fields of core/v1 Affinity")]
pub(super) struct Affinity {
    pub(super) node_affinity: NodeAffinity,
    pub(super) pod_affinity: PodAffinity,
    pub(super) pod_anti_affinity: PodAffinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub(super) required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub(super) preferred: Vec<PreferredNode>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PreferredNode {
    pub(super) weight: i64,
    pub(super) preference: NodeTerm,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub(super) required: Vec<PodTerm>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub(super) preferred: Vec<PreferredPod>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PreferredPod {
    pub(super) weight: i64,
    pub(super) pod_affinity_term: PodTerm,
}

/// `v1.PodAffinityTerm`; an empty list of namespaces means the pod's own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodTerm {
    label_selector: Option<LabelSelector>,
    namespaces: Vec<String>,
    namespace_selector: Option<LabelSelector>,
    pub(super) topology_key: String,
}

impl PodTerm {
    /// Does a pod that has this term in a namespace mean another one?
    pub(super) fn means(&self, own: &str, other: &PodInfo) -> bool {
        // (Labels of namespaces are not looked at: a selector for them means all of them.)
        let namespace = match (&self.namespace_selector, self.namespaces.as_slice()) {
            (Some(_), _) => true,
            (None, []) => own == &*other.namespace,
            (None, some) => some.iter().any(|one| **one == *other.namespace),
        };
        namespace
            && self
                .label_selector
                .as_ref()
                .is_some_and(|one| one.matches(&other.labels))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spread {
    pub(super) max_skew: i64,
    pub(super) topology_key: String,
    pub(super) when_unsatisfiable: String,
    pub(super) label_selector: Option<LabelSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    pub(super) persistent_volume_claim: Option<Claim>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Claim {
    pub(super) claim_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    resources: Resources,
    ports: Vec<Port>,
    restart_policy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: BTreeMap<String, Value>,
    limits: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(
    clippy::struct_field_names,
    reason = "the fields of core/v1 ContainerPort"
)]
struct Port {
    host_port: u16,
    container_port: u16,
    protocol: String,
}

/// What is kept of a pod that has a node.
#[derive(Debug, PartialEq)]
pub(super) struct PodInfo {
    pub(super) namespace: Arc<str>,
    pub(super) labels: Shared<BTreeMap<String, String>>,
    pub(super) owner: Option<String>,
    pub(super) requests: Amounts,
    /// Host ports with their protocol.
    pub(super) ports: Vec<(u16, String)>,
    pub(super) anti: Vec<PodTerm>,
}

impl PodInfo {
    pub(super) fn of(pod: &Object, spec: &Spec) -> Self {
        Self {
            namespace: Arc::clone(&pod.meta.namespace),
            labels: pod.meta.labels.clone(),
            owner: pod.meta.controller().map(|owner| owner.uid.clone()),
            requests: spec.requests(),
            ports: spec.ports(),
            anti: spec.affinity.pod_anti_affinity.required.clone(),
        }
    }
}

impl Container {
    fn requests(&self) -> Amounts {
        let limits = self.resources.limits.iter();
        limits.chain(&self.resources.requests).collect()
    }
}

impl Spec {
    /// The sum over what runs at once, or the largest init container (`resource.PodRequests`).
    fn requests(&self) -> Amounts {
        let mut sum = Amounts::default();
        for container in &self.containers {
            sum.add(&container.requests());
        }
        let mut sidecars = Amounts::default();
        let mut start = Amounts::default();
        for container in &self.init_containers {
            let mut one = container.requests();
            if container.restart_policy == "Always" {
                sum.add(&one);
                sidecars.add(&one);
            } else {
                one.add(&sidecars);
                start.raise(&one);
            }
        }
        sum.raise(&start);
        sum.add(&self.overhead.iter().collect());
        sum
    }

    fn ports(&self) -> Vec<(u16, String)> {
        let ports = self.containers.iter().flat_map(|one| &one.ports);
        ports
            .filter_map(|port| {
                let number = if self.host_network {
                    port.container_port
                } else {
                    port.host_port
                };
                let protocol = if port.protocol.is_empty() {
                    "TCP"
                } else {
                    &port.protocol
                };
                (number > 0).then(|| (number, protocol.to_owned()))
            })
            .collect()
    }
}
