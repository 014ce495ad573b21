//! A Deployment's ReplicaSets: which is the new one, their revisions, their sizes, their history.

use super::{COMPONENT, Look, PROGRESSING, Parts, REVISION, Refused};
use crate::controllers::common::{
    HASH_LABEL, bare_template, condition, set_condition, template_hash,
};
use crate::controllers::events;
use crate::controllers::replicaset;
use crate::object::{Key, Object};
use crate::registry::DeleteOptions;
use crate::resources::ids;
use crate::status::Reason;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations that a ReplicaSet does not take over from its Deployment.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
];
/// The longest list of former revisions, in characters.
const MAX_HISTORY: usize = 2000;

/// A ReplicaSet, as its Deployment sees it.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) object: Arc<Object>,
    /// How many are asked for.
    pub(super) replicas: i64,
    min_ready_seconds: i64,
    pub(super) status: replicaset::Status,
}

impl Set {
    /// The ReplicaSet, and the digest of its template.
    fn of(object: &Arc<Object>) -> Option<(Self, [u8; 32])> {
        let spec = replicaset::Spec::of(object)?;
        let set = Self {
            object: Arc::clone(object),
            replicas: spec.replicas,
            min_ready_seconds: spec.min_ready_seconds,
            status: object.kept_status(),
        };
        Some((set, spec.digest))
    }

    pub(super) fn name(&self) -> &str {
        &self.object.meta.name
    }

    fn key(&self) -> Key {
        self.object.key(ids::REPLICA_SETS)
    }

    fn number(&self, annotation: &str) -> Option<i64> {
        self.object.meta.annotations.get(annotation)?.parse().ok()
    }

    fn revision(&self) -> i64 {
        self.number(REVISION).unwrap_or(0)
    }

    /// How many the Deployment wanted in all when it last sized this one.
    pub(super) fn desired(&self) -> Option<i64> {
        self.number(DESIRED)
    }

    /// How many the Deployment allowed in all at that time.
    pub(super) fn most(&self) -> Option<i64> {
        self.number(MAX)
    }
}

/// The oldest ReplicaSet of the template with this digest, and all others by age.
pub(super) fn split(objects: &[Arc<Object>], wanted: [u8; 32]) -> (Option<Set>, Vec<Set>) {
    let mut sets: Vec<_> = objects.iter().filter_map(Set::of).collect();
    sets.sort_by(|(one, _), (other, _)| {
        let age = |set: &Set| {
            (
                set.object.meta.creation_timestamp,
                Arc::clone(&set.object.meta.name),
            )
        };
        age(one).cmp(&age(other))
    });
    let place = sets.iter().position(|(_, digest)| *digest == wanted);
    let new = place.map(|place| sets.remove(place).0);
    (new, sets.into_iter().map(|(set, _)| set).collect())
}

