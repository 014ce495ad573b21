//! DaemonSets: one pod on every node that suits.
//!
//! Rules and texts: `pkg/controller/daemon` of Kubernetes 1.36. Left out: `maxSurge`.

mod place;

use super::Controller;
use super::common::{
    BackOff, Condition, IntOrPercent, Orphans, claim, count, is_zero, more_than_status,
};
use super::events;
use super::placement::{Node, Wishes};
use super::pods::{self, Pod};
use super::revisions;
use crate::cluster::{Cluster, Todo};
use crate::kubelet::Phase;
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::store::{Change, ChangeKind, Store};
use place::Fit;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const COMPONENT: &str = "daemonset-controller";
const HASH_LABEL: &str = "controller-revision-hash";
/// So many pods are made or ended in one look at most (`BurstReplicas`).
const BURST: usize = 250;

/// The controller.
#[derive(Debug, Default)]
pub(super) struct DaemonSets {
    orphans: Orphans,
    back_off: BackOff,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    selector: LabelSelector,
    #[serde(default)]
    template: Value,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    #[serde(default)]
    min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    r#type: String,
    rolling_update: RollingUpdate,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_unavailable: Option<IntOrPercent>,
}

/// `apps/v1` `DaemonSetStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    current_number_scheduled: i64,
    number_misscheduled: i64,
    desired_number_scheduled: i64,
    number_ready: i64,
    observed_generation: u64,
    #[serde(skip_serializing_if = "is_zero")]
    updated_number_scheduled: i64,
    #[serde(skip_serializing_if = "is_zero")]
    number_available: i64,
    #[serde(skip_serializing_if = "is_zero")]
    number_unavailable: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
}

impl Controller for DaemonSets {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        match change.resource {
            ids::DAEMON_SETS if more_than_status(change.old.as_deref(), &change.new) => {
                todo.now(change.key());
            }
            ids::NODES => {
                let old = change.old.as_deref();
                let gone = change.kind == ChangeKind::Deleted;
                let same = old.is_some_and(|old| {
                    old.meta.labels == change.new.meta.labels
                        && old.fields.get("spec") == change.new.fields.get("spec")
                });
                if gone || !same {
                    let all = store.list(ids::DAEMON_SETS, None);
                    todo.all(all.map(|set| set.key(ids::DAEMON_SETS)));
                }
            }
            ids::PODS => self.heard_pod(change, store, todo),
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key).cloned();
        let Some((object, spec)) =
            object.and_then(|it| Some((it.clone(), it.field::<Spec>("spec")?)))
        else {
            self.back_off.forget(key);
            return None;
        };
        if spec.selector.is_everything() {
            let why = "This daemon set is selecting all pods. A non-empty selector is required.";
            events::warning(cluster, COMPONENT, &object, "SelectingAll", why);
            return None;
        }
        if object.meta.deletion_timestamp.is_some() {
            return None;
        }
        let owned = claim(
            cluster,
            &object,
            ids::PODS,
            &spec.selector,
            &self.orphans,
            |_| true,
        );
        let revision = revisions::present(cluster, &object, &spec.template, HASH_LABEL)?;
        let hash = revision
            .object
            .meta
            .labels
            .get(HASH_LABEL)
            .cloned()
            .unwrap_or_default();
        let mut look = Look {
            cluster,
            object: &object,
            spec: &spec,
            hash,
            nodes: BTreeMap::new(),
        };
        look.find(owned.iter().map(Pod::of));
        let (failed, wait) = look.sync(key);
        let limit = spec.revision_history_limit.unwrap_or(10);
        revisions::truncate(cluster, &object, limit, &BTreeSet::from([revision.name()]));
        if failed {
            return Some(self.back_off.failed(key));
        }
        self.back_off.forget(key);
        wait
    }
}

impl DaemonSets {
    fn heard_pod(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        let of = ("DaemonSet", ids::DAEMON_SETS);
        pods::heard(&mut self.orphans, change, store, todo, of, |set, pod| {
            let spec = set.field::<Spec>("spec");
            spec.is_some_and(|spec| spec.selector.matches(&pod.meta.labels))
        });
    }
}

/// One node: whether the pod belongs there, and the pods that are there.
struct Place {
    fit: Fit,
    pods: Vec<Pod>,
}

/// One look at one DaemonSet.
struct Look<'a> {
    cluster: &'a mut Cluster,
    object: &'a Object,
    spec: &'a Spec,
    /// Of the present template.
    hash: String,
    nodes: BTreeMap<String, Place>,
}

