//! What changed last: the owner's newest revision, and ConfigMaps that its pods use. Most faults in
//! a live cluster are a new revision over a good one.

use super::evidence::{Change, ChangeKind, Evidence};
use super::{FaultClass, View};
use crate::history::FIELD_MANAGER;
use crate::ids::Uid;
use crate::world::{ConfigMapMeta, Field, Kind, Meta, ObjectRef, Pod};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// A change this long before a fault may still have caused it: a slow rollout, a leak that fills
/// its memory, a ConfigMap that is read at the next restart.
const SHORTLY_BEFORE: SignedDuration = SignedDuration::from_hours(1);

/// Clocks of API server and kubelets differ a little: a fault may seem this much older than its
/// cause.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// What a fault is, as far as changes may explain it.
pub(super) struct Fault<'a> {
    /// What is wrong.
    pub(super) class: FaultClass,
    /// The topmost owner.
    pub(super) owner: &'a ObjectRef,
    /// Uids of the pods that show it.
    pub(super) failing: BTreeSet<Uid>,
    /// Since when.
    pub(super) since: Timestamp,
}

impl Fault<'_> {
    fn shortly_after(&self, at: Timestamp) -> bool {
        let before = self.since.duration_since(at);
        before >= SignedDuration::ZERO - SKEW && before <= SHORTLY_BEFORE
    }
}

/// The changes that belong to the fault, newest first, with evidence for those that explain it.
pub(super) fn changes(view: &View<'_>, fault: &Fault<'_>) -> (Vec<Change>, Vec<Evidence>) {
    let mut changes = Vec::new();
    let mut evidence = Vec::new();
    if let Some((change, why)) = revision(view, fault) {
        if change.explains_fault {
            evidence.push(Evidence::change(
                change.object.clone(),
                Some(change.at),
                &why,
            ));
        }
        changes.push(change);
    }
    for change in config_maps(view, fault) {
        if change.explains_fault {
            let by = change.by.as_deref().unwrap_or("somebody");
            let why = format!("{} was edited by {by} before the fault", change.object);
            evidence.push(Evidence::change(
                change.object.clone(),
                Some(change.at),
                &why,
            ));
        }
        changes.push(change);
    }
    changes.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.object.cmp(&b.object)));
    (changes, evidence)
}

/// A revision of an owner: its metadata, number, and how to tell its pods.
struct Revision<'a> {
    kind: Kind,
    meta: &'a Meta,
    number: i64,
}

impl Revision<'_> {
    fn has(&self, pod: &Pod) -> bool {
        if self.kind == Kind::ReplicaSet {
            let owner = pod.metadata.controller();
            return owner.is_some_and(|owner| owner.uid == self.meta.uid);
        }
        // A StatefulSet's pods carry the revision's name, a DaemonSet's only its hash.
        let label = pod.metadata.labels.get("controller-revision-hash");
        label.is_some_and(|hash| {
            *hash == self.meta.name
                || self
                    .meta
                    .name
                    .strip_suffix(hash.as_str())
                    .is_some_and(|rest| rest.ends_with('-'))
        })
    }
}

/// Revisions of the owner, newest first.
fn revisions<'a>(view: &View<'a>, owner: &ObjectRef) -> Vec<Revision<'a>> {
    let sets = view.children(&owner.uid).iter();
    let sets = sets
        .filter(|w| w.kind == Kind::ReplicaSet)
        .map(|w| Revision {
            kind: Kind::ReplicaSet,
            meta: &w.metadata,
            number: w.revision().unwrap_or_default(),
        });
    let stored = view.revisions(&owner.uid).iter().map(|r| Revision {
        kind: Kind::ControllerRevision,
        meta: &r.metadata,
        number: r.revision,
    });
    let mut all: Vec<_> = sets.chain(stored).collect();
    all.sort_by_key(|r| std::cmp::Reverse((r.number, r.meta.creation_timestamp)));
    all
}

