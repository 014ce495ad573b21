//! What controllers need to know of a pod, and how they make and end one.

use super::common::{self, Orphans, controller_key};
use super::events;
use crate::cluster::{Cluster, Todo};
use crate::kubelet::{Phase, PodStatus};
use crate::object::{Key, Meta, Object, Raw};
use crate::pod_spec::node_of;
use crate::registry::{DeleteOptions, Preconditions};
use crate::resources::{ResourceId, ids};
use crate::selector::LabelSelector;
use crate::status::Status;
use crate::store::{Change, ChangeKind, Store};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A pod, as a controller sees it.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    /// All of it.
    pub(super) object: Arc<Object>,
    /// Where it runs; empty when nowhere.
    pub(super) node: Arc<str>,
    /// The few facts of its status.
    pub(super) facts: Facts,
}

/// What of a pod's status a controller decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its phase; one that nobody has written is `Unknown`.
    pub(super) phase: Phase,
    /// Since when it is ready; `None` when it is not. (A ready one without a time is ready since
    /// ever.)
    pub(super) ready_since: Option<Timestamp>,
    /// The most often that one of its containers was restarted.
    pub(super) restarts: u32,
    /// Its address.
    pub(super) ip: Arc<str>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            phase: Phase::Unknown,
            ready_since: None,
            restarts: 0,
            ip: Arc::default(),
        }
    }
}

