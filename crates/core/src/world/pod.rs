//! Pods and pod templates, narrowed.

use super::meta::{Meta, null_as_default};
use super::{Kind, Map, ObjectRef, Quantity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: PodSpec,
    /// Observed state.
    pub status: PodStatus,
}

impl Pod {
    /// Memory in bytes that the scheduler sets aside for it, or `None` where a quantity cannot be
    /// read. Containers and sidecars together, or one init container if that is more (component-helpers'
    /// `resource.PodRequests`, without overhead); nothing once it has ended.
    pub fn requested_memory(&self) -> Option<u64> {
        if matches!(self.status.phase.as_str(), "Succeeded" | "Failed") {
            return Some(0);
        }
        let of = |container: &Container| {
            let request = container.resources.requests.get("memory");
            request.map_or(Some(0), Quantity::value)
        };
        let all = |sum: u64, container: &Container| Some(sum.saturating_add(of(container)?));
        let is_sidecar = |container: &&Container| container.restart_policy == "Always";
        let (sidecars, init): (Vec<_>, Vec<_>) =
            self.spec.init_containers.iter().partition(is_sidecar);
        let beside = sidecars.into_iter().try_fold(0, all)?;
        let containers = self.spec.containers.iter().try_fold(0, all)?;
        let first = init.into_iter().map(of).collect::<Option<Vec<u64>>>()?;
        let first = first.into_iter().max().unwrap_or(0);
        Some(beside.saturating_add(containers.max(first)))
    }

    /// Reference to this pod.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::of(Kind::Pod, &self.metadata)
    }

    /// Whether the pod's `Ready` condition is true.
    pub fn is_ready(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|c| c.kind == "Ready" && c.status == "True")
    }

    /// Whether the kubelet made this pod from a file (no API write reaches it).
    pub fn is_mirror(&self) -> bool {
        self.metadata
            .annotations
            .contains_key("kubernetes.io/config.mirror")
    }

    /// Status of every container, init containers first.
    pub fn container_statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status
            .init_container_statuses
            .iter()
            .chain(&self.status.container_statuses)
    }
}

/// The template inside a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Metadata that pods get.
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: TemplateMeta,
    /// Pod specification.
    pub spec: PodSpec,
}

/// Metadata of a pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// Labels.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: Map<String, String>,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Node the pod is bound to; empty before scheduling.
    pub node_name: String,
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers (a sidecar is one with `restartPolicy: Always`).
    pub init_containers: Vec<Container>,
    /// Volumes, only those that name another object or hold local data.
    pub volumes: Vec<Volume>,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: String,
    /// Scheduling gates: an operator holds the pod back.
    pub scheduling_gates: Vec<LocalName>,
}

impl PodSpec {
    /// The container of that name, main or init.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers
            .iter()
            .chain(&self.init_containers)
            .find(|c| c.name == name)
    }

    /// Names of all ConfigMaps that the pod uses (environment and volumes).
    pub fn config_maps(&self) -> BTreeSet<&str> {
        let containers = self.containers.iter().chain(&self.init_containers);
        let from_env = containers.flat_map(|c| {
            let whole = c.env_from.iter().filter_map(|e| e.config_map_ref.as_ref());
            let keys = c.env.iter().filter_map(|e| {
                e.value_from
                    .as_ref()
                    .and_then(|v| v.config_map_key_ref.as_ref())
            });
            whole.chain(keys).map(|name| name.name.as_str())
        });
        let from_volumes = self.volumes.iter().flat_map(|v| {
            let own = v.config_map.iter();
            let projected = v.projected.iter().flat_map(|p| &p.sources);
            own.chain(projected.filter_map(|s| s.config_map.as_ref()))
                .map(|n| n.name.as_str())
        });
        from_env.chain(from_volumes).collect()
    }
}

