//! One call of [`Engine::handle`]: the engine, the time, and the decision as it grows.

use super::{Decision, Effect, Engine, LookId, Looking, limits};
use crate::ids::IncidentId;
use crate::incident::{Event, Incident, Outcome, Phase};
use crate::record::{Entry, EntryKind, Notice, NoticeKind};
use crate::world::{ObjectRef, Scope};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The engine while it handles one input.
pub(super) struct Turn<'e> {
    pub(super) engine: &'e mut Engine,
    pub(super) now: Timestamp,
    decision: Decision,
    /// Incidents that changed and have to be stored whole.
    touched: BTreeSet<IncidentId>,
    /// Incidents that this turn closed.
    ended: BTreeMap<IncidentId, Incident>,
}

impl<'e> Turn<'e> {
    pub(super) fn new(engine: &'e mut Engine, now: Timestamp) -> Self {
        Self {
            engine,
            now,
            decision: Decision::default(),
            touched: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    /// The decision, with every incident that changed and the next time to wake.
    pub(super) fn finish(mut self) -> Decision {
        for id in &self.touched {
            let incident = self.engine.open.get(id).or_else(|| self.ended.get(id));
            self.decision.batch.incidents.extend(incident.cloned());
        }
        if let Some(at) = self.engine.run.timers.rearm() {
            self.decision.effects.push(Effect::WakeAt(at));
        }
        self.decision
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.decision.effects.push(effect);
    }

    /// The open incident, marked as changed.
    pub(super) fn incident(&mut self, id: &IncidentId) -> Option<&mut Incident> {
        let incident = self.engine.open.get_mut(id)?;
        self.touched.insert(id.clone());
        Some(incident)
    }

    /// Appends a row to the record.
    pub(super) fn record<B: Serialize + ?Sized>(
        &mut self,
        incident: Option<&IncidentId>,
        kind: EntryKind,
        text: impl Into<String>,
        body: &B,
    ) {
        let body = serde_json::to_value(body).expect("core's own types always serialize");
        let incident = incident.cloned();
        self.decision.batch.entries.push(Entry {
            incident,
            kind,
            text: text.into(),
            body,
        });
    }

    /// A rehearsal was a failure for the breaker.
    pub(super) fn refused_rehearsal(&mut self) {
        let refusal = self.engine.history.record_refused_rehearsal(self.now);
        self.decision.batch.refused_rehearsal = Some(refusal);
    }

    /// Queues a notice; its key is the incident with what happened, so that a person hears it once.
    pub(super) fn tell(&mut self, id: &IncidentId, kind: NoticeKind, title: String, text: String) {
        let key = format!("{id}/{}/{}", kind.word(), self.now);
        let notice = Notice {
            key,
            incident: id.clone(),
            kind,
            title,
            text,
        };
        self.decision.batch.notices.push(notice);
    }

    /// Moves an incident along. An event that its phase does not allow is a defect: a person gets
    /// the incident, and nothing else happens to it.
    pub(super) fn step_phase(&mut self, id: &IncidentId, event: Event) -> bool {
        let Some(incident) = self.incident(id) else {
            return false;
        };
        match incident.phase.next(event) {
            Ok(next) => {
                incident.phase = next;
                true
            }
            Err(illegal) => {
                let why = format!("internal error: {illegal}");
                self.record(
                    Some(id),
                    EntryKind::Waiting,
                    why.clone(),
                    &illegal_body(illegal),
                );
                if let Some(incident) = self.incident(id) {
                    incident.phase = crate::incident::Phase::Waiting;
                    incident.waiting_for = Some(why);
                }
                false
            }
        }
    }

    /// Hands an incident to a person, once.
    pub(super) fn hand_over(&mut self, id: &IncidentId, reason: &str) {
        self.engine.run.prepared.remove(id);
        let now = self.now;
        let Some(incident) = self.incident(id) else {
            return;
        };
        if incident.waiting_for.as_deref() == Some(reason) {
            self.engine
                .run
                .timers
                .wake(id, later(now, limits::WAITING_LOOK_EVERY));
            return;
        }
        if !self.step_phase(id, Event::HandedOver) {
            return;
        }
        let Some(incident) = self.incident(id) else {
            return;
        };
        incident.waiting_for = Some(reason.to_owned());
        incident.healthy_since = None;
        let title = format!(
            "{} on {} waits for a person",
            incident.fingerprint.class, incident.owner
        );
        let recommended = incident.action_recommended.clone();
        let body = serde_json::json!({ "reason": reason, "recommended": recommended });
        self.record(
            Some(id),
            EntryKind::Waiting,
            format!("waiting for a person: {reason}"),
            &body,
        );
        let advice = recommended
            .map(|r| format!("\n\nRecommended: `{r}`"))
            .unwrap_or_default();
        self.tell(id, NoticeKind::Waiting, title, format!("{reason}{advice}"));
        self.engine
            .run
            .timers
            .wake(id, later(now, limits::WAITING_LOOK_EVERY));
    }

    /// Ends an incident.
    pub(super) fn close(&mut self, id: &IncidentId, event: Event, outcome: &Outcome, why: &str) {
        if !self.step_phase(id, event) {
            return;
        }
        let now = self.now;
        if let Some(incident) = self.incident(id) {
            incident.closed_at = Some(now);
            incident.waiting_for = None;
            incident.outcome = Some(outcome.clone());
            let title = format!(
                "{} on {}: {why}",
                incident.fingerprint.class, incident.owner
            );
            if *outcome == Outcome::Fixed {
                let text = incident.action_taken.clone().unwrap_or_default();
                self.tell(id, NoticeKind::Repaired, title, format!("Done: `{text}`"));
            }
        }
        self.record(Some(id), EntryKind::Final, why, outcome);
        self.engine.run.prepared.remove(id);
        self.engine.run.unsure.remove(id);
        self.engine.run.timers.forget(id);
        for looks in &mut self.engine.run.looked_at {
            looks.remove(id);
        }
        // A write whose fate nobody knows outlives its incident: it is read back until it is known.
        let is_out = {
            let mut out = self.engine.history.open_permits();
            out.any(|act| act.incident == *id)
        };
        if is_out {
            self.engine
                .run
                .timers
                .wake(id, later(now, limits::RETRY_AFTER));
        }
        if let Some(incident) = self.engine.open.remove(id) {
            self.engine.history.record_closed(&incident);
            self.ended.insert(id.clone(), incident.clone());
            self.engine.closed.push_back(incident);
            if self.engine.closed.len() > limits::CLOSED_INCIDENTS {
                self.engine.closed.pop_front();
            }
        }
    }

    /// Looks at an incident now, unless a look is in flight (then once more after it) or the last
    /// one is too recent (then when it no longer is).
    pub(super) fn look_at(&mut self, id: &IncidentId, fresh: bool) {
        let in_flight = self
            .engine
            .run
            .looks
            .iter()
            .find_map(|(look, looking)| match looking {
                Looking::Incident { id: other, fresh } if other == id => Some((*look, *fresh)),
                Looking::Incident { .. } | Looking::Subject(_) => None,
            });
        if let Some((look, _)) = in_flight.filter(|(_, already)| *already || !fresh) {
            self.engine.run.again.insert(look);
            return;
        }
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let [from_watch, afresh] = &self.engine.run.looked_at;
        let looks = if fresh { afresh } else { from_watch };
        let next = looks.get(id).map(|last| later(*last, limits::LOOK_EVERY));
        if let Some(next) = next.filter(|next| *next > self.now) {
            self.engine.run.timers.wake(id, next);
            return;
        }
        let scope = Scope::Of(incident.owner.clone());
        // Logs tell why a container ends; they are worth their cost only for a fresh look.
        let looking = Looking::Incident {
            id: id.clone(),
            fresh,
        };
        let [from_watch, afresh] = &mut self.engine.run.looked_at;
        let looks = if fresh { afresh } else { from_watch };
        looks.insert(id.clone(), self.now);
        self.observe(looking, scope, fresh);
    }

    /// Looks at something that no incident speaks of yet.
    pub(super) fn look_at_subject(&mut self, subject: ObjectRef) {
        let looking = Looking::Subject(subject.clone());
        let known = self
            .engine
            .run
            .looks
            .iter()
            .find(|(_, other)| **other == looking);
        if let Some((look, _)) = known {
            let look = *look;
            self.engine.run.again.insert(look);
            return;
        }
        let looks = self.engine.run.looks.values();
        let of_subjects = looks.filter(|looking| matches!(looking, Looking::Subject(_)));
        if of_subjects.count() >= limits::SUBJECT_LOOKS {
            self.engine.run.owed.insert(subject);
            return;
        }
        self.observe(looking, Scope::Of(subject), false);
    }

    fn observe(&mut self, looking: Looking, scope: Scope, fresh: bool) {
        let look = LookId(self.engine.run.next_look);
        self.engine.run.next_look += 1;
        self.engine.run.looks.insert(look, looking);
        self.effect(Effect::Observe {
            look,
            scope,
            fresh,
            logs: fresh,
        });
    }

    /// Looks again after a while.
    pub(super) fn retry(&mut self, id: &IncidentId) {
        let waits = self
            .engine
            .open
            .get(id)
            .is_some_and(|i| i.phase == Phase::Waiting);
        let by = if waits {
            limits::WAITING_LOOK_EVERY
        } else {
            limits::RETRY_AFTER
        };
        self.engine.run.timers.wake(id, later(self.now, by));
    }
}

fn illegal_body(illegal: crate::incident::Illegal) -> serde_json::Value {
    serde_json::json!({ "phase": illegal.phase, "event": illegal.event })
}

/// `at + by`, or `at` at the end of time.
pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}
