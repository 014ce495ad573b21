//! StatefulSets: numbered pods with claims of their own, one after the other.
//!
//! Rules and texts: `pkg/controller/statefulset` of Kubernetes 1.36. What is known to hurt is kept:
//! with OrderedReady a pod that never gets ready blocks the way back to the old template, too, until
//! somebody deletes it.

mod identity;

use super::Controller;
use super::common::{BackOff, Condition, Orphans, claim, count, is_zero, more_than_status};
use super::pods::{self, Pod};
use super::revisions::{self, Revision};
use crate::cluster::{Cluster, Todo};
use crate::kubelet::Phase;
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::store::{Change, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = "statefulset-controller";
/// Label of a pod with the name of its revision.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The controller.
#[derive(Debug, Default)]
pub(super) struct StatefulSets {
    orphans: Orphans,
    back_off: BackOff,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default = "one")]
    replicas: i64,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    pod_management_policy: String,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    #[serde(default)]
    min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
    #[serde(default)]
    ordinals: Ordinals,
    #[serde(default)]
    volume_claim_templates: Vec<Value>,
    #[serde(default)]
    selector: LabelSelector,
    #[serde(default)]
    template: Value,
}

fn one() -> i64 {
    1
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
    partition: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: i64,
}

/// `apps/v1` `StatefulSetStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: u64,
    replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    ready_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    current_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    updated_replicas: i64,
    current_revision: String,
    update_revision: String,
    collision_count: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    available_replicas: i64,
}

impl Controller for StatefulSets {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        match change.resource {
            ids::STATEFUL_SETS if more_than_status(change.old.as_deref(), &change.new) => {
                todo.now(change.key());
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
        let name = Arc::clone(&object.meta.name);
        let member = |pod: &Object| identity::ordinal(&name, &pod.meta.name).is_some();
        let owned = claim(
            cluster,
            &object,
            ids::PODS,
            &spec.selector,
            &self.orphans,
            member,
        );
        let owned = owned.iter().map(Pod::of).collect();
        let hash_label = "controller.kubernetes.io/hash";
        let update = revisions::present(cluster, &object, &spec.template, hash_label)?;
        let status: Status = object.status();
        let all = revisions::of(cluster, &object);
        let current = all
            .into_iter()
            .find(|one| one.name() == status.current_revision);
        let current = current.unwrap_or_else(|| update.clone());
        let mut look = Look {
            cluster,
            key,
            object,
            spec,
            current,
            update,
            waits: false,
        };
        let failed = look.sync(owned).is_err();
        let wait = look.waits.then_some(look.spec.min_ready_seconds);
        if failed {
            return Some(self.back_off.failed(key));
        }
        self.back_off.forget(key);
        wait.and_then(|seconds| Some(Duration::from_secs(u64::try_from(seconds).ok()?)))
    }
}

impl StatefulSets {
    fn heard_pod(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        let of = ("StatefulSet", ids::STATEFUL_SETS);
        pods::heard(&mut self.orphans, change, store, todo, of, |set, pod| {
            identity::ordinal(&set.meta.name, &pod.meta.name).is_some()
        });
    }
}

/// A write was refused: the look is tried again.
#[derive(Debug)]
struct Refused;

/// What a step says about the ones after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// They may follow.
    Goes,
    /// Not before this one is done.
    Waits,
}

/// One look at one StatefulSet.
struct Look<'a> {
    cluster: &'a mut Cluster,
    key: &'a Key,
    object: Arc<Object>,
    spec: Spec,
    /// The revision that pods below the update have.
    current: Revision,
    /// The revision of the present template.
    update: Revision,
    /// A pod is ready but not for long enough.
    waits: bool,
}

