//! The live picture that the watches keep: narrow objects, indexed, nothing else. It is fed with
//! changes in any order and answers two questions: what is worth telling the engine, and what does
//! a part of the cluster look like now.

mod events;
mod known_good;
mod scope;
#[cfg(test)]
mod tests;
mod trim;

use super::{Event, Kind, Object, ObjectRef};
use crate::ids::{ClusterUid, Uid};
pub use events::{MAX_EVENT_AGE, MAX_EVENTS, MAX_EVENTS_PER_OBJECT};
use events::{about, repeats, seen};
use jiff::Timestamp;
use known_good::Standing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Owner chains are two or three long; the bound keeps a cyclic one from looping.
const MAX_CHAIN: usize = 8;

/// Name of an object: at most one incarnation of it exists at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: Kind,
    namespace: String,
    name: String,
}

impl Key {
    fn of(object: &Object) -> Self {
        let meta = object.meta();
        Self {
            kind: object.kind(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        }
    }
}

impl From<&ObjectRef> for Key {
    fn from(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

type Keys = BTreeSet<Arc<Key>>;

/// The live picture.
#[derive(Debug)]
pub struct World {
    cluster: ClusterUid,
    is_symptom: fn(&Object) -> bool,
    objects: BTreeMap<Arc<Key>, Object>,
    uids: BTreeMap<Uid, Arc<Key>>,
    /// Pods, workloads and revisions by the uid of their controller.
    children: BTreeMap<Uid, Keys>,
    on_node: BTreeMap<String, Keys>,
    /// Events by what they are about.
    about: BTreeMap<Key, Keys>,
    events_by_age: BTreeSet<(Timestamp, Arc<Key>)>,
    watched: BTreeMap<Uid, ObjectRef>,
    standings: BTreeMap<Uid, Standing>,
}

/// One change heard from a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Added or modified.
    Applied(Object),
    /// Deleted.
    Deleted(Object),
}

impl World {
    /// An empty picture. `is_symptom` says which objects may show a fault (`diagnose::is_symptom`).
    pub fn new(cluster: ClusterUid, is_symptom: fn(&Object) -> bool) -> Self {
        Self {
            cluster,
            is_symptom,
            objects: BTreeMap::new(),
            uids: BTreeMap::new(),
            children: BTreeMap::new(),
            on_node: BTreeMap::new(),
            about: BTreeMap::new(),
            events_by_age: BTreeSet::new(),
            watched: BTreeMap::new(),
            standings: BTreeMap::new(),
        }
    }

    /// Takes one change in. Returns what is worth a look because of it: the topmost owner, as far
    /// as it is known, of an object that shows trouble or no longer does, and every watched owner
    /// that the object belongs to.
    pub fn apply(&mut self, change: Change, now: Timestamp) -> BTreeSet<ObjectRef> {
        match change {
            Change::Applied(object) => self.put(&object, now),
            Change::Deleted(object) => {
                let key = Key::of(&object);
                let same = |old: &Object| old.meta().uid == object.meta().uid;
                if self.objects.get(&key).is_some_and(same) {
                    self.take(&key)
                } else {
                    BTreeSet::new()
                }
            }
        }
    }

    /// Ends a complete list of one kind: what was not in it has vanished unseen.
    pub fn sweep(&mut self, kind: &Kind, listed: &BTreeSet<Uid>) -> BTreeSet<ObjectRef> {
        let gone: Vec<Key> = self
            .of_kind(kind)
            .filter(|object| !listed.contains(&object.meta().uid))
            .map(Key::of)
            .collect();
        gone.iter().flat_map(|key| self.take(key)).collect()
    }

    /// From now on every change of an object under this owner is worth a look.
    pub fn watch_owner(&mut self, owner: ObjectRef) {
        self.watched.insert(owner.uid.clone(), owner);
    }

