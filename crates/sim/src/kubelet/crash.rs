//! What follows the end of a container: nothing, a new start, or the back-off (`doBackOff`).

use super::run::{Doing, End, For};
use super::spec::Container;
use super::status::{Ended, State};
use super::sync::Sync;
use crate::cluster::later;
use crate::events::{EventType, passed, seconds};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// A worker looks again at least so often (`SyncFrequency`).
const RESYNC: Duration = Duration::from_mins(1);

impl Sync<'_> {
    /// An instance has ended.
    pub(super) fn ended(&mut self, index: usize, container: &Container, end: &End) {
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
        let ended = Arc::new(Ended {
            exit_code: end.code,
            reason: end.reason,
            message,
            started_at,
            finished_at: seconds(end.at),
            container_id: format!("containerd://{}", run.id),
        });
        run.before = run.last.replace(Arc::clone(&ended));
        run.shown = State::Terminated(ended);
        (run.started, run.ready) = (false, false);
        run.probes.clear();
    }

    /// What follows an end: nothing, a new start, or the back-off.
    pub(super) fn after_end(
        &mut self,
        index: usize,
        container: &Container,
        again: bool,
        finished: Timestamp,
    ) {
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
    pub(super) fn after_kill(
        &mut self,
        index: usize,
        container: &Container,
        before: Option<&Ended>,
    ) {
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

    pub(super) fn look_at_crash(&mut self, index: usize, container: &Container) {
        let now = self.now;
        let Some(run) = self.run_of(index) else {
            return;
        };
        let Some(last) = &run.last else { return };
        let finished = last.finished_at;
        if let Some(until) = run.crash.waits_since(finished, now) {
            self.back_off(index, container, until);
        } else {
            run.crash.next(finished, now);
            self.begin(index, container);
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

    /// Waits until a back-off is over, as a worker does that got a back-off error
    /// (`podWorkers.completeWork`).
    pub(super) fn look_again(&mut self, index: usize, what: For, until: Timestamp) {
        let left = passed(self.now, until).min(RESYNC);
        let wait = self.jitter(left);
        self.set(index, Doing::Waiting(what, later(self.now, wait)));
    }
}