/// The newest revision. It explains the fault when the fault began shortly after it, only its pods
/// fail, and an older revision exists whose pods are ready, or that it has replaced. One that our own
/// write made explains nothing: it came because of a fault, and would be evidence of our own making.
fn revision(view: &View<'_>, fault: &Fault<'_>) -> Option<(Change, String)> {
    let all = revisions(view, fault.owner);
    let (newest, older) = all.split_first()?;
    let workload = view.workload(&fault.owner.uid)?;
    let managers = workload.metadata.managed_fields.iter();
    let writer = managers
        .filter(|m| m.touches.contains(&Field::Template) && m.subresource.is_empty())
        .max_by_key(|m| m.time);
    let created = newest.meta.creation_timestamp?;
    // A revision that was rolled back to is current again without being created again; only then
    // the template's writer tells when. (Else not: its time moves with any field that it owns.)
    let again = older
        .iter()
        .any(|r| r.meta.creation_timestamp > Some(created));
    let written = writer.and_then(|m| m.time).filter(|_| again);
    let at = written.unwrap_or(created).max(created);
    let pods = view.pods_of(fault.owner);
    let failing = || {
        pods.iter()
            .filter(|p| fault.failing.contains(&p.metadata.uid))
    };
    let only_new = failing().all(|pod| newest.has(pod));
    let old_ready = pods
        .iter()
        .filter(|pod| !newest.has(pod) && pod.is_ready())
        .count();
    let shown = fault.failing.is_empty() || failing().count() > 0;
    let ours = writer.is_some_and(|m| m.manager == FIELD_MANAGER);
    let explains = !older.is_empty()
        && !ours
        && fault.class.may_come_with_revision()
        && shown
        && only_new
        && fault.shortly_after(at);
    let old = if old_ready > 0 {
        format!("{old_ready} pods of an older revision are ready")
    } else {
        "it replaced an older one".to_owned()
    };
    let why = format!(
        "revision {} ({}) came before the fault, only its pods fail, and {old}",
        newest.number, newest.meta.name
    );
    let change = Change {
        kind: ChangeKind::Revision,
        object: ObjectRef::of(newest.kind.clone(), newest.meta),
        at,
        by: writer.map(|m| m.manager.clone()),
        explains_fault: explains,
    };
    Some((change, why))
}

/// ConfigMaps that the failing pods use and that were edited after the newest revision.
fn config_maps(view: &View<'_>, fault: &Fault<'_>) -> Vec<Change> {
    let newest = revisions(view, fault.owner);
    let newest = newest.first().and_then(|r| r.meta.creation_timestamp);
    let pods = view.pods_of(fault.owner).iter();
    let failing = pods.filter(|p| fault.failing.contains(&p.metadata.uid));
    let mut names = BTreeSet::new();
    let mut started = newest;
    for pod in failing {
        names.extend(pod.spec.config_maps());
        started = started.or(pod.metadata.creation_timestamp);
    }
    let Some(started) = started else {
        return Vec::new();
    };
    let maps = names
        .into_iter()
        .filter_map(|name| view.config_map(&fault.owner.namespace, name));
    maps.filter_map(|map| edit(map, started, fault)).collect()
}

fn edit(map: &ConfigMapMeta, started: Timestamp, fault: &Fault<'_>) -> Option<Change> {
    let managers = map.metadata.managed_fields.iter();
    let last = managers
        .filter(|m| m.touches.contains(&Field::Data))
        .max_by_key(|m| m.time)?;
    let at = last.time.filter(|at| *at > started)?;
    Some(Change {
        kind: ChangeKind::ConfigMap,
        object: map.reference(),
        at,
        by: Some(last.manager.clone()),
        explains_fault: fault.class.may_come_with_config() && fault.shortly_after(at),
    })
}

impl FaultClass {
    /// Whether a change of the pod template can bring it about.
    fn may_come_with_revision(self) -> bool {
        match self {
            Self::ImagePullFailure
            | Self::OomKilled
            | Self::CrashLoop
            | Self::ConfigMissing
            | Self::ContainerStuck
            | Self::ProbeFailure
            | Self::Unschedulable
            | Self::RolloutStuck => true,
            Self::NodeNotReady | Self::NodePressure | Self::NodeCordoned | Self::Unexplained => {
                false
            }
        }
    }

    /// Whether an edit of a ConfigMap can bring it about.
    pub(super) fn may_come_with_config(self) -> bool {
        match self {
            Self::OomKilled | Self::CrashLoop | Self::ConfigMissing | Self::ProbeFailure => true,
            Self::ImagePullFailure
            | Self::ContainerStuck
            | Self::Unschedulable
            | Self::RolloutStuck
            | Self::NodeNotReady
            | Self::NodePressure
            | Self::NodeCordoned
            | Self::Unexplained => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Diagnosis, EvidenceSource, diagnose};
    use crate::testkit::{self, World};
    use crate::world::pod::{EnvFrom, LocalName};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn deployment() -> World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .template(|spec| {
                spec.containers[0].env_from = vec![EnvFrom {
                    config_map_ref: Some(LocalName {
                        name: "cart".to_owned(),
                        optional: false,
                    }),
                    secret_ref: None,
                }];
            })
    }

    fn crashing(world: World, pod: &str) -> World {
        world.pod(pod).age(60).crash_loop(1, "Error", 20, 3)
    }

