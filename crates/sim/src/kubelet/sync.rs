//! What a pod worker does (`kubelet.SyncPod`), driven by the times at which something is due.

use super::config::{Unmounted, volumes};
use super::run::{ContainerRun, Doing, Mounting, PodRun, Stage};
use super::spec::{PodSpec, RestartPolicy};
use crate::cluster::{Cluster, later};
use crate::events::{EventType, Source};
use crate::registry::{DeleteOptions, Preconditions};
use jiff::Timestamp;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// First wait between two attempts to mount (`exponentialbackoff`), and the longest.
const MOUNT_FIRST: Duration = Duration::from_millis(500);
const MOUNT_MOST: Duration = Duration::from_secs(122);
/// So long a worker waits for volumes (`podAttachAndMountTimeout`).
const MOUNT_PATIENCE: Duration = Duration::from_secs(123);
/// Steps that one look at a pod may take: a guard against a container that restarts in no time.
const MAX_STEPS: u32 = 1_000;

/// One look at a pod.
pub(super) struct Sync<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) pod: &'a mut PodRun,
    pub(super) spec: Arc<PodSpec>,
    pub(super) now: Timestamp,
}

impl<'a> Sync<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, pod: &'a mut PodRun) -> Self {
        let now = cluster.now();
        let spec = Arc::clone(&pod.spec);
        Self {
            cluster,
            pod,
            spec,
            now,
        }
    }

    /// Does everything that is due.
    pub(super) fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            if !self.step() {
                break;
            }
        }
    }

    /// One step; `false` when nothing is due.
    fn step(&mut self) -> bool {
        match self.pod.stage {
            Stage::Fresh => self.admit(),
            Stage::Mounting(mounting) if mounting.again <= self.now => self.mount(mounting),
            Stage::Mounting(mounting) if mounting.patience <= self.now => self.give_up(mounting),
            Stage::Sandbox(at) if at <= self.now => self.sandbox(),
            Stage::Going => return self.going(),
            Stage::Stopping => return self.stopping(),
            Stage::Finishing(at) if at <= self.now => self.finish(),
            Stage::Mounting(_) | Stage::Sandbox(_) | Stage::Finishing(_) | Stage::Over => {
                return false;
            }
        }
        true
    }

    fn admit(&mut self) {
        if let Some((reason, message)) = super::admit::refuses(self.cluster, self.pod) {
            self.event(EventType::Warning, reason.clone(), &message);
            self.pod.fate = Some((reason, format!("Pod was rejected: {message}")));
            self.pod.stage = Stage::Over;
            self.pod.report(self.cluster);
            return;
        }
        self.pod.start_time = Some(crate::events::seconds(self.now));
        self.pod.stage = Stage::Mounting(Mounting {
            again: self.now,
            wait: MOUNT_FIRST,
            patience: later(self.now, MOUNT_PATIENCE),
        });
        self.pod.report(self.cluster);
    }

    fn mount(&mut self, mounting: Mounting) {
        let namespace = Arc::clone(&self.pod.key.namespace);
        let errors = volumes(&self.cluster.store, &namespace, &self.spec);
        if errors.is_empty() {
            let takes = self.between(250, 650);
            self.pod.stage = Stage::Sandbox(takes);
            return;
        }
        let slow = errors
            .iter()
            .all(|error| matches!(error, Unmounted::Process(_)));
        for error in errors {
            let (Unmounted::SetUp(message) | Unmounted::Process(message)) = error;
            self.event(EventType::Warning, "FailedMount", &message);
        }
        let wait = if slow {
            self.jitter(Duration::from_secs(10))
        } else {
            mounting.wait
        };
        self.pod.stage = Stage::Mounting(Mounting {
            again: later(self.now, wait),
            wait: mounting.wait.saturating_mul(2).min(MOUNT_MOST),
            patience: mounting.patience,
        });
    }

    fn give_up(&mut self, mounting: Mounting) {
        let namespace = Arc::clone(&self.pod.key.namespace);
        let missing = volumes(&self.cluster.store, &namespace, &self.spec);
        let names = missing.iter().filter_map(|error| match error {
            Unmounted::SetUp(message) => message.split('"').nth(1),
            Unmounted::Process(_) => None,
        });
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            let message = format!(
                "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], \
                 failed to process volumes=[]: context deadline exceeded",
                names.join(" ")
            );
            self.event(EventType::Warning, "FailedMount", &message);
        }
        let again = self.jitter(Duration::from_secs(10));
        self.pod.stage = Stage::Mounting(Mounting {
            patience: later(self.now, MOUNT_PATIENCE.saturating_add(again)),
            ..mounting
        });
    }

    fn sandbox(&mut self) {
        let node = Arc::clone(&self.pod.node);
        let error = self.cluster.machines.nodes.get(&node);
        if let Some(error) = error.and_then(|machine| machine.sandbox_error.clone()) {
            let id = super::images::digest(&self.pod.uid);
            let name = &self.pod.key.name;
            let message = format!(
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network \
                 for sandbox \"{id}\": plugin type=\"bridge\" name=\"pods\" failed (add): {error}"
            );
            tracing::debug!(pod = %name, "no sandbox");
            self.event(EventType::Warning, "FailedCreatePodSandBox", &message);
            let wait = self.jitter(Duration::from_secs(10));
            self.pod.stage = Stage::Sandbox(later(self.now, wait));
            return;
        }
        if !self.spec.host_network {
            self.pod.ip = self.cluster.machines.new_ip(&node);
        }
        self.pod.stage = Stage::Going;
        // The address is in the status only with the first container.
        let ip = std::mem::replace(&mut self.pod.ip, "".into());
        self.pod.report(self.cluster);
        self.pod.ip = ip;
    }

    /// Looks after the containers.
    fn going(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.pod.containers.len() {
            moved |= self.advance(index);
        }
        if moved {
            self.pod.report(self.cluster);
        }
        let main = self.pod.containers.iter().skip(self.pod.inits());
        let inits = self.pod.containers.iter().take(self.pod.inits());
        let failed_init = inits
            .clone()
            .any(|run| run.doing == Doing::Over && !run.is_done());
        let ended = main.clone().all(|run| run.doing == Doing::Over);
        let idle = main.clone().all(|run| run.doing == Doing::Nothing);
        if (ended && !self.pod.containers.is_empty()) || (failed_init && idle) {
            self.end_all();
            return true;
        }
        moved
    }

    /// Nothing more is to run: ends what still does.
    pub(super) fn end_all(&mut self) {
        self.pod.stage = Stage::Stopping;
        for index in 0..self.pod.containers.len() {
            self.stop_for_good(index);
        }
    }

    fn stopping(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.pod.containers.len() {
            moved |= self.advance(index);
        }
        if self.pod.containers.iter().any(ContainerRun::is_running) {
            if moved {
                self.pod.report(self.cluster);
            }
            return moved;
        }
        for run in &mut self.pod.containers {
            run.doing = Doing::Over;
        }
        self.pod.report(self.cluster);
        let at = self.between(300, 900);
        self.pod.stage = Stage::Finishing(at);
        true
    }

    fn finish(&mut self) {
        self.pod.stage = Stage::Over;
        self.pod.report(self.cluster);
        if self.pod.deleted {
            let options = DeleteOptions {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions {
                    uid: Some(self.pod.uid.to_string()),
                    resource_version: None,
                }),
                ..DeleteOptions::default()
            };
            // Somebody was faster.
            drop(self.cluster.delete(&self.pod.key, &options));
        }
    }

    /// Is it a container's turn?
    pub(super) fn may_start(&self, index: usize) -> bool {
        if self.pod.stage != Stage::Going {
            return false;
        }
        let before = self.spec.init_containers.iter().zip(&self.pod.containers);
        before.take(index).all(|(spec, run)| {
            if spec.is_sidecar() {
                run.started || run.restarts > 0
            } else {
                run.is_done()
            }
        })
    }

    /// Does a container start again after such an end?
    pub(super) fn restarts(&self, index: usize, code: i32) -> bool {
        if self.pod.stage != Stage::Going {
            return false;
        }
        let Some(container) = self.spec.all().nth(index) else {
            return false;
        };
        if container.is_sidecar() {
            return true;
        }
        match self.spec.restart_policy {
            // An init container that ended well is through.
            RestartPolicy::Always => code != 0 || index >= self.pod.inits(),
            RestartPolicy::OnFailure => code != 0,
            RestartPolicy::Never => false,
        }
    }

    /// Says an Event about the pod.
    pub(super) fn event(
        &mut self,
        kind: EventType,
        reason: impl Into<Cow<'static, str>>,
        message: &str,
    ) {
        let node = Arc::clone(&self.pod.node);
        let source = Source::kubelet(&node);
        self.cluster
            .event(source, &self.pod.reference, kind, reason, message);
    }

    /// Now, and so many milliseconds.
    pub(super) fn between(&mut self, least: u64, most: u64) -> Timestamp {
        let wait = self
            .cluster
            .between(Duration::from_millis(least), Duration::from_millis(most));
        later(self.now, wait)
    }

    /// A wait and up to half more (`workerBackOffPeriodJitterFactor`).
    pub(super) fn jitter(&mut self, wait: Duration) -> Duration {
        self.cluster.between(wait, wait.saturating_add(wait / 2))
    }
}
