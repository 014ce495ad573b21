//! Did it help? Checks a write on fresh looks until it is fixed, worse or late.

use super::consider::not_seen;
use super::turn::{Turn, later};
use crate::diagnose::{self, Diagnosis, Health};
use crate::ids::IncidentId;
use crate::incident::{Event, Outcome};
use crate::plan::{Action, OnNotFixed, Step, inverse};
use crate::record::EntryKind;
use crate::runbook::Next;
use crate::world::{Snapshot, Source};

impl Turn<'_> {
    /// Did it help? Only fresh looks count.
    pub(super) fn verify(
        &mut self,
        id: &IncidentId,
        snapshot: &Snapshot,
        diagnosis: Option<Diagnosis>,
    ) {
        if !snapshot.fresh {
            self.look_at(id, true);
            return;
        }
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let health = diagnose::look(snapshot, &incident.owner, incident.fingerprint.class);
        let acted_at = incident.acted_at.unwrap_or(incident.opened_at);
        let restarted = diagnose::restarted_since(snapshot, &incident.owner, acted_at);
        let missing = match &health {
            Health::Blind { missing } => missing.clone(),
            // Whether a container restarted since our write is told by two clocks.
            Health::Healthy { .. } => snapshot.blind_to(&[Source::Clock]),
            Health::Idle { .. } | Health::Unhealthy { .. } | Health::Gone { .. } => Vec::new(),
        };
        if !missing.is_empty() {
            // Not seen is neither fixed nor broken: nothing is closed and nothing taken back for it.
            self.blind(id, &not_seen(&missing));
            return;
        }
        self.sees(id);
        let (text, is_healthy) = match health {
            Health::Idle { why } => {
                // Somebody stopped it: it ends, without a word on whether we helped.
                self.checked(id, &why, false);
                self.close(id, Event::Ended, &Outcome::Recovered, &why);
                return;
            }
            Health::Healthy { .. } if restarted => {
                ("a container restarted since the write".to_owned(), false)
            }
            Health::Healthy { why } => (why, true),
            Health::Unhealthy { why } => (why, false),
            Health::Blind { missing } => (format!("cannot see: {}", not_seen(&missing)), false),
            Health::Gone { .. } => ("it no longer exists".to_owned(), false),
        };
        self.checked(id, &text, is_healthy);
        if is_healthy {
            self.looks_fixed(id, &text);
        } else {
            self.looks_broken(id, snapshot, diagnosis, &text);
        }
    }

    /// Records a check when its answer differs from the last one.
    fn checked(&mut self, id: &IncidentId, text: &str, is_healthy: bool) {
        let news = self
            .engine
            .open
            .get(id)
            .is_some_and(|i| i.last_check.as_deref() != Some(text));
        if news {
            if let Some(incident) = self.incident(id) {
                incident.last_check = Some(text.to_owned());
            }
            self.record(Some(id), EntryKind::Checked, text, &is_healthy);
        }
    }

    fn looks_fixed(&mut self, id: &IncidentId, why: &str) {
        let stable = self.stable_for(id);
        let now = self.now;
        let Some(incident) = self.incident(id) else {
            return;
        };
        let since = *incident.healthy_since.get_or_insert(now);
        if now < later(since, stable) {
            self.engine.run.timers.wake(id, later(since, stable));
            return;
        }
        if let Some(attempt) = incident.attempts.last_mut() {
            attempt.helped = Some(true);
        }
        let why = format!("fixed: healthy on fresh looks for {stable:#}: {why}");
        self.close(id, Event::Verified, &Outcome::Fixed, &why);
    }

    fn looks_broken(
        &mut self,
        id: &IncidentId,
        snapshot: &Snapshot,
        diagnosis: Option<Diagnosis>,
        why: &str,
    ) {
        let now = self.now;
        let Some(incident) = self.incident(id) else {
            return;
        };
        incident.healthy_since = None;
        let runbook = incident.runbook.clone();
        let is_cordon = incident
            .step
            .as_ref()
            .is_some_and(|s| s.action == Action::Cordon);
        let is_late = incident.verify_until.is_none_or(|until| now >= until);
        if let Some(diagnosis) = &diagnosis
            && !is_late
            && self.is_unripe(id, diagnosis)
        {
            self.retry(id);
            return;
        }
        if let (Some(runbook), Some(diagnosis)) = (runbook, diagnosis)
            && let Some(Next::Step(step)) = self.next_step(id, &runbook, snapshot, &diagnosis)
            && self.step_phase(id, Event::NextStep)
        {
            let text = format!("{}: {}", step.runbook, step.describe());
            self.record(Some(id), EntryKind::Planned, text, &step);
            self.rehearse(id, *step, snapshot, Some(diagnosis));
        } else if is_cordon {
            // A cordon keeps work away and mends nothing: what is on the node is a person's case.
            self.hand_over(id, &format!("the node is cordoned; {why}"));
        } else if is_late {
            self.not_fixed(id, snapshot, why);
        } else {
            self.retry(id);
        }
    }

    /// Time is up: what can be taken back is, where its action says so; else a person has it.
    fn not_fixed(&mut self, id: &IncidentId, snapshot: &Snapshot, why: &str) {
        let Some(step) = self.to_take_back(id) else {
            return;
        };
        let Some(incident) = self.incident(id) else {
            return;
        };
        for attempt in &mut incident.attempts {
            attempt.helped = attempt.helped.or(Some(false));
        }
        let what = step.describe();
        if step.action.on_not_fixed() != OnNotFixed::Undo {
            self.hand_over(id, &format!("{what} did not help: {why}"));
            return;
        }
        match inverse(&step, snapshot) {
            Ok(undo) if self.step_phase(id, Event::NextStep) => {
                if let Some(incident) = self.incident(id) {
                    incident.undoing = true;
                }
                self.record(
                    Some(id),
                    EntryKind::Planned,
                    format!("take back {what}: {why}"),
                    &undo,
                );
                self.rehearse(id, undo, snapshot, None);
            }
            Ok(_) => {}
            Err(no) => self.hand_over(
                id,
                &format!("{what} did not help ({why}) and is not taken back: {no}"),
            ),
        }
    }

    /// The newest step of the incident that was done and that its action wants undone: a later step
    /// may only have helped it along (a stuck pod that is deleted, so that more memory comes into
    /// force). Else the last step.
    fn to_take_back(&self, id: &IncidentId) -> Option<Step> {
        let acts = self.engine.history.acts.iter().rev();
        let mut done = acts.filter(|act| act.incident == *id && act.is_done() && !act.step.is_undo);
        let undoable = done.find(|act| act.step.action.on_not_fixed() == OnNotFixed::Undo);
        let last = || self.engine.open.get(id).and_then(|i| i.step.clone());
        undoable.map(|act| act.step.clone()).or_else(last)
    }
}
