//! The rules of a write that hold for everybody, a client over HTTP as well as a controller inside:
//! identity, versions, generations, what belongs to `status`, and how an object goes away.

use crate::cluster::Cluster;
use crate::controllers::Facts;
use crate::object::{Key, Meta, Object, Raw};
use crate::pod_spec;
use crate::resources::{Resource, ResourceId, ids};
use crate::status::{Details, Reason, Status};
use crate::{custom, defaults};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Which part of an object an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status (where the resource has a status subresource).
    Main,
    /// The status alone.
    Status,
}

/// `metav1.DeleteOptions`, as far as it decides anything here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields of metav1.DeleteOptions")]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<u32>,
    pub preconditions: Option<Preconditions>,
    pub propagation_policy: Option<Propagation>,
    pub orphan_dependents: Option<bool>,
    pub dry_run: Vec<String>,
}

/// `metav1.Preconditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields of metav1.Preconditions")]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// `metav1.DeletionPropagation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// What a delete did.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// It is gone; this was its last state.
    Gone(Arc<Object>),
    /// It is marked, and goes when its finalizers or its grace period are over.
    Marked(Arc<Object>),
}

/// Finalizer of a deletion that waits for the dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of a deletion that lets the dependents live.
pub const ORPHAN: &str = "orphan";

impl Cluster {
    /// Creates an object. Name, uid, times and generation are filled in.
    pub fn create(
        &mut self,
        resource: ResourceId,
        mut object: Object,
    ) -> Result<Arc<Object>, Status> {
        defaults::fill(resource, &mut object);
        if !object.fields.contains_key("status") {
            defaults::begin(resource, &mut object);
        }
        self.prepare(resource, &mut object)?;
        let written = self.store.put(resource, object);
        custom::written(self, resource, &written);
        Ok(written)
    }

    /// Name, uid, times and generation of a new object, and what depends on them.
    pub fn prepare(&mut self, resource: ResourceId, object: &mut Object) -> Result<(), Status> {
        if object.meta.name.is_empty() && !object.meta.generate_name.is_empty() {
            let suffix = self.name_suffix();
            object.meta.name = format!("{}{suffix}", object.meta.generate_name).into();
        }
        let row = self.resources.get(resource);
        if self.store.get(&object.key(resource)).is_some() {
            return Err(Status::already_exists(row, &object.meta.name));
        }
        object.api_version = row.api_version();
        object.kind = Arc::clone(&row.kind);
        object.meta.generation = u64::from(has_generation(row));
        let uid = self.uid();
        let meta = &mut object.meta;
        meta.uid = uid;
        meta.creation_timestamp = Some(self.now_seconds());
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        defaults::identify(resource, object);
        if resource == ids::CUSTOM_RESOURCE_DEFINITIONS {
            let status = custom::status(self, object);
            object.set("status", &status);
        }
        Ok(())
    }

    /// Writes a changed object. A resourceVersion or uid in it has to be the present one; without
    /// them the update is unconditional.
    pub fn update(
        &mut self,
        resource: ResourceId,
        object: Object,
        part: Part,
    ) -> Result<Arc<Object>, Status> {
        let key = object.key(resource);
        let (old, new) = self.merge(resource, object, part)?;
        if *old == new {
            return Ok(old);
        }
        Ok(self.replace(&key, &old, new))
    }

    /// Writes what an object becomes. One that is being deleted goes with what held it.
    fn replace(&mut self, key: &Key, old: &Object, new: Object) -> Arc<Object> {
        let resource = key.resource;
        let done = new.meta.deletion_timestamp.is_some()
            && !held(resource, &new)
            && held(resource, old)
            && new.meta.deletion_grace_period_seconds.unwrap_or(0) == 0;
        let written = self.store.put(resource, new);
        if done {
            return self.remove(key).unwrap_or(written);
        }
        custom::written(self, resource, &written);
        written
    }

