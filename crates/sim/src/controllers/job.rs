//! Jobs: pods that run to their end.
//!
//! Rules and texts: `pkg/controller/job` and `ttlafterfinished` of Kubernetes 1.36. Left out:
//! `podFailurePolicy`, `successPolicy`, `backoffLimitPerIndex`.

mod count;
mod work;

use super::Controller;
use super::common::{Condition, condition, controller_key, more_than_status, until};
use super::events;
use super::pods::{self, Pod};
use crate::cluster::{Cluster, Todo, later};
use crate::object::{Key, Object};
use crate::registry::{DeleteOptions, Propagation};
use crate::resources::ids;
use crate::store::{Change, Store};
use count::Counted;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = "job-controller";
/// Keeps a pod until it has been counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// Failures since the last success, and when the last was.
    failures: BTreeMap<Key, (u32, Timestamp)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    parallelism: Option<i64>,
    completions: Option<i64>,
    backoff_limit: Option<i64>,
    active_deadline_seconds: Option<u64>,
    ttl_seconds_after_finished: Option<u64>,
    #[serde(default)]
    suspend: bool,
    #[serde(default)]
    completion_mode: String,
    #[serde(default)]
    template: Value,
}

impl Spec {
    fn parallelism(&self) -> i64 {
        self.parallelism.unwrap_or(1)
    }

    /// A Job that says neither runs once.
    fn completions(&self) -> Option<i64> {
        match (self.completions, self.parallelism) {
            (None, None) => Some(1),
            (completions, _) => completions,
        }
    }

    fn backoff_limit(&self) -> i64 {
        self.backoff_limit.unwrap_or(6)
    }

    fn indexed(&self) -> bool {
        self.completion_mode == "Indexed"
    }
}

/// `batch/v1` `JobStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "super::common::is_zero")]
    active: i64,
    #[serde(skip_serializing_if = "super::common::is_zero")]
    succeeded: i64,
    #[serde(skip_serializing_if = "super::common::is_zero")]
    failed: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminating: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    completed_indexes: String,
    uncounted_terminated_pods: Uncounted,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<i64>,
}

/// Pods that came to their end and are about to be counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Uncounted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    succeeded: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
}

impl Status {
    fn holds(&self, kind: &str) -> Option<&Condition> {
        condition(&self.conditions, kind).filter(|one| one.status == "True")
    }

    fn finished(&self) -> Option<&Condition> {
        self.holds("Complete").or_else(|| self.holds("Failed"))
    }
}

/// How a Job comes to its end.
#[derive(Clone, Debug)]
struct Verdict {
    success: bool,
    reason: String,
    message: String,
}