impl Look<'_> {
    fn find(&mut self, owned: impl Iterator<Item = Pod>) {
        let wishes = place::wishes(&self.spec.template);
        for node in self.cluster.store.list(ids::NODES, None) {
            let fit = place::fit(&wishes, &Node::of(node));
            self.nodes.insert(
                node.meta.name.to_string(),
                Place {
                    fit,
                    pods: Vec::new(),
                },
            );
        }
        for pod in owned {
            let node = if pod.node.is_empty() {
                let wishes: Wishes = pod.object.spec();
                wishes.only_node().unwrap_or("").to_owned()
            } else {
                pod.node.to_string()
            };
            // The pods of a node that is gone are the pod garbage collector's.
            if let Some(place) = self.nodes.get_mut(&node) {
                place.pods.push(pod);
            }
        }
        for place in self.nodes.values_mut() {
            place.pods.sort_by_key(|pod| {
                (
                    pod.object.meta.creation_timestamp,
                    pod.object.meta.name.clone(),
                )
            });
        }
    }

    /// Makes and ends pods, and writes the status. Gives whether a pod could not be made, and when
    /// to look again.
    fn sync(&mut self, key: &Key) -> (bool, Option<Duration>) {
        let mut missing = Vec::new();
        let mut surplus = Vec::new();
        for (node, place) in &self.nodes {
            match place.fit {
                Fit::Must if place.pods.is_empty() => missing.push(node.clone()),
                Fit::Must | Fit::MayStay => {
                    let alive = place.pods.iter().filter(|pod| !pod.terminating());
                    let (ended, running): (Vec<_>, Vec<_>) =
                        alive.partition(|pod| pod.facts.finished());
                    surplus.extend(
                        ended
                            .into_iter()
                            .chain(running.into_iter().skip(1))
                            .cloned(),
                    );
                }
                Fit::MustNot => {
                    surplus.extend(place.pods.iter().filter(|pod| !pod.terminating()).cloned());
                }
            }
        }
        let settled = missing.is_empty() && surplus.is_empty();
        let failed = self.change(missing, surplus);
        if settled && self.spec.update_strategy.r#type != "OnDelete" {
            self.roll();
        }
        let now = self.cluster.now();
        let least = self.spec.min_ready_seconds;
        let pods = self.nodes.values().flat_map(|place| &place.pods);
        let wait = pods
            .filter_map(|pod| pod.available_in(least, now))
            .filter(|wait| !wait.is_zero());
        let wait = wait.min();
        let status = self.status();
        self.cluster.set_status(key, &status);
        (failed, wait)
    }

    fn change(&mut self, missing: Vec<String>, surplus: Vec<Pod>) -> bool {
        for pod in surplus.into_iter().take(BURST) {
            self.tell_ended(&pod);
            pods::delete(self.cluster, COMPONENT, self.object, &pod);
        }
        let mut nodes = missing.into_iter().take(BURST);
        let number = nodes.len();
        let made = super::replicaset::slow_start(number, || {
            let Some(node) = nodes.next() else {
                return Ok(());
            };
            let pod = place::draft(
                self.cluster,
                self.object,
                &self.spec.template,
                &self.hash,
                &node,
            );
            match pods::create(self.cluster, COMPONENT, self.object, pod) {
                Err(refusal) if !pods::namespace_terminating(&refusal) => Err(refusal),
                _ => Ok(()),
            }
        });
        made.is_err()
    }

    fn tell_ended(&mut self, pod: &Pod) {
        let (meta, node) = (&pod.object.meta, &pod.node);
        let which = format!("daemon pod {}/{} on node {node}", meta.namespace, meta.name);
        match pod.facts.phase {
            Phase::Failed => {
                let message = format!("Found failed {which}, will try to kill it");
                events::warning(
                    self.cluster,
                    COMPONENT,
                    self.object,
                    "FailedDaemonPod",
                    &message,
                );
            }
            Phase::Succeeded => {
                let message = format!("Found succeeded {which}, will try to delete it");
                let reason = "SucceededDaemonPod";
                events::normal(self.cluster, COMPONENT, self.object, reason, &message);
            }
            Phase::Pending | Phase::Running | Phase::Unknown => {}
        }
    }

    fn updated(&self, pod: &Pod) -> bool {
        pod.object.meta.labels.get(HASH_LABEL) == Some(&self.hash)
    }

    /// Ends pods of older templates: those that do not work, and as many others as may be missing.
    fn roll(&mut self) {
        let now = self.cluster.now();
        let available = |pod: &Pod| pod.available(self.spec.min_ready_seconds, now);
        let desired = self
            .nodes
            .values()
            .filter(|place| place.fit == Fit::Must)
            .count();
        let most = self
            .spec
            .update_strategy
            .rolling_update
            .max_unavailable
            .clone();
        let most = most
            .unwrap_or(IntOrPercent::Int(1))
            .of(count(desired), true);
        let mut unavailable = 0_i64;
        let (mut broken, mut candidates) = (Vec::new(), Vec::new());
        for place in self.nodes.values().filter(|place| !place.pods.is_empty()) {
            let alive = place.pods.iter().find(|pod| !pod.terminating());
            match alive {
                Some(pod) if self.updated(pod) && available(pod) => {}
                Some(pod) if !self.updated(pod) && available(pod) => candidates.push(pod.clone()),
                Some(pod) => {
                    unavailable = unavailable.saturating_add(1);
                    if !self.updated(pod) {
                        broken.push(pod.clone());
                    }
                }
                None => unavailable = unavailable.saturating_add(1),
            }
        }
        let more = usize::try_from(most.saturating_sub(unavailable)).unwrap_or(0);
        for pod in broken.into_iter().chain(candidates.into_iter().take(more)) {
            pods::delete(self.cluster, COMPONENT, self.object, &pod);
        }
    }

    fn status(&self) -> Status {
        let now = self.cluster.now();
        let mut status = Status {
            observed_generation: self.object.meta.generation,
            conditions: self.object.status::<Status>().conditions,
            ..Status::default()
        };
        let add = |number: &mut i64, yes: bool| *number = number.saturating_add(i64::from(yes));
        for place in self.nodes.values() {
            let scheduled = !place.pods.is_empty();
            if place.fit != Fit::Must {
                add(&mut status.number_misscheduled, scheduled);
                continue;
            }
            add(&mut status.desired_number_scheduled, true);
            add(&mut status.current_number_scheduled, scheduled);
            let Some(pod) = place.pods.first() else {
                continue;
            };
            add(&mut status.number_ready, pod.ready());
            let available = pod.available(self.spec.min_ready_seconds, now);
            add(&mut status.number_available, available);
            add(&mut status.updated_number_scheduled, self.updated(pod));
        }
        let missing = status
            .desired_number_scheduled
            .saturating_sub(status.number_available);
        status.number_unavailable = missing;
        status
    }
}