impl Look<'_> {
    /// Gives the new ReplicaSet, where there is one, the highest revision, and the Deployment the
    /// same. So going back to an old template makes it the newest revision.
    pub(super) fn sync_revision(&mut self) -> Result<(), Refused> {
        let Some(new) = self.new.clone() else {
            return Ok(());
        };
        let mut annotations = new.object.meta.annotations.clone();
        self.copy_annotations(&mut annotations);
        raise_revision(&mut annotations, self.next_revision());
        let ready = self.spec.min_ready_seconds;
        if annotations != new.object.meta.annotations || ready != new.min_ready_seconds {
            let object = self.cluster.modify(&new.key(), |object| {
                object.meta.annotations = annotations;
                change_spec(object, "minReadySeconds", &json!(ready));
            });
            self.new = Some(object.and_then(|object| Set::of(&object)).ok_or(Refused)?.0);
        }
        let name = new.name().to_owned();
        let noted = condition(&self.status.conditions, PROGRESSING).is_some();
        self.note_revision(
            "FoundNewReplicaSet",
            &format!("Found new replica set \"{name}\""),
            noted,
        );
        Ok(())
    }

    fn next_revision(&self) -> i64 {
        let highest = self.old.iter().map(Set::revision).max().unwrap_or(0);
        highest.saturating_add(1)
    }

    fn copy_annotations(&self, annotations: &mut BTreeMap<String, String>) {
        for (name, value) in &self.object.meta.annotations {
            if !NOT_COPIED.contains(&name.as_str()) {
                annotations.insert(name.clone(), value.clone());
            }
        }
    }

    /// Writes the new ReplicaSet's revision to the Deployment, and, unless it is `noted` already,
    /// that there is progress.
    fn note_revision(&mut self, reason: &str, message: &str, noted: bool) {
        let Some(revision) = self.new.as_ref().map(Set::revision) else {
            return;
        };
        let revision = revision.to_string();
        if self.object.meta.annotations.get(REVISION) != Some(&revision) {
            let object = self.cluster.modify(&self.key, |object| {
                object
                    .meta
                    .annotations
                    .insert(REVISION.to_owned(), revision);
            });
            self.object = object.unwrap_or_else(|| Arc::clone(&self.object));
        }
        if self.spec.deadline().is_some() && !noted {
            let mut status = self.status.clone();
            set_condition(
                &mut status.conditions,
                self.condition(PROGRESSING, "True", reason, message),
            );
            self.write_status(status);
        }
    }

    /// Creates the ReplicaSet of the present template, where there is none.
    pub(super) fn ensure_new(&mut self) -> Result<(), Refused> {
        if self.new.is_some() {
            return Ok(());
        }
        let replicas = self.new_replicas(0);
        let object = self.draft(replicas);
        let name = Arc::clone(&object.meta.name);
        match self.cluster.create(ids::REPLICA_SETS, object) {
            Ok(object) => self.new = Set::of(&object).map(|(set, _)| set),
            Err(refusal) if refusal.reason == Reason::AlreadyExists => {
                let mut status = self.status.clone();
                status.collision_count =
                    Some(status.collision_count.unwrap_or(0).saturating_add(1));
                self.write_status(status);
                return Err(Refused);
            }
            Err(refusal) => {
                const REASON: &str = "ReplicaSetCreateError";
                let message = format!("Failed to create new replica set \"{name}\": {refusal}");
                let mut status = self.status.clone();
                let failed = self.condition(PROGRESSING, "False", REASON, &message);
                set_condition(&mut status.conditions, failed);
                self.write_status(status);
                events::warning(self.cluster, COMPONENT, &self.object, REASON, &message);
                return Err(Refused);
            }
        }
        if replicas > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {replicas}");
            events::normal(
                self.cluster,
                COMPONENT,
                &self.object,
                "ScalingReplicaSet",
                &message,
            );
        }
        let message = format!("Created new replica set \"{name}\"");
        self.note_revision("NewReplicaSetCreated", &message, false);
        Ok(())
    }

    /// The new ReplicaSet as it is created.
    fn draft(&self, replicas: i64) -> Object {
        let parts: Parts = self.object.spec();
        let mut template = bare_template(&parts.template);
        let hash = template_hash(&template, self.status.collision_count.unwrap_or(0));
        put(
            &mut template,
            &["metadata", "labels", HASH_LABEL],
            json!(hash),
        );
        let mut selector = parts.selector;
        put(&mut selector, &["matchLabels", HASH_LABEL], json!(hash));
        let row = self.cluster.resources.get(ids::REPLICA_SETS);
        let name = format!("{}-{hash}", self.object.meta.name);
        let mut object = Object::new(row, &self.object.meta.namespace, &name);
        let labels = template
            .pointer("/metadata/labels")
            .cloned()
            .unwrap_or_default();
        object.meta.labels = serde_json::from_value(labels).unwrap_or_default();
        object.meta.owner_references = vec![self.object.as_controller()].into();
        let annotations = &mut object.meta.annotations;
        self.copy_annotations(annotations);
        raise_revision(annotations, self.next_revision());
        let (desired, most) = self.sizes();
        annotations.insert(DESIRED.to_owned(), desired);
        annotations.insert(MAX.to_owned(), most);
        let mut spec = json!({"replicas": replicas, "selector": selector, "template": template});
        if self.spec.min_ready_seconds > 0 {
            put(
                &mut spec,
                &["minReadySeconds"],
                json!(self.spec.min_ready_seconds),
            );
        }
        object.set("spec", &spec);
        object.set("status", &json!({"replicas": 0}));
        object
    }

    fn sizes(&self) -> (String, String) {
        let most = self.spec.replicas.saturating_add(self.spec.max_surge());
        (self.spec.replicas.to_string(), most.to_string())
    }

    /// Asks a ReplicaSet for a number of pods, and tells so in an event. True when that is news.
    pub(super) fn scale_set(&mut self, set: &Set, replicas: i64) -> Result<bool, Refused> {
        let (desired, most) = self.sizes();
        let annotations = &set.object.meta.annotations;
        let sized =
            annotations.get(DESIRED) == Some(&desired) && annotations.get(MAX) == Some(&most);
        if set.replicas == replicas && sized {
            return Ok(false);
        }
        let object = self.cluster.modify(&set.key(), |object| {
            object.meta.annotations.insert(DESIRED.to_owned(), desired);
            object.meta.annotations.insert(MAX.to_owned(), most);
            resize(object, replicas);
        });
        let (changed, _) = object.and_then(|object| Set::of(&object)).ok_or(Refused)?;
        let places = self.old.iter_mut().chain(&mut self.new);
        for place in places.filter(|place| place.name() == set.name()) {
            place.clone_from(&changed);
        }
        if set.replicas == replicas {
            return Ok(false);
        }
        let way = if set.replicas < replicas {
            "up"
        } else {
            "down"
        };
        let (name, before) = (set.name(), set.replicas);
        let message = format!("Scaled {way} replica set {name} from {before} to {replicas}");
        events::normal(
            self.cluster,
            COMPONENT,
            &self.object,
            "ScalingReplicaSet",
            &message,
        );
        Ok(true)
    }

    /// Deletes the oldest revisions beyond the limit that have no pods.
    pub(super) fn clean_up(&mut self) {
        let limit = self.spec.revision_history_limit.unwrap_or(10);
        let alive = |set: &&Set| set.object.meta.deletion_timestamp.is_none();
        let mut sets: Vec<_> = self.old.iter().filter(alive).cloned().collect();
        sets.sort_by_key(Set::revision);
        let too_many = sets.len().saturating_sub(limit);
        for set in sets.into_iter().take(too_many) {
            let seen = set.object.meta.generation <= set.status.observed_generation;
            if seen && set.replicas == 0 && set.status.replicas == 0 {
                self.cluster
                    .delete(&set.key(), &DeleteOptions::default())
                    .ok();
            }
        }
    }
}