/// A status that a client wrote.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    phase: Option<Phase>,
    #[serde(rename = "podIP")]
    pod_ip: Arc<str>,
    conditions: Vec<StoredCondition>,
    container_statuses: Vec<StoredContainer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredCondition {
    r#type: String,
    status: String,
    last_transition_time: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredContainer {
    restart_count: u32,
}

impl Facts {
    /// Those of a pod: of what its kubelet has written, or read from text once for all who ask.
    pub(crate) fn of(pod: &Object) -> Self {
        let Some(status) = pod.fields.get("status") else {
            return Self::default();
        };
        if let Some(status) = status.as_value::<PodStatus>() {
            let restarts = status.container_statuses.iter();
            return Self {
                phase: status.phase,
                ready_since: status.ready_since(),
                restarts: restarts.map(|one| one.restart_count).max().unwrap_or(0),
                ip: Arc::clone(&status.pod_ip),
            };
        }
        let read = status.read_once(|text| Some(Self::stored(serde_json::from_str(text).ok()?)));
        read.map_or_else(Self::default, |facts| Self::clone(&facts))
    }

    fn stored(status: Stored) -> Self {
        let mut conditions = status.conditions.iter();
        let ready = conditions.find(|one| one.r#type == "Ready");
        let ready = ready.filter(|one| one.status == "True");
        let restarts = status.container_statuses.iter();
        Self {
            phase: status.phase.unwrap_or(Phase::Unknown),
            ready_since: ready.map(|one| one.last_transition_time.unwrap_or_default()),
            restarts: restarts.map(|one| one.restart_count).max().unwrap_or(0),
            ip: status.pod_ip,
        }
    }

    /// Has it come to its end?
    pub(crate) fn finished(&self) -> bool {
        self.phase.is_over()
    }
}

impl Pod {
    /// Reads one.
    pub(super) fn of(object: &Arc<Object>) -> Self {
        Self {
            object: Arc::clone(object),
            node: node_of(object),
            facts: Facts::of(object),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.object.meta.name
    }

    /// Its key.
    pub(super) fn key(&self) -> Key {
        self.object.key(ids::PODS)
    }

    /// Is it being deleted?
    pub(super) fn terminating(&self) -> bool {
        self.object.meta.deletion_timestamp.is_some()
    }

    /// Neither at its end nor being deleted.
    pub(super) fn active(&self) -> bool {
        !self.terminating() && !self.facts.finished()
    }

    /// Is it ready?
    pub(super) fn ready(&self) -> bool {
        self.facts.ready_since.is_some()
    }

    /// Is it ready for so long that it counts as available?
    pub(super) fn available(&self, min_ready: i64, now: Timestamp) -> bool {
        self.available_in(min_ready, now) == Some(Duration::ZERO)
    }

    /// How long until it counts as available, if it stays ready; `None` when it is not ready.
    pub(super) fn available_in(&self, min_ready: i64, now: Timestamp) -> Option<Duration> {
        let since = self.facts.ready_since?;
        if min_ready == 0 {
            return Some(Duration::ZERO);
        }
        let at = since.saturating_add(SignedDuration::from_secs(min_ready));
        let left = at.unwrap_or(Timestamp::MAX).duration_since(now);
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }
}

/// Did something change that a controller decides on?
pub(super) fn matters(change: &Change) -> bool {
    let (ChangeKind::Modified, Some(old)) = (change.kind, &change.old) else {
        return true;
    };
    let new = &change.new;
    if old.meta.deletion_timestamp.is_some() != new.meta.deletion_timestamp.is_some()
        || old.meta.labels != new.meta.labels
        || old.meta.owner_references != new.meta.owner_references
    {
        return true;
    }
    let same = |name| old.fields.get(name) == new.fields.get(name);
    (!same("spec") && node_of(old) != node_of(new))
        || (!same("status") && Facts::of(old) != Facts::of(new))
}

/// What a controller of pods does when it hears of one: its owner is looked at when the pod matters
/// to it, and whoever adopts it when it has become free. `of` is the kind and resource of the owners.
pub(super) fn heard(
    orphans: &mut Orphans,
    change: &Change,
    store: &Store,
    todo: &mut Todo,
    of: (&str, ResourceId),
    adopts: impl Fn(&Object, &Object) -> bool,
) {
    let (kind, resource) = of;
    let pod = &*change.new;
    let now = Some(pod).filter(|_| change.kind != ChangeKind::Deleted);
    if orphans.hear(&change.key(), change.old.as_deref(), now) {
        let all = store.list(resource, Some(&pod.meta.namespace));
        todo.all(
            all.filter(|one| adopts(one, pod))
                .map(|one| one.key(resource)),
        );
    }
    let owner = |object: &Object| controller_key(object, kind, resource);
    let before = change.old.as_deref().and_then(owner);
    let after = owner(pod);
    if (before.is_none() && after.is_none()) || !matters(change) {
        return;
    }
    if before != after {
        todo.all(before);
    }
    todo.all(after);
}

/// The pods that an object controls, in the order of their names.
pub(super) fn controlled_by(cluster: &Cluster, uid: &str) -> Vec<Pod> {
    let owned = cluster.store.owned_by(uid).filter(|object| {
        &*object.kind == "Pod" && object.meta.controller().is_some_and(|one| one.uid == uid)
    });
    owned.map(Pod::of).collect()
}

/// The pods of a namespace that a selector selects.
pub(super) fn selected(cluster: &Cluster, namespace: &str, selector: &LabelSelector) -> Vec<Pod> {
    let all = cluster.store.list(ids::PODS, Some(namespace));
    all.filter(|object| selector.matches(&object.meta.labels))
        .map(Pod::of)
        .collect()
}

/// `core/v1 PodTemplateSpec`: what its pods are made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    pub(super) metadata: Meta,
    spec: Option<Raw>,
}

impl Template {
    /// Reads one. What is no template makes pods without a spec, which nobody accepts.
    pub(super) fn of(value: &Value) -> Self {
        let metadata = value.get("metadata").cloned().unwrap_or_default();
        Self {
            metadata: serde_json::from_value(metadata).unwrap_or_default(),
            spec: value.get("spec").and_then(Raw::of),
        }
    }

    /// A pod, controlled by `owner`, with a generated name.
    pub(super) fn pod(&self, cluster: &Cluster, owner: &Object) -> Object {
        let mut pod = Object::new(cluster.resources.get(ids::PODS), &owner.meta.namespace, "");
        pod.meta.generate_name = format!("{}-", owner.meta.name).into();
        pod.meta.labels = self.metadata.labels.clone();
        pod.meta.annotations = self.metadata.annotations.clone();
        pod.meta.finalizers = self.metadata.finalizers.clone();
        pod.meta.owner_references = vec![owner.as_controller()].into();
        if let Some(spec) = &self.spec {
            pod.fields.insert("spec", spec.clone());
        }
        pod.set("status", &json!({"phase": "Pending"}));
        pod
    }
}

/// Creates a pod for its owner, and tells in an event how that went.
pub(super) fn create(
    cluster: &mut Cluster,
    component: &'static str,
    owner: &Object,
    pod: Object,
) -> Result<Arc<Object>, Status> {
    let draft = common::draft(cluster, ids::PODS, pod);
    place(cluster, component, owner, draft)
}

/// Creates a pod for its owner from its draft, and tells in an event how that went.
pub(super) fn place(
    cluster: &mut Cluster,
    component: &'static str,
    owner: &Object,
    draft: Result<Object, Status>,
) -> Result<Arc<Object>, Status> {
    match draft.and_then(|draft| common::place(cluster, ids::PODS, draft)) {
        Ok(pod) => {
            let message = format!("Created pod: {}", pod.meta.name);
            events::normal(cluster, component, owner, "SuccessfulCreate", &message);
            Ok(pod)
        }
        Err(refusal) => {
            if !namespace_terminating(&refusal) {
                let message = format!("Error creating: {refusal}");
                events::warning(cluster, component, owner, "FailedCreate", &message);
            }
            Err(refusal)
        }
    }
}

/// Deletes a pod for its owner, and tells so in an event. False when it could not.
pub(super) fn delete(
    cluster: &mut Cluster,
    component: &'static str,
    owner: &Object,
    pod: &Pod,
) -> bool {
    let options = DeleteOptions {
        preconditions: Some(Preconditions {
            uid: Some(pod.object.meta.uid.to_string()),
            resource_version: None,
        }),
        ..DeleteOptions::default()
    };
    let done = cluster.delete(&pod.key(), &options).is_ok();
    if done {
        let message = format!("Deleted pod: {}", pod.name());
        events::normal(cluster, component, owner, "SuccessfulDelete", &message);
    }
    done
}

/// Was it refused because its namespace is going away? Then nobody tries again.
pub(super) fn namespace_terminating(refusal: &Status) -> bool {
    let causes = refusal.details.iter().flat_map(|details| &details.causes);
    causes
        .clone()
        .any(|cause| cause.reason == "NamespaceTerminating")
}
