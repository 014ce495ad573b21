//! Takes what is heard: the start, watch signals, alerts, ticks.

use super::act::OBSERVED;
use super::turn::{Turn, later};
use super::{Checkpoint, Effect, limits};
use crate::diagnose::FaultClass;
use crate::guard::{self, Verdict};
use crate::history::ActOutcome;
use crate::ids::{IncidentId, SignalFingerprint};
use crate::incident::{Event, Incident, MAX_ALERTS, Phase};
use crate::policy::Autonomy;
use crate::record::EntryKind;
use crate::runbook::Library;
use crate::signal::{Signal, SignalBody};
use crate::world::ObjectRef;
use jiff::SignedDuration;
use std::collections::BTreeMap;

impl Turn<'_> {
    /// Goes on where the record ends: an intent without a result is read back, never repeated.
    pub(super) fn start(&mut self, checkpoint: Checkpoint) {
        let engine = &mut *self.engine;
        engine.version = checkpoint.engine_version;
        engine.cluster = checkpoint.cluster;
        engine.leader_epoch = checkpoint.leader_epoch;
        engine.policy = checkpoint.policy;
        engine.history = checkpoint.history;
        engine.closed = checkpoint.closed.into();
        engine.open = checkpoint
            .open
            .into_iter()
            .map(|i| (i.id.clone(), i))
            .collect();
        if *engine.library.texts() != checkpoint.runbooks {
            self.load_runbooks(&checkpoint.runbooks);
        }
        if let Some(running) = checkpoint.running {
            self.engine.run = *running;
            return;
        }
        self.take_up();
    }

    fn load_runbooks(&mut self, texts: &BTreeMap<String, String>) {
        match Library::load(texts) {
            Ok(library) => self.engine.library = library,
            Err(problems) => {
                // The shell lints before it starts; without runbooks every incident asks.
                let text = "runbooks could not be loaded: every incident goes to a person";
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                self.record(None, EntryKind::Blind, text, &problems);
            }
        }
    }

    /// What a process that died left behind is looked at again.
    fn take_up(&mut self) {
        let at = later(self.now, limits::RETRY_AFTER);
        let engine = &mut *self.engine;
        for act in engine.history.open_permits() {
            if !engine.open.contains_key(&act.incident) {
                engine.run.timers.wake(&act.incident, at);
            }
        }
        let open: Vec<(IncidentId, Phase)> = self
            .engine
            .open
            .values()
            .map(|i| (i.id.clone(), i.phase))
            .collect();
        for (id, phase) in open {
            match phase {
                Phase::Acting | Phase::ReadingBack => {
                    // A little later: what was sent just before a crash may still be landing.
                    if self.step_phase(&id, Event::Unanswered) {
                        self.retry(&id);
                    }
                }
                Phase::Waiting => {
                    self.resume(&id);
                    self.look_at(&id, false);
                }
                Phase::Open | Phase::Preparing | Phase::Verifying => self.look_at(&id, false),
                Phase::Closed => {}
            }
        }
    }

    /// What a person has because of the mode is planned anew once the mode lets the agent act alone.
    /// All other gates rule again, on what is there now.
    fn resume(&mut self, id: &IncidentId) {
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let mut rulings = incident.rulings.iter();
        let ruled =
            rulings.any(|one| one.verdict != Verdict::Pass && guard::is_about_mode(&one.gate));
        let observed = incident.waiting_for.as_deref() == Some(OBSERVED);
        let was_kept = (ruled || observed) && incident.attempts.is_empty();
        let policy = &self.engine.policy;
        let acts_alone = policy.autonomy == Autonomy::Auto && !policy.dry_run;
        if !was_kept || !acts_alone || !self.step_phase(id, Event::Resumed) {
            return;
        }
        let Some(incident) = self.incident(id) else {
            return;
        };
        let kept_by = incident.waiting_for.take();
        incident.rulings.clear();
        let text = "the agent was started with AGENT_MODE=auto and no dry run: planned anew";
        self.record(Some(id), EntryKind::Resumed, text, &kept_by);
    }

    /// Asks the hands whether the write of this incident that is out happened.
    pub(super) fn read_back(&mut self, id: &IncidentId) {
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let permit = incident
            .attempts
            .last()
            .map(|attempt| attempt.permit.clone());
        let (Some(permit), Some(step)) = (permit, incident.step.clone()) else {
            self.hand_over(id, "the record holds no intent for the write that was out");
            return;
        };
        self.effect(Effect::ReadBack { permit, step });
    }

    /// Asks about the writes of an incident that is no longer open: until their fate is known, nothing
    /// else is written to their targets.
    fn read_back_left(&mut self, id: &IncidentId) {
        let left = self.engine.history.open_permits();
        let left: Vec<_> = left
            .filter(|act| act.incident == *id)
            .map(|act| (act.permit.clone(), act.step.clone()))
            .collect();
        for (permit, step) in left {
            self.effect(Effect::ReadBack { permit, step });
        }
    }

    pub(super) fn stop(&mut self) {
        self.engine.run.stopping = true;
    }

    pub(super) fn tick(&mut self) {
        for id in self.engine.run.timers.due(self.now) {
            let Some(incident) = self.engine.open.get(&id) else {
                self.read_back_left(&id);
                continue;
            };
            match incident.phase {
                Phase::ReadingBack => self.read_back(&id),
                Phase::Preparing | Phase::Verifying => self.look_at(&id, true),
                Phase::Open => self.look_at(&id, false),
                Phase::Waiting => {
                    // A write whose fate nobody knows keeps its permit out until it is known.
                    let last = incident.attempts.last().map(|a| &a.outcome);
                    if matches!(last, Some(None | Some(ActOutcome::Unknown { .. }))) {
                        self.read_back(&id);
                    }
                    self.look_at(&id, false);
                }
                Phase::Acting | Phase::Closed => {}
            }
        }
        if let Some(subject) = self.engine.run.owed.pop_first() {
            self.look_at_subject(subject);
        }
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        match &signal.body {
            SignalBody::Watch => self.heard_from_watch(signal.subject),
            SignalBody::Alert(alert) if alert.firing => self.alert_fires(signal),
            SignalBody::Alert(_) => self.alert_resolved(&signal),
        }
    }

    fn heard_from_watch(&mut self, subject: ObjectRef) {
        let about = self.incidents_about(&subject);
        if about.is_empty() {
            self.look_at_subject(subject);
        }
        for id in about {
            self.look_at(&id, false);
        }
    }

    /// Open incidents that speak of the object: as owner, subject or in their evidence.
    fn incidents_about(&self, object: &ObjectRef) -> Vec<IncidentId> {
        let speaks = |incident: &&Incident| {
            let evidence = incident.diagnosis.iter().flat_map(|d| &d.evidence);
            incident.owner.same_name(object)
                || incident.subject.same_name(object)
                || evidence.into_iter().any(|e| e.object.same_name(object))
        };
        self.engine
            .open
            .values()
            .filter(speaks)
            .map(|i| i.id.clone())
            .collect()
    }

    fn alert_fires(&mut self, signal: Signal) {
        if let Some(id) = self.handles(&signal) {
            self.heard_again(&id, &signal.fingerprint);
            let text = format!("{} again while it is being handled", signal.fingerprint);
            self.record(Some(&id), EntryKind::Suppressed, text, &signal);
            return;
        }
        let text = format!("alert about {}", signal.subject);
        if signal.subject.name.is_empty() {
            let text = "alert that names no pod, workload or node: recorded, nothing to look at";
            self.record(None, EntryKind::WebhookReceived, text, &signal);
            return;
        }
        // Evidence does not count here: an alert about a node is not about a pod that ran on it.
        let about = |i: &&Incident| {
            i.owner.same_name(&signal.subject) || i.subject.same_name(&signal.subject)
        };
        let about = self.engine.open.values().find(about).map(|i| i.id.clone());
        if let Some(id) = about {
            self.record(Some(&id), EntryKind::WebhookReceived, text, &signal);
            self.attach(&id, signal);
            self.look_at(&id, true);
            return;
        }
        // Opened before the look, so that an alert survives a crash of ours in between.
        let subject = signal.subject.clone();
        let Some(id) = self.open_incident(&subject, &subject, FaultClass::Unexplained) else {
            self.record(None, EntryKind::WebhookReceived, text, &signal);
            return;
        };
        self.record(Some(&id), EntryKind::WebhookReceived, text, &signal);
        self.attach(&id, signal);
        self.look_at(&id, true);
    }

    /// The incident that handles this alert episode, open or just closed.
    fn handles(&self, signal: &Signal) -> Option<IncidentId> {
        let open = self
            .engine
            .open
            .values()
            .find(|i| i.firing.contains_key(&signal.fingerprint));
        let started = |other: &Signal| match (&other.body, &signal.body) {
            (SignalBody::Alert(a), SignalBody::Alert(b)) => {
                a.starts_at.is_some() && a.starts_at == b.starts_at
            }
            _ => false,
        };
        let same = |other: &Signal| other.fingerprint == signal.fingerprint && started(other);
        let is_recent = |i: &&Incident| {
            i.closed_at
                .is_some_and(|at| later(at, limits::EPISODE_TAIL) > self.now)
        };
        let closed = || {
            let mut closed = self.engine.closed.iter().rev().filter(is_recent);
            closed.find(|i| i.alerts.iter().any(same))
        };
        open.or_else(closed).map(|incident| incident.id.clone())
    }

    /// Keeps when the alert was last heard: one that nobody says any more goes silent.
    fn heard_again(&mut self, id: &IncidentId, alert: &SignalFingerprint) {
        let now = self.now;
        if let Some(heard) = self.incident(id).and_then(|i| i.firing.get_mut(alert)) {
            *heard = now;
        }
    }

    pub(super) fn attach(&mut self, id: &IncidentId, signal: Signal) {
        let now = self.now;
        let Some(incident) = self.incident(id) else {
            return;
        };
        incident.firing.insert(signal.fingerprint.clone(), now);
        if incident.firing.len() > MAX_ALERTS {
            // The one that was heard longest ago makes room; heard again, it is attached again.
            let others = incident.firing.iter();
            let others = others.filter(|(alert, _)| **alert != signal.fingerprint);
            let oldest = others.min_by_key(|(_, heard)| **heard);
            if let Some(oldest) = oldest.map(|(alert, _)| alert.clone()) {
                incident.firing.remove(&oldest);
            }
        }
        incident.alerts.push(signal);
        if incident.alerts.len() > MAX_ALERTS {
            incident.alerts.remove(0);
        }
    }

    /// A resolved alert is evidence: it makes us look, and never closes anything by itself.
    fn alert_resolved(&mut self, signal: &Signal) {
        let open = self.engine.open.values();
        let of = open.filter(|i| i.firing.contains_key(&signal.fingerprint));
        let ids: Vec<IncidentId> = of.map(|i| i.id.clone()).collect();
        if ids.is_empty() {
            self.record(
                None,
                EntryKind::Resolved,
                "resolved alert that nothing here handles",
                signal,
            );
        }
        for id in ids {
            if let Some(incident) = self.incident(&id) {
                incident.firing.remove(&signal.fingerprint);
            }
            let text = "the alert resolved: evidence, not health";
            self.record(Some(&id), EntryKind::Resolved, text, signal);
            self.look_at(&id, false);
        }
    }

    pub(super) fn rejected(&mut self, why: &str, alert: &str) {
        let body = serde_json::json!({ "why": why, "alert": alert });
        self.record(
            None,
            EntryKind::Rejected,
            format!("alert not usable: {why}"),
            &body,
        );
    }

    pub(super) fn known_good(
        &mut self,
        workload: &ObjectRef,
        revision: &ObjectRef,
        after: SignedDuration,
    ) {
        let now = self.now;
        self.engine
            .history
            .known_good
            .insert(revision.uid.clone(), now);
        let text = format!("{revision} of {workload} was fully available for {after:#}");
        let body = serde_json::json!({ "workload": workload, "revision": revision });
        self.record(None, EntryKind::KnownGood, text, &body);
    }
}
