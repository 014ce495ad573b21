//! `core/v1 PodStatus`, as a kubelet writes it.

use super::images;
use super::spec::PodSpec;
use crate::events::seconds;
use crate::object::Object;
use jiff::Timestamp;
use serde::ser::{SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The phase of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// It will not change any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What one write says. It is kept as it is, for ten thousand pods: what all pods of a template have
/// alike is taken from their spec when it is written for a client.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStatus {
    pub(crate) phase: Phase,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) message: String,
    pub(super) observed_generation: u64,
    pub(super) conditions: Conditions,
    #[serde(rename = "hostIP", skip_serializing_if = "str::is_empty")]
    pub(super) host_ip: Arc<str>,
    #[serde(rename = "hostIPs", skip_serializing_if = "Option::is_none")]
    pub(super) host_ips: Option<[Ip; 1]>,
    #[serde(rename = "podIP", skip_serializing_if = "str::is_empty")]
    pub(crate) pod_ip: Arc<str>,
    #[serde(rename = "podIPs", skip_serializing_if = "Option::is_none")]
    pub(super) pod_ips: Option<[Ip; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) container_statuses: Vec<ContainerStatus>,
    pub(super) qos_class: &'static str,
}

/// The conditions of a pod: the kubelet's own first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conditions {
    /// Of what state of the pod's object the own ones are.
    pub(super) generation: u64,
    /// In the order of [`CONDITIONS`].
    pub(super) own: [Own; 4],
    /// Those that others have written: shared by the states of a pod.
    pub(super) foreign: Arc<[Condition]>,
}

/// One of the kubelet's own.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Own {
    pub(super) since: Since,
    pub(super) reason: &'static str,
    pub(super) message: Box<str>,
}

/// How one of the kubelet's own is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireCondition<'a> {
    r#type: &'a str,
    observed_generation: u64,
    status: &'a str,
    last_probe_time: Option<Timestamp>,
    last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut list = out.serialize_seq(None)?;
        for (name, one) in CONDITIONS.iter().zip(&self.own) {
            list.serialize_element(&WireCondition {
                r#type: name,
                observed_generation: self.generation,
                status: one.since.text(),
                last_probe_time: None,
                last_transition_time: one.since.at,
                reason: one.reason,
                message: &one.message,
            })?;
        }
        for one in &*self.foreign {
            list.serialize_element(one)?;
        }
        list.end()
    }
}

impl PodStatus {
    /// Since when the pod is ready; `None` when it is not.
    pub(crate) fn ready_since(&self) -> Option<Timestamp> {
        let [_, _, ready, _] = &self.conditions.own;
        ready.since.at.filter(|_| ready.since.value)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// `core/v1 ContainerStatus`: what becomes of a container of the spec.
#[derive(Debug)]
pub(crate) struct ContainerStatus {
    pub(super) spec: Arc<PodSpec>,
    /// Which one, those for the start first.
    pub(super) index: usize,
    pub(super) state: State,
    pub(super) last_state: State,
    pub(super) ready: bool,
    pub(crate) restart_count: u32,
    /// Empty before its first instance.
    pub(super) id: Arc<str>,
    pub(super) started: bool,
}

/// How it is written.
#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireContainer<'a> {
    name: &'a str,
    state: &'a State,
    last_state: &'a State,
    ready: bool,
    restart_count: u32,
    image: &'a str,
    #[serde(rename = "imageID")]
    image_id: String,
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    container_id: String,
    started: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_resources: Option<&'a BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<WireResources<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume_mounts: Vec<WireMount<'a>>,
}

/// `core/v1 ResourceRequirements`, in the order of the names.
#[derive(PartialEq, Serialize)]
struct WireResources<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: &'a BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    requests: &'a BTreeMap<String, Value>,
}

/// `core/v1 VolumeMountStatus`, in the order of the names.
#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WireMount<'a> {
    mount_path: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recursive_read_only: Option<&'static str>,
}

impl ContainerStatus {
    fn wire(&self) -> Option<WireContainer<'_>> {
        let spec = self.spec.all().nth(self.index)?;
        let made = !self.id.is_empty();
        let (requests, limits) = (&spec.resources.requests, &spec.resources.limits);
        let mounts = spec.volume_mounts.iter().map(|mount| WireMount {
            mount_path: &mount.mount_path,
            name: &mount.name,
            read_only: mount.read_only.then_some(true),
            recursive_read_only: mount.read_only.then_some("Disabled"),
        });
        Some(WireContainer {
            name: &spec.name,
            state: &self.state,
            last_state: &self.last_state,
            ready: self.ready,
            restart_count: self.restart_count,
            image: &spec.image,
            image_id: if made {
                images::id(&spec.image)
            } else {
                String::new()
            },
            container_id: if made {
                format!("containerd://{}", self.id)
            } else {
                String::new()
            },
            started: self.started,
            allocated_resources: (made && !requests.is_empty()).then_some(requests),
            resources: made.then_some(WireResources { limits, requests }),
            volume_mounts: mounts.collect(),
        })
    }
}

impl Serialize for ContainerStatus {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.wire().serialize(out)
    }
}

impl PartialEq for ContainerStatus {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            spec,
            index,
            state,
            last_state,
            ready,
            restart_count,
            id,
            started,
        } = self;
        if !Arc::ptr_eq(spec, &other.spec) || *index != other.index {
            return self.wire() == other.wire();
        }
        *state == other.state
            && *last_state == other.last_state
            && *ready == other.ready
            && *restart_count == other.restart_count
            && *id == other.id
            && *started == other.started
    }
}

/// `core/v1 ContainerState`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    Waiting(Waiting),
    Running(Running),
    Terminated(Arc<Ended>),
    /// Nothing: `{}`.
    #[serde(untagged)]
    Nothing {},
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Waiting {
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    pub(super) started_at: Timestamp,
}

/// How a container ended (`core/v1 ContainerStateTerminated`).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Since {
    pub(super) value: bool,
    pub(super) at: Option<Timestamp>,
}

impl Since {
    /// The value as the status of a condition.
    fn text(self) -> &'static str {
        if self.value { "True" } else { "False" }
    }

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
pub(super) fn foreign(pod: &Object) -> Arc<[Condition]> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn statuses_are_equal_when_they_are_written_alike_whatever_spec_they_point_to() {
        let status = |image: &str| ContainerStatus {
            spec: {
                let container = json!({"name": "main", "image": image});
                let spec = json!({"containers": [container]});
                Arc::new(serde_json::from_value(spec).unwrap())
            },
            index: 0,
            state: State::running(Timestamp::UNIX_EPOCH),
            last_state: State::Nothing {},
            ready: true,
            restart_count: 0,
            id: "0a".into(),
            started: true,
        };
        assert_eq!(status("a:1"), status("a:1"));
        assert_ne!(status("a:1"), status("a:2"));
        let text = serde_json::to_value(status("a:1")).unwrap();
        assert_eq!(text["containerID"], "containerd://0a");
        assert_eq!(
            text["state"]["running"]["startedAt"],
            "1970-01-01T00:00:00Z"
        );
    }
}
