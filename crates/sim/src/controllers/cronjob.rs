//! CronJobs: a Job at each time of a schedule.
//!
//! Rules and texts: `pkg/controller/cronjob` of Kubernetes 1.36. Schedules are read in UTC; one with a
//! `timeZone` is told to be unsupported and is not run.

mod schedule;

use super::Controller;
use super::common::{Condition, condition, controller_key, create, more_than_status, until};
use super::events;
use crate::cluster::{Cluster, Todo, later};
use crate::object::{Key, Object};
use crate::registry::{DeleteOptions, Propagation};
use crate::resources::ids;
use crate::store::{Change, Store};
use jiff::Timestamp;
use schedule::Schedule;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = "cronjob-controller";

/// The controller.
#[derive(Debug, Default)]
pub(super) struct CronJobs;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    schedule: String,
    time_zone: Option<String>,
    starting_deadline_seconds: Option<u64>,
    #[serde(default)]
    concurrency_policy: String,
    #[serde(default)]
    suspend: bool,
    #[serde(default)]
    job_template: Value,
    successful_jobs_history_limit: Option<usize>,
    failed_jobs_history_limit: Option<usize>,
}

/// `batch/v1` `CronJobStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    active: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_schedule_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_successful_time: Option<Timestamp>,
}

impl Controller for CronJobs {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        match change.resource {
            ids::CRON_JOBS if more_than_status(change.old.as_deref(), &change.new) => {
                todo.now(change.key());
            }
            ids::JOBS => {
                let owner = controller_key(&change.new, "CronJob", ids::CRON_JOBS);
                todo.all(owner);
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key)?.clone();
        let spec: Spec = object.field("spec")?;
        let mut look = Look {
            cluster,
            status: object.status(),
            object,
            spec,
        };
        let wait = look.sync();
        let status = look.status;
        cluster.set_status(key, &status);
        wait
    }
}

/// One look at one CronJob.
struct Look<'a> {
    cluster: &'a mut Cluster,
    object: Arc<Object>,
    spec: Spec,
    status: Status,
}

/// How a Job ended, and when.
fn ending(job: &Object) -> Option<(bool, Option<Timestamp>)> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct JobStatus {
        conditions: Vec<Condition>,
        completion_time: Option<Timestamp>,
    }
    let status: JobStatus = job.status();
    let holds = |kind| condition(&status.conditions, kind).is_some_and(|one| one.status == "True");
    if holds("Complete") {
        return Some((true, status.completion_time));
    }
    holds("Failed").then_some((false, None))
}