    fn only(world: World) -> Diagnosis {
        let mut all = diagnose(&world.snapshot(), &[]).diagnoses;
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn explained_by(diagnosis: &Diagnosis) -> Vec<String> {
        let explaining = diagnosis.changes.iter().filter(|c| c.explains_fault);
        explaining.map(|c| c.object.to_string()).collect()
    }

    #[test]
    fn a_new_revision_over_a_good_one_explains_the_fault_and_agrees() {
        let world = deployment()
            .managed("kubectl-client-side-apply", &[Field::Template], 90)
            .revision(1)
            .pod("cart-1-a")
            .revision(2)
            .age(90);
        let diagnosis = only(crashing(world, "cart-2-a"));
        assert_eq!(explained_by(&diagnosis), ["ReplicaSet demo/cart-2"]);
        assert_eq!(
            diagnosis.changes[0].by.as_deref(),
            Some("kubectl-client-side-apply")
        );
        assert_eq!(diagnosis.confidence.0, 85);
        let last = diagnosis.path.last().expect("a path");
        assert!(
            last.contains("1 pods of an older revision are ready"),
            "{last}"
        );
    }

    #[test]
    fn the_first_an_old_or_a_revision_whose_elders_fail_too_explains_nothing() {
        let first = crashing(deployment().revision(1).age(90), "cart-1-a");
        let old = deployment().revision(1).age(9000).revision(2).age(7200);
        let old = crashing(old, "cart-2-a");
        let elders = crashing(deployment().revision(1).age(9000), "cart-1-a")
            .revision(2)
            .age(90);
        let elders = crashing(elders, "cart-2-a");
        for world in [first, old, elders] {
            let diagnosis = only(world);
            assert_eq!(explained_by(&diagnosis), Vec::<String>::new());
            assert_eq!(diagnosis.changes.len(), 1);
            assert_eq!(diagnosis.confidence.0, 70);
        }
    }

    #[test]
    fn a_revision_of_our_own_making_explains_nothing() {
        let made_by = |first: &str, last: &str| {
            let world = deployment()
                .managed(first, &[Field::Template], 95)
                .managed(last, &[Field::Template], 90)
                .revision(1)
                .pod("cart-1-a")
                .revision(2)
                .age(90);
            only(crashing(world, "cart-2-a"))
        };
        let ours = made_by("kubectl-edit", FIELD_MANAGER);
        assert_eq!(explained_by(&ours), Vec::<String>::new());
        assert_eq!(ours.changes[0].by.as_deref(), Some(FIELD_MANAGER));
        assert_eq!(ours.confidence.0, 70);
        let theirs = made_by(FIELD_MANAGER, "kubectl-edit");
        assert_eq!(explained_by(&theirs), ["ReplicaSet demo/cart-2"]);
    }

    #[test]
    fn a_revision_that_was_rolled_back_to_counts_from_the_write_of_the_template() {
        let world = deployment()
            .managed("kubectl-rollout", &[Field::Template], 90)
            .revision(2)
            .age(5000)
            .revision(3)
            .age(9000);
        let diagnosis = only(crashing(world, "cart-3-a"));
        assert_eq!(explained_by(&diagnosis), ["ReplicaSet demo/cart-3"]);
    }

    #[test]
    fn revisions_of_stateful_sets_and_daemon_sets_are_known_by_their_hash() {
        let set = testkit::world(AT)
            .stateful_set("demo", "db")
            .revision(1)
            .pod("db-0")
            .revision(2)
            .age(90);
        let set = crashing(set, "db-1");
        let daemon = testkit::world(AT)
            .daemon_set("demo", "agent")
            .revision(1)
            .pod("agent-a")
            .revision(2)
            .age(90);
        let daemon = crashing(daemon, "agent-b").edit_pod(|pod| {
            let labels = &mut pod.metadata.labels;
            labels.insert("controller-revision-hash".to_owned(), "2".to_owned());
        });
        for (world, expected) in [(set, "db-2"), (daemon, "agent-2")] {
            let name = format!("ControllerRevision demo/{expected}");
            assert_eq!(explained_by(&only(world)), [name]);
        }
    }

    #[test]
    fn an_edited_config_map_explains_a_crash_and_not_an_image() {
        let edited = |world: World| {
            world
                .config_map("demo", "cart")
                .managed("kubectl-edit", &[Field::Data], 60)
        };
        let crash = crashing(deployment().revision(1), "cart-1-a");
        let diagnosis = only(edited(crash));
        assert_eq!(explained_by(&diagnosis), ["ConfigMap demo/cart"]);
        assert!(
            diagnosis
                .evidence
                .iter()
                .any(|e| e.source == EvidenceSource::Change)
        );
        let image = deployment().revision(1).pod("cart-1-a").age(30);
        let diagnosis = only(edited(image.waiting("ErrImagePull", "not found")));
        assert_eq!(explained_by(&diagnosis), Vec::<String>::new());
        assert_eq!(diagnosis.changes.len(), 2);
    }

    #[test]
    fn a_config_map_that_is_older_than_the_revision_or_untouched_is_no_change() {
        let crash = || crashing(deployment().revision(1).age(90), "cart-1-a");
        for world in [
            crash().config_map("demo", "cart"),
            crash()
                .config_map("demo", "cart")
                .managed("helm", &[Field::Data], 3000),
            crash()
                .config_map("demo", "other")
                .managed("helm", &[Field::Data], 60),
        ] {
            let kinds: Vec<_> = only(world).changes.iter().map(|c| c.kind).collect();
            assert_eq!(kinds, [ChangeKind::Revision]);
        }
    }
}
