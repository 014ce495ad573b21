//! ReplicaSets: as many pods of a template as are asked for.
//!
//! Rules and texts: `pkg/controller/replicaset` and `controller_utils.go` of Kubernetes 1.36.

use super::Controller;
use super::common::{
    self, BackOff, Condition, Orphans, claim, condition, count, is_zero, more_than_status,
    remove_condition, set_condition, template_digest,
};
use super::pods::{self, Pod, Template};
use crate::cluster::{Cluster, Todo};
use crate::kubelet::Phase;
use crate::object::{Key, Object, Raw};
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::status::Status as Refusal;
use crate::store::{Change, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// At most so many pods are made or ended in one look (`BurstReplicas`).
const BURST: usize = 500;
const COMPONENT: &str = "replicaset-controller";

/// The controller.
#[derive(Debug, Default)]
pub(super) struct ReplicaSets {
    orphans: Orphans,
    back_off: BackOff,
}

/// `apps/v1` `ReplicaSetSpec`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default = "one")]
    pub(super) replicas: i64,
    #[serde(default)]
    pub(super) min_ready_seconds: i64,
    #[serde(default)]
    selector: Arc<LabelSelector>,
    #[serde(default)]
    template: Arc<Template>,
    /// Of the template.
    #[serde(skip)]
    pub(super) digest: [u8; 32],
}

impl Spec {
    /// A ReplicaSet's, read once for all who ask.
    pub(super) fn of(set: &Object) -> Option<Arc<Self>> {
        set.fields.get("spec")?.read_once(|text| {
            let mut spec: Self = serde_json::from_str(text).ok()?;
            spec.digest = template_digest(text);
            Some(spec)
        })
    }

    /// The same with another number of pods.
    pub(super) fn of_size(&self, replicas: i64) -> Self {
        Self {
            replicas,
            min_ready_seconds: self.min_ready_seconds,
            selector: Arc::clone(&self.selector),
            template: Arc::clone(&self.template),
            digest: self.digest,
        }
    }
}

fn one() -> i64 {
    1
}

/// `apps/v1` `ReplicaSetStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    /// Pods that are neither at their end nor being deleted.
    pub(super) replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    fully_labeled_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) ready_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) available_replicas: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terminating_replicas: Option<i64>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) observed_generation: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conditions: Vec<Condition>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_default(number: &u64) -> bool {
    *number == 0
}

impl Controller for ReplicaSets {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        match change.resource {
            ids::REPLICA_SETS if more_than_status(change.old.as_deref(), &change.new) => {
                todo.now(change.key());
            }
            ids::PODS => self.heard_pod(change, store, todo),
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key).cloned();
        let Some((object, spec)) = object.and_then(|it| Some((it.clone(), Spec::of(&it)?))) else {
            self.back_off.forget(key);
            return None;
        };
        let owned = claim(
            cluster,
            &object,
            ids::PODS,
            &spec.selector,
            &self.orphans,
            |_| true,
        );
        let owned: Vec<Pod> = owned.iter().map(Pod::of).collect();
        let terminating = owned
            .iter()
            .filter(|pod| pod.terminating() && !pod.facts.finished());
        let terminating = count(terminating.count());
        let active: Vec<Pod> = owned.into_iter().filter(Pod::active).collect();
        let result = if object.meta.deletion_timestamp.is_none() {
            manage(cluster, &object, &spec, &active)
        } else {
            Ok(())
        };
        let now = cluster.now();
        let mut status = status(&object, &spec, &active, now);
        status.terminating_replicas = Some(terminating);
        note_failure(
            &mut status,
            &result,
            cluster.now_seconds(),
            count(active.len()) < spec.replicas,
        );
        cluster.write_status(key, Raw::value(status));
        if result.is_err() {
            return Some(self.back_off.failed(key));
        }
        self.back_off.forget(key);
        let waits = active
            .iter()
            .filter_map(|pod| pod.available_in(spec.min_ready_seconds, now));
        waits.filter(|wait| !wait.is_zero()).min()
    }
}

impl ReplicaSets {
    fn heard_pod(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        let of = ("ReplicaSet", ids::REPLICA_SETS);
        pods::heard(&mut self.orphans, change, store, todo, of, |set, pod| {
            Spec::of(set).is_some_and(|spec| spec.selector.matches(&pod.meta.labels))
        });
    }
}

/// Makes the pods that are missing, or ends those that are too many.
fn manage(cluster: &mut Cluster, set: &Object, spec: &Spec, active: &[Pod]) -> Result<(), Refusal> {
    let wanted = usize::try_from(spec.replicas).unwrap_or(0);
    if active.len() < wanted {
        let missing = wanted.saturating_sub(active.len()).min(BURST);
        let pod = spec.template.pod(cluster, set);
        let draft = common::draft(cluster, ids::PODS, pod);
        return slow_start(missing, || {
            match pods::place(cluster, COMPONENT, set, draft.clone()) {
                Err(refusal) if !pods::namespace_terminating(&refusal) => Err(refusal),
                _ => Ok(()),
            }
        });
    }
    let too_many = active.len().saturating_sub(wanted).min(BURST);
    if too_many > 0 {
        for pod in to_delete(cluster, set, active, too_many) {
            pods::delete(cluster, COMPONENT, set, &pod);
        }
    }
    Ok(())
}

