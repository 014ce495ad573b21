//! What a Deployment's status says: numbers, availability, and whether the rollout gets on.

use super::sets::Set;
use super::{Look, PROGRESSING, Status, TIMED_OUT};
use crate::cluster::later;
use crate::controllers::common::{Condition, condition, remove_condition, set_condition, until};
use std::time::Duration;

const FAILURE: &str = "ReplicaFailure";
const DONE: &str = "NewReplicaSetAvailable";

impl Look<'_> {
    /// The status by the numbers, with the conditions that were there and `Available`.
    pub(super) fn counted(&self) -> Status {
        let sum = |number: fn(&Set) -> i64| self.all().map(number).sum::<i64>();
        let available = sum(|set| set.status.available_replicas);
        let mut status = Status {
            observed_generation: Some(self.object.meta.generation),
            replicas: sum(|set| set.status.replicas),
            updated_replicas: self.new.as_ref().map_or(0, |new| new.status.replicas),
            ready_replicas: sum(|set| set.status.ready_replicas),
            available_replicas: available,
            unavailable_replicas: sum(|set| set.replicas).saturating_sub(available).max(0),
            terminating_replicas: self.terminating(),
            ..self.status.clone()
        };
        let least = self
            .spec
            .replicas
            .saturating_sub(self.spec.max_unavailable());
        let new = if available >= least {
            let message = "Deployment has minimum availability.";
            self.condition("Available", "True", "MinimumReplicasAvailable", message)
        } else {
            let message = "Deployment does not have minimum availability.";
            self.condition("Available", "False", "MinimumReplicasUnavailable", message)
        };
        set_condition(&mut status.conditions, new);
        status
    }

    fn terminating(&self) -> Option<i64> {
        let seen = self.all().filter(|set| {
            set.status.observed_generation > 0 || set.status.terminating_replicas.is_some()
        });
        seen.map(|set| set.status.terminating_replicas).sum()
    }

    /// Is the rollout over: everything new, everything available, nothing old?
    pub(super) fn complete(&self, status: &Status) -> bool {
        let wanted = self.spec.replicas;
        status.updated_replicas == wanted
            && status.replicas == wanted
            && status.available_replicas == wanted
            && status.observed_generation >= Some(self.object.meta.generation)
    }

    /// Writes the status of a rollout. Gives when its deadline is over.
    pub(super) fn report(&mut self) -> Option<Duration> {
        let mut status = self.counted();
        let before = condition(&self.status.conditions, PROGRESSING).cloned();
        if self.spec.deadline().is_none() {
            remove_condition(&mut status.conditions, PROGRESSING);
        } else {
            let over = before.as_ref().is_some_and(|one| one.reason == DONE);
            if !over || status.replicas != status.updated_replicas {
                self.judge(&mut status, before.as_ref());
            }
        }
        match self.failure() {
            Some(failure) => set_condition(&mut status.conditions, failure),
            None => remove_condition(&mut status.conditions, FAILURE),
        }
        self.write_status(status);
        self.next_check()
    }

    fn judge(&self, status: &mut Status, before: Option<&Condition>) {
        let what = match &self.new {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.object.meta.name),
        };
        if self.complete(status) {
            let message = format!("{what} has successfully progressed.");
            let done = self.condition(PROGRESSING, "True", DONE, &message);
            set_condition(&mut status.conditions, done);
        } else if self.gets_on(status) {
            let message = format!("{what} is progressing.");
            let mut new = self.condition(PROGRESSING, "True", "ReplicaSetUpdated", &message);
            if let Some(before) = before.filter(|before| before.status == "True") {
                new.last_transition_time = before.last_transition_time;
            }
            // Each sign of progress is noted anew: the deadline counts from it.
            remove_condition(&mut status.conditions, PROGRESSING);
            set_condition(&mut status.conditions, new);
        } else if self.timed_out(status) {
            let message = format!("{what} has timed out progressing.");
            let late = self.condition(PROGRESSING, "False", TIMED_OUT, &message);
            set_condition(&mut status.conditions, late);
        }
    }

    fn gets_on(&self, status: &Status) -> bool {
        let old = |status: &Status| status.replicas.saturating_sub(status.updated_replicas);
        let before = &self.status;
        status.updated_replicas > before.updated_replicas
            || old(status) < old(before)
            || status.ready_replicas > before.ready_replicas
            || status.available_replicas > before.available_replicas
    }

    fn timed_out(&self, status: &Status) -> bool {
        let Some(one) = condition(&status.conditions, PROGRESSING) else {
            return false;
        };
        if one.reason == DONE {
            return false;
        }
        one.reason == TIMED_OUT
            || self
                .deadline_of(one)
                .is_some_and(|at| at < self.cluster.now())
    }

    fn deadline_of(&self, progressing: &Condition) -> Option<jiff::Timestamp> {
        let seconds = u64::try_from(self.spec.deadline()?).ok()?;
        Some(later(
            progressing.last_update_time?,
            Duration::from_secs(seconds),
        ))
    }

    /// When to see whether the deadline has passed.
    fn next_check(&self) -> Option<Duration> {
        let one = condition(&self.status.conditions, PROGRESSING)?;
        if self.complete(&self.status) || one.reason == TIMED_OUT {
            return None;
        }
        let left = until(self.deadline_of(one)?, self.cluster.now()).unwrap_or_default();
        Some(left.saturating_add(Duration::from_secs(1)))
    }

    /// Why a ReplicaSet cannot make its pods: of the new one, or else of any.
    fn failure(&self) -> Option<Condition> {
        let of = |set: &Set| condition(&set.status.conditions, FAILURE).cloned();
        let failure = self.new.as_ref().and_then(of);
        let failure = failure.or_else(|| self.old.iter().find_map(of))?;
        Some(Condition {
            last_update_time: failure.last_transition_time,
            ..failure
        })
    }
}