    /// All of [`Cluster::update`] but the write: the present object, and what it would become.
    pub fn merge(
        &self,
        resource: ResourceId,
        object: Object,
        part: Part,
    ) -> Result<(Arc<Object>, Object), Status> {
        let row = self.resources.get(resource);
        let key = object.key(resource);
        let Some(old) = self.store.get(&key) else {
            return Err(Status::not_found(row, &object.meta.name));
        };
        let sent = object.meta.resource_version;
        if sent != 0 && sent != old.meta.resource_version {
            return Err(Status::stale(row, &object.meta.name));
        }
        if !object.meta.uid.is_empty() && object.meta.uid != old.meta.uid {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {}, UID in object meta: {}",
                row.plural, object.meta.namespace, object.meta.name, object.meta.uid, old.meta.uid
            );
            return Err(Status::conflict(row, &object.meta.name, &why));
        }
        let new = combine(row, old, object, part);
        Ok((Arc::clone(old), new))
    }

    /// Changes an object that is there, as a controller does. `None` when it is not.
    pub fn modify(&mut self, key: &Key, change: impl FnOnce(&mut Object)) -> Option<Arc<Object>> {
        let old = Arc::clone(self.store.get(key)?);
        let mut new = Object::clone(&old);
        change(&mut new);
        // Each part by its own rules, as two requests of a controller would be.
        let status = new.clone();
        let main = self.update(key.resource, new, Part::Main).ok()?;
        let row = self.resources.get(key.resource);
        if !row.has("status") || status.fields.get("status") == main.fields.get("status") {
            return Some(main);
        }
        let mut status = status;
        status.meta.resource_version = 0;
        self.update(key.resource, status, Part::Status).ok()
    }

    /// Writes a status. `None` when the object is gone. Nothing happens when it says the same.
    pub fn set_status(&mut self, key: &Key, status: &impl Serialize) -> Option<Arc<Object>> {
        self.write_status(key, Raw::of(status)?)
    }

    /// Writes a status that is made already.
    pub(crate) fn write_status(&mut self, key: &Key, status: Raw) -> Option<Arc<Object>> {
        let old = Arc::clone(self.store.get(key)?);
        if old.fields.get("status") == Some(&status) {
            return Some(old);
        }
        let mut new = Object::clone(&old);
        new.fields.insert("status", status);
        Some(self.replace(key, &old, new))
    }

    /// Deletes an object by the rules of its kind: preconditions, grace, propagation, finalizers.
    pub fn delete(&mut self, key: &Key, options: &DeleteOptions) -> Result<Deleted, Status> {
        let planned = self.try_delete(key, options)?;
        Ok(match planned {
            Deleted::Gone(last) => {
                // A pod is first marked with no grace left: watchers hear of both.
                if self.store.get(key) != Some(&last) {
                    self.store.put(key.resource, Object::clone(&last));
                }
                Deleted::Gone(self.remove(key).unwrap_or(last))
            }
            Deleted::Marked(new) if self.store.get(key) == Some(&new) => Deleted::Marked(new),
            Deleted::Marked(new) => {
                Deleted::Marked(self.store.put(key.resource, Object::clone(&new)))
            }
        })
    }

    /// All of [`Cluster::delete`] but the write: what would become of the object.
    pub fn try_delete(&self, key: &Key, options: &DeleteOptions) -> Result<Deleted, Status> {
        let row = self.resources.get(key.resource);
        let Some(old) = self.store.get(key) else {
            return Err(Status::not_found(row, &key.name));
        };
        check_preconditions(row, &old.meta, options)?;
        let mut new = Object::clone(old);
        match propagation(options) {
            Some(Propagation::Foreground) => add_finalizer(&mut new.meta, FOREGROUND, ORPHAN),
            Some(Propagation::Orphan) => add_finalizer(&mut new.meta, ORPHAN, FOREGROUND),
            Some(Propagation::Background) => {
                let kept = |one: &String| one != FOREGROUND && one != ORPHAN;
                new.meta.finalizers.retain(kept);
            }
            None => {}
        }
        let grace = grace_seconds(key.resource, &new, options);
        if grace == 0 && !held(key.resource, &new) {
            if key.resource != ids::PODS {
                return Ok(Deleted::Gone(Arc::clone(old)));
            }
            self.mark(&mut new.meta, 0);
            return Ok(Deleted::Gone(Arc::new(new)));
        }
        self.mark(&mut new.meta, grace);
        if key.resource == ids::NAMESPACES {
            new.meta.deletion_grace_period_seconds = None;
            let mut status: Value = new.field("status").unwrap_or_else(|| json!({}));
            if let Some(map) = status.as_object_mut() {
                map.insert("phase".to_owned(), json!("Terminating"));
            }
            new.set("status", &status);
        }
        Ok(Deleted::Marked(Arc::new(new)))
    }

    /// Takes an object out of the store; a definition takes its objects along.
    fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let last = self.store.remove(key)?;
        if key.resource == ids::CUSTOM_RESOURCE_DEFINITIONS {
            for key in custom::retire(self, &last) {
                self.store.remove(&key);
            }
        }
        Some(last)
    }

    /// Marks as being deleted. A second deletion can only shorten the grace.
    fn mark(&self, meta: &mut Meta, grace: u32) {
        let marked = meta.deletion_timestamp.is_some();
        let before = meta.deletion_grace_period_seconds.unwrap_or(u32::MAX);
        if marked && grace >= before {
            return;
        }
        let wait = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
        let now = self.now_seconds();
        // A second deletion counts from the first, but ends nothing in the past (`rest.BeforeDelete`).
        let begun = meta
            .deletion_timestamp
            .map(|until| until.saturating_sub(wait(before)));
        let begun = begun.and_then(Result::ok).unwrap_or(now);
        let until = begun.saturating_add(wait(grace)).unwrap_or(now);
        meta.deletion_timestamp = Some(until.max(now));
        meta.deletion_grace_period_seconds = Some(grace);
        if !marked && meta.generation > 0 {
            meta.generation = meta.generation.saturating_add(1);
        }
    }
}