    /// Ends [`Self::watch_owner`].
    pub fn unwatch(&mut self, owner: &ObjectRef) {
        self.watched.remove(&owner.uid);
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn put(&mut self, object: &Object, now: Timestamp) -> BTreeSet<ObjectRef> {
        let key = Key::of(object);
        if !self.keeps(object) {
            return self.take(&key);
        }
        let old = self.objects.remove_entry(&key);
        let (key, old) = old.map_or((Arc::new(key), None), |(key, old)| (key, Some(old)));
        if let Some(old) = &old {
            self.unindex(&key, old);
            if old.meta().uid != object.meta().uid {
                self.standings.remove(&old.meta().uid);
            }
        }
        self.objects.insert(Arc::clone(&key), object.clone());
        self.index(&key, object);
        self.note_standing(object, now);
        let is_old = |old: &Object| old.same_content(object) || repeats(old, object);
        let subjects = if old.as_ref().is_some_and(is_old) {
            BTreeSet::new()
        } else {
            self.worth_a_look(object, old.as_ref())
        };
        self.bound_events(object);
        subjects
    }

    fn take(&mut self, key: &Key) -> BTreeSet<ObjectRef> {
        let Some((key, object)) = self.objects.remove_entry(key) else {
            return BTreeSet::new();
        };
        self.unindex(&key, &object);
        self.standings.remove(&object.meta().uid);
        // Events end by age: that says nothing about what they were about.
        if matches!(object, Object::Event(_)) {
            return BTreeSet::new();
        }
        self.worth_a_look(&object, Some(&object))
    }

    fn worth_a_look(&self, object: &Object, old: Option<&Object>) -> BTreeSet<ObjectRef> {
        let trouble = (self.is_symptom)(object) || old.is_some_and(self.is_symptom);
        let watched = !self.watched.is_empty() && !matches!(object, Object::Event(_));
        if !trouble && !watched {
            return BTreeSet::new();
        }
        let topmost = match object {
            Object::Event(event) => self.topmost(&self.involved(event)),
            Object::Pod(_)
            | Object::Node(_)
            | Object::Namespace(_)
            | Object::Workload(_)
            | Object::ControllerRevision(_)
            | Object::HorizontalPodAutoscaler(_)
            | Object::PodDisruptionBudget(_)
            | Object::Service(_)
            | Object::EndpointSlice(_)
            | Object::ConfigMap(_) => self.topmost_of(object),
        };
        (trouble || self.watched.contains_key(&topmost.uid))
            .then_some(topmost)
            .into_iter()
            .collect()
    }

    /// What an event is about, with the uid where the object is known.
    fn involved(&self, event: &Event) -> ObjectRef {
        let about = &event.involved_object;
        let named = ObjectRef {
            kind: about.kind.clone(),
            namespace: about.namespace.clone(),
            name: about.name.clone(),
            uid: about.uid.clone(),
        };
        self.find(&named).map_or(named, Object::reference)
    }

    /// The object that is meant: by uid, or by name where the reference has none (an alert) or has
    /// the name in its place (events of the kubelet about its node).
    pub fn find(&self, object: &ObjectRef) -> Option<&Object> {
        let uid = object.uid.as_str();
        if uid.is_empty() || uid == object.name {
            self.objects.get(&Key::from(object))
        } else {
            self.objects.get(self.uids.get(&object.uid)?)
        }
    }

    /// As [`super::Snapshot::topmost_owner`], over everything that is known.
    pub fn topmost(&self, object: &ObjectRef) -> ObjectRef {
        match self.find(object) {
            Some(known) => self.topmost_of(known),
            None => object.clone(),
        }
    }

    fn topmost_of(&self, object: &Object) -> ObjectRef {
        let mut top = object.reference();
        let mut known = Some(object);
        for _ in 0..MAX_CHAIN {
            let owner = known.and_then(|object| object.meta().controller());
            let Some(owner) = owner.filter(|owner| owner.kind != Kind::Node) else {
                break;
            };
            top = ObjectRef {
                kind: owner.kind.clone(),
                namespace: top.namespace,
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            };
            known = self
                .uids
                .get(&top.uid)
                .and_then(|key| self.objects.get(key));
        }
        top
    }

    fn of_kind<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a Object> {
        let first = Key {
            kind: kind.clone(),
            namespace: String::new(),
            name: String::new(),
        };
        self.objects
            .range(first..)
            .take_while(move |(key, _)| key.kind == *kind)
            .map(|(_, object)| object)
    }

    fn index(&mut self, key: &Arc<Key>, object: &Object) {
        let meta = object.meta();
        self.uids.insert(meta.uid.clone(), Arc::clone(key));
        if let Some(owner) = owner_uid(object) {
            add(&mut self.children, owner.clone(), key);
        }
        if let Some(node) = node_name(object) {
            add(&mut self.on_node, node.to_owned(), key);
        }
        if let Object::Event(event) = object {
            add(&mut self.about, about(event), key);
            self.events_by_age.insert((seen(event), Arc::clone(key)));
        }
    }

    fn unindex(&mut self, key: &Arc<Key>, object: &Object) {
        self.uids.remove(&object.meta().uid);
        if let Some(owner) = owner_uid(object) {
            remove(&mut self.children, owner, key);
        }
        if let Some(node) = node_name(object) {
            remove(&mut self.on_node, node, key);
        }
        if let Object::Event(event) = object {
            remove(&mut self.about, &about(event), key);
            self.events_by_age.remove(&(seen(event), Arc::clone(key)));
        }
    }
}

/// Uid of the controller, for the kinds that workloads and revisions are looked up by.
fn owner_uid(object: &Object) -> Option<&Uid> {
    match object {
        Object::Pod(_) | Object::Workload(_) | Object::ControllerRevision(_) => {
            object.meta().controller().map(|owner| &owner.uid)
        }
        Object::Node(_)
        | Object::Namespace(_)
        | Object::HorizontalPodAutoscaler(_)
        | Object::PodDisruptionBudget(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::ConfigMap(_)
        | Object::Event(_) => None,
    }
}

fn node_name(object: &Object) -> Option<&str> {
    let Object::Pod(pod) = object else {
        return None;
    };
    let node = pod.spec.node_name.as_str();
    (!node.is_empty()).then_some(node)
}

fn add<K: Ord>(map: &mut BTreeMap<K, Keys>, at: K, key: &Arc<Key>) {
    map.entry(at).or_default().insert(Arc::clone(key));
}

fn remove<K, Q>(map: &mut BTreeMap<K, Keys>, at: &Q, key: &Arc<Key>)
where
    K: Ord + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(keys) = map.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            map.remove(at);
        }
    }
}
