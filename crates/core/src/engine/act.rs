//! Carries one step through: runbook, rehearsal, guard, intent, write, check, undo.

use super::see::{is_blind, not_seen};
use super::turn::{Turn, later};
use super::{Effect, Prepared, limits};
use crate::diagnose::{self, Diagnosis, FaultClass, Health};
use crate::guard::{self, Rehearsal, Ruling, Scene, Verdict};
use crate::history::ActOutcome;
use crate::ids::{IncidentId, PermitId, StepId};
use crate::incident::{Attempt, Event, Outcome, Phase};
use crate::plan::{Action, OnNotFixed, Step, inverse};
use crate::policy::Autonomy;
use crate::record::EntryKind;
use crate::runbook::{self, Choice, Next};
use crate::signal::SignalBody;
use crate::world::Snapshot;

impl Turn<'_> {
    /// Chooses the runbook's next step on a fresh look and has it rehearsed.
    pub(super) fn prepare(&mut self, id: &IncidentId, snapshot: &Snapshot, diagnosis: Diagnosis) {
        if self.engine.stopping || self.engine.prepared.contains_key(id) {
            return;
        }
        if !snapshot.fresh {
            self.look_at(id, true);
            return;
        }
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        if let Some(undo) = incident
            .step
            .clone()
            .filter(|s| s.is_undo && incident.undoing)
        {
            self.rehearse(id, undo, snapshot, Some(diagnosis));
            return;
        }
        let hint = incident
            .alerts
            .iter()
            .rev()
            .find_map(|signal| match &signal.body {
                SignalBody::Alert(alert) => alert.runbook_hint.clone(),
                SignalBody::Watch => None,
            });
        if diagnosis.class == FaultClass::Unexplained {
            let path = diagnosis.path.join(" <- ");
            self.hand_over(
                id,
                &format!("an alert fires and no detector explains it: {path}"),
            );
            return;
        }
        let reason = match runbook::choose(&self.engine.library, &diagnosis, hint.as_deref()) {
            Choice::Runbook(runbook) => {
                let chosen = runbook.id.clone();
                self.advance(id, &chosen, snapshot, diagnosis);
                return;
            }
            Choice::Disagree {
                hinted,
                by_evidence,
            } => {
                let evidence = by_evidence.map_or("no runbook", |r| r.id.as_str());
                format!(
                    "the alert points at {}, the evidence at {evidence}",
                    hinted.id
                )
            }
            Choice::None => format!(
                "no runbook is for {} ({})",
                diagnosis.class, diagnosis.reason
            ),
        };
        self.hand_over(id, &reason);
    }

    fn advance(
        &mut self,
        id: &IncidentId,
        chosen: &crate::ids::RunbookId,
        snapshot: &Snapshot,
        diagnosis: Diagnosis,
    ) {
        let Some(next) = self.next_step(id, chosen, snapshot, &diagnosis) else {
            return;
        };
        match next {
            Next::Step(step) => {
                let what = step.describe();
                let text = format!("{}: {what}", step.runbook);
                self.record(Some(id), EntryKind::Planned, text, &step);
                if self.engine.policy.autonomy == Autonomy::Observe {
                    // Not even a rehearsal: an observer sends nothing but reads.
                    self.recommend(id, &step);
                    self.hand_over(id, "autonomy is observe: recorded only");
                } else {
                    self.rehearse(id, *step, snapshot, Some(diagnosis));
                }
            }
            Next::Done => {
                self.hand_over(
                    id,
                    &format!("{chosen} has no further step, and the fault is still there"),
                );
            }
            Next::Person { reason } => self.ask(id, snapshot, &reason),
        }
    }

    fn recommend(&mut self, id: &IncidentId, step: &Step) {
        if let Some(incident) = self.incident(id) {
            incident.action_recommended = Some(step.describe());
        }
    }

    /// Runs the runbook on this snapshot and keeps its results.
    fn next_step(
        &mut self,
        id: &IncidentId,
        chosen: &crate::ids::RunbookId,
        snapshot: &Snapshot,
        diagnosis: &Diagnosis,
    ) -> Option<Next> {
        let engine = &*self.engine;
        let context = runbook::Context {
            runbook: engine.library.get(chosen)?,
            incident: engine.open.get(id)?,
            diagnosis,
            snapshot,
            history: &engine.history,
            policy: &engine.policy,
        };
        let advance = runbook::advance(&context);
        let incident = self.incident(id)?;
        incident.runbook = Some(chosen.clone());
        incident.results = advance.results;
        Some(advance.next)
    }

    fn rehearse(
        &mut self,
        id: &IncidentId,
        step: Step,
        snapshot: &Snapshot,
        diagnosis: Option<Diagnosis>,
    ) {
        if let Some(incident) = self.incident(id) {
            incident.step = Some(step.clone());
        }
        self.effect(Effect::Rehearse(step.clone()));
        let prepared = Prepared {
            step,
            snapshot: snapshot.clone(),
            diagnosis,
        };
        self.engine.prepared.insert(id.clone(), prepared);
        // Without an answer the look at the wake-up plans anew.
        self.retry(id);
    }

    /// The rehearsal is in: the guard rules.
    pub(super) fn rehearsed(&mut self, step: &StepId, rehearsal: &Rehearsal) {
        let found = self
            .engine
            .prepared
            .iter()
            .find(|(_, p)| p.step.id == *step);
        let Some(id) = found.map(|(id, _)| id.clone()) else {
            return;
        };
        let Some(prepared) = self.engine.prepared.remove(&id) else {
            return;
        };
        if self.engine.stopping {
            return;
        }
        match rehearsal {
            Rehearsal::Stale { why } if prepared.step.is_undo => {
                self.undo_is_stale(&id, &prepared.step, why);
                return;
            }
            Rehearsal::Stale { why } | Rehearsal::Failed { why } => {
                self.replan(&id, why);
                return;
            }
            Rehearsal::Accepted { .. } | Rehearsal::Local { .. } | Rehearsal::Refused { .. } => {}
        }
        let engine = &*self.engine;
        let scene = Scene {
            policy: &engine.policy,
            snapshot: &prepared.snapshot,
            now: self.now,
            history: &engine.history,
            diagnosis: prepared.diagnosis.as_ref(),
            rehearsal,
            step: &prepared.step,
        };
        let (rulings, permit) = guard::judge(&scene, engine.leader_epoch);
        let body = serde_json::json!({ "step": prepared.step, "rehearsal": rehearsal, "rulings": rulings });
        let verdict = guard::strictest(&rulings);
        let text = format!("{}: {verdict:?}", prepared.step.describe());
        self.record(Some(&id), EntryKind::Ruled, text, &body);
        if let Some(incident) = self.incident(&id) {
            incident.rulings.clone_from(&rulings);
        }
        match permit {
            Some(permit) => self.intend(&id, prepared.step, permit),
            None => self.not_permitted(&id, &prepared, &rulings),
        }
    }

    /// The intent goes to the record in the same transaction as this decision, and the write is an
    /// effect that runs only after it: an intent always precedes its write.
    fn intend(&mut self, id: &IncidentId, step: Step, permit: guard::Permit) {
        if !self.step_phase(id, Event::Permitted) {
            return;
        }
        let now = self.now;
        let what = step.describe();
        let Some(incident) = self.incident(id) else {
            return;
        };
        incident.attempts.push(Attempt {
            permit: permit.id().clone(),
            what: what.clone(),
            is_undo: step.is_undo,
            at: now,
            outcome: None,
            helped: None,
        });
        let owner = incident.owner.clone();
        self.engine
            .history
            .record_intent(permit.id().clone(), id.clone(), owner, step, now);
        let policy = &self.engine.policy;
        self.engine.history.prune(policy, now);
        self.record(Some(id), EntryKind::Intent, what, &permit);
        self.effect(Effect::Act(permit));
    }

    fn not_permitted(&mut self, id: &IncidentId, prepared: &Prepared, rulings: &[Ruling]) {
        self.recommend(id, &prepared.step);
        let against: Vec<String> = rulings
            .iter()
            .filter(|ruling| ruling.verdict != Verdict::Pass)
            .map(|ruling| format!("{}: {}", ruling.gate, ruling.reason))
            .collect();
        let against = against.join("; ");
        if guard::strictest(rulings) == Verdict::Ask {
            self.ask(id, &prepared.snapshot, &against);
        } else {
            self.hand_over(id, &against);
        }
    }

    /// A person is asked at once, unless something could not be seen: an API server that is away
    /// for a minute is no reason to wake anybody, so it is looked at again for a while first.
    fn ask(&mut self, id: &IncidentId, snapshot: &Snapshot, reason: &str) {
        if is_blind(snapshot) {
            self.unclear(id, reason);
        } else {
            self.hand_over(id, reason);
        }
    }

    /// The target moved, or nobody answered: plan again, a bounded number of times.
    fn replan(&mut self, id: &IncidentId, why: &str) {
        let Some(incident) = self.incident(id) else {
            return;
        };
        incident.replans += 1;
        if incident.replans > limits::REPLANS {
            self.hand_over(id, &format!("planned again too often, last because: {why}"));
        } else {
            self.retry(id);
        }
    }

    /// What became of a write.
    pub(super) fn acted(&mut self, permit: &PermitId, outcome: ActOutcome) {
        self.engine.history.record_outcome(permit, outcome.clone());
        let of = |attempt: &Attempt| attempt.permit == *permit;
        let found = self
            .engine
            .open
            .values()
            .find(|i| i.attempts.iter().any(of));
        let Some(id) = found.map(|i| i.id.clone()) else {
            return;
        };
        let Some(incident) = self.incident(&id) else {
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
            ActOutcome::Blocked { why }
            | ActOutcome::Stale { why }
            | ActOutcome::NotDone { why } => {
                self.not_done(&id, &why);
            }
            ActOutcome::Expired => self.not_done(&id, "the permit expired before it was used"),
            ActOutcome::Unknown { why } => self.unanswered(&id, &why),
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
        self.engine.looks.retain(|_, looking| !looking.is_at(id));
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

    /// An inverse runs only while the fields still hold what we wrote.
    fn undo_is_stale(&mut self, id: &IncidentId, undo: &Step, why: &str) {
        let reason = format!(
            "the fields changed since our write, so {} is not taken back: {why}",
            undo.describe()
        );
        self.hand_over(id, &reason);
    }

    fn not_done(&mut self, id: &IncidentId, why: &str) {
        let undo = self
            .engine
            .open
            .get(id)
            .and_then(|i| i.step.clone())
            .filter(|s| s.is_undo);
        if let Some(undo) = undo {
            self.undo_is_stale(id, &undo, why);
            return;
        }
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
            // At once the first time: the answer may have been lost alone.
            self.retry(id);
        }
    }

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
        if let Health::Blind { missing } = &health {
            // Not seen is neither fixed nor broken: nothing is closed and nothing taken back for it.
            self.blind(id, &not_seen(missing));
            return;
        }
        self.sees(id);
        let (text, is_healthy) = match health {
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
            self.engine.timers.wake(id, later(since, stable));
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

    /// Time is up: take it back where the action says so, else hand over.
    fn not_fixed(&mut self, id: &IncidentId, snapshot: &Snapshot, why: &str) {
        let Some(incident) = self.incident(id) else {
            return;
        };
        if let Some(attempt) = incident.attempts.last_mut() {
            attempt.helped = Some(false);
        }
        let Some(step) = incident.step.clone() else {
            return;
        };
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
}
