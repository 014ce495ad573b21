//! The scheduler: gives pods their nodes (`pkg/scheduler`).
//!
//! Left out: preemption (its words are said, nobody is evicted), dynamic resources, pod groups,
//! profiles and extenders, the limits on volumes per node.

mod amounts;
mod cache;
mod filter;
mod pod;
mod score;
mod terms;
mod volumes;

use crate::cluster::{Cluster, Todo, later};
use crate::controllers::{Controller, Facts};
use crate::events::{EventType, Reference, passed, seconds};
use crate::object::{Key, Object};
use crate::pod_spec::{self, node_of};
use crate::resources::ids;
use crate::status::{Reason, Status};
use crate::store::{Change, ChangeKind, Store};
use cache::Cache;
use filter::{Unfit, Wanted};
use jiff::Timestamp;
use pod::PodInfo;
pub(crate) use pod::Spec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Name of the scheduler, in pods and Events.
const NAME: &str = "default-scheduler";
/// A pod that did not fit is tried again after so long at most (`podMaxInUnschedulablePodsDuration`).
const FLUSH: Duration = Duration::from_mins(5);
/// First wait between attempts, doubling, and the longest (`podInitialBackoff`, `podMaxBackoff`).
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// So long a binding waits for its volumes before it looks again.
const VOLUMES: Duration = Duration::from_secs(1);

/// The scheduler.
#[derive(Debug, Default)]
pub struct Scheduler {
    cache: Cache,
    /// Pods that did not fit.
    waiting: BTreeMap<Key, Waiting>,
    /// How often something has changed that may let one of them fit.
    moves: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    attempts: u32,
    /// Not before.
    next: Timestamp,
    /// [`Scheduler::moves`] when it was tried.
    tried: u64,
}

impl Controller for Scheduler {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        let helps = match change.resource {
            ids::PODS => self.heard_pod(change, todo),
            ids::NODES if change.kind == ChangeKind::Deleted => {
                self.cache.remove_node(&change.new.meta.name);
                false
            }
            ids::NODES => self.cache.set_node(&change.new),
            ids::PERSISTENT_VOLUME_CLAIMS | ids::PERSISTENT_VOLUMES | ids::STORAGE_CLASSES => {
                change.kind != ChangeKind::Deleted
            }
            _ => false,
        };
        if helps && !self.waiting.is_empty() {
            self.moves = self.moves.saturating_add(1);
            todo.now(everybody());
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        if key.name.is_empty() {
            return self.try_again(cluster);
        }
        let pod = cluster.store.get(key).cloned();
        let Some(pod) = pod.filter(|pod| pod.meta.deletion_timestamp.is_none()) else {
            self.waiting.remove(key);
            return None;
        };
        let spec = pod_spec::scheduling(&pod);
        if !node_of(&pod).is_empty() || !matches!(spec.scheduler_name.as_str(), "" | NAME) {
            self.waiting.remove(key);
            return None;
        }
        if !spec.scheduling_gates.is_empty() {
            let message = "Scheduling is blocked due to non-empty scheduling gates";
            set_unscheduled(cluster, &pod, "SchedulingGated", message, None);
            return None;
        }
        let now = cluster.now();
        if let Some(waiting) = self.waiting.get(key)
            && waiting.next > now
        {
            return Some(passed(now, waiting.next));
        }
        self.schedule(cluster, &pod, &spec)
    }
}

/// Whom to look at when something has changed that may let any of the waiting pods fit: one place in
/// the queue for all of them.
fn everybody() -> Key {
    Key::new(ids::PODS, "", "")
}

