//! Carries one step through: runbook, rehearsal, guard, intent, write, check, undo.

use super::consider::is_blind;
use super::turn::Turn;
use super::{Effect, Prepared, limits};
use crate::diagnose::{Diagnosis, FaultClass};
use crate::guard::{self, Rehearsal, Ruling, Scene, Verdict, circuit};
use crate::ids::{IncidentId, StepId};
use crate::incident::{Attempt, Event};
use crate::plan::Step;
use crate::policy::Autonomy;
use crate::record::EntryKind;
use crate::runbook::{self, Choice, Next};
use crate::signal::SignalBody;
use crate::world::Snapshot;

/// Why a person has what an observer found.
pub(super) const OBSERVED: &str = "autonomy is observe: recorded only";

impl Turn<'_> {
    /// Chooses the runbook's next step on a fresh look and has it rehearsed.
    pub(super) fn prepare(&mut self, id: &IncidentId, snapshot: &Snapshot, diagnosis: Diagnosis) {
        if self.engine.run.stopping || self.engine.run.prepared.contains_key(id) {
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
        if self.is_unripe(id, &diagnosis) {
            self.retry(id);
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
                    self.hand_over(id, OBSERVED);
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
            Next::Later { reason } => self.replan(id, &reason),
            Next::Person { reason } => self.ask(id, snapshot, &reason),
        }
    }

    fn recommend(&mut self, id: &IncidentId, step: &Step) {
        if let Some(incident) = self.incident(id) {
            incident.action_recommended = Some(step.describe());
        }
    }

    /// Runs the runbook on this snapshot and keeps its results.
    pub(super) fn next_step(
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

    /// Has the step rehearsed, unless the circuit breaker lets nothing be sent or as many steps are
    /// under way as may still fail.
    pub(super) fn rehearse(
        &mut self,
        id: &IncidentId,
        step: Step,
        snapshot: &Snapshot,
        diagnosis: Option<Diagnosis>,
    ) {
        if let Some(incident) = self.incident(id) {
            incident.step = Some(step.clone());
        }
        if self.enough_are_out() {
            // Planned anew, on a fresh look, once one of those has answered.
            self.engine.run.queued.insert(id.clone());
            self.retry(id);
            return;
        }
        let prepared = Prepared {
            step,
            snapshot: snapshot.clone(),
            diagnosis,
        };
        if !guard::may_rehearse(&self.scene(&prepared, None)) {
            self.rule(id, prepared, None);
            return;
        }
        let step = prepared.step.clone();
        self.engine.run.rehearsing.push(step.id.clone());
        self.effect(Effect::Rehearse(step));
        self.engine.run.prepared.insert(id.clone(), prepared);
        // Without an answer the look at the wake-up plans anew.
        self.retry(id);
    }

    /// Whether as many steps are under way as the breaker lets fail. Where no write may follow,
    /// nothing can.
    fn enough_are_out(&self) -> bool {
        let engine = &*self.engine;
        let rehearsing = engine.run.rehearsing.len();
        engine.policy.may_write()
            && circuit::enough_are_out(&engine.history, &engine.policy, rehearsing, self.now)
    }

    /// A step that was under way no longer is: the next one that waits is looked at.
    pub(super) fn take_next(&mut self) {
        if !self.enough_are_out()
            && let Some(next) = self.engine.run.queued.pop_first()
        {
            self.look_at(&next, true);
        }
    }

    fn scene<'s>(&'s self, prepared: &'s Prepared, said: Option<&'s Rehearsal>) -> Scene<'s> {
        Scene {
            policy: &self.engine.policy,
            snapshot: &prepared.snapshot,
            now: self.now,
            history: &self.engine.history,
            diagnosis: prepared.diagnosis.as_ref(),
            rehearsal: said,
            step: &prepared.step,
        }
    }

    /// The rehearsal is in.
    pub(super) fn rehearsed(&mut self, step: &StepId, rehearsal: &Rehearsal) {
        let rehearsing = &mut self.engine.run.rehearsing;
        if let Some(place) = rehearsing.iter().position(|other| other == step) {
            rehearsing.remove(place);
        }
        if rehearsal.is_failure() && self.engine.policy.may_write() {
            self.refused_rehearsal();
        }
        let mut prepared = self.engine.run.prepared.iter();
        let found = prepared.find(|(_, prepared)| prepared.step.id == *step);
        if let Some(id) = found.map(|(id, _)| id.clone())
            && let Some(prepared) = self.engine.run.prepared.remove(&id)
            && !self.engine.run.stopping
        {
            self.answered(&id, prepared, rehearsal);
        }
        self.take_next();
    }

    fn answered(&mut self, id: &IncidentId, prepared: Prepared, rehearsal: &Rehearsal) {
        match rehearsal {
            Rehearsal::Stale { why } if prepared.step.is_undo => {
                self.undo_is_stale(id, &prepared.step, why);
                return;
            }
            Rehearsal::Stale { why } | Rehearsal::Failed { why } => {
                self.replan(id, why);
                return;
            }
            Rehearsal::Accepted { .. }
            | Rehearsal::Local { .. }
            | Rehearsal::NoRight { .. }
            | Rehearsal::Forbidden { .. }
            | Rehearsal::Refused { .. } => {}
        }
        let age = self.now.duration_since(prepared.snapshot.taken_at);
        if age > self.engine.policy.snapshot_max_age && !rehearsal.is_failure() {
            // The guard would refuse it for that alone, and a person could only look again.
            let why = format!("the rehearsal took so long that the look is {age:#} old");
            self.replan(id, &why);
        } else {
            self.rule(id, prepared, Some(rehearsal));
        }
    }

    /// The guard rules.
    fn rule(&mut self, id: &IncidentId, prepared: Prepared, rehearsal: Option<&Rehearsal>) {
        // What no gate looks at any more, of a record that was loaded too, fills no history.
        let engine = &mut *self.engine;
        engine.history.prune(&engine.policy, self.now);
        let scene = self.scene(&prepared, rehearsal);
        let (rulings, permit) = guard::judge(&scene, self.engine.leader_epoch);
        let body = serde_json::json!({ "step": prepared.step, "rehearsal": rehearsal, "rulings": rulings });
        let verdict = guard::strictest(&rulings);
        let text = format!("{}: {verdict:?}", prepared.step.describe());
        self.record(Some(id), EntryKind::Ruled, text, &body);
        if let Some(incident) = self.incident(id) {
            incident.rulings.clone_from(&rulings);
        }
        match permit {
            Some(permit) => self.intend(id, prepared.step, permit),
            None => self.not_permitted(id, &prepared, rehearsal, &rulings),
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
        self.record(Some(id), EntryKind::Intent, what, &permit);
        self.effect(Effect::Act(permit));
    }

    fn not_permitted(
        &mut self,
        id: &IncidentId,
        prepared: &Prepared,
        rehearsal: Option<&Rehearsal>,
        rulings: &[Ruling],
    ) {
        self.recommend(id, &prepared.step);
        let against: Vec<String> = rulings
            .iter()
            .filter(|ruling| ruling.verdict != Verdict::Pass)
            .map(|ruling| format!("{}: {}", ruling.gate, ruling.reason))
            .collect();
        let against = against.join("; ");
        // Who is refused once does not try again and again until everything is seen.
        let forbidden = rehearsal.is_some_and(Rehearsal::is_failure);
        if guard::strictest(rulings) == Verdict::Ask && !forbidden {
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
    pub(super) fn replan(&mut self, id: &IncidentId, why: &str) {
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
}
