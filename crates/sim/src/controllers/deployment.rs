//! Deployments: ReplicaSets, one for each template there was, of which the newest takes over.
//!
//! Rules and texts: `pkg/controller/deployment` of Kubernetes 1.36. As there, one look makes one
//! step: the changes it makes bring the next.

mod progress;
mod rollout;
mod sets;

use super::Controller;
use super::common::{
    BackOff, Condition, IntOrPercent, Orphans, claim, condition, controller_key, is_zero,
    set_condition, template_digest,
};
use super::events;
use super::pods;
use crate::cluster::{Cluster, Todo};
use crate::object::{Key, Object, Raw};
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::store::{Change, ChangeKind, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sets::Set;
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
const PROGRESSING: &str = "Progressing";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Deployments {
    orphans: Orphans,
    back_off: BackOff,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default = "one")]
    replicas: i64,
    #[serde(default)]
    selector: LabelSelector,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
    #[serde(default)]
    paused: bool,
    progress_deadline_seconds: Option<i64>,
    /// Of the template.
    #[serde(skip)]
    digest: [u8; 32],
}

/// The parts of a spec that a new ReplicaSet takes over as they are.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parts {
    selector: Value,
    template: Value,
}

fn one() -> i64 {
    1
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Strategy {
    r#type: String,
    rolling_update: RollingUpdate,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_surge: Option<IntOrPercent>,
    max_unavailable: Option<IntOrPercent>,
}

/// `apps/v1` `DeploymentStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_generation: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    updated_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    ready_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    available_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    unavailable_replicas: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminating_replicas: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collision_count: Option<i64>,
}

impl Spec {
    /// A Deployment's, read once for all who ask.
    fn of(deployment: &Object) -> Option<Arc<Self>> {
        deployment.fields.get("spec")?.read_once(|text| {
            let mut spec: Self = serde_json::from_str(text).ok()?;
            spec.digest = template_digest(text);
            Some(spec)
        })
    }

    fn rolling(&self) -> bool {
        self.strategy.r#type != "Recreate"
    }

    /// How many pods more than wanted, and how many fewer, a rollout may have. Both zero would
    /// never move: then one may be missing.
    fn fence_posts(&self) -> (i64, i64) {
        if !self.rolling() {
            return (0, 0);
        }
        let part = |value: &Option<IntOrPercent>, up| {
            let quarter = IntOrPercent::Percent("25%".to_owned());
            value.as_ref().unwrap_or(&quarter).of(self.replicas, up)
        };
        let update = &self.strategy.rolling_update;
        let surge = part(&update.max_surge, true);
        let unavailable = part(&update.max_unavailable, false);
        if surge == 0 && unavailable == 0 {
            return (0, 1);
        }
        (surge, unavailable)
    }

    fn max_surge(&self) -> i64 {
        self.fence_posts().0
    }

    fn max_unavailable(&self) -> i64 {
        self.fence_posts().1.min(self.replicas)
    }

    /// Seconds; `None` when it may take as long as it takes.
    fn deadline(&self) -> Option<i64> {
        let seconds = self.progress_deadline_seconds.unwrap_or(600);
        (seconds != i64::from(i32::MAX)).then_some(seconds)
    }
}

/// One look at one Deployment.
struct Look<'cluster> {
    cluster: &'cluster mut Cluster,
    key: Key,
    object: Arc<Object>,
    spec: Arc<Spec>,
    /// As the store has it.
    status: Status,
    /// The ReplicaSet of the present template.
    new: Option<Set>,
    /// All others, oldest first.
    old: Vec<Set>,
}

/// A write was refused: the look ends, and is tried again.
#[derive(Debug)]
struct Refused;

