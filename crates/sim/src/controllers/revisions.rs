//! `ControllerRevision`s: the templates that a StatefulSet or a DaemonSet had.
//!
//! Rules: `pkg/controller/history` of Kubernetes 1.36.

use super::common::{bare_template, template_hash};
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::registry::DeleteOptions;
use crate::resources::ids;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One revision.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    /// The object.
    pub(super) object: Arc<Object>,
    /// Its number.
    pub(super) number: u64,
    /// The template it keeps.
    pub(super) template: Value,
}

impl Revision {
    fn of(object: &Arc<Object>) -> Self {
        let data: Value = object.field("data").unwrap_or_default();
        let mut template = data.pointer("/spec/template").cloned().unwrap_or_default();
        if let Some(map) = template.as_object_mut() {
            map.remove("$patch");
        }
        Self {
            object: Arc::clone(object),
            number: object.field("revision").unwrap_or(0),
            template,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.object.meta.name
    }

    fn key(&self) -> Key {
        self.object.key(ids::CONTROLLER_REVISIONS)
    }
}

/// The revisions of an object, oldest first.
pub(super) fn of(cluster: &Cluster, owner: &Object) -> Vec<Revision> {
    let owned = cluster.store.owned_by(&owner.meta.uid);
    let mut all: Vec<_> = owned
        .filter(|object| &*object.kind == "ControllerRevision")
        .map(Revision::of)
        .collect();
    all.sort_by(|one, other| (one.number, one.name()).cmp(&(other.number, other.name())));
    all
}

/// The revision of the present template: the newest one; or an older one, which becomes the newest;
/// or a new one, of which `hash_label` holds the hash. `None` when it could not be written.
pub(super) fn present(
    cluster: &mut Cluster,
    owner: &Object,
    template: &Value,
    hash_label: &str,
) -> Option<Revision> {
    let wanted = bare_template(template);
    let all = of(cluster, owner);
    let next = all.last().map_or(0, |last| last.number).saturating_add(1);
    if let Some(known) = all
        .iter()
        .rev()
        .find(|one| bare_template(&one.template) == wanted)
    {
        if known.number.saturating_add(1) == next {
            return Some(known.clone());
        }
        let object = cluster.modify(&known.key(), |object| object.set("revision", &next))?;
        return Some(Revision::of(&object));
    }
    let mut data = wanted.clone();
    if let Some(map) = data.as_object_mut() {
        map.insert("$patch".to_owned(), json!("replace"));
    }
    let row = cluster.resources.get(ids::CONTROLLER_REVISIONS).clone();
    for collisions in 0..10 {
        let hash = template_hash(&wanted, collisions);
        let name = format!("{}-{hash}", owner.meta.name);
        let mut object = Object::new(&row, &owner.meta.namespace, &name);
        let labels = wanted
            .pointer("/metadata/labels")
            .cloned()
            .unwrap_or_default();
        object.meta.labels = serde_json::from_value(labels).unwrap_or_default();
        object.meta.labels.insert(hash_label.to_owned(), hash);
        object.meta.annotations = owner.meta.annotations.clone();
        let applied = "kubectl.kubernetes.io/last-applied-configuration";
        object.meta.annotations.remove(applied);
        object.meta.owner_references = vec![owner.as_controller()].into();
        object.set("data", &json!({"spec": {"template": data}}));
        object.set("revision", &next);
        if let Ok(object) = cluster.create(ids::CONTROLLER_REVISIONS, object) {
            return Some(Revision::of(&object));
        }
    }
    None
}

/// Deletes the oldest revisions beyond a limit that are not in use.
pub(super) fn truncate(cluster: &mut Cluster, owner: &Object, limit: usize, used: &BTreeSet<&str>) {
    let all = of(cluster, owner);
    let unused: Vec<_> = all
        .iter()
        .filter(|one| !used.contains(one.name()))
        .collect();
    let too_many = unused.len().saturating_sub(limit);
    for one in unused.into_iter().take(too_many) {
        cluster.delete(&one.key(), &DeleteOptions::default()).ok();
    }
}
