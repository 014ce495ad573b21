//! A container's way to its start: image, configuration, creation (`images/image_manager.go`,
//! `kuberuntime_container.go`).

use super::config;
use super::images;
use super::life::{Instance, planned};
use super::probe;
use super::run::{Doing, End, For};
use super::spec::Container;
use super::status::{Ended, State};
use super::sync::Sync;
use crate::behaviour::Behaviour;
use crate::cluster::later;
use crate::events::{EventType, seconds};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A worker waits so long after an error (`backOffPeriod`).
const AFTER_ERROR: Duration = Duration::from_secs(10);

impl Sync<'_> {
    /// Gets the image, then makes the container.
    pub(super) fn begin(&mut self, index: usize, container: &Container) {
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

    pub(super) fn pulled(&mut self, index: usize, container: &Container, since: Timestamp) {
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
        run.id = images::digest(&format!("{uid}/{index}/{}/{at}", run.restarts)).into();
        run.doing = Doing::Starting(at);
    }

    pub(super) fn started(&mut self, index: usize, container: &Container) {
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
        run.previous = run.current.take().map(Box::new);
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
        let ended = Arc::new(Ended {
            exit_code: 128,
            reason: "StartError",
            message,
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: seconds(now),
            container_id: format!("containerd://{}", run.id),
        });
        run.before = run.last.replace(Arc::clone(&ended));
        run.shown = State::Terminated(ended);
        (run.started, run.ready) = (false, false);
        let again = self.restarts(index, 128);
        self.after_end(index, container, again, now);
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
