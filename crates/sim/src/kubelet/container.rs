//! One container from its image to its end, and again (`kuberuntime_manager.go`,
//! `kuberuntime_container.go`, `images/image_manager.go`).

use super::config;
use super::images;
use super::life::{Instance, planned, reason_of};
use super::probe::{self, World};
use super::run::{ContainerRun, Doing, End, For};
use super::spec::Container;
use super::status::{Ended, State};
use super::sync::Sync;
use crate::behaviour::Behaviour;
use crate::cluster::later;
use crate::events::{EventType, Source, seconds};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A worker waits so long after an error (`backOffPeriod`).
const AFTER_ERROR: Duration = Duration::from_secs(10);
/// A worker looks again at least so often (`SyncFrequency`).
const RESYNC: Duration = Duration::from_mins(1);

impl Sync<'_> {
    /// Moves a container on; `false` when nothing is due.
    pub(super) fn advance(&mut self, index: usize) -> bool {
        let spec = Arc::clone(&self.spec);
        let (Some(container), Some(run)) = (spec.all().nth(index), self.pod.containers.get(index))
        else {
            return false;
        };
        match run.doing.clone() {
            Doing::Nothing if self.may_start(index) => self.begin(index, container),
            Doing::Pulling { since, done } if done <= self.now => {
                self.pulled(index, container, since);
            }
            Doing::Waiting(For::Start, at) if at <= self.now => self.begin(index, container),
            Doing::Waiting(For::Crash, at) if at <= self.now => {
                self.look_at_crash(index, container)
            }
            Doing::Starting(at) if at <= self.now => self.started(index, container),
            Doing::Running(Some(end)) if end.noticed <= self.now => {
                self.ended(index, container, &end);
                let again = self.restarts(index, end.code);
                self.after_end(index, container, again, end.at);
            }
            Doing::Running(_) => return self.watch(index, container),
            Doing::Stopping { end, restart } if end.noticed <= self.now => {
                let before = self.run_of(index).and_then(|run| run.last.clone());
                self.ended(index, container, &end);
                if restart {
                    self.after_kill(index, container, before.as_ref());
                } else {
                    self.set(index, Doing::Over);
                }
            }
            Doing::Nothing
            | Doing::Over
            | Doing::Pulling { .. }
            | Doing::Waiting(..)
            | Doing::Starting(_)
            | Doing::Stopping { .. } => return false,
        }
        true
    }

    pub(super) fn run_of(&mut self, index: usize) -> Option<&mut ContainerRun> {
        self.pod.containers.get_mut(index)
    }

    fn set(&mut self, index: usize, doing: Doing) {
        if let Some(run) = self.run_of(index) {
            run.doing = doing;
        }
    }

    fn show(&mut self, index: usize, reason: &'static str, message: impl Into<String>) {
        if let Some(run) = self.run_of(index) {
            run.shown = State::waiting(reason, message);
        }
    }

    /// Says an Event about a container.
    pub(super) fn say(&mut self, index: usize, kind: EventType, reason: &str, message: &str) {
        let Some(container) = self.spec.all().nth(index) else {
            return;
        };
        let list = if index < self.pod.inits() {
            "initContainers"
        } else {
            "containers"
        };
        let about = self
            .pod
            .reference
            .at(format!("spec.{list}{{{}}}", container.name));
        let node = Arc::clone(&self.pod.node);
        self.cluster
            .event(Source::kubelet(&node), &about, kind, reason, message);
    }

    /// Gets the image, then makes the container.
    fn begin(&mut self, index: usize, container: &Container) {
        let image = container.image.as_str();
        if !images::is_valid(image) {
            let message = format!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": \
                 invalid reference format"
            );
            self.say(index, EventType::Warning, "InspectFailed", &message);
            self.fail(index, "InvalidImageName", &message);
            return;
        }
        let node = Arc::clone(&self.pod.node);
        let machine = self.cluster.machines.nodes.get(&node);
        let there = images::is_preloaded(image)
            || machine.is_some_and(|machine| machine.images.contains_key(image));
        match (container.image_pull_policy.as_str(), there) {
            ("Never", false) => {
                let message =
                    format!("Container image \"{image}\" is not present with pull policy of Never");
                self.say(index, EventType::Warning, "ErrImageNeverPull", &message);
                self.fail(index, "ErrImageNeverPull", &message);
            }
            ("Always", _) | (_, false) => self.pull(index, container),
            (_, true) => {
                let message = format!(
                    "Container image \"{image}\" already present on machine and can be accessed by the pod"
                );
                self.say(index, EventType::Normal, "Pulled", &message);
                self.create(index, container);
            }
        }
    }

    /// The start failed; it is tried again after a while.
    fn fail(&mut self, index: usize, reason: &'static str, message: &str) {
        let said = match reason {
            "CreateContainerConfigError" | "CreateContainerError" => message,
            reason => reason,
        };
        self.say(
            index,
            EventType::Warning,
            "Failed",
            &format!("Error: {said}"),
        );
        self.show(index, reason, message);
        let wait = self.jitter(AFTER_ERROR);
        self.set(index, Doing::Waiting(For::Start, later(self.now, wait)));
    }

    fn pull(&mut self, index: usize, container: &Container) {
        let image = container.image.as_str();
        let now = self.now;
        let Some(run) = self.run_of(index) else {
            return;
        };
        if let Some(until) = run.pull.waits(now) {
            let message = format!("Back-off pulling image \"{image}\"");
            let shown = format!("{message}: ErrImagePull: {}", run.pull_error);
            self.say(index, EventType::Normal, "BackOff", &message);
            self.say(
                index,
                EventType::Warning,
                "Failed",
                "Error: ImagePullBackOff",
            );
            self.show(index, "ImagePullBackOff", shown);
            self.look_again(index, For::Start, until);
            return;
        }
        self.say(
            index,
            EventType::Normal,
            "Pulling",
            &format!("Pulling image \"{image}\""),
        );
        let takes = self.cluster.machines.images.pull(image).takes;
        let done = later(now, takes);
        self.set(index, Doing::Pulling { since: now, done });
    }

    /// Waits until a back-off is over, as a worker does that got a back-off error
    /// (`podWorkers.completeWork`).
    fn look_again(&mut self, index: usize, what: For, until: Timestamp) {
        let left = crate::events::passed(self.now, until).min(RESYNC);
        let wait = self.jitter(left);
        self.set(index, Doing::Waiting(what, later(self.now, wait)));
    }

    fn pulled(&mut self, index: usize, container: &Container, since: Timestamp) {
        let image = container.image.as_str();
        let now = self.now;
        if let Some(error) = self.cluster.machines.images.error(image) {
            let message = format!("Failed to pull image \"{image}\": {error}");
            self.say(index, EventType::Warning, "Failed", &message);
            self.say(index, EventType::Warning, "Failed", "Error: ErrImagePull");
            self.show(index, "ErrImagePull", error.clone());
            let Some(run) = self.run_of(index) else {
                return;
            };
            let first = run.pull_error.is_empty();
            run.pull.next(now, now);
            run.pull_error = error;
            // The first time, the new sandbox makes the worker look again at once.
            let wait = if first {
                Duration::from_secs(1)
            } else {
                self.jitter(AFTER_ERROR)
            };
            self.set(index, Doing::Waiting(For::Start, later(now, wait)));
            return;
        }
        self.say(
            index,
            EventType::Normal,
            "Pulled",
            &images::pulled(image, since, now),
        );
        let node = Arc::clone(&self.pod.node);
        if let Some(machine) = self.cluster.machines.nodes.get_mut(&node) {
            machine.images.insert(image.to_owned(), images::size(image));
        }
        self.create(index, container);
    }

    fn create(&mut self, index: usize, container: &Container) {
        let namespace = Arc::clone(&self.pod.key.namespace);
        let environment = match config::environment(&self.cluster.store, &namespace, container) {
            Ok(environment) => environment,
            Err(message) => {
                self.fail(index, "CreateContainerConfigError", &message);
                return;
            }
        };
        let machines = &self.cluster.machines;
        let behaviour = match machines.behaviour(&self.pod.annotations, container) {
            Ok(behaviour) => self.with_needs(container, behaviour, &environment),
            Err(message) => {
                self.fail(index, "CreateContainerError", &message);
                return;
            }
        };
        self.say(index, EventType::Normal, "Created", "Container created");
        let at = self.between(60, 200);
        let uid = Arc::clone(&self.pod.uid);
        let Some(run) = self.run_of(index) else {
            return;
        };
        run.behaviour = behaviour;
        run.id = images::digest(&format!("{uid}/{index}/{}/{at}", run.restarts));
        run.doing = Doing::Starting(at);
    }

    fn started(&mut self, index: usize, container: &Container) {
        let now = self.now;
        let notice = self
            .cluster
            .between(Duration::from_millis(50), Duration::from_secs(1));
        let Some(run) = self.run_of(index) else {
            return;
        };
        let behaviour = Arc::clone(&run.behaviour);
        if run.current.is_some() {
            run.restarts = run.restarts.saturating_add(1);
        }
        run.previous = run.current.take();
        if !behaviour.start_error.is_empty() {
            self.not_started(index, container, &behaviour);
            return;
        }
        let limit = container
            .resources
            .limit("memory")
            .map(crate::quantity::Quantity::value);
        let end = planned(&behaviour, limit, now).map(|end| End {
            noticed: later(end.at, notice),
            ..end
        });
        let mut instance = Instance::new(now, Arc::clone(&behaviour));
        if let Some(exit) = behaviour
            .exit
            .as_ref()
            .filter(|_| end.as_ref().is_some_and(|end| end.reason != "OOMKilled"))
        {
            instance.last_word.clone_from(&exit.message);
        }
        run.current = Some(instance);
        run.probes = probe::start(container, now);
        run.started = container.startup_probe.is_none();
        run.ready = run.started && container.readiness_probe.is_none();
        run.shown = State::running(now);
        run.doing = Doing::Running(end);
        self.say(index, EventType::Normal, "Started", "Container started");
        self.look_at_needs(index);
    }

    /// The runtime could not start it.
    fn not_started(&mut self, index: usize, container: &Container, behaviour: &Behaviour) {
        let now = self.now;
        let message = behaviour.start_error.clone();
        self.say(
            index,
            EventType::Warning,
            "Failed",
            &format!("Error: {message}"),
        );
        let Some(run) = self.run_of(index) else {
            return;
        };
        let mut instance = Instance::new(now, Arc::clone(&run.behaviour));
        instance.ended = Some(now);
        run.current = Some(instance);
        let ended = Ended {
            exit_code: 128,
            reason: "StartError",
            message,
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: seconds(now),
            container_id: format!("containerd://{}", run.id),
        };
        run.before = run.last.replace(ended.clone());
        run.shown = State::Terminated(ended);
        (run.started, run.ready) = (false, false);
        let again = self.restarts(index, 128);
        self.after_end(index, container, again, now);
    }

    /// An instance has ended.
    fn ended(&mut self, index: usize, container: &Container, end: &End) {
        let Some(run) = self.run_of(index) else {
            return;
        };
        let mut message = String::new();
        let mut started_at = end.at;
        if let Some(instance) = &mut run.current {
            instance.ended = Some(end.at);
            started_at = seconds(instance.started);
            let from_log = container.termination_message_policy == "FallbackToLogsOnError";
            if from_log && end.code != 0 {
                message = instance.message(end.at);
            }
        }
        let ended = Ended {
            exit_code: end.code,
            reason: end.reason,
            message,
            started_at,
            finished_at: seconds(end.at),
            container_id: format!("containerd://{}", run.id),
        };
        run.before = run.last.replace(ended.clone());
        run.shown = State::Terminated(ended);
        (run.started, run.ready) = (false, false);
        run.probes.clear();
    }

    /// What follows an end: nothing, a new start, or the back-off.
    fn after_end(&mut self, index: usize, container: &Container, again: bool, finished: Timestamp) {
        if !again {
            self.set(index, Doing::Over);
            return;
        }
        let now = self.now;
        let Some(run) = self.run_of(index) else {
            return;
        };
        if run.crash.waits_since(finished, now).is_some() {
            self.say_back_off(index, container);
            // The dead container is cleared away, and the worker looks again.
            let at = self.between(500, 1500);
            self.set(index, Doing::Waiting(For::Crash, at));
            return;
        }
        run.crash.next(finished, now);
        // Terminated is seen for a moment before the start.
        self.pod.report(self.cluster);
        self.begin(index, container);
    }

    /// A probe had it killed: the worker kills and starts in one go, and looks only at the instance
    /// before for the back-off.
    fn after_kill(&mut self, index: usize, container: &Container, before: Option<&Ended>) {
        let now = self.now;
        let Some(run) = self.run_of(index) else {
            return;
        };
        if let Some(before) = before {
            if let Some(until) = run.crash.waits_since(before.finished_at, now) {
                self.back_off(index, container, until);
                return;
            }
            run.crash.next(before.finished_at, now);
        }
        if let Some(run) = self.run_of(index)
            && let Some(instance) = &run.current
        {
            run.shown = State::running(instance.started);
        }
        self.begin(index, container);
    }

    fn look_at_crash(&mut self, index: usize, container: &Container) {
        let now = self.now;
        let Some(run) = self.run_of(index) else {
            return;
        };
        let Some(last) = &run.last else { return };
        let finished = last.finished_at;
        match run.crash.waits_since(finished, now) {
            Some(until) => self.back_off(index, container, until),
            None => {
                run.crash.next(finished, now);
                self.begin(index, container);
            }
        }
    }

    fn back_off(&mut self, index: usize, container: &Container, until: Timestamp) {
        self.say_back_off(index, container);
        let pod = self.pod.text();
        let Some(run) = self.run_of(index) else {
            return;
        };
        let message = format!(
            "back-off {} restarting failed container={} pod={pod}",
            run.crash.text(),
            container.name
        );
        self.show(index, "CrashLoopBackOff", message);
        self.look_again(index, For::Crash, until);
    }

    fn say_back_off(&mut self, index: usize, container: &Container) {
        let message = format!(
            "Back-off restarting failed container {} in pod {}",
            container.name,
            self.pod.text()
        );
        self.say(index, EventType::Warning, "BackOff", &message);
    }

    /// Probes of a running container.
    fn watch(&mut self, index: usize, container: &Container) -> bool {
        let now = self.now;
        let ip = Arc::clone(&self.pod.ip);
        let Some(run) = self.run_of(index) else {
            return false;
        };
        let mut probes = std::mem::take(&mut run.probes);
        let mut said = Vec::new();
        let mut killed_by = None;
        let (started, ready) = (run.started, run.ready);
        let Some(world) = World::of(run, container, &ip) else {
            return false;
        };
        for probe in probes.iter_mut().filter(|probe| probe.runs(started)) {
            if probe.due(&world).is_none_or(|at| at > now) {
                continue;
            }
            let result = probe.look(&world, now);
            if let Err(why) = result {
                said.push(format!("{} probe failed: {why}", probe.kind.word()));
            }
            if probe.failed && probe.kind != probe::Kind::Readiness {
                killed_by = killed_by.or(Some(probe.kind));
            }
        }
        run.probes = probes;
        let passed = |run: &ContainerRun, kind| {
            run.probes
                .iter()
                .filter(|probe| probe.kind == kind)
                .all(|probe| probe.passed)
        };
        run.started = started || passed(run, probe::Kind::Startup);
        run.ready = run.started && passed(run, probe::Kind::Readiness);
        let changed = (run.started, run.ready) != (started, ready);
        for message in said {
            self.say(index, EventType::Warning, "Unhealthy", &message);
        }
        if let Some(kind) = killed_by {
            let kind = kind.word().to_lowercase();
            let message = format!(
                "Container {} failed {kind} probe, will be restarted",
                container.name
            );
            self.say(index, EventType::Normal, "Killing", &message);
            self.stop(index, true);
        }
        changed || killed_by.is_some()
    }

    /// Tells it to end.
    fn stop(&mut self, index: usize, restart: bool) {
        let now = self.now;
        let grace = self.spec.termination_grace_period_seconds.unwrap_or(30);
        let grace = Duration::from_secs(grace.into());
        let notice = self
            .cluster
            .between(Duration::from_millis(20), Duration::from_millis(300));
        let Some(run) = self.run_of(index) else {
            return;
        };
        let stop = &run.behaviour.stop;
        let (after, code) = if stop.after.0 > grace {
            (grace, 137)
        } else {
            (stop.after.0, stop.code)
        };
        let at = later(now, after);
        let planned = match &run.doing {
            Doing::Running(end) => end.clone(),
            _ => None,
        };
        let end = planned.filter(|end| end.at <= at).unwrap_or(End {
            at,
            noticed: later(at, notice),
            code,
            reason: reason_of(code),
        });
        run.doing = Doing::Stopping { end, restart };
    }

    /// The pod ends: this container, too.
    pub(super) fn stop_for_good(&mut self, index: usize) {
        let Some(name) = self.spec.all().nth(index).map(|one| one.name.clone()) else {
            return;
        };
        let Some(run) = self.run_of(index) else {
            return;
        };
        match &mut run.doing {
            Doing::Running(_) => {
                let message = format!("Stopping container {name}");
                self.say(index, EventType::Normal, "Killing", &message);
                self.stop(index, false);
            }
            Doing::Stopping { restart, .. } => *restart = false,
            Doing::Nothing
            | Doing::Pulling { .. }
            | Doing::Waiting(..)
            | Doing::Starting(_)
            | Doing::Over => run.doing = Doing::Over,
        }
    }

    /// A behaviour with its variables put in, and what it misses at its start.
    fn with_needs(
        &self,
        container: &Container,
        behaviour: Arc<Behaviour>,
        environment: &BTreeMap<String, String>,
    ) -> Arc<Behaviour> {
        super::needs::at_start(
            &self.cluster.store,
            &self.cluster.machines,
            (&self.pod.key.namespace, &self.spec, container),
            behaviour,
            environment,
        )
    }
}
