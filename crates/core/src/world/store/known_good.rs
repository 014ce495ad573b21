//! Which revisions are known good: those whose workload was seen fully available for long enough,
//! without a gap in what was seen.

use super::World;
use crate::ids::Uid;
use crate::world::{Kind, Object, ObjectRef, Workload};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// How a workload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// What changes with the revision (see [`fully_available`]).
    revision: String,
    /// Since when it has been seen fully available; `None` while it is not, or is not seen.
    since: Option<Timestamp>,
    /// Whether this revision was reported.
    told: bool,
}

impl World {
    /// Workloads whose current revision was fully available for `after`, each with that revision;
    /// every revision is reported once.
    pub fn known_good(
        &mut self,
        now: Timestamp,
        after: SignedDuration,
    ) -> Vec<(ObjectRef, ObjectRef)> {
        let due = |standing: &Standing| {
            !standing.told
                && standing
                    .since
                    .is_some_and(|since| now.duration_since(since) >= after)
        };
        let due: Vec<Uid> = self
            .standings
            .iter()
            .filter(|(_, standing)| due(standing))
            .map(|(uid, _)| uid.clone())
            .collect();
        let mut good = Vec::new();
        for uid in due {
            // A revision that has not been heard of yet is asked for again next time.
            let Some(pair) = self.current_revision(&uid) else {
                continue;
            };
            if let Some(standing) = self.standings.get_mut(&uid) {
                standing.told = true;
                good.push(pair);
            }
        }
        good
    }

    /// Workloads of this kind are no longer seen: what they did since then is unknown.
    pub fn lost_sight(&mut self, kind: &Kind) {
        let unseen: Vec<Uid> = self.of_kind(kind).map(|o| o.meta().uid.clone()).collect();
        for uid in unseen {
            if let Some(standing) = self.standings.get_mut(&uid) {
                standing.since = None;
            }
        }
    }

    /// Workloads of this kind are seen again: their time begins anew.
    pub fn regained_sight(&mut self, kind: &Kind, now: Timestamp) {
        let seen: Vec<Object> = self.of_kind(kind).cloned().collect();
        for object in seen {
            self.note_standing(&object, now);
        }
    }

    pub(super) fn note_standing(&mut self, object: &Object, now: Timestamp) {
        let Object::Workload(workload) = object else {
            return;
        };
        let uid = &workload.metadata.uid;
        match (fully_available(workload), self.standings.get_mut(uid)) {
            (Some(revision), Some(standing)) if standing.revision == revision => {
                standing.since.get_or_insert(now);
            }
            (Some(revision), _) => {
                let standing = Standing {
                    revision,
                    since: Some(now),
                    told: false,
                };
                self.standings.insert(uid.clone(), standing);
            }
            (None, Some(standing)) => standing.since = None,
            (None, None) => {}
        }
    }

    fn current_revision(&self, uid: &Uid) -> Option<(ObjectRef, ObjectRef)> {
        let Some(Object::Workload(workload)) = self.objects.get(self.uids.get(uid)?) else {
            return None;
        };
        let children = self.children.get(uid)?.iter();
        let children = children.filter_map(|key| self.objects.get(key));
        let mut revisions: BTreeMap<i64, ObjectRef> = BTreeMap::new();
        for child in children {
            if let Object::ControllerRevision(revision) = child {
                revisions.insert(revision.revision, revision.reference());
            } else if let Object::Workload(set) = child
                && let Some(number) = set.revision()
            {
                revisions.insert(number, set.reference());
            }
        }
        let current = if workload.kind == Kind::Deployment {
            revisions.remove(&workload.revision()?)
        } else if workload.kind == Kind::StatefulSet {
            let current = &workload.status.update_revision;
            revisions.into_values().find(|found| found.name == *current)
        } else {
            // A DaemonSet's status does not name its revision: it is the newest.
            revisions.pop_last().map(|(_, revision)| revision)
        }?;
        Some((workload.reference(), current))
    }
}

/// What identifies the current revision, if every pod that is wanted is of it and available and
/// the controller has seen the newest spec.
fn fully_available(workload: &Workload) -> Option<String> {
    let status = &workload.status;
    if status.observed_generation < workload.metadata.generation {
        return None;
    }
    let (wanted, counts, revision) = if workload.kind == Kind::Deployment {
        let counts = [
            status.replicas,
            status.updated_replicas,
            status.available_replicas,
        ];
        let revision = workload.revision()?.to_string();
        (workload.replicas(), counts, revision)
    } else if workload.kind == Kind::StatefulSet {
        // `currentRevision` becomes `updateRevision` once every pod is of it.
        let settled = status.current_revision == status.update_revision;
        let updated = if settled { status.replicas } else { 0 };
        let counts = [status.replicas, updated, status.available_replicas];
        (workload.replicas(), counts, status.update_revision.clone())
    } else if workload.kind == Kind::DaemonSet {
        let wanted = status.desired_number_scheduled;
        let counts = [
            wanted,
            status.updated_number_scheduled,
            status.number_available,
        ];
        (wanted, counts, workload.metadata.generation.to_string())
    } else {
        return None;
    };
    (wanted > 0 && counts == [wanted; 3]).then_some(revision)
}