/// Does Kubernetes count generations of it? Of everything that has a spec and a status, and of a
/// few that have only a spec.
fn has_generation(row: &Resource) -> bool {
    let without = [
        "Namespace",
        "Node",
        "Service",
        "PersistentVolume",
        "PersistentVolumeClaim",
    ];
    row.custom
        || (row.has("status") && !without.contains(&&*row.kind))
        || matches!(
            &*row.kind,
            "NetworkPolicy" | "EndpointSlice" | "IngressClass"
        )
        || row.kind.ends_with("WebhookConfiguration")
}

/// The next state of `old` when `part` of `new` is written.
fn combine(row: &Resource, old: &Object, new: Object, part: Part) -> Object {
    let split = row.has("status");
    match part {
        Part::Status => {
            let mut result = old.clone();
            match new.fields.get("status") {
                Some(status) => result.fields.insert("status", status.clone()),
                None => result.fields.remove("status"),
            };
            result.meta.managed_fields = new.meta.managed_fields;
            result
        }
        Part::Main => {
            let mut result = new;
            result.api_version = Arc::clone(&old.api_version);
            result.kind = Arc::clone(&old.kind);
            if split {
                match old.fields.get("status") {
                    Some(status) => result.fields.insert("status", status.clone()),
                    None => result.fields.remove("status"),
                };
            }
            let kept = &old.meta;
            result.meta.uid = Arc::clone(&kept.uid);
            result.meta.resource_version = kept.resource_version;
            result.meta.generate_name.clone_from(&kept.generate_name);
            result.meta.creation_timestamp = kept.creation_timestamp;
            result.meta.deletion_timestamp = kept.deletion_timestamp;
            result.meta.deletion_grace_period_seconds = kept.deletion_grace_period_seconds;
            let changed = result.fields != old.fields && has_generation(row);
            result.meta.generation = kept.generation.saturating_add(u64::from(changed));
            result
        }
    }
}

/// Does something still hold it: a finalizer, or, of a namespace, one in its spec?
fn held(resource: ResourceId, object: &Object) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        finalizers: Vec<String>,
    }
    !object.meta.finalizers.is_empty()
        || (resource == ids::NAMESPACES && !object.spec::<Spec>().finalizers.is_empty())
}

fn check_preconditions(row: &Resource, meta: &Meta, options: &DeleteOptions) -> Result<(), Status> {
    let Some(wanted) = &options.preconditions else {
        return Ok(());
    };
    let refuse = |why: String| {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": {why}",
            row.kind, meta.name
        );
        Err(
            Status::new(Reason::Conflict, message).with_details(Details {
                name: meta.name.to_string(),
                group: row.group.to_string(),
                kind: row.kind.to_string(),
                ..Details::default()
            }),
        )
    };
    if let Some(uid) = &wanted.uid
        && **uid != *meta.uid
    {
        return refuse(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            meta.uid
        ));
    }
    if let Some(version) = &wanted.resource_version
        && *version != meta.resource_version.to_string()
    {
        return refuse(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            meta.resource_version
        ));
    }
    Ok(())
}

fn propagation(options: &DeleteOptions) -> Option<Propagation> {
    options
        .propagation_policy
        .or(match options.orphan_dependents {
            Some(true) => Some(Propagation::Orphan),
            Some(false) => Some(Propagation::Background),
            None => None,
        })
}

fn add_finalizer(meta: &mut Meta, wanted: &str, other: &str) {
    meta.finalizers.retain(|one| one != other);
    if !meta.finalizers.iter().any(|one| one == wanted) {
        meta.finalizers.push(wanted.to_owned());
    }
}

