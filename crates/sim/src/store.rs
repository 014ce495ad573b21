//! What etcd and the watch cache are to an API server: every object, one revision counter, and the
//! latest changes in their order.

use crate::lookup::Lookup;
use crate::object::{Key, Object};
use crate::resources::ResourceId;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// How many changes are kept at most for watches that resume. Older ones are compacted: 410.
pub const MAX_CHANGES: usize = 20_000;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of a watch event")]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The store's revision after it.
    pub revision: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// Of which resource.
    pub resource: ResourceId,
    /// The object before; `None` when it was added.
    pub old: Option<Arc<Object>>,
    /// The object after; when it was deleted, its last state with the revision of its deletion.
    pub new: Arc<Object>,
}

impl Change {
    /// Where the object is, or was.
    pub fn key(&self) -> Key {
        self.new.key(self.resource)
    }
}

/// The changes that were asked for are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Compacted {
    /// What was asked for.
    pub asked: u64,
    /// The oldest revision that can be resumed from.
    pub oldest: u64,
}

/// Every object, and the latest changes.
#[derive(Debug, Default)]
pub struct Store {
    revision: u64,
    compacted: u64,
    objects: Lookup<Key, Arc<Object>>,
    /// The order of lists.
    order: BTreeSet<Key>,
    changes: VecDeque<Change>,
    /// By the uid of an owner.
    owned: Lookup<Arc<str>, BTreeSet<Key>>,
}

impl Store {
    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The objects of a resource in the order of namespace and name; of one namespace, or of all.
    pub fn list(&self, resource: ResourceId, namespace: Option<&str>) -> Objects<'_> {
        self.list_from(
            &Key::new(resource, namespace.unwrap_or_default(), ""),
            namespace,
        )
    }

    /// The same, from a key on (itself included): the next page of a list.
    pub fn list_from(&self, first: &Key, namespace: Option<&str>) -> Objects<'_> {
        Objects {
            resource: first.resource,
            namespace: namespace.map(Into::into),
            keys: self.order.range(first..),
            by_key: &self.objects,
        }
    }

    /// The objects that name this uid among their owners.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Arc<Object>> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.objects.get(key))
    }

    /// The objects of a resource that name this uid among their owners.
    pub(crate) fn owned(&self, resource: ResourceId, uid: &str) -> Vec<Arc<Object>> {
        let keys = self.owned.get(uid).into_iter().flatten();
        let keys = keys.filter(|key| key.resource == resource);
        keys.filter_map(|key| self.objects.get(key))
            .cloned()
            .collect()
    }

    /// The keys of the objects that name this uid among their owners.
    pub fn keys_owned_by(&self, uid: &str) -> Vec<Key> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.cloned().collect()
    }

    /// Every object as if it had just been added: for who has missed changes.
    pub fn everything(&self) -> Vec<Change> {
        let all = self.order.iter();
        all.filter_map(|key| {
            let object = self.objects.get(key)?;
            Some(Change {
                revision: object.meta.resource_version,
                kind: ChangeKind::Added,
                resource: key.resource,
                old: None,
                new: Arc::clone(object),
            })
        })
        .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Writes an object with the next revision, and tells what became of it.
    pub fn put(&mut self, resource: ResourceId, mut object: Object) -> Arc<Object> {
        self.revision = self.revision.saturating_add(1);
        object.meta.resource_version = self.revision;
        let key = object.key(resource);
        if let Some(like) = self.sibling(&key, &object) {
            object.share(&like);
        }
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&new));
        let kind = match &old {
            None => {
                self.order.insert(key.clone());
                ChangeKind::Added
            }
            Some(_) => ChangeKind::Modified,
        };
        self.index(&key, old.as_deref(), Some(&new));
        self.note(kind, resource, old, Arc::clone(&new));
        new
    }

    /// Removes an object, and gives its last state with the revision of its deletion.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let old = self.objects.remove(key)?;
        self.order.remove(key);
        self.revision = self.revision.saturating_add(1);
        let mut last = Object::clone(&old);
        last.meta.resource_version = self.revision;
        let last = Arc::new(last);
        self.index(key, Some(&old), None);
        self.note(
            ChangeKind::Deleted,
            key.resource,
            Some(old),
            Arc::clone(&last),
        );
        Some(last)
    }

    /// The changes after a revision, in order.
    pub fn changes_since(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted {
                asked: revision,
                oldest: self.compacted,
            });
        }
        let seen = self
            .changes
            .partition_point(|change| change.revision <= revision);
        Ok(self.changes.range(seen..))
    }

    /// Forgets the changes up to a revision, as etcd's compaction does.
    pub fn compact(&mut self, revision: u64) {
        let kept = self
            .changes
            .partition_point(|change| change.revision <= revision);
        self.changes.drain(..kept);
        self.compacted = self.compacted.max(revision.min(self.revision));
    }

    /// Of a new object one of the same kind and owner, made from the same template.
    fn sibling(&self, key: &Key, new: &Object) -> Option<Arc<Object>> {
        if self.objects.contains_key(key) {
            return None;
        }
        let owner = new.meta.owner_references.first()?;
        let mut others = self.owned_by(&owner.uid);
        others.find(|one| one.kind == new.kind).cloned()
    }

    fn note(
        &mut self,
        kind: ChangeKind,
        resource: ResourceId,
        old: Option<Arc<Object>>,
        new: Arc<Object>,
    ) {
        if self.changes.len() >= MAX_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.revision;
        }
        self.changes.push_back(Change {
            revision: self.revision,
            kind,
            resource,
            old,
            new,
        });
    }

    fn index(&mut self, key: &Key, old: Option<&Object>, new: Option<&Object>) {
        let same = match (old, new) {
            (Some(old), Some(new)) => old.meta.owner_references == new.meta.owner_references,
            _ => false,
        };
        if same {
            return;
        }
        for owner in old.into_iter().flat_map(|old| &old.meta.owner_references) {
            let uid = owner.uid.as_str();
            if let Some(keys) = self.owned.get_mut(uid) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owned.remove(uid);
                }
            }
        }
        for owner in new.into_iter().flat_map(|new| &new.meta.owner_references) {
            let uid = owner.uid.as_str();
            self.owned.or_default(uid.into()).insert(key.clone());
        }
    }
}