impl Look<'_> {
    fn sync(&mut self) -> Option<Duration> {
        let jobs: Vec<Arc<Object>> = self
            .cluster
            .store
            .owned_by(&self.object.meta.uid)
            .filter(|one| &*one.kind == "Job")
            .cloned()
            .collect();
        self.note_ended(&jobs);
        self.clean_up(&jobs);
        if self.object.meta.deletion_timestamp.is_some() || self.spec.suspend {
            return None;
        }
        if let Some(zone) = &self.spec.time_zone {
            let message = format!("invalid timeZone: \"{zone}\": not supported here");
            let object = &self.object;
            events::warning(self.cluster, COMPONENT, object, "UnknownTimeZone", &message);
            return None;
        }
        let Some(schedule) = Schedule::parse(&self.spec.schedule) else {
            let message = format!("unparseable schedule: \"{}\"", self.spec.schedule);
            let object = &self.object;
            events::warning(
                self.cluster,
                COMPONENT,
                object,
                "UnparseableSchedule",
                &message,
            );
            return None;
        };
        let now = self.cluster.now();
        if let Some(time) = self.due(&schedule, now) {
            self.start(time);
        }
        until(schedule.after(now)?, now)
    }

    /// The newest time of the schedule that has passed and has no Job yet.
    fn due(&self, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
        let created = self.object.meta.creation_timestamp;
        let mut time = schedule.after(self.status.last_schedule_time.or(created)?)?;
        while let Some(next) = schedule
            .after(time)
            .filter(|next| *next <= now && time <= now)
        {
            time = next;
        }
        let deadline = self.spec.starting_deadline_seconds.map(Duration::from_secs);
        let late = deadline.is_some_and(|deadline| later(time, deadline) < now);
        (time <= now && !late).then_some(time)
    }

    /// Forgets the active Jobs that have ended or are gone.
    fn note_ended(&mut self, jobs: &[Arc<Object>]) {
        let named = |job: &Object, one: &Value| one.get("uid") == Some(&json!(job.meta.uid));
        for job in jobs {
            let Some((success, at)) = ending(job) else {
                continue;
            };
            let before = self.status.active.len();
            self.status.active.retain(|one| !named(job, one));
            if self.status.active.len() < before {
                let word = if success { "Complete" } else { "Failed" };
                let message = format!("Saw completed job: {}, condition: {word}", job.meta.name);
                let object = &self.object;
                events::normal(self.cluster, COMPONENT, object, "SawCompletedJob", &message);
            }
            if success {
                self.status.last_successful_time = self.status.last_successful_time.max(at);
            }
        }
        self.status
            .active
            .retain(|one| jobs.iter().any(|job| named(job, one)));
    }

    /// Deletes the oldest Jobs beyond the limits.
    fn clean_up(&mut self, jobs: &[Arc<Object>]) {
        let kept = [
            (true, self.spec.successful_jobs_history_limit.unwrap_or(3)),
            (false, self.spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (success, limit) in kept {
            let ended = |job: &&Arc<Object>| {
                ending(job).is_some_and(|(ended_well, _)| ended_well == success)
                    && job.meta.deletion_timestamp.is_none()
            };
            let mut ended: Vec<&Arc<Object>> = jobs.iter().filter(ended).collect();
            ended.sort_by_key(|job| (job.meta.creation_timestamp, Arc::clone(&job.meta.name)));
            let too_many = ended.len().saturating_sub(limit);
            for job in ended.into_iter().take(too_many) {
                self.delete(job);
            }
        }
    }

    fn delete(&mut self, job: &Object) {
        let options = DeleteOptions {
            propagation_policy: Some(Propagation::Background),
            ..DeleteOptions::default()
        };
        if self.cluster.delete(&job.key(ids::JOBS), &options).is_ok() {
            let message = format!("Deleted job {}", job.meta.name);
            events::normal(
                self.cluster,
                COMPONENT,
                &self.object,
                "SuccessfulDelete",
                &message,
            );
        }
    }

    fn start(&mut self, time: Timestamp) {
        if !self.status.active.is_empty() {
            if self.spec.concurrency_policy == "Forbid" {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                let object = &self.object;
                events::normal(self.cluster, COMPONENT, object, "JobAlreadyActive", message);
                return;
            }
            if self.spec.concurrency_policy == "Replace" {
                let uids: Vec<Value> = self.status.active.drain(..).collect();
                let jobs: Vec<_> = self
                    .cluster
                    .store
                    .owned_by(&self.object.meta.uid)
                    .cloned()
                    .collect();
                for job in jobs {
                    if uids
                        .iter()
                        .any(|one| one.get("uid") == Some(&json!(job.meta.uid)))
                    {
                        self.delete(&job);
                    }
                }
            }
        }
        let job = self.draft(time);
        match create(self.cluster, ids::JOBS, job) {
            Ok(job) => {
                let message = format!("Created job {}", job.meta.name);
                let object = &self.object;
                events::normal(
                    self.cluster,
                    COMPONENT,
                    object,
                    "SuccessfulCreate",
                    &message,
                );
                self.status.active.push(json!({
                    "kind": "Job", "apiVersion": "batch/v1", "namespace": job.meta.namespace,
                    "name": job.meta.name, "uid": job.meta.uid,
                    "resourceVersion": job.meta.resource_version.to_string(),
                }));
            }
            Err(why) => {
                let message = format!("Error creating job: {why}");
                let object = &self.object;
                events::warning(self.cluster, COMPONENT, object, "FailedCreate", &message);
            }
        }
        self.status.last_schedule_time = Some(time);
    }

    /// The Job of one time: its name tells the minute, so that none is made twice.
    fn draft(&self, time: Timestamp) -> Object {
        let template = Object::from_value(self.spec.job_template.clone()).ok();
        let row = self.cluster.resources.get(ids::JOBS);
        let minute = time.as_second().div_euclid(60);
        let name = format!("{}-{minute}", self.object.meta.name);
        let mut job = Object::new(row, &self.object.meta.namespace, &name);
        if let Some(template) = template {
            job.meta.labels = template.meta.labels;
            job.meta.annotations = template.meta.annotations;
            job.fields = template.fields;
        }
        let stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp";
        job.meta
            .annotations
            .insert(stamp.to_owned(), time.to_string());
        job.meta.owner_references = vec![self.object.as_controller()].into();
        job
    }
}