/// How long a pod on a node gets to end; everything else goes at once.
fn grace_seconds(resource: ResourceId, object: &Object, options: &DeleteOptions) -> u32 {
    if resource != ids::PODS {
        return 0;
    }
    if pod_spec::node_of(object).is_empty() || Facts::of(object).finished() {
        return 0;
    }
    let wanted = options.grace_period_seconds;
    let spec = pod_spec::running(object);
    wanted.unwrap_or(spec.termination_grace_period_seconds.unwrap_or(30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ChangeKind;

    fn cluster() -> Cluster {
        Cluster::empty(1, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn object(value: serde_json::Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn config_map() -> Object {
        object(json!({"metadata": {"name": "a", "namespace": "b"}, "data": {"x": "1"}}))
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut cluster = cluster();
        cluster.create(ids::CONFIGMAPS, config_map()).unwrap();
        let refused = cluster.create(ids::CONFIGMAPS, config_map()).unwrap_err();
        assert_eq!(refused.message, "configmaps \"a\" already exists");
        assert_eq!(refused.code, 409);
    }

    #[test]
    fn a_stale_write_is_refused() {
        let mut cluster = cluster();
        let first = cluster.create(ids::CONFIGMAPS, config_map()).unwrap();
        let mut change = Object::clone(&first);
        change.set("data", &json!({"x": "2"}));
        cluster
            .update(ids::CONFIGMAPS, change.clone(), Part::Main)
            .unwrap();
        let refused = cluster
            .update(ids::CONFIGMAPS, change, Part::Main)
            .unwrap_err();
        assert_eq!(refused.reason, Reason::Conflict);
    }

    #[test]
    fn an_update_that_changes_nothing_makes_no_revision() {
        let mut cluster = cluster();
        let first = cluster.create(ids::CONFIGMAPS, config_map()).unwrap();
        cluster
            .update(ids::CONFIGMAPS, Object::clone(&first), Part::Main)
            .unwrap();
        assert_eq!(cluster.store.revision(), first.meta.resource_version);
    }

    #[test]
    fn status_and_spec_are_written_apart() {
        let mut cluster = cluster();
        let deployment =
            json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"replicas": 1}});
        let first = cluster
            .create(ids::DEPLOYMENTS, object(deployment))
            .unwrap();
        let mut both = Object::clone(&first);
        both.set("spec", &json!({"replicas": 2}));
        both.set("status", &json!({"replicas": 2}));
        let mut sent = both.clone();
        sent.meta.resource_version = 0;
        let main = cluster.update(ids::DEPLOYMENTS, both, Part::Main).unwrap();
        assert_eq!(main.fields.get("status"), first.fields.get("status"));
        assert_eq!(main.meta.generation, 2);
        let status = cluster
            .update(ids::DEPLOYMENTS, sent, Part::Status)
            .unwrap();
        assert_ne!(status.fields.get("status"), first.fields.get("status"));
        assert_eq!(status.meta.generation, 2);
    }

    #[test]
    fn finalizers_keep_an_object_until_the_last_is_taken_off() {
        let mut cluster = cluster();
        let mut held = config_map();
        held.meta.finalizers.push("example.com/wait".to_owned());
        let key = held.key(ids::CONFIGMAPS);
        cluster.create(ids::CONFIGMAPS, held).unwrap();
        let deleted = cluster.delete(&key, &DeleteOptions::default()).unwrap();
        let Deleted::Marked(marked) = deleted else {
            panic!("gone at once");
        };
        assert!(marked.meta.deletion_timestamp.is_some());
        cluster.modify(&key, |object| object.meta.finalizers.clear());
        assert!(cluster.store.get(&key).is_none());
    }

    #[test]
    fn a_pod_on_a_node_gets_its_grace_and_a_second_delete_can_end_it() {
        let mut cluster = cluster();
        let pod = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"nodeName": "n"}});
        let pod = object(pod);
        let key = pod.key(ids::PODS);
        cluster.create(ids::PODS, pod).unwrap();
        let first = cluster.delete(&key, &DeleteOptions::default()).unwrap();
        assert!(matches!(first, Deleted::Marked(_)));
        let now = DeleteOptions {
            grace_period_seconds: Some(0),
            ..DeleteOptions::default()
        };
        let seen = cluster.store.revision();
        let Deleted::Gone(last) = cluster.delete(&key, &now).unwrap() else {
            panic!("it stays");
        };
        assert_eq!(last.meta.deletion_grace_period_seconds, Some(0));
        let changes = cluster.store.changes_since(seen).unwrap();
        let kinds: Vec<_> = changes.map(|change| change.kind).collect();
        assert_eq!(kinds, [ChangeKind::Modified, ChangeKind::Deleted]);
    }
}
