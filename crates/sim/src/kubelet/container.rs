//! One container: what is due, its probes, and how it is told to end (`kuberuntime_manager.go`).

use super::life::reason_of;
use super::probe::{self, World};
use super::run::{ContainerRun, Doing, End, For};
use super::spec::Container;
use super::status::State;
use super::sync::Sync;
use crate::cluster::later;
use crate::events::{EventType, Source};
use std::sync::Arc;
use std::time::Duration;

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
                self.look_at_crash(index, container);
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
                    self.after_kill(index, container, before.as_deref());
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

    pub(super) fn set(&mut self, index: usize, doing: Doing) {
        if let Some(run) = self.run_of(index) {
            run.doing = doing;
        }
    }

    pub(super) fn show(&mut self, index: usize, reason: &'static str, message: impl Into<String>) {
        if let Some(run) = self.run_of(index) {
            run.shown = State::waiting(reason, message);
        }
    }

    /// Says an Event about a container.
    pub(super) fn say(
        &mut self,
        index: usize,
        kind: EventType,
        reason: &'static str,
        message: &str,
    ) {
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
            .at(&format!("spec.{list}{{{}}}", container.name));
        let node = Arc::clone(&self.pod.node);
        self.cluster
            .event(Source::kubelet(&node), &about, kind, reason, message);
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
}
