//! Opens incidents, within limits: no number of alerts takes the place of what the watch sees.

use super::limits;
use super::turn::{Turn, later};
use crate::diagnose::FaultClass;
use crate::ids::{Digest, IncidentId};
use crate::incident::{Fingerprint, Incident};
use crate::record::{EntryKind, NoticeKind};
use crate::world::ObjectRef;

/// How many incidents of a sort are open, and how many may be.
pub(super) struct Room {
    count: usize,
    limit: usize,
}

impl Turn<'_> {
    /// Whether one more incident may be opened. `None`, and a row that says so, when as many are open
    /// as may be.
    pub(super) fn room_for(&mut self, owner: &ObjectRef, class: FaultClass) -> Option<Room> {
        let is_alert = class == FaultClass::Unexplained;
        let limit = if is_alert {
            limits::ALERT_INCIDENTS
        } else {
            limits::FAULT_INCIDENTS
        };
        let open = self.engine.open.values();
        let count = open.filter(|i| i.is_alert_only() == is_alert).count();
        if count < limit {
            return Some(Room { count, limit });
        }
        let text = format!(
            "{limit} {} are open: {class} on {owner} is not",
            kind(is_alert)
        );
        self.record(None, EntryKind::NotOpened, text, owner);
        None
    }

    /// Opens an incident; `None` when as many are open as may be. [`FaultClass::Unexplained`] is what
    /// an alert opens, every other class is a detector's.
    pub(super) fn open_incident(
        &mut self,
        owner: &ObjectRef,
        subject: &ObjectRef,
        class: FaultClass,
    ) -> Option<IncidentId> {
        let is_alert = class == FaultClass::Unexplained;
        let Room { count, limit } = self.room_for(owner, class)?;
        let fingerprint = Fingerprint {
            cluster: self.engine.cluster.clone(),
            owner: owner.uid.clone(),
            class,
        };
        let mut closed = self.engine.closed.iter().rev();
        let previous = closed.find(|i| i.fingerprint == fingerprint);
        let mut incident = Incident {
            previous: previous.map(|i| i.id.clone()),
            ..Incident::open(fingerprint, owner.clone(), subject.clone(), self.now)
        };
        // An alert names an object, not a uid: the name keeps two such incidents apart.
        let unique = (
            &incident.fingerprint,
            &incident.owner,
            self.now,
            self.engine.run.next_look,
        );
        incident.id = IncidentId::from(format!("inc-{}", Digest::of(&unique).short(12)));
        let id = incident.id.clone();
        self.engine.open.insert(id.clone(), incident);
        let body = serde_json::json!({ "class": class, "owner": owner, "subject": subject });
        if self.incident(&id).is_some() {
            self.record(
                Some(&id),
                EntryKind::Opened,
                format!("{class} on {owner}"),
                &body,
            );
        }
        if count + 1 == limit {
            self.tell_full(&id, is_alert, limit);
        }
        Some(id)
    }

    /// This incident took the last place: people hear of it, at most once in a while.
    fn tell_full(&mut self, id: &IncidentId, is_alert: bool, limit: usize) {
        let now = self.now;
        let told = &mut self.engine.run.full_told;
        let last = if is_alert {
            &mut told.alerts
        } else {
            &mut told.faults
        };
        if last.is_some_and(|at| later(at, limits::FULL_AGAIN) > now) {
            return;
        }
        *last = Some(now);
        let kind = kind(is_alert);
        let title = format!("{limit} {kind} are open: no more are opened until some close");
        let text = if is_alert {
            "Further alerts are recorded and open nothing. What the watch sees is still handled. \
             Look at what Alertmanager sends: alerts about objects that do not exist?"
        } else {
            "Further faults are recorded, and looked at again when something is heard of them."
        };
        self.tell(id, NoticeKind::Waiting, title, text.to_owned());
    }
}

fn kind(is_alert: bool) -> &'static str {
    if is_alert {
        "incidents that only alerts speak of"
    } else {
        "incidents of faults"
    }
}