impl Scheduler {
    /// Tries the waiting pods that have not been tried since the last change that may help, each
    /// when its back-off is over. Gives when the next one's is.
    fn try_again(&mut self, cluster: &mut Cluster) -> Option<Duration> {
        let (now, moves) = (cluster.now(), self.moves);
        let stale = |waiting: &Waiting| waiting.tried < moves;
        let due = self.waiting.iter();
        let due = due.filter(|(_, waiting)| stale(waiting) && waiting.next <= now);
        let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            // The wait is not kept: room and volumes both show in a change, after which it is stale.
            self.reconcile(&key, cluster);
        }
        let left = self.waiting.values().filter(|waiting| stale(waiting));
        left.map(|waiting| passed(now, waiting.next)).min()
    }

    /// Notes a change of a pod. Does it make room?
    fn heard_pod(&mut self, change: &Change, todo: &mut Todo) -> bool {
        let key = change.key();
        if change.kind == ChangeKind::Deleted {
            self.waiting.remove(&key);
            return self.cache.displace(&key);
        }
        let pod = &change.new;
        let of = |object: &Arc<Object>| object.fields.get("spec").cloned();
        let same_spec = change.old.as_ref().is_some_and(|old| of(old) == of(pod));
        let node = node_of(pod);
        let known = self.cache.pods.get(&key);
        if known.is_some_and(|(known, _)| same_spec || **known == *node) {
            return Facts::of(pod).finished() && self.cache.displace(&key);
        }
        if same_spec {
            return false;
        }
        if node.is_empty() {
            todo.now(key);
            return false;
        }
        if !Facts::of(pod).finished() {
            let info = PodInfo::of(pod, &pod_spec::scheduling(pod));
            self.cache.place(&key, &node, info);
        }
        false
    }

    fn schedule(
        &mut self,
        cluster: &mut Cluster,
        pod: &Arc<Object>,
        spec: &Spec,
    ) -> Option<Duration> {
        let key = pod.key(ids::PODS);
        let info = PodInfo::of(pod, spec);
        let claims = match volumes::claims(&cluster.store, &key.namespace, spec) {
            Ok(claims) => claims,
            Err(why) => {
                let all = self.cache.nodes.len();
                let message = format!("0/{all} nodes are available: {why}. not found");
                return Some(self.failed(cluster, pod, &message));
            }
        };
        let wanted = Wanted::new(&self.cache, spec, &info, &claims.selectors);
        let mut fit = Vec::new();
        let mut unfit = Vec::new();
        for (name, node) in &self.cache.nodes {
            match wanted.check(name, node) {
                Ok(()) => fit.push((name, node)),
                Err(why) => unfit.push(why),
            }
        }
        if fit.is_empty() {
            let message = message(&unfit);
            return Some(self.failed(cluster, pod, &message));
        }
        let best = score::best(&self.cache, spec, &info, &fit);
        let luck = cluster.chance(u64::try_from(best.len()).unwrap_or(1));
        let node = best
            .get(usize::try_from(luck).unwrap_or(0))
            .or(best.first())?
            .clone();
        if self.waits_for_volumes(cluster, &key, &claims.waiting, &node) {
            return Some(VOLUMES);
        }
        self.waiting.remove(&key);
        if cluster.bind(&key, &node).is_ok() {
            let message = format!(
                "Successfully assigned {}/{} to {node}",
                key.namespace, key.name
            );
            let what = ("Binding", "Scheduled");
            cluster.event_series(NAME, &Reference::of(pod), EventType::Normal, what, &message);
            self.cache.place(&key, &node, info);
        }
        None
    }

    /// Asks for volumes on a node. Are there any to wait for?
    fn waits_for_volumes(
        &mut self,
        cluster: &mut Cluster,
        pod: &Key,
        claims: &[Key],
        node: &str,
    ) -> bool {
        for claim in claims {
            let selected = cluster
                .store
                .get(claim)
                .is_some_and(|claim| volumes::is_selected(claim, node));
            if !selected {
                cluster.modify(claim, |claim| {
                    let key = volumes::SELECTED_NODE.to_owned();
                    claim.meta.annotations.insert(key, node.to_owned());
                });
            }
        }
        if !claims.is_empty() {
            let waiting = Waiting {
                attempts: 0,
                next: cluster.now(),
                tried: self.moves,
            };
            self.waiting.insert(pod.clone(), waiting);
        }
        !claims.is_empty()
    }

    /// The pod fits nowhere: says so, and waits.
    fn failed(&mut self, cluster: &mut Cluster, pod: &Object, message: &str) -> Duration {
        let key = pod.key(ids::PODS);
        let what = ("Scheduling", "FailedScheduling");
        cluster.event_series(NAME, &Reference::of(pod), EventType::Warning, what, message);
        set_unscheduled(
            cluster,
            pod,
            "Unschedulable",
            message,
            Some(pod.meta.generation),
        );
        let attempts = self.waiting.get(&key).map_or(0, |waiting| waiting.attempts);
        let wait = BACKOFF
            .saturating_mul(1 << attempts.min(4))
            .min(MAX_BACKOFF);
        let next = later(cluster.now(), wait);
        let attempts = attempts.saturating_add(1);
        let tried = self.moves;
        let waiting = Waiting {
            attempts,
            next,
            tried,
        };
        self.waiting.insert(key, waiting);
        FLUSH
    }
}