impl Controller for Deployments {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        match change.resource {
            ids::DEPLOYMENTS => todo.now(change.key()),
            ids::REPLICA_SETS => self.heard_set(change, store, todo),
            ids::PODS if change.kind == ChangeKind::Deleted => {
                let set = controller_key(&change.new, "ReplicaSet", ids::REPLICA_SETS);
                let set = set.and_then(|key| store.get(&key));
                let owner = set.and_then(|set| deployment_of(set));
                todo.all(owner);
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key).cloned();
        let Some((object, spec)) = object.and_then(|it| Some((it.clone(), Spec::of(&it)?))) else {
            self.back_off.forget(key);
            return None;
        };
        if spec.selector.is_everything() {
            let why = "This deployment is selecting all pods. A non-empty selector is required.";
            events::warning(cluster, COMPONENT, &object, "SelectingAll", why);
            return None;
        }
        let sets = claim(
            cluster,
            &object,
            ids::REPLICA_SETS,
            &spec.selector,
            &self.orphans,
            |_| true,
        );
        let (new, old) = sets::split(&sets, spec.digest);
        let status = object.kept_status();
        let key = key.clone();
        let mut look = Look {
            cluster,
            key,
            object,
            spec,
            status,
            new,
            old,
        };
        match look.step() {
            Ok(wait) => {
                self.back_off.forget(&look.key);
                wait
            }
            Err(Refused) => Some(self.back_off.failed(&look.key)),
        }
    }
}

fn deployment_of(set: &Object) -> Option<Key> {
    controller_key(set, "Deployment", ids::DEPLOYMENTS)
}

impl Deployments {
    fn heard_set(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        let gone = change.kind == ChangeKind::Deleted;
        let now = Some(&*change.new).filter(|_| !gone);
        if self.orphans.hear(&change.key(), change.old.as_deref(), now) {
            for deployment in store.list(ids::DEPLOYMENTS, Some(&change.new.meta.namespace)) {
                let spec = Spec::of(deployment);
                if spec.is_some_and(|spec| spec.selector.matches(&change.new.meta.labels)) {
                    todo.now(deployment.key(ids::DEPLOYMENTS));
                }
            }
        }
        let before = change.old.as_deref().and_then(deployment_of);
        let after = deployment_of(&change.new);
        if before != after {
            todo.all(before);
        }
        todo.all(after);
    }
}

impl Look<'_> {
    /// One step towards what is asked for. Gives when to look again though nothing has changed.
    fn step(&mut self) -> Result<Option<Duration>, Refused> {
        if self.object.meta.deletion_timestamp.is_some() {
            self.sync_revision()?;
            self.write_status(self.counted());
            return Ok(None);
        }
        self.note_pause();
        if self.spec.paused {
            self.resize()?;
            return Ok(None);
        }
        self.sync_revision()?;
        if self.being_scaled() {
            self.resize()?;
            return Ok(None);
        }
        if self.spec.rolling() {
            self.roll()
        } else {
            self.recreate()
        }
    }

    /// Has the wanted number changed since the ReplicaSets were last sized?
    fn being_scaled(&self) -> bool {
        let active = self.all().filter(|set| set.replicas > 0);
        let mut desired = active.filter_map(Set::desired);
        desired.any(|desired| desired != self.spec.replicas)
    }

    /// The step of a Deployment that is paused or being scaled.
    fn resize(&mut self) -> Result<(), Refused> {
        self.sync_revision()?;
        self.scale()?;
        if self.spec.paused {
            self.clean_up();
        }
        self.write_status(self.counted());
        Ok(())
    }

    /// Says that it is paused or resumed, so that the time of a pause is not counted as no
    /// progress.
    fn note_pause(&mut self) {
        let before = condition(&self.status.conditions, PROGRESSING).map(|one| &*one.reason);
        if self.spec.deadline().is_none() || before == Some(TIMED_OUT) {
            return;
        }
        let noted = before == Some(PAUSED);
        let (reason, message) = match (self.spec.paused, noted) {
            (true, false) => (PAUSED, "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        let mut status = self.status.clone();
        set_condition(
            &mut status.conditions,
            self.condition(PROGRESSING, "Unknown", reason, message),
        );
        self.write_status(status);
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Condition {
        let now = self.cluster.now_seconds();
        Condition {
            last_update_time: Some(now),
            ..Condition::new(kind, status, reason, message, now)
        }
    }

    /// The new ReplicaSet and the old ones.
    fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    fn write_status(&mut self, status: Status) {
        if status == self.status {
            return;
        }
        if let Some(object) = self
            .cluster
            .write_status(&self.key, Raw::value(status.clone()))
        {
            self.object = object;
            self.status = status;
        }
    }

    /// Is any pod of an old ReplicaSet still there?
    fn old_pods_run(&self) -> bool {
        self.old.iter().any(|set| {
            let all = pods::controlled_by(self.cluster, &set.object.meta.uid);
            set.status.replicas > 0 || all.iter().any(|pod| !pod.facts.finished())
        })
    }
}