/// Raises the revision; the one it had before goes to the history.
fn raise_revision(annotations: &mut BTreeMap<String, String>, revision: i64) {
    let before = annotations.get(REVISION).cloned();
    let number = before.as_deref().map_or(Some(0), |text| text.parse().ok());
    if number.is_none_or(|number: i64| number >= revision) {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    let Some(before) = before else { return };
    let mut history: Vec<String> = match annotations.get(HISTORY) {
        Some(text) if !text.is_empty() => text.split(',').map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    history.push(before);
    while history.join(",").len() > MAX_HISTORY {
        history.remove(0);
    }
    annotations.insert(HISTORY.to_owned(), history.join(","));
}

/// Sets how many pods a ReplicaSet is to have. What is known of its template stays known.
fn resize(set: &mut Object, replicas: i64) {
    let known = replicaset::Spec::of(set);
    change_spec(set, "replicas", &json!(replicas));
    if let (Some(known), Some(spec)) = (known, set.fields.get("spec")) {
        spec.read_once(|_| Some(known.of_size(replicas)));
    }
}

/// Sets one field of a spec.
fn change_spec(object: &mut Object, field: &str, value: &Value) {
    let mut spec: Value = object.spec();
    let same = spec.get(field).is_none() && *value == json!(0) && field != "replicas";
    if !same {
        put(&mut spec, &[field], value.clone());
        object.set("spec", &spec);
    }
}

/// Sets a value at a path of maps, making the maps that are missing.
fn put(target: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *target = value;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Some(map) = target.as_object_mut() {
        put(map.entry(*first).or_insert(Value::Null), rest, value);
    }
}