/// Calls `one` so many times, in batches of 1, 2, 4, ...: a batch in which something failed is the
/// last one, so that a quota is not run against hundreds of times.
pub(super) fn slow_start(
    wanted: usize,
    mut one: impl FnMut() -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut left = wanted;
    let mut batch = 1_usize;
    while left > 0 {
        let size = batch.min(left);
        let results: Vec<_> = (0..size).map(|_| one()).collect();
        results.into_iter().collect::<Result<Vec<()>, _>>()?;
        left = left.saturating_sub(size);
        batch = batch.saturating_mul(2);
    }
    Ok(())
}

/// The pods that go first.
fn to_delete(cluster: &Cluster, set: &Object, active: &[Pod], number: usize) -> Vec<Pod> {
    let mut sorted = active.to_vec();
    if number < active.len() {
        let crowd = crowd(cluster, set);
        let now = cluster.now();
        sorted.sort_by(|one, other| first_to_go(one, other, &crowd, now));
    }
    sorted.truncate(number);
    sorted
}

/// How many active pods of the same Deployment (or of this ReplicaSet) are on each node.
fn crowd(cluster: &Cluster, set: &Object) -> BTreeMap<Arc<str>, usize> {
    let related: Vec<_> = match set.meta.controller() {
        Some(owner) => {
            let sets = cluster.store.owned_by(&owner.uid);
            let sets = sets.filter(|one| &*one.kind == "ReplicaSet");
            sets.map(|one| one.meta.uid.to_string()).collect()
        }
        None => vec![set.meta.uid.to_string()],
    };
    let mut crowd = BTreeMap::new();
    for uid in related {
        for pod in pods::controlled_by(cluster, &uid)
            .into_iter()
            .filter(Pod::active)
        {
            let number: &mut usize = crowd.entry(pod.node.clone()).or_default();
            *number = number.saturating_add(1);
        }
    }
    crowd
}

/// `ActivePodsWithRanks`: less goes first.
fn first_to_go(
    one: &Pod,
    other: &Pod,
    crowd: &BTreeMap<Arc<str>, usize>,
    now: Timestamp,
) -> Ordering {
    let phase = |pod: &Pod| match pod.facts.phase {
        Phase::Pending => 0,
        Phase::Unknown => 1,
        Phase::Running | Phase::Succeeded | Phase::Failed => 2,
    };
    let cost = |pod: &Pod| {
        let text = pod
            .object
            .meta
            .annotations
            .get("controller.kubernetes.io/pod-deletion-cost");
        text.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)
    };
    let crowd = |pod: &Pod| crowd.get(&pod.node).copied().unwrap_or(0);
    let uid = || one.object.meta.uid.cmp(&other.object.meta.uid);
    // Times count by their order of magnitude, so that it is not always the same node's pods.
    let age = |one: Option<Timestamp>, other: Option<Timestamp>| match (one, other) {
        (Some(one), Some(other)) if one != other => magnitude(one, now)
            .cmp(&magnitude(other, now))
            .then_with(uid),
        _ => Ordering::Equal,
    };
    let placed = |pod: &Pod| !pod.node.is_empty();
    placed(one)
        .cmp(&placed(other))
        .then_with(|| phase(one).cmp(&phase(other)))
        .then_with(|| one.ready().cmp(&other.ready()))
        .then_with(|| cost(one).cmp(&cost(other)))
        .then_with(|| crowd(other).cmp(&crowd(one)))
        .then_with(|| age(one.facts.ready_since, other.facts.ready_since))
        .then_with(|| other.facts.restarts.cmp(&one.facts.restarts))
        .then_with(|| {
            let created = |pod: &Pod| pod.object.meta.creation_timestamp;
            age(created(one), created(other))
        })
}

/// How long ago, as the whole logarithm to base two.
fn magnitude(at: Timestamp, now: Timestamp) -> Option<u32> {
    let nanos = u128::try_from(now.duration_since(at).as_nanos()).ok()?;
    nanos.checked_ilog2()
}

fn status(set: &Object, spec: &Spec, active: &[Pod], now: Timestamp) -> Status {
    let full = LabelSelector::from_labels(&spec.template.metadata.labels);
    let number =
        |wanted: &dyn Fn(&Pod) -> bool| count(active.iter().filter(|pod| wanted(pod)).count());
    Status {
        replicas: count(active.len()),
        fully_labeled_replicas: number(&|pod| full.matches(&pod.object.meta.labels)),
        ready_replicas: number(&Pod::ready),
        available_replicas: number(&|pod| pod.available(spec.min_ready_seconds, now)),
        terminating_replicas: None,
        observed_generation: set.meta.generation,
        conditions: set.kept_status::<Status>().conditions,
    }
}

fn note_failure(status: &mut Status, result: &Result<(), Refusal>, now: Timestamp, too_few: bool) {
    const FAILURE: &str = "ReplicaFailure";
    match result {
        Err(refusal) if condition(&status.conditions, FAILURE).is_none() => {
            let reason = if too_few {
                "FailedCreate"
            } else {
                "FailedDelete"
            };
            let new = Condition::new(FAILURE, "True", reason, &refusal.message, now);
            set_condition(&mut status.conditions, new);
        }
        Err(_) => {}
        Ok(()) => remove_condition(&mut status.conditions, FAILURE),
    }
}
