//! The garbage collector: nothing outlives the last of its owners, unless it was set free.
//!
//! Rules: `pkg/controller/garbagecollector` of Kubernetes 1.36.

use super::Controller;
use crate::cluster::{Cluster, Todo};
use crate::object::{Key, Object, OwnerReference};
use crate::registry::{DeleteOptions, FOREGROUND, ORPHAN, Preconditions, Propagation};
use crate::store::{Change, ChangeKind, Store};
use std::collections::BTreeMap;
use std::time::Duration;

/// The controller.
#[derive(Debug, Default)]
pub(super) struct GarbageCollector {
    /// Owners that wait for their dependents, by uid.
    waiting: BTreeMap<String, Key>,
}

impl Controller for GarbageCollector {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        let new = &change.new;
        let old_owners = change.old.as_ref().map(|old| &old.meta.owner_references);
        match change.kind {
            ChangeKind::Deleted => {
                self.waiting.remove(&*new.meta.uid);
                let dependents = store.keys_owned_by(&new.meta.uid);
                todo.all(dependents);
            }
            _ if waits(new) => {
                self.waiting.insert(new.meta.uid.to_string(), change.key());
                todo.now(change.key());
            }
            _ if !new.meta.owner_references.is_empty()
                && old_owners != Some(&new.meta.owner_references) =>
            {
                todo.now(change.key());
            }
            _ => {}
        }
        if self.waiting.is_empty() {
            return;
        }
        let owners = old_owners.into_iter().chain([&new.meta.owner_references]);
        for owner in owners.flatten() {
            if let Some(key) = self.waiting.get(&owner.uid) {
                todo.now(key.clone());
            }
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key)?.clone();
        if has(&object, ORPHAN) && object.meta.deletion_timestamp.is_some() {
            set_free(cluster, key, &object);
        } else if waits(&object) {
            end_dependents(cluster, key, &object);
        } else if object.meta.deletion_timestamp.is_none() {
            end_if_left(cluster, key, &object);
        }
        None
    }
}

fn has(object: &Object, finalizer: &str) -> bool {
    object.meta.finalizers.iter().any(|one| one == finalizer)
}

/// Is it being deleted, but not before its dependents are seen to?
fn waits(object: &Object) -> bool {
    object.meta.deletion_timestamp.is_some() && (has(object, FOREGROUND) || has(object, ORPHAN))
}

/// Propagation `Orphan`: its dependents forget it, then it goes.
fn set_free(cluster: &mut Cluster, key: &Key, owner: &Object) {
    for dependent in cluster.store.keys_owned_by(&owner.meta.uid) {
        cluster.modify(&dependent, |object| {
            object
                .meta
                .owner_references
                .retain(|one| *one.uid != *owner.meta.uid);
        });
    }
    let done = |object: &mut Object| object.meta.finalizers.retain(|one| one != ORPHAN);
    cluster.modify(key, done);
}

/// Propagation `Foreground`: the dependents that block it go first.
fn end_dependents(cluster: &mut Cluster, key: &Key, owner: &Object) {
    let blocks = |object: &Object| {
        let mut references = object.meta.owner_references.iter();
        references.any(|one| *one.uid == *owner.meta.uid && one.block_owner_deletion == Some(true))
    };
    let dependents = cluster.store.keys_owned_by(&owner.meta.uid);
    let mut blocked = false;
    for dependent in dependents {
        let Some(object) = cluster.store.get(&dependent).cloned() else {
            continue;
        };
        if !blocks(&object) {
            continue;
        }
        if object.meta.deletion_timestamp.is_none() {
            end_if_left(cluster, &dependent, &object);
        }
        blocked |= cluster
            .store
            .get(&dependent)
            .is_some_and(|object| blocks(object));
    }
    if !blocked {
        let done = |object: &mut Object| object.meta.finalizers.retain(|one| one != FOREGROUND);
        cluster.modify(key, done);
    }
}

/// What has become of an owner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Stays,
    Gone,
    /// Is being deleted and waits for its dependents.
    Waits,
}

/// Deletes an object none of whose owners stays. Where one stays, only the references to the others
/// go.
fn end_if_left(cluster: &mut Cluster, key: &Key, object: &Object) {
    let owners = &object.meta.owner_references;
    let fates: Vec<_> = owners
        .iter()
        .map(|owner| fate(cluster, key, owner))
        .collect();
    if fates.is_empty() || fates.iter().all(|one| *one == Owner::Stays) {
        return;
    }
    if fates.contains(&Owner::Stays) {
        let lost: Vec<String> = owners
            .iter()
            .zip(&fates)
            .filter(|(_, fate)| **fate != Owner::Stays)
            .map(|(owner, _)| owner.uid.clone())
            .collect();
        cluster.modify(key, |object| {
            object
                .meta
                .owner_references
                .retain(|one| !lost.contains(&one.uid));
        });
        return;
    }
    let parent = cluster.store.owned_by(&object.meta.uid).next().is_some();
    let policy = if fates.contains(&Owner::Waits) && parent {
        Propagation::Foreground
    } else if has(object, ORPHAN) {
        Propagation::Orphan
    } else if has(object, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let options = DeleteOptions {
        propagation_policy: Some(policy),
        preconditions: Some(Preconditions {
            uid: Some(object.meta.uid.to_string()),
            resource_version: None,
        }),
        ..DeleteOptions::default()
    };
    // Refused only when it has just gone.
    cluster.delete(key, &options).ok();
}

/// An owner of a kind that nobody knows, and one in a namespace of something that is in none, cannot
/// be looked up: it is taken to stay.
fn fate(cluster: &Cluster, dependent: &Key, owner: &OwnerReference) -> Owner {
    let Some(resource) = cluster.resources.by_kind(&owner.api_version, &owner.kind) else {
        return Owner::Stays;
    };
    let namespaced = cluster.resources.get(resource).namespaced;
    if namespaced && dependent.namespace.is_empty() {
        return Owner::Stays;
    }
    let namespace = if namespaced {
        &*dependent.namespace
    } else {
        ""
    };
    match cluster
        .store
        .get(&Key::new(resource, namespace, &owner.name))
    {
        Some(found) if *found.meta.uid != *owner.uid => Owner::Gone,
        Some(found) if waits(found) && has(found, FOREGROUND) => Owner::Waits,
        Some(_) => Owner::Stays,
        None => Owner::Gone,
    }
}
