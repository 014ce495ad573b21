//! `core/v1 PodStatus`, as a kubelet writes it.

use crate::events::seconds;
use crate::object::Object;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The phase of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    /// It will not change any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What one write says.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub(super) phase: Phase,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) message: String,
    pub(super) observed_generation: u64,
    pub(super) conditions: Vec<Condition>,
    #[serde(rename = "hostIP", skip_serializing_if = "str::is_empty")]
    pub(super) host_ip: Arc<str>,
    #[serde(rename = "hostIPs", skip_serializing_if = "Vec::is_empty")]
    pub(super) host_ips: Vec<Ip>,
    #[serde(rename = "podIP", skip_serializing_if = "str::is_empty")]
    pub(super) pod_ip: Arc<str>,
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub(super) pod_ips: Vec<Ip>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    pub(super) qos_class: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Ip {
    pub(super) ip: Arc<str>,
}

/// `core/v1 PodCondition`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    pub(super) r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed_generation: Option<u64>,
    pub(super) status: String,
    pub(super) last_probe_time: Option<Timestamp>,
    pub(super) last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

/// `core/v1 ContainerStatus`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) last_state: State,
    pub(super) ready: bool,
    pub(super) restart_count: u32,
    pub(super) image: String,
    #[serde(rename = "imageID")]
    pub(super) image_id: String,
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub(super) container_id: String,
    pub(super) started: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) allocated_resources: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resources: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) volume_mounts: Vec<Value>,
}

/// `core/v1 ContainerState`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    Waiting(Waiting),
    Running(Running),
    Terminated(Arc<Ended>),
    /// Nothing: `{}`.
    #[serde(untagged)]
    Nothing {},
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Waiting {
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running {
    pub(super) started_at: Timestamp,
}

/// How a container ended (`core/v1 ContainerStateTerminated`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub(super) container_id: String,
}

impl State {
    pub(super) fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Waiting(Waiting {
            reason,
            message: message.into(),
        })
    }

    pub(super) fn running(since: Timestamp) -> Self {
        Self::Running(Running {
            started_at: seconds(since),
        })
    }
}

/// The conditions that a kubelet sets, in its order (`syncStatus`, `generateAPIPodStatus`).
pub(super) const CONDITIONS: [&str; 4] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
];

/// A condition and when it last changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Since {
    pub(super) value: bool,
    pub(super) at: Option<Timestamp>,
}

impl Since {
    /// Sets the value; the time is that of the last change.
    pub(super) fn set(&mut self, value: bool, now: Timestamp) {
        if self.at.is_none() || self.value != value {
            *self = Self {
                value,
                at: Some(seconds(now)),
            };
        }
    }
}

/// The conditions in the stored status that are not the kubelet's own.
pub(super) fn foreign(pod: &Object) -> Vec<Condition> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Stored {
        conditions: Vec<Condition>,
    }
    let stored: Stored = pod.status();
    let mine = |one: &Condition| CONDITIONS.contains(&one.r#type.as_str());
    stored
        .conditions
        .into_iter()
        .filter(|one| !mine(one))
        .collect()
}

/// `resources` of a container's status.
pub(super) fn resources(spec: &super::spec::Resources) -> Value {
    let mut result = Map::new();
    for (name, map) in [("limits", &spec.limits), ("requests", &spec.requests)] {
        if !map.is_empty() {
            result.insert(name.to_owned(), json!(map));
        }
    }
    Value::Object(result)
}
