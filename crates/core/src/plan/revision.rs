//! The revisions of a workload: ReplicaSets of a Deployment, ControllerRevisions of a StatefulSet
//! or DaemonSet.

use super::RevisionRef;
use crate::ids::{Digest, Uid};
use crate::world::{Kind, Meta, Pod, PodTemplate, Snapshot, Workload};
use std::sync::Arc;

/// The pod label that names the revision of a StatefulSet (whole name) or DaemonSet (its hash).
const REVISION_LABEL: &str = "controller-revision-hash";

/// One revision, as far as a snapshot shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision<'a> {
    /// `ReplicaSet` or `ControllerRevision`.
    pub kind: Kind,
    /// Its metadata.
    pub meta: &'a Meta,
    /// Revision number; higher is newer.
    pub number: i64,
    /// The narrow template.
    pub template: &'a PodTemplate,
    /// Digest of the full template; `None` when the snapshot does not hold it.
    pub digest: Option<&'a Digest>,
}

impl Revision<'_> {
    /// Uid of the ReplicaSet or ControllerRevision.
    pub fn uid(&self) -> &Uid {
        &self.meta.uid
    }

    /// The reference that a roll back is bound to; `None` without the template's digest.
    pub fn bound(&self) -> Option<RevisionRef> {
        Some(RevisionRef {
            kind: self.kind.clone(),
            name: self.meta.name.clone(),
            uid: self.meta.uid.clone(),
            revision: self.number,
            template: self.digest?.clone(),
        })
    }

    /// Pods in the snapshot that were made from this revision and are not being deleted.
    pub fn pods<'s>(&'s self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s Arc<Pod>> {
        let owner = if self.kind == Kind::ReplicaSet {
            Some(&self.meta.uid)
        } else {
            self.meta.controller().map(|owner| &owner.uid)
        };
        snapshot.pods.iter().filter(move |pod| {
            let controller = pod.metadata.controller().map(|owner| &owner.uid);
            pod.metadata.deletion_timestamp.is_none()
                && controller.is_some()
                && controller == owner
                && (self.kind == Kind::ReplicaSet || self.made(pod))
        })
    }

    /// Whether the pod's label names this ControllerRevision.
    pub fn made(&self, pod: &Pod) -> bool {
        let name = &self.meta.name;
        pod.metadata.labels.get(REVISION_LABEL).is_some_and(|hash| {
            hash == name
                || name
                    .strip_suffix(hash.as_str())
                    .is_some_and(|rest| rest.ends_with('-'))
        })
    }
}

/// All revisions of the workload, newest first.
pub fn revisions<'a>(snapshot: &'a Snapshot, workload: &Workload) -> Vec<Revision<'a>> {
    let owned = |meta: &Meta| {
        meta.controller()
            .is_some_and(|owner| owner.uid == workload.metadata.uid)
    };
    let sets = snapshot
        .workloads
        .iter()
        .filter(|set| set.kind == Kind::ReplicaSet && owned(&set.metadata))
        .filter_map(|set| {
            Some(Revision {
                kind: Kind::ReplicaSet,
                meta: &set.metadata,
                number: set.revision()?,
                template: &set.spec.template,
                digest: snapshot.template_digests.get(&set.metadata.uid),
            })
        });
    let controller_revisions = snapshot
        .controller_revisions
        .iter()
        .filter(|revision| owned(&revision.metadata))
        .map(|revision| Revision {
            kind: Kind::ControllerRevision,
            meta: &revision.metadata,
            number: revision.revision,
            template: &revision.data.spec.template,
            digest: snapshot.template_digests.get(&revision.metadata.uid),
        });
    let mut all: Vec<_> = sets.chain(controller_revisions).collect();
    all.sort_by(|a, b| (b.number, &b.meta.name).cmp(&(a.number, &a.meta.name)));
    all
}

/// The revision that is current among `all` (newest first); `None` while the controller has not
/// caught up with the workload's spec, so that nobody can tell.
pub fn current<'r, 'a>(workload: &Workload, all: &'r [Revision<'a>]) -> Option<&'r Revision<'a>> {
    if workload.status.observed_generation < workload.metadata.generation {
        return None;
    }
    let newest = all.first()?;
    let deployed = workload.kind == Kind::Deployment && workload.revision() == Some(newest.number);
    let updated =
        workload.kind == Kind::StatefulSet && workload.status.update_revision == newest.meta.name;
    (deployed || updated || workload.kind == Kind::DaemonSet).then_some(newest)
}