/// `0/3 nodes are available: ...`, as `FitError` and the preemption plugin put it.
fn message(unfit: &[Unfit]) -> String {
    let all = unfit.len();
    if all == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let reasons = unfit
        .iter()
        .flat_map(|one| &one.reasons)
        .map(String::as_str);
    let why = histogram(reasons);
    let preemption = histogram(unfit.iter().map(|one| {
        if one.others_in_the_way {
            "No preemption victims found for incoming pod"
        } else {
            "Preemption is not helpful for scheduling"
        }
    }));
    format!(
        "0/{all} nodes are available: {why}. no new claims to deallocate, preemption: \
         0/{all} nodes are available: {preemption}."
    )
}

/// `2 Insufficient cpu, 1 node(s) were unschedulable`: sorted as texts.
fn histogram<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for reason in reasons {
        let count = counts.entry(reason).or_default();
        *count = count.saturating_add(1);
    }
    let mut texts: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    texts.sort();
    texts.join(", ")
}

/// Writes the condition `PodScheduled=False`.
fn set_unscheduled(
    cluster: &mut Cluster,
    pod: &Object,
    reason: &str,
    message: &str,
    generation: Option<u64>,
) {
    let mut condition = json!({
        "type": "PodScheduled", "status": "False", "lastProbeTime": null,
        "reason": reason, "message": message,
    });
    if let (Some(generation), Some(map)) = (generation, condition.as_object_mut()) {
        map.insert("observedGeneration".to_owned(), generation.into());
    }
    let status = with_condition(pod, condition, cluster.now());
    cluster.set_status(&pod.key(ids::PODS), &status);
}

/// The status with a condition set; its transition time stays while its status does.
fn with_condition(pod: &Object, mut condition: Value, now: Timestamp) -> Value {
    let mut status: Value = pod
        .field("status")
        .unwrap_or_else(|| json!({"phase": "Pending"}));
    let mut conditions: Vec<Value> = status
        .get("conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let kind = condition.get("type").cloned();
    let at = conditions
        .iter()
        .position(|one| one.get("type") == kind.as_ref());
    let old = at.map(|at| conditions.remove(at));
    let since = old
        .filter(|old| old.get("status") == condition.get("status"))
        .and_then(|old| old.get("lastTransitionTime").cloned())
        .unwrap_or_else(|| json!(seconds(now)));
    if let Some(map) = condition.as_object_mut() {
        map.insert("lastTransitionTime".to_owned(), since);
    }
    conditions.insert(at.unwrap_or(conditions.len()), condition);
    if let Some(map) = status.as_object_mut() {
        map.insert("conditions".to_owned(), Value::Array(conditions));
    }
    status
}

impl Cluster {
    /// Gives a pod its node, as `pods/binding` does: the node's name and the condition
    /// `PodScheduled` in one write.
    ///
    /// # Errors
    /// 404 when there is no such pod, 409 when it has a node already.
    pub fn bind(&mut self, key: &Key, node: &Arc<str>) -> Result<Arc<Object>, Status> {
        let row = self.resources.get(ids::PODS);
        let Some(old) = self.store.get(key).cloned() else {
            return Err(Status::not_found(row, &key.name));
        };
        let present = node_of(&old);
        if !present.is_empty() {
            let why = format!("pod {} is already assigned to node \"{present}\"", key.name);
            return Err(Status::conflict(row, &key.name, &why));
        }
        let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null});
        let status = with_condition(&old, condition, self.now());
        let mut pod = Object::clone(&old);
        let spec = old.fields.get("spec");
        let placed = spec
            .and_then(|spec| pod_spec::place(spec, node))
            .ok_or_else(|| Status::new(Reason::InternalError, "spec is no object"))?;
        pod.fields.insert("spec", placed);
        pod.set("status", &status);
        Ok(self.store.put(ids::PODS, pod))
    }
}

#[cfg(test)]
mod tests;