impl Look<'_> {
    fn ordered(&self) -> bool {
        self.spec.pod_management_policy != "Parallel"
    }

    fn sync(&mut self, owned: Vec<Pod>) -> Result<(), Refused> {
        let mut status = self.counted(&owned);
        let result = self.work(owned, &mut status);
        let wanted = self.spec.replicas;
        let rolling = self.spec.update_strategy.r#type != "OnDelete";
        if rolling
            && [
                status.updated_replicas,
                status.ready_replicas,
                status.replicas,
            ] == [wanted; 3]
        {
            status.current_replicas = status.updated_replicas;
            status.current_revision.clone_from(&status.update_revision);
        }
        self.cluster.set_status(self.key, &status);
        let limit = self.spec.revision_history_limit.unwrap_or(10);
        let used = BTreeSet::from([self.current.name(), self.update.name()]);
        revisions::truncate(self.cluster, &self.object, limit, &used);
        result
    }

    fn counted(&self, owned: &[Pod]) -> Status {
        let now = self.cluster.now();
        let number = |wanted: &dyn Fn(&&Pod) -> bool| count(owned.iter().filter(wanted).count());
        let ready = |pod: &&Pod| pod.facts.phase == Phase::Running && pod.ready();
        let at = |pod: &Pod, name: &str| !pod.terminating() && revision(pod) == name;
        let old: Status = self.object.status();
        Status {
            observed_generation: self.object.meta.generation,
            replicas: count(owned.len()),
            ready_replicas: number(&ready),
            available_replicas: number(&|pod| {
                ready(pod) && pod.available(self.spec.min_ready_seconds, now)
            }),
            current_replicas: number(&|pod| at(pod, self.current.name())),
            updated_replicas: number(&|pod| at(pod, self.update.name())),
            current_revision: self.current.name().to_owned(),
            update_revision: self.update.name().to_owned(),
            collision_count: 0,
            conditions: old.conditions,
        }
    }

    fn work(&mut self, owned: Vec<Pod>, status: &mut Status) -> Result<(), Refused> {
        if self.object.meta.deletion_timestamp.is_some() {
            return Ok(());
        }
        let first = self.spec.ordinals.start;
        let end = first.saturating_add(self.spec.replicas);
        let mut members = BTreeMap::new();
        let mut condemned = BTreeMap::new();
        for pod in owned {
            let ordinal = identity::ordinal(&self.object.meta.name, pod.name());
            match ordinal {
                Some(ordinal) if (first..end).contains(&ordinal) => members.insert(ordinal, pod),
                Some(ordinal) => condemned.insert(ordinal, pod),
                None => None,
            };
        }
        for ordinal in first..end {
            if self.keep(ordinal, members.get(&ordinal))? == Next::Waits {
                return Ok(());
            }
        }
        if self.remove(&members, &condemned) == Next::Waits {
            return Ok(());
        }
        if self.spec.update_strategy.r#type != "OnDelete" {
            self.replace(&members, status);
        }
        Ok(())
    }

    /// Sees to one member: makes it, ends it when it has come to its end, waits for it.
    fn keep(&mut self, ordinal: i64, member: Option<&Pod>) -> Result<Next, Refused> {
        let blocked = if self.ordered() {
            Next::Waits
        } else {
            Next::Goes
        };
        let Some(pod) = member else {
            self.make(ordinal)?;
            return Ok(blocked);
        };
        if pod.facts.finished() {
            if !pod.terminating() {
                self.end(pod);
            }
            return Ok(blocked);
        }
        if pod.facts.phase == Phase::Pending {
            self.make_claims(ordinal)?;
        }
        if pod.terminating() || !self.available(pod) {
            return Ok(blocked);
        }
        Ok(Next::Goes)
    }

    fn available(&mut self, pod: &Pod) -> bool {
        let now = self.cluster.now();
        let least = self.spec.min_ready_seconds;
        let running = pod.facts.phase == Phase::Running && pod.ready();
        let available = running && pod.available(least, now);
        self.waits |= running && !available;
        available
    }

    /// Ends the pods that are too many, the highest first.
    fn remove(&mut self, members: &BTreeMap<i64, Pod>, condemned: &BTreeMap<i64, Pod>) -> Next {
        let all: Vec<Pod> = members
            .values()
            .chain(condemned.values())
            .cloned()
            .collect();
        let first_unhealthy = all
            .iter()
            .find(|pod| pod.terminating() || !self.available(pod));
        let first_unhealthy = first_unhealthy.map(|pod| pod.name().to_owned());
        for pod in condemned.values().rev() {
            if pod.terminating() {
                if self.ordered() {
                    return Next::Waits;
                }
                continue;
            }
            let healthy = self.available(pod);
            if self.ordered() && !healthy && first_unhealthy.as_deref() != Some(pod.name()) {
                return Next::Waits;
            }
            self.end(pod);
            if self.ordered() {
                return Next::Waits;
            }
        }
        Next::Goes
    }

    /// Ends the highest member of another revision; waits for the ones above it first.
    fn replace(&mut self, members: &BTreeMap<i64, Pod>, status: &mut Status) {
        let least = self.spec.update_strategy.rolling_update.partition;
        let least = self.spec.ordinals.start.saturating_add(least);
        for (_, pod) in members.range(least..).rev() {
            if revision(pod) != self.update.name() && !pod.terminating() {
                self.end(pod);
                status.current_replicas = status.current_replicas.saturating_sub(1).max(0);
                return;
            }
            if pod.terminating() || !self.available(pod) {
                return;
            }
        }
    }
}

fn revision(pod: &Pod) -> &str {
    let labels = &pod.object.meta.labels;
    labels.get(REVISION_LABEL).map_or("", String::as_str)
}
