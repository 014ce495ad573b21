//! PodDisruptionBudgets: how many of the pods they select may be evicted now.
//!
//! Rules: `pkg/controller/disruption` of Kubernetes 1.36.

use super::Controller;
use super::common::{Condition, IntOrPercent, condition, count, more_than_status, until};
use super::events;
use super::pods::{self, Pod};
use crate::cluster::{Cluster, Todo, later};
use crate::object::{Key, Object};
use crate::resources::{ResourceId, ids};
use crate::selector::LabelSelector;
use crate::store::{Change, ChangeKind, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// So long an eviction counts before the pod is seen to go (`DeletionTimeout`).
const EVICTION_COUNTS: Duration = Duration::from_mins(2);

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Disruption {
    /// Whom the budgets select: an index of what the store has.
    selectors: BTreeMap<Key, LabelSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_available: Option<IntOrPercent>,
    max_unavailable: Option<IntOrPercent>,
    selector: Option<LabelSelector>,
}

/// `policy/v1` `PodDisruptionBudgetStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    disrupted_pods: BTreeMap<String, Timestamp>,
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
    expected_pods: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
}

impl Controller for Disruption {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        let key = change.key();
        match change.resource {
            ids::POD_DISRUPTION_BUDGETS => {
                if change.kind == ChangeKind::Deleted {
                    self.selectors.remove(&key);
                    return;
                }
                if let Some(selector) = change.new.spec::<Spec>().selector {
                    self.selectors.insert(key.clone(), selector);
                }
                let noted = |object: &Object| object.status::<Status>().disrupted_pods;
                let evicted = change.old.as_deref().map(noted) != Some(noted(&change.new));
                if evicted || more_than_status(change.old.as_deref(), &change.new) {
                    todo.now(key);
                }
            }
            ids::PODS => {
                let labels = |object: &Object| object.meta.labels.clone();
                let before = change.old.as_deref().map(labels);
                let after = &change.new.meta.labels;
                let matching: Vec<_> = self
                    .of(&key.namespace)
                    .filter(|(_, one)| {
                        one.matches(after) || before.as_ref().is_some_and(|it| one.matches(it))
                    })
                    .map(|(budget, _)| budget.clone())
                    .collect();
                if !matching.is_empty() && pods::matters(change) {
                    todo.all(matching);
                }
            }
            ids::REPLICA_SETS | ids::DEPLOYMENTS | ids::STATEFUL_SETS
                if more_than_status(change.old.as_deref(), &change.new) =>
            {
                todo.all(self.of(&key.namespace).map(|(budget, _)| budget.clone()));
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let budget = cluster.store.get(key)?.clone();
        let spec: Spec = budget.spec();
        let selector = spec.selector.clone();
        let selected = selector.map(|one| pods::selected(cluster, &key.namespace, &one));
        let selected = selected.unwrap_or_default();
        if selected.is_empty() {
            let message = "No matching pods found";
            events::normal(cluster, "controllermanager", &budget, "NoPods", message);
        }
        let old: Status = budget.status();
        let now = cluster.now();
        let disrupted = still_disrupted(&old, &selected, now);
        let healthy = selected
            .iter()
            .filter(|pod| pod.ready() && !pod.terminating() && !disrupted.contains_key(pod.name()));
        let healthy = count(healthy.count());
        let (expected, desired) = expectation(cluster, &spec, &selected);
        let spare = healthy.saturating_sub(desired).max(0);
        let mut status = Status {
            observed_generation: budget.meta.generation,
            disruptions_allowed: if expected > 0 { spare } else { 0 },
            current_healthy: healthy,
            desired_healthy: desired,
            expected_pods: expected,
            disrupted_pods: disrupted,
            conditions: Vec::new(),
        };
        let wait = status.disrupted_pods.values().min().copied();
        status.conditions = vec![allowed(&status, &old, cluster.now_seconds())];
        cluster.set_status(key, &status);
        wait.and_then(|at| until(later(at, EVICTION_COUNTS), now))
    }
}

impl Disruption {
    fn of(&self, namespace: &str) -> impl Iterator<Item = (&Key, &LabelSelector)> {
        let first = Key::new(ids::POD_DISRUPTION_BUDGETS, namespace, "");
        let namespace = namespace.to_owned();
        self.selectors
            .range(first..)
            .take_while(move |(key, _)| *key.namespace == *namespace)
    }
}

/// The pods that were evicted but are not seen to go yet.
fn still_disrupted(old: &Status, selected: &[Pod], now: Timestamp) -> BTreeMap<String, Timestamp> {
    let there = |name: &str| {
        let mut pods = selected.iter();
        pods.any(|pod| pod.name() == name && !pod.terminating())
    };
    let counts = |at: Timestamp| until(later(at, EVICTION_COUNTS), now).is_some();
    let kept = old
        .disrupted_pods
        .iter()
        .filter(|(name, at)| there(name) && counts(**at));
    kept.map(|(name, at)| (name.clone(), *at)).collect()
}

/// How many pods there should be, and how many of them healthy.
fn expectation(cluster: &Cluster, spec: &Spec, selected: &[Pod]) -> (i64, i64) {
    if let Some(most) = &spec.max_unavailable {
        let expected = scale(cluster, selected);
        return (
            expected,
            expected.saturating_sub(most.of(expected, true)).max(0),
        );
    }
    match &spec.min_available {
        Some(IntOrPercent::Int(least)) => (count(selected.len()), *least),
        Some(share) => {
            let expected = scale(cluster, selected);
            (expected, share.of(expected, true))
        }
        None => (0, 0),
    }
}

/// How many pods those who control them ask for in all. A pod that nobody with a size controls
/// counts for nothing.
fn scale(cluster: &Cluster, selected: &[Pod]) -> i64 {
    let mut sizes: BTreeMap<String, i64> = BTreeMap::new();
    for pod in selected {
        if let Some(owner) = sized_owner(cluster, &pod.object) {
            let replicas = size(&owner);
            sizes.insert(owner.meta.uid.to_string(), replicas);
        }
    }
    sizes.values().sum()
}

fn size(owner: &Object) -> i64 {
    #[derive(Deserialize)]
    struct Sized {
        #[serde(default = "one")]
        replicas: i64,
    }
    fn one() -> i64 {
        1
    }
    owner.field::<Sized>("spec").map_or(0, |spec| spec.replicas)
}

/// The ReplicaSet, its Deployment, the StatefulSet or the ReplicationController of a pod.
fn sized_owner(cluster: &Cluster, pod: &Object) -> Option<std::sync::Arc<Object>> {
    let owner = pod.meta.controller()?;
    let find = |resource: ResourceId, name: &str, uid: &str| {
        let found = cluster
            .store
            .get(&Key::new(resource, &pod.meta.namespace, name));
        found.filter(|one| &*one.meta.uid == uid).cloned()
    };
    let resource = match owner.kind.as_str() {
        "ReplicaSet" => ids::REPLICA_SETS,
        "StatefulSet" => ids::STATEFUL_SETS,
        "ReplicationController" => ids::REPLICATION_CONTROLLERS,
        _ => return None,
    };
    let found = find(resource, &owner.name, &owner.uid)?;
    let above = found
        .meta
        .controller()
        .filter(|above| above.kind == "Deployment");
    let deployment = above.and_then(|above| find(ids::DEPLOYMENTS, &above.name, &above.uid));
    Some(deployment.unwrap_or(found))
}

fn allowed(status: &Status, old: &Status, now: Timestamp) -> Condition {
    const KIND: &str = "DisruptionAllowed";
    let (word, reason) = if status.disruptions_allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let before = condition(&old.conditions, KIND).filter(|one| one.status == word);
    Condition {
        observed_generation: Some(status.observed_generation),
        last_transition_time: before.map_or(Some(now), |one| one.last_transition_time),
        ..Condition::new(KIND, word, reason, "", now)
    }
}