impl Verdict {
    fn new(success: bool, reason: &str, message: &str) -> Self {
        Self {
            success,
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// One look at one Job.
struct Look<'a> {
    cluster: &'a mut Cluster,
    failures: &'a mut BTreeMap<Key, (u32, Timestamp)>,
    key: &'a Key,
    object: Arc<Object>,
    spec: Spec,
    status: Status,
}

impl Controller for Jobs {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        match change.resource {
            ids::JOBS if more_than_status(change.old.as_deref(), &change.new) => {
                todo.now(change.key());
            }
            ids::PODS => {
                let owner = controller_key(&change.new, "Job", ids::JOBS);
                if let Some(owner) = owner.filter(|_| pods::matters(change)) {
                    todo.now(owner);
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key).cloned();
        let Some((object, spec)) =
            object.and_then(|it| Some((it.clone(), it.field::<Spec>("spec")?)))
        else {
            self.failures.remove(key);
            return None;
        };
        let status: Status = object.status();
        let failures = &mut self.failures;
        let mut look = Look {
            cluster,
            failures,
            key,
            object,
            spec,
            status,
        };
        if look.status.finished().is_some() {
            look.failures.remove(key);
            look.free_pods();
            return look.expire();
        }
        let wait = look.sync();
        if look.status.finished().is_some() {
            look.failures.remove(key);
            return look.expire();
        }
        wait
    }
}

impl Look<'_> {
    fn sync(&mut self) -> Option<Duration> {
        let mut status = self.status.clone();
        let now = self.cluster.now_seconds();
        if status.start_time.is_none() && !self.spec.suspend {
            status.start_time = Some(now);
        }
        let pods = pods::controlled_by(self.cluster, &self.object.meta.uid);
        let counted = Counted::of(&pods, &status);
        self.remember(&counted);
        let mut active: Vec<Pod> = pods.iter().filter(|pod| pod.active()).cloned().collect();
        let verdict = self.verdict(&status, &counted, &active);
        let mut wait = self.deadline(&status);
        let mut verdict = verdict;
        if verdict.is_some() {
            for pod in active.drain(..) {
                pods::delete(self.cluster, COMPONENT, &self.object, &pod);
            }
        } else if self.object.meta.deletion_timestamp.is_none() {
            let done = self.manage(&mut active, &pods, &counted);
            wait = wait.into_iter().chain(done).min();
            if self.complete(&counted, &active) {
                let message = "Reached expected number of succeeded pods";
                verdict = Some(Verdict::new(true, "CompletionsReached", message));
            } else {
                self.note_suspension(&mut status);
            }
        }
        status.active = super::common::count(active.len());
        let ready = active.iter().filter(|pod| pod.ready());
        status.ready = Some(super::common::count(ready.count()));
        self.track(status, &counted, verdict.as_ref());
        wait
    }

    /// Has it come to its end: by what was said before, by failures, or by its time?
    fn verdict(&self, status: &Status, counted: &Counted, active: &[Pod]) -> Option<Verdict> {
        if let Some(met) = status.holds("SuccessCriteriaMet") {
            return Some(Verdict::new(true, &met.reason, &met.message));
        }
        if let Some(met) = status.holds("FailureTarget") {
            return Some(Verdict::new(false, &met.reason, &met.message));
        }
        let limit = self.spec.backoff_limit();
        if counted.failed > limit || self.restarted_too_often(active) {
            let message = "Job has reached the specified backoff limit";
            return Some(Verdict::new(false, "BackoffLimitExceeded", message));
        }
        let late = self.spec.active_deadline_seconds.is_some()
            && !self.spec.suspend
            && self.deadline(status).is_none();
        let message = "Job was active longer than specified deadline";
        late.then(|| Verdict::new(false, "DeadlineExceeded", message))
    }

    /// With `restartPolicy: OnFailure` a pod's restarts count as failures.
    fn restarted_too_often(&self, active: &[Pod]) -> bool {
        let policy = self
            .spec
            .template
            .pointer("/spec/restartPolicy")
            .and_then(Value::as_str);
        let restarts: i64 = active.iter().map(|pod| i64::from(pod.facts.restarts)).sum();
        let limit = self.spec.backoff_limit().max(1);
        policy == Some("OnFailure") && restarts >= limit
    }

    /// How long until its deadline; `None` when there is none, or when it is over.
    fn deadline(&self, status: &Status) -> Option<Duration> {
        let seconds = self
            .spec
            .active_deadline_seconds
            .filter(|_| !self.spec.suspend)?;
        let at = later(status.start_time?, Duration::from_secs(seconds));
        until(at, self.cluster.now())
    }

    fn complete(&self, counted: &Counted, active: &[Pod]) -> bool {
        let enough = match self.spec.completions() {
            None => counted.succeeded > 0,
            Some(wanted) => counted.succeeded >= wanted,
        };
        enough && active.is_empty()
    }

    fn note_suspension(&mut self, status: &mut Status) {
        let before = condition(&status.conditions, "Suspended").map(|one| one.status.clone());
        let now = self.cluster.now_seconds();
        let (word, reason, message, event) = match (self.spec.suspend, before.as_deref()) {
            (true, None | Some("False")) => ("True", "JobSuspended", "Job suspended", "Suspended"),
            (false, Some("True")) => ("False", "JobResumed", "Job resumed", "Resumed"),
            _ => return,
        };
        status.start_time = Some(now).filter(|_| !self.spec.suspend);
        let mut new = Condition::new("Suspended", word, reason, message, now);
        new.last_probe_time = Some(now);
        super::common::set_condition(&mut status.conditions, new);
        events::normal(self.cluster, COMPONENT, &self.object, event, message);
    }

    /// Deletes a finished Job when its time is over. Gives when that will be.
    fn expire(&mut self) -> Option<Duration> {
        let seconds = self.spec.ttl_seconds_after_finished?;
        let finished = self.status.finished()?.last_transition_time?;
        let at = later(finished, Duration::from_secs(seconds));
        let left = until(at, self.cluster.now());
        if left.is_none() && self.object.meta.deletion_timestamp.is_none() {
            let options = DeleteOptions {
                propagation_policy: Some(Propagation::Foreground),
                ..DeleteOptions::default()
            };
            // Refused only when it has just gone.
            self.cluster.delete(self.key, &options).ok();
        }
        left
    }
}
