//! Takes snapshots: joins diagnoses to incidents and moves each incident along.

use super::turn::Turn;
use super::{LookId, Looking};
use crate::diagnose::{self, ChangeKind, Diagnosis, EvidenceSource};
use crate::ids::{IncidentId, Uid};
use crate::incident::{Event, Fingerprint, Incident, Outcome, Phase};
use crate::record::EntryKind;
use crate::signal::Signal;
use crate::world::{Kind, ObjectRef, Snapshot};

impl Turn<'_> {
    pub(super) fn observed(&mut self, look: LookId, snapshot: &Snapshot) {
        // A look from before a restart has nobody waiting for it.
        let Some(looking) = self.engine.run.looks.remove(&look) else {
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
            let is_subject =
                matches!(&looking, Looking::Subject(it) if it.same_name(&diagnosis.subject));
            if looked_at.as_ref() != Some(&diagnosis.owner.uid) && !is_subject {
                // Only a part of this owner is shown, and not afresh.
                self.seen_beside(&diagnosis);
            } else if let Some(id) = self.join(&diagnosis, snapshot.fresh) {
                self.consider(&id, snapshot, Some(diagnosis));
                seen.push(id);
            }
        }
        if let Looking::Incident { id, .. } = &looking
            && !seen.contains(id)
            && self.engine.open.contains_key(id)
        {
            self.consider(id, snapshot, None);
        }
        self.look_again(look, looking);
        if let Some(subject) = self.engine.run.owed.pop_first() {
            self.look_at_subject(subject);
        }
    }

    /// A fault of another owner than the one that was looked at. It gets a look of its own, and only
    /// that one counts; where it has an incident, its own changes bring it.
    fn seen_beside(&mut self, diagnosis: &Diagnosis) {
        let mut open = self.engine.open.values();
        let is_known = open.any(|incident| incident.owner.uid == diagnosis.owner.uid);
        // Where no incident can be opened a look leads to nothing but looks at what it shows.
        if !is_known && self.room_for(&diagnosis.owner, diagnosis.class).is_some() {
            self.look_at_subject(diagnosis.subject.clone());
        }
    }

    pub(super) fn not_observed(&mut self, look: LookId, why: &str) {
        let Some(looking) = self.engine.run.looks.remove(&look) else {
            return;
        };
        match &looking {
            Looking::Incident { id, .. } => self.blind(id, why),
            Looking::Subject(subject) => {
                self.record(None, EntryKind::Blind, format!("a look failed: {why}"), why);
                self.engine.run.owed.insert(subject.clone());
            }
        }
        self.look_again(look, looking);
    }

    /// A signal that came while the look was in flight is owed another one.
    fn look_again(&mut self, look: LookId, looking: Looking) {
        if self.engine.run.again.remove(&look) {
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
        self.look_at(into, true);
        self.close(from, Event::Ended, &Outcome::Merged(into.clone()), &why);
    }

    /// The incident that a diagnosis belongs to: the one of that owner, else a new one.
    fn join(&mut self, diagnosis: &Diagnosis, fresh: bool) -> Option<IncidentId> {
        let of_owner = self
            .engine
            .open
            .values()
            .find(|i| i.owner.uid == diagnosis.owner.uid);
        let Some(incident) = of_owner else {
            let id = self.open_incident(&diagnosis.owner, &diagnosis.subject, diagnosis.class)?;
            self.take_diagnosis(&id, diagnosis, fresh);
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
        self.take_diagnosis(&id, diagnosis, fresh);
        Some(id)
    }

    fn reclassify(&mut self, id: &IncidentId, diagnosis: &Diagnosis) {
        self.engine.run.prepared.remove(id);
        self.engine.run.unsure.remove(id);
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
    fn take_diagnosis(&mut self, id: &IncidentId, diagnosis: &Diagnosis, fresh: bool) {
        let Some(known) = self.engine.open.get(id) else {
            return;
        };
        let news = |d: &Diagnosis| (d.class, d.reason.clone(), d.confidence, d.path.clone());
        let is_new = known.diagnosis.as_ref().is_none_or(|old| {
            news(old) != news(diagnosis) && (fresh || !is_all_but_the_logs(old, diagnosis))
        });
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
}

/// Whether `new` says what `old` says, but for the logs that only a fresh look reads.
fn is_all_but_the_logs(old: &Diagnosis, new: &Diagnosis) -> bool {
    let read_logs = |d: &Diagnosis| {
        d.evidence
            .iter()
            .any(|one| one.source == EvidenceSource::Log)
    };
    let undisputed = new.blind.is_empty() && new.evidence.iter().all(|one| one.supports);
    (old.class, &old.reason) == (new.class, &new.reason)
        && old.path == new.path
        && changed(old).eq(changed(new))
        && read_logs(old)
        && !read_logs(new)
        && undisputed
}

fn changed(diagnosis: &Diagnosis) -> impl Iterator<Item = (ChangeKind, &ObjectRef)> {
    let changes = diagnosis.changes.iter();
    changes.map(|change| (change.kind, &change.object))
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
