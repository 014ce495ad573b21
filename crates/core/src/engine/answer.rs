//! What became of a write: done, refused, not done, or nobody knows.

use super::limits;
use super::turn::{Turn, later};
use crate::history::ActOutcome;
use crate::ids::{IncidentId, PermitId};
use crate::incident::{Event, Phase};
use crate::plan::Step;
use crate::record::EntryKind;

impl Turn<'_> {
    /// What became of a write.
    pub(super) fn acted(&mut self, permit: &PermitId, outcome: ActOutcome) {
        // Two questions about one write may be out at once: what comes after the final answer says
        // nothing.
        let was_out = self.engine.history.record_outcome(permit, outcome.clone());
        self.take_next();
        let Some(id) = was_out else {
            return;
        };
        let Some(incident) = self.incident(&id) else {
            self.left_answered(&id, permit, &outcome);
            return;
        };
        let is_out = matches!(incident.phase, Phase::Acting | Phase::ReadingBack);
        if let Some(attempt) = incident.attempts.iter_mut().find(|a| a.permit == *permit) {
            attempt.outcome = Some(outcome.clone());
        }
        let body = serde_json::json!({ "permit": permit, "outcome": outcome });
        self.record(Some(&id), EntryKind::Result, outcome.to_string(), &body);
        if !is_out {
            return;
        }
        match outcome {
            ActOutcome::Done { .. } => self.done(&id),
            ActOutcome::Refused { why } => {
                self.failed(&id, &why);
                self.hand_over(&id, &format!("the API server refused the write: {why}"));
            }
            ActOutcome::Stale { why } => self.stale(&id, &why),
            ActOutcome::Blocked { why } | ActOutcome::NotDone { why } => self.not_done(&id, &why),
            ActOutcome::Expired => self.not_done(&id, "the permit expired before it was used"),
            ActOutcome::Unknown { why } => self.unanswered(&id, &why),
        }
    }

    /// The incident of this write is over: its fate is recorded, or asked for again.
    fn left_answered(&mut self, id: &IncidentId, permit: &PermitId, outcome: &ActOutcome) {
        if let ActOutcome::Unknown { .. } = outcome {
            let at = later(self.now, limits::WAITING_LOOK_EVERY);
            self.engine.run.timers.wake(id, at);
        } else {
            let body = serde_json::json!({ "permit": permit, "outcome": outcome });
            self.record(Some(id), EntryKind::Result, outcome.to_string(), &body);
        }
    }

    fn done(&mut self, id: &IncidentId) {
        if !self.step_phase(id, Event::Acted) {
            return;
        }
        let now = self.now;
        let give_up = later(
            later(now, self.engine.policy.verify_timeout),
            self.stable_for(id),
        );
        let Some(incident) = self.incident(id) else {
            return;
        };
        let Some(step) = incident.step.clone() else {
            return;
        };
        incident.verify_until = Some(give_up);
        incident.healthy_since = None;
        incident.acted_at = Some(now);
        // A look from before the write says nothing about it.
        self.engine
            .run
            .looks
            .retain(|_, looking| !looking.is_at(id));
        let Some(incident) = self.incident(id) else {
            return;
        };
        if step.is_undo {
            incident.undoing = false;
            let undone = format!(
                "{} did not help and was taken back",
                incident.action_taken.clone().unwrap_or_default()
            );
            self.hand_over(id, &undone);
            return;
        }
        incident.action_taken = Some(step.describe());
        incident.action_recommended = None;
        incident.action_error = None;
        incident.done_steps.push(step.runbook_step);
        self.look_at(id, true);
    }

    fn failed(&mut self, id: &IncidentId, why: &str) {
        if let Some(incident) = self.incident(id) {
            incident.action_recommended = incident.step.as_ref().map(Step::describe);
            incident.action_error = Some(why.to_owned());
        }
    }

    /// An inverse runs only while the fields still hold what we wrote; else a person sees both.
    pub(super) fn undo_is_stale(&mut self, id: &IncidentId, undo: &Step, why: &str) {
        let ours = self
            .engine
            .open
            .get(id)
            .and_then(|i| i.action_taken.clone());
        let reason = format!(
            "the fields changed since our write ({}), so {} is not done: {why}",
            ours.unwrap_or_default(),
            undo.describe()
        );
        self.hand_over(id, &reason);
    }

    fn stale(&mut self, id: &IncidentId, why: &str) {
        let step = self.engine.open.get(id).and_then(|i| i.step.clone());
        match step.filter(|step| step.is_undo) {
            Some(undo) => self.undo_is_stale(id, &undo, why),
            None => self.not_done(id, why),
        }
    }

    fn not_done(&mut self, id: &IncidentId, why: &str) {
        if self.step_phase(id, Event::NotDone) {
            self.replan(id, why);
        }
    }

    fn unanswered(&mut self, id: &IncidentId, why: &str) {
        if !self.step_phase(id, Event::Unanswered) {
            return;
        }
        let Some(incident) = self.incident(id) else {
            return;
        };
        incident.replans += 1;
        if incident.replans > limits::REPLANS {
            self.failed(id, why);
            self.hand_over(
                id,
                &format!("a write got no answer and cannot be read back: {why}"),
            );
        } else {
            // A little later: what was sent just now may still be landing.
            self.retry(id);
        }
    }
}