/// Something named in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalName {
    /// The name.
    pub name: String,
    /// Whether it may be missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A container of a pod specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// Requests and limits.
    pub resources: Resources,
    /// Environment, only the references in it; values are never read.
    pub env: Vec<EnvVar>,
    /// Whole ConfigMaps and Secrets as environment.
    pub env_from: Vec<EnvFrom>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: String,
}

/// Requests and limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Requests by resource name.
    #[serde(deserialize_with = "null_as_default")]
    pub requests: Map<String, Quantity>,
    /// Limits by resource name.
    #[serde(deserialize_with = "null_as_default")]
    pub limits: Map<String, Quantity>,
}

/// One environment variable without its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Where the value comes from.
    pub value_from: Option<EnvSource>,
}

/// Source of an environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvSource {
    /// A ConfigMap's key.
    pub config_map_key_ref: Option<LocalName>,
    /// A Secret's key (its name only).
    pub secret_key_ref: Option<LocalName>,
}

/// A whole ConfigMap or Secret as environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFrom {
    /// ConfigMap.
    pub config_map_ref: Option<LocalName>,
    /// Secret (its name only).
    pub secret_ref: Option<LocalName>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// A ConfigMap as files.
    pub config_map: Option<LocalName>,
    /// A Secret as files (its name only).
    pub secret: Option<SecretVolume>,
    /// Several sources in one folder.
    pub projected: Option<Projected>,
    /// Data that is lost with the pod.
    pub empty_dir: Option<Present>,
    /// Data on the node.
    pub host_path: Option<Present>,
    /// A claim.
    pub persistent_volume_claim: Option<Claim>,
}

/// A marker: present, content not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {}

/// A Secret volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretVolume {
    /// Name of the Secret.
    pub secret_name: String,
    /// Whether it may be missing.
    pub optional: bool,
}

/// A claim volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claim {
    /// Name of the claim.
    pub claim_name: String,
}

/// A projected volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Projected {
    /// Sources.
    #[serde(deserialize_with = "null_as_default")]
    pub sources: Vec<ProjectedSource>,
}

/// One source of a projected volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectedSource {
    /// A ConfigMap.
    pub config_map: Option<LocalName>,
    /// A Secret (its name only).
    pub secret: Option<LocalName>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Short reason, for example `Evicted`.
    pub reason: String,
    /// Message for people.
    pub message: String,
    /// Conditions, only the few in [`KEPT_CONDITIONS`] in the picture that watches keep.
    pub conditions: Vec<Condition>,
    /// Status of the containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// Status of the init containers.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// When the kubelet accepted the pod.
    pub start_time: Option<Timestamp>,
}

/// Conditions of a pod that some rule reads; a healthy pod has three others, which repeat these.
pub const KEPT_CONDITIONS: &[&str] = &["PodScheduled", "Ready"];

/// A condition of a pod or workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type, for example `PodScheduled` or `Progressing`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message for people.
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Option<Timestamp>,
}

/// Status of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Container name.
    pub name: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: i64,
    /// Whether it has started (and passed its startup probe).
    pub started: Option<bool>,
    /// Image in use.
    pub image: String,
    /// Present state.
    #[serde(deserialize_with = "null_as_default")]
    pub state: ContainerState,
    /// State before the last restart.
    #[serde(deserialize_with = "null_as_default")]
    pub last_state: ContainerState,
}

/// State of a container: one of three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not running yet, with a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Running since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// Ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

/// A container that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// Reason, for example `ImagePullBackOff`.
    pub reason: String,
    /// Message for people.
    pub message: String,
}

/// A container that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since when.
    pub started_at: Option<Timestamp>,
}

/// A container that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Exit code (137: killed by SIGKILL).
    pub exit_code: i32,
    /// Reason, for example `OOMKilled` or `Error`.
    pub reason: String,
    /// Message for people.
    pub message: String,
    /// Start.
    pub started_at: Option<Timestamp>,
    /// End.
    pub finished_at: Option<Timestamp>,
}
