//! Takes snapshots: joins diagnoses to incidents and moves each incident along.

use super::turn::{Turn, later};
use super::{LookId, Looking, limits};
use crate::diagnose::{self, Diagnosis, FaultClass, Health};
use crate::ids::{IncidentId, Uid};
use crate::incident::{Event, Fingerprint, Incident, Outcome, Phase};
use crate::record::EntryKind;
use crate::signal::Signal;
use crate::world::{Coverage, Kind, ObjectRef, Snapshot, Source};
use jiff::SignedDuration;

impl Turn<'_> {
    pub(super) fn observed(&mut self, look: LookId, snapshot: &Snapshot) {
        // A look from before a restart has nobody waiting for it.
        let Some(looking) = self.engine.looks.remove(&look) else {
            return;
        };
        if let Looking::Incident { id, .. } = &looking {
            self.resolve_owner(id, snapshot);
        }
        let alerts = self.firing_alerts(snapshot);
        let diagnosed = diagnose::diagnose(snapshot, &alerts);
        let looked_at = self.owner_looked_at(&looking, snapshot);
        let mut seen = Vec::new();
        for diagnosis in diagnosed.diagnoses {
            let is_in_scope = looked_at.as_ref() == Some(&diagnosis.owner.uid);
            let Some(id) = self.join(&diagnosis) else {
                continue;
            };
            if is_in_scope {
                self.consider(&id, snapshot, Some(diagnosis));
                seen.push(id);
            } else {
                // The snapshot shows only a part of this owner, and not afresh: it gets its own look.
                self.look_at(&id, false);
            }
        }
        if let Looking::Incident { id, .. } = &looking
            && !seen.contains(id)
            && self.engine.open.contains_key(id)
        {
            self.consider(id, snapshot, None);
        }
        self.look_again(look, looking);
        if let Some(subject) = self.engine.owed.pop_first() {
            self.look_at_subject(subject);
        }
    }

    pub(super) fn not_observed(&mut self, look: LookId, why: &str) {
        let Some(looking) = self.engine.looks.remove(&look) else {
            return;
        };
        match &looking {
            Looking::Incident { id, .. } => self.blind(id, why),
            Looking::Subject(subject) => {
                self.record(None, EntryKind::Blind, format!("a look failed: {why}"), why);
                self.engine.owed.insert(subject.clone());
            }
        }
        self.look_again(look, looking);
    }

    /// A signal that came while the look was in flight is owed another one.
    fn look_again(&mut self, look: LookId, looking: Looking) {
        if self.engine.again.remove(&look) {
            match looking {
                Looking::Subject(subject) => self.look_at_subject(subject),
                Looking::Incident { id, fresh } => self.look_at(&id, fresh),
            }
        }
    }

    /// The owner that the look was about; everything else in the snapshot is its surroundings.
    fn owner_looked_at(&self, looking: &Looking, snapshot: &Snapshot) -> Option<Uid> {
        match looking {
            Looking::Incident { id, .. } => self.engine.open.get(id).map(|i| i.owner.uid.clone()),
            Looking::Subject(subject) => {
                let found = find_by_name(snapshot, subject)?;
                Some(snapshot.topmost_owner(&found).uid)
            }
        }
    }

    fn firing_alerts(&self, snapshot: &Snapshot) -> Vec<Signal> {
        let namespaces: Vec<&str> = snapshot
            .pods
            .iter()
            .map(|pod| pod.metadata.namespace.as_str())
            .collect();
        let concerns = |incident: &&Incident| {
            incident.owner.namespace.is_empty()
                || namespaces.contains(&incident.owner.namespace.as_str())
        };
        let incidents = self.engine.open.values().filter(concerns);
        incidents
            .flat_map(|i| {
                i.alerts
                    .iter()
                    .filter(|a| i.firing.contains_key(&a.fingerprint))
            })
            .cloned()
            .collect()
    }

    /// An alert names an object without a uid. Once that object is seen, the incident is about its
    /// topmost owner; where another incident has that owner, the two end in one.
    fn resolve_owner(&mut self, id: &IncidentId, snapshot: &Snapshot) {
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        if !incident.owner.uid.as_str().is_empty() {
            return;
        }
        let Some(subject) = find_by_name(snapshot, &incident.subject) else {
            return;
        };
        let owner = snapshot.topmost_owner(&subject);
        let other = self
            .engine
            .open
            .values()
            .find(|i| i.owner.uid == owner.uid)
            .map(|i| i.id.clone());
        if let Some(other) = other {
            self.merge(id, &other);
        } else if let Some(incident) = self.incident(id) {
            incident.fingerprint.owner = owner.uid.clone();
            incident.owner = owner;
            incident.subject = subject;
        }
    }

    fn merge(&mut self, from: &IncidentId, into: &IncidentId) {
        let alerts = self
            .engine
            .open
            .get(from)
            .map(|i| {
                let fires = |a: &&Signal| i.firing.contains_key(&a.fingerprint);
                i.alerts.iter().filter(fires).cloned().collect::<Vec<_>>()
            })
            .unwrap_or_default();
        for alert in alerts {
            self.attach(into, alert);
        }
        let why = format!("the same workload is handled in {into}");
        let body = serde_json::json!({ "into": into, "from": from });
        self.record(
            Some(into),
            EntryKind::Merged,
            format!("{from} joined"),
            &body,
        );
        self.close(from, Event::Ended, &Outcome::Merged(into.clone()), &why);
    }

    /// The incident that a diagnosis belongs to: the one of that owner, else a new one.
    fn join(&mut self, diagnosis: &Diagnosis) -> Option<IncidentId> {
        let of_owner = self
            .engine
            .open
            .values()
            .find(|i| i.owner.uid == diagnosis.owner.uid);
        let Some(incident) = of_owner else {
            let id = self.open_incident(&diagnosis.owner, &diagnosis.subject, diagnosis.class)?;
            self.take_diagnosis(&id, diagnosis);
            return Some(id);
        };
        let id = incident.id.clone();
        let over = self.engine.policy.confidence_over;
        let was_unsure = incident
            .diagnosis
            .as_ref()
            .is_some_and(|d| d.confidence.0 <= over);
        let is_surer = was_unsure && diagnosis.confidence.0 > over;
        if incident.fingerprint.class != diagnosis.class && may_reclassify(incident) {
            self.reclassify(&id, diagnosis);
        } else if is_surer && incident.phase == Phase::Waiting && may_reclassify(incident) {
            // A person has it for want of evidence, and now there is enough.
            self.reclassify(&id, diagnosis);
        }
        self.take_diagnosis(&id, diagnosis);
        Some(id)
    }

    fn reclassify(&mut self, id: &IncidentId, diagnosis: &Diagnosis) {
        self.engine.prepared.remove(id);
        let cluster = self.engine.cluster.clone();
        if !self.step_phase(id, Event::Reclassified) {
            return;
        }
        let Some(incident) = self.incident(id) else {
            return;
        };
        let before = incident.fingerprint.class;
        incident.fingerprint = Fingerprint {
            cluster,
            owner: diagnosis.owner.uid.clone(),
            class: diagnosis.class,
        };
        incident.waiting_for = None;
        incident.healthy_since = None;
        let text = format!(
            "better evidence: {before} is {} at {}",
            diagnosis.class, diagnosis.confidence
        );
        self.record(Some(id), EntryKind::Reclassified, text, &diagnosis.class);
    }

    /// Keeps the newest diagnosis; the record gets a row only when it says something new.
    fn take_diagnosis(&mut self, id: &IncidentId, diagnosis: &Diagnosis) {
        let Some(known) = self.engine.open.get(id) else {
            return;
        };
        let news = |d: &Diagnosis| (d.class, d.reason.clone(), d.confidence, d.path.clone());
        let is_new = known
            .diagnosis
            .as_ref()
            .is_none_or(|old| news(old) != news(diagnosis));
        if !is_new {
            return;
        }
        if let Some(incident) = self.incident(id) {
            incident.subject = diagnosis.subject.clone();
            incident.diagnosis = Some(diagnosis.clone());
        }
        let text = format!(
            "{} on {}, confidence {}: {}",
            diagnosis.class,
            diagnosis.owner,
            diagnosis.confidence,
            diagnosis.path.join(" <- ")
        );
        self.record(Some(id), EntryKind::Diagnosed, text, diagnosis);
    }

    /// Moves one incident along on what this snapshot says of it.
    fn consider(&mut self, id: &IncidentId, snapshot: &Snapshot, diagnosis: Option<Diagnosis>) {
        let Some(incident) = self.engine.open.get(id) else {
            return;
        };
        let phase = incident.phase;
        if diagnosis.is_some() && phase != Phase::Verifying && !is_blind(snapshot) {
            self.sees(id);
        }
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
                self.engine.timers.wake(id, at);
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
        let percent = i32::try_from(self.engine.policy.persistence_percent).unwrap_or(i32::MAX);
        let least = diagnosis.persistence.saturating_mul(percent) / 100;
        let ripe = later(incident.opened_at.min(diagnosis.since), least);
        if self.now < ripe {
            self.engine.timers.wake(id, ripe);
        } else if !self.engine.stopping && self.step_phase(id, Event::Persisted) {
            self.prepare(id, snapshot, diagnosis);
        }
    }

    fn unhealthy(&mut self, id: &IncidentId) {
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
            Health::Gone { .. } => {
                let why = "it no longer exists";
                if incident.firing.is_empty() {
                    self.close(id, Event::Ended, &Outcome::Gone, why);
                } else {
                    self.hand_over(id, "an alert fires for an object that does not exist");
                }
            }
            Health::Healthy { why } => self.healthy(id, &why),
        }
    }

    fn healthy(&mut self, id: &IncidentId, why: &str) {
        self.sees(id);
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
            let why = format!("healthy on fresh looks for {stable:#}: {why}");
            self.close(id, Event::Ended, &Outcome::Recovered, &why);
        } else {
            if phase == Phase::Preparing {
                // The plan waits while it looks healthy; a relapse goes on from here.
                self.engine.prepared.remove(id);
            }
            self.engine.timers.wake(id, later(since, stable));
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

/// Mid-action the class stays: what is seen then is the action's own rollout. An incident that a
/// person has, and for which something was tried, stays as the person knows it.
fn may_reclassify(incident: &Incident) -> bool {
    match incident.phase {
        Phase::Open | Phase::Preparing => true,
        Phase::Waiting => incident.attempts.is_empty(),
        Phase::Acting | Phase::ReadingBack | Phase::Verifying | Phase::Closed => false,
    }
}

/// Whether any source of the snapshot was asked and not seen.
pub(super) fn is_blind(snapshot: &Snapshot) -> bool {
    let mut sources = snapshot.coverage.values();
    sources.any(|coverage| matches!(coverage, Coverage::Blind { .. }))
}

/// `Pods silent for 90 s, Events was not looked at`.
pub(super) fn not_seen(missing: &[(Source, String)]) -> String {
    let each: Vec<String> = missing
        .iter()
        .map(|(source, why)| format!("{source:?} {why}"))
        .collect();
    each.join(", ")
}

fn find_by_name(snapshot: &Snapshot, object: &ObjectRef) -> Option<ObjectRef> {
    let pods = snapshot.pods.iter().map(|pod| pod.reference());
    let nodes = snapshot.nodes.iter().map(|node| node.reference());
    let workloads = snapshot
        .workloads
        .iter()
        .map(|workload| workload.reference());
    debug_assert!(
        object.kind != Kind::Event,
        "events are evidence, never a subject"
    );
    pods.chain(nodes)
        .chain(workloads)
        .find(|other| other.same_name(object))
}