/// Objects of one resource.
#[derive(Debug)]
pub struct Objects<'store> {
    resource: ResourceId,
    namespace: Option<Arc<str>>,
    keys: std::collections::btree_set::Range<'store, Key>,
    by_key: &'store Lookup<Key, Arc<Object>>,
}

impl<'store> Iterator for Objects<'store> {
    type Item = &'store Arc<Object>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.keys.next()?;
        let wanted = key.resource == self.resource
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| key.namespace == *namespace);
        wanted.then(|| self.by_key.get(key)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Resources, ids};

    fn pod(namespace: &str, name: &str) -> Object {
        Object::new(Resources::default().get(ids::PODS), namespace, name)
    }

    #[test]
    fn revisions_only_grow_and_changes_come_in_their_order() {
        let mut store = Store::default();
        store.put(ids::PODS, pod("a", "one"));
        store.put(ids::PODS, pod("a", "one"));
        store.remove(&Key::new(ids::PODS, "a", "one"));
        let changes: Vec<_> = store.changes_since(0).unwrap().collect();
        let kinds: Vec<_> = changes.iter().map(|one| (one.revision, one.kind)).collect();
        assert_eq!(
            kinds,
            [
                (1, ChangeKind::Added),
                (2, ChangeKind::Modified),
                (3, ChangeKind::Deleted)
            ]
        );
        assert_eq!(store.changes_since(2).unwrap().count(), 1);
    }

    #[test]
    fn what_is_compacted_cannot_be_resumed_from() {
        let mut store = Store::default();
        store.put(ids::PODS, pod("a", "one"));
        store.put(ids::PODS, pod("a", "two"));
        store.compact(1);
        assert!(store.changes_since(0).is_err());
        assert_eq!(store.changes_since(1).unwrap().count(), 1);
    }

    #[test]
    fn a_list_is_of_one_resource_and_one_namespace() {
        let mut store = Store::default();
        store.put(ids::PODS, pod("a", "one"));
        store.put(ids::PODS, pod("b", "two"));
        store.put(ids::NODES, pod("", "n"));
        assert_eq!(store.list(ids::PODS, Some("a")).count(), 1);
        assert_eq!(store.list(ids::PODS, None).count(), 2);
        assert_eq!(store.list(ids::NODES, None).count(), 1);
    }
}
