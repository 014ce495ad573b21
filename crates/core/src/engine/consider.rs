//! Moves one incident along on what a look says of it: still there, gone, or not to be seen.

use super::limits;
use super::turn::{Turn, later};
use crate::diagnose::{self, Confidence, Diagnosis, FaultClass, Health};
use crate::ids::IncidentId;
use crate::incident::{Event, Outcome, Phase};
use crate::record::EntryKind;
use crate::world::{Coverage, Snapshot, Source};
use jiff::{SignedDuration, Timestamp};

impl Turn<'_> {
    /// Moves one incident along on what this snapshot says of it.
    pub(super) fn consider(
        &mut self,
        id: &IncidentId,
        snapshot: &Snapshot,
        diagnosis: Option<Diagnosis>,
    ) {
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let phase = incident.phase;
        if diagnosis.is_some() && phase != Phase::Verifying && !is_blind(snapshot) {
            self.sees(id);
        }
        self.weigh(id, snapshot, diagnosis.as_ref());
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        match (phase, diagnosis) {
            (Phase::Acting | Phase::ReadingBack | Phase::Closed, _) => {}
            (Phase::Verifying, diagnosis) => self.verify(id, snapshot, diagnosis),
            (Phase::Open | Phase::Preparing | Phase::Waiting, None) => {
                self.maybe_recovered(id, snapshot);
            }
            (Phase::Waiting, Some(other)) if other.class != incident.fingerprint.class => {
                // Another fault of the same owner (we cordoned it, say): is ours gone?
                self.maybe_recovered(id, snapshot);
            }
            (Phase::Waiting, Some(_)) => {
                self.unhealthy(id);
                let at = later(self.now, limits::WAITING_LOOK_EVERY);
                self.engine.run.timers.wake(id, at);
            }
            (Phase::Open, Some(diagnosis)) => self.persisting(id, snapshot, diagnosis),
            (Phase::Preparing, Some(diagnosis)) => self.prepare(id, snapshot, diagnosis),
        }
    }

    /// Opening is not acting: the fault must last before a plan is made.
    fn persisting(&mut self, id: &IncidentId, snapshot: &Snapshot, diagnosis: Diagnosis) {
        self.unhealthy(id);
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let ripe = later(
            incident.opened_at.min(diagnosis.since),
            self.persistence(&diagnosis),
        );
        if self.now < ripe {
            self.engine.run.timers.wake(id, ripe);
        } else if !self.engine.run.stopping && self.step_phase(id, Event::Persisted) {
            self.prepare(id, snapshot, diagnosis);
        }
    }

    /// How long a fault must last before a plan is made for it.
    fn persistence(&self, diagnosis: &Diagnosis) -> SignedDuration {
        let percent = i32::try_from(self.engine.policy.persistence_percent).unwrap_or(i32::MAX);
        diagnosis.persistence.saturating_mul(percent) / 100
    }

    /// Notes since when the diagnosis has been too unsure to act on. Only a fresh look, which reads
    /// logs too, can say that it no longer is.
    fn weigh(&mut self, id: &IncidentId, snapshot: &Snapshot, diagnosis: Option<&Diagnosis>) {
        let over = Confidence(self.engine.policy.confidence_over);
        let unsure = &mut self.engine.run.unsure;
        if diagnosis.is_some_and(|diagnosis| diagnosis.confidence <= over) {
            unsure.entry(id.clone()).or_insert(self.now);
        } else if snapshot.fresh && diagnosis.is_some() {
            unsure.remove(id);
        }
    }

    /// Whether the diagnosis is too unsure to act on, and has not been for as long as such a one has
    /// to last. However old the fault is, what speaks of it may be on its way: Events follow the
    /// status, after a start and after a write too. Nobody is asked for that.
    pub(super) fn is_unripe(&self, id: &IncidentId, diagnosis: &Diagnosis) -> bool {
        let since = self.engine.run.unsure.get(id);
        since.is_some_and(|since| self.now < later(*since, self.persistence(diagnosis)))
    }

    pub(super) fn unhealthy(&mut self, id: &IncidentId) {
        if self
            .engine
            .open
            .get(id)
            .is_some_and(|i| i.healthy_since.is_some())
            && let Some(incident) = self.incident(id)
        {
            incident.healthy_since = None;
        }
    }

    /// No detector speaks of it any more. Only a fresh look that finds it healthy, and goes on to
    /// find it healthy for the stable time, closes it.
    fn maybe_recovered(&mut self, id: &IncidentId, snapshot: &Snapshot) {
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        if !snapshot.fresh {
            self.look_at(id, true);
            return;
        }
        let class = incident.fingerprint.class;
        match diagnose::look(snapshot, &incident.owner, class) {
            Health::Blind { missing } => self.blind(id, &not_seen(&missing)),
            Health::Unhealthy { why } => self.unexplained(id, &why),
            Health::Gone { .. } => self.gone(id),
            Health::Healthy { why } | Health::Idle { why } => self.healthy(id, &why),
        }
    }

    fn gone(&mut self, id: &IncidentId) {
        let fell_silent = self.forget_silent_alerts(id);
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let was_never_seen = incident.owner.uid.as_str().is_empty();
        if !incident.firing.is_empty() {
            self.hand_over(id, "an alert fires for an object that does not exist");
        } else if was_never_seen && fell_silent {
            let silent = limits::ALERT_SILENT;
            let why = format!(
                "expired: the alert was not heard again for {silent:#}, its object does not exist \
                 and nothing was repaired"
            );
            self.close(id, Event::Ended, &Outcome::Expired, &why);
        } else {
            self.close(id, Event::Ended, &Outcome::Gone, "it no longer exists");
        }
    }

    /// Not heard is not resolved: only a fresh look that finds nothing wrong asks for this. Returns
    /// whether an alert fell silent.
    fn forget_silent_alerts(&mut self, id: &IncidentId) -> bool {
        let now = self.now;
        let is_silent = |heard: Timestamp| later(heard, limits::ALERT_SILENT) <= now;
        let Some(incident) = self.engine.open.get(id) else {
            return false;
        };
        let firing = incident.firing.iter();
        let silent: Vec<_> = firing
            .filter(|(_, heard)| is_silent(**heard))
            .map(|(alert, _)| alert.clone())
            .collect();
        if silent.is_empty() {
            return false;
        }
        if let Some(incident) = self.incident(id) {
            incident.firing.retain(|_, heard| !is_silent(*heard));
        }
        let text = format!(
            "not heard again for {:#}: no longer firing",
            limits::ALERT_SILENT
        );
        self.record(Some(id), EntryKind::Silent, text, &silent);
        true
    }

    fn healthy(&mut self, id: &IncidentId, why: &str) {
        self.sees(id);
        self.forget_silent_alerts(id);
        let stable = self.stable_for(id);
        let now = self.now;
        let Some(incident) = self.incident(id) else {
            return;
        };
        let since = *incident.healthy_since.get_or_insert(now);
        let alarm =
            incident.fingerprint.class == FaultClass::Unexplained && !incident.firing.is_empty();
        let phase = incident.phase;
        if alarm {
            self.hand_over(
                id,
                &format!("an alert fires, but a fresh look finds it healthy: {why}"),
            );
        } else if now >= later(since, stable) {
            let owner = incident.owner.clone();
            let why = format!("healthy on fresh looks for {stable:#}: {why}");
            self.close(id, Event::Ended, &Outcome::Recovered, &why);
            // What else is wrong with it was this incident's business so far, and may say nothing new
            // by itself: a node that is well again is still cordoned.
            self.look_at_subject(owner);
        } else {
            if phase == Phase::Preparing {
                // The plan waits while it looks healthy; a relapse goes on from here.
                self.engine.run.prepared.remove(id);
            }
            self.engine.run.timers.wake(id, later(since, stable));
        }
    }

    /// Not healthy, and yet nothing that a detector knows.
    fn unexplained(&mut self, id: &IncidentId, why: &str) {
        self.unhealthy(id);
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let alarm = incident.fingerprint.class == FaultClass::Unexplained;
        if alarm && incident.phase == Phase::Open {
            self.hand_over(
                id,
                &format!("an alert fires and no detector explains it: {why}"),
            );
        } else if matches!(incident.phase, Phase::Open | Phase::Preparing) {
            self.unclear(
                id,
                &format!("not healthy, and no detector explains it: {why}"),
            );
        } else {
            self.retry(id);
        }
    }

    /// Could not see: nothing is concluded, and after a while a person hears of it.
    pub(super) fn blind(&mut self, id: &IncidentId, why: &str) {
        self.unclear(id, &format!("cannot see: {why}"));
    }

    /// It is seen again, and what is seen says something.
    pub(super) fn sees(&mut self, id: &IncidentId) {
        if self
            .engine
            .open
            .get(id)
            .is_some_and(|i| i.blind_since.is_some())
            && let Some(incident) = self.incident(id)
        {
            incident.blind_since = None;
        }
    }

    /// Nothing can be concluded now: it is looked at again, and after a while a person has it.
    pub(super) fn unclear(&mut self, id: &IncidentId, text: &str) {
        self.unhealthy(id);
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let first = incident.blind_since.unwrap_or(self.now);
        let now = self.now;
        if let Some(incident) = self.incident(id)
            && incident.blind_since.is_none()
        {
            incident.blind_since = Some(now);
            self.record(Some(id), EntryKind::Blind, text, text);
        }
        let open = self.engine.open.get(id).map(|i| i.phase);
        let may_hand_over = matches!(
            open,
            Some(Phase::Open | Phase::Preparing | Phase::Verifying)
        );
        if may_hand_over && now >= later(first, limits::BLIND_FOR) {
            self.hand_over(id, text);
        } else {
            self.retry(id);
        }
    }

    /// How long it must look healthy: twice the observed time to failure, within the policy.
    pub(super) fn stable_for(&self, id: &IncidentId) -> SignedDuration {
        let policy = &self.engine.policy;
        let step = self.engine.open.get(id).and_then(|i| i.step.as_ref());
        let failure = step.map_or(0, |s| s.check.time_to_failure_ms);
        let twice = i64::try_from(failure.saturating_mul(2)).unwrap_or(i64::MAX);
        SignedDuration::from_millis(twice)
            .clamp(policy.stable_min, policy.stable_max.max(policy.stable_min))
    }
}

/// Whether any source that a decision may rest on was asked and not seen.
///
/// Logs are evidence for a person and nothing rests on them. They are the one source that a lost node
/// takes with it: to wait until those of its pods can be read is to wait until the node is back.
pub(super) fn is_blind(snapshot: &Snapshot) -> bool {
    let mut sources = snapshot.coverage.iter();
    sources.any(|(source, coverage)| {
        *source != Source::Logs && matches!(coverage, Coverage::Blind { .. })
    })
}

/// `Pods silent for 90 s, Events was not looked at`.
pub(super) fn not_seen(missing: &[(Source, String)]) -> String {
    let each: Vec<String> = missing
        .iter()
        .map(|(source, why)| format!("{source:?} {why}"))
        .collect();
    each.join(", ")
}
