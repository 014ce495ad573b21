//! Claims and volumes: what is asked for is bound to what there is, or to what its class makes.
//!
//! Rules and texts: `pkg/controller/volume/persistentvolume` and `pvcprotection` of Kubernetes 1.36.
//! The provisioner of a class is played here, too.

mod bind;

use super::Controller;
use super::events;
use crate::cluster::{Cluster, Todo};
use crate::object::{Key, Object};
use crate::pod_spec;
use crate::quantity::Quantity;
use crate::registry::DeleteOptions;
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::store::{Change, ChangeKind, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = "persistentvolume-controller";
/// Keeps a claim as long as a pod uses it.
const PROTECTION: &str = "kubernetes.io/pvc-protection";
/// The scheduler's choice for a claim that waits for its first consumer.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// How long a provisioner takes.
const PROVISIONING: Duration = Duration::from_secs(1);

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// Claims whose volume is being made.
    provisioning: BTreeSet<Key>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    storage_class_name: Option<String>,
    volume_name: String,
    access_modes: Vec<String>,
    resources: Resources,
    selector: Option<LabelSelector>,
    volume_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    requests: BTreeMap<String, Value>,
}

impl ClaimSpec {
    fn class(&self) -> &str {
        self.storage_class_name.as_deref().unwrap_or("")
    }

    fn request(&self) -> i64 {
        self.resources.requests.get("storage").map_or(0, bytes)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    storage_class_name: String,
    access_modes: Vec<String>,
    capacity: BTreeMap<String, Value>,
    claim_ref: Option<ClaimRef>,
    persistent_volume_reclaim_policy: String,
    volume_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimRef {
    namespace: String,
    name: String,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Phase {
    phase: String,
}

/// A quantity in whole bytes; what is no quantity is nothing.
fn bytes(value: &Value) -> i64 {
    Quantity::of_value(value).map_or(0, Quantity::value)
}

/// A storage class, as far as it matters here.
struct Class {
    provisioner: String,
    waits: bool,
    reclaim: String,
}

impl Controller for Volumes {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        match change.resource {
            ids::PERSISTENT_VOLUME_CLAIMS => {
                todo.now(change.key());
                if change.kind == ChangeKind::Deleted {
                    let name = change.new.spec::<ClaimSpec>().volume_name;
                    todo.now(Key::new(ids::PERSISTENT_VOLUMES, "", &name));
                }
            }
            ids::PERSISTENT_VOLUMES => {
                todo.now(change.key());
                let claim = change.new.spec::<VolumeSpec>().claim_ref;
                if let Some(claim) = claim {
                    let claims = ids::PERSISTENT_VOLUME_CLAIMS;
                    todo.now(Key::new(claims, &claim.namespace, &claim.name));
                }
                if change.kind == ChangeKind::Added {
                    look_at_pending(store, todo);
                }
            }
            ids::STORAGE_CLASSES => look_at_pending(store, todo),
            ids::PODS => heard_pod(change, todo),
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let Some(object) = cluster.store.get(key).cloned() else {
            self.provisioning.remove(key);
            return None;
        };
        if key.resource == ids::PERSISTENT_VOLUMES {
            bind::volume(cluster, key, &object);
            return None;
        }
        if !protect(cluster, key, &object) {
            return None;
        }
        let object = cluster.store.get(key)?.clone();
        let spec: ClaimSpec = object.spec();
        if spec.volume_name.is_empty() {
            return self.find_volume(cluster, key, &object, &spec);
        }
        bind::check(cluster, key, &object, &spec);
        None
    }
}

fn look_at_pending(store: &Store, todo: &mut Todo) {
    let claims = store.list(ids::PERSISTENT_VOLUME_CLAIMS, None);
    let pending = claims.filter(|claim| claim.spec::<ClaimSpec>().volume_name.is_empty());
    todo.all(pending.map(|claim| claim.key(ids::PERSISTENT_VOLUME_CLAIMS)));
}

/// A pod that is placed is the first consumer of its claims; one that ends frees them.
fn heard_pod(change: &Change, todo: &mut Todo) {
    let old = change.old.as_deref();
    let placed = old.is_none_or(|old| old.fields.get("spec") != change.new.fields.get("spec"));
    let ended =
        change.kind == ChangeKind::Deleted || (finished(&change.new) && !old.is_none_or(finished));
    if placed || ended {
        for claim in claims_of(&change.new) {
            let claims = ids::PERSISTENT_VOLUME_CLAIMS;
            todo.now(Key::new(claims, &change.new.meta.namespace, &claim));
        }
    }
}

fn finished(pod: &Object) -> bool {
    super::pods::Facts::of(pod).finished()
}

/// The names of the claims that a pod mounts.
fn claims_of(pod: &Object) -> Vec<String> {
    let spec = pod_spec::running(pod);
    let claims = spec.volumes.iter();
    let claims = claims.filter_map(|one| one.persistent_volume_claim.as_ref());
    claims.map(|one| one.claim_name.clone()).collect()
}

/// The pods that use a claim and have not come to their end.
fn users(cluster: &Cluster, claim: &Key) -> Vec<Arc<Object>> {
    let pods = cluster.store.list(ids::PODS, Some(&claim.namespace));
    pods.filter(|pod| !finished(pod) && claims_of(pod).iter().any(|name| **name == *claim.name))
        .cloned()
        .collect()
}

/// Sees to the finalizer that protects a claim in use. False when the claim is on its way out.
fn protect(cluster: &mut Cluster, key: &Key, claim: &Object) -> bool {
    let protected = claim.meta.finalizers.iter().any(|one| one == PROTECTION);
    if claim.meta.deletion_timestamp.is_none() {
        if !protected {
            let add = |claim: &mut Object| claim.meta.finalizers.push(PROTECTION.to_owned());
            cluster.modify(key, add);
        }
        return true;
    }
    if protected && users(cluster, key).is_empty() {
        let free = |claim: &mut Object| claim.meta.finalizers.retain(|one| one != PROTECTION);
        cluster.modify(key, free);
    }
    false
}

fn class(cluster: &Cluster, name: &str) -> Option<Class> {
    let object = cluster
        .store
        .get(&Key::new(ids::STORAGE_CLASSES, "", name))?;
    let text = |field: &str| object.field::<String>(field);
    Some(Class {
        provisioner: text("provisioner").unwrap_or_default(),
        waits: text("volumeBindingMode").as_deref() == Some("WaitForFirstConsumer"),
        reclaim: text("reclaimPolicy").unwrap_or_else(|| "Delete".to_owned()),
    })
}

/// The newest class that is marked as the default.
fn default_class(cluster: &Cluster) -> Option<String> {
    let mark = "storageclass.kubernetes.io/is-default-class";
    let classes = cluster.store.list(ids::STORAGE_CLASSES, None);
    let default = classes.filter(|class| {
        class
            .meta
            .annotations
            .get(mark)
            .is_some_and(|value| value == "true")
    });
    let newest = default.max_by_key(|class| class.meta.creation_timestamp)?;
    Some(newest.meta.name.to_string())
}

impl Volumes {
    /// A volume for a claim that has none: one that is there, or a new one.
    fn find_volume(
        &mut self,
        cluster: &mut Cluster,
        key: &Key,
        claim: &Object,
        spec: &ClaimSpec,
    ) -> Option<Duration> {
        if spec.storage_class_name.is_none()
            && let Some(default) = default_class(cluster)
        {
            cluster.modify(key, |claim| {
                let mut spec: Value = claim.spec();
                if let Some(map) = spec.as_object_mut() {
                    map.insert("storageClassName".to_owned(), json!(default));
                }
                claim.set("spec", &spec);
            });
            return None;
        }
        let found = class(cluster, spec.class());
        let waits = found.as_ref().is_some_and(|class| class.waits);
        if waits && !consumed(cluster, key, claim) {
            let message = "waiting for first consumer to be created before binding";
            events::normal(cluster, COMPONENT, claim, "WaitForFirstConsumer", message);
            return None;
        }
        if let Some(volume) = bind::best(cluster, key, spec) {
            bind::bind(cluster, key, &volume);
            return None;
        }
        let Some(class) = found else {
            no_class(cluster, claim, spec.class());
            return None;
        };
        if class.provisioner == "kubernetes.io/no-provisioner" {
            return None;
        }
        if self.provisioning.insert(key.clone()) {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
                class.provisioner
            );
            events::normal(cluster, COMPONENT, claim, "ExternalProvisioning", &message);
            return Some(PROVISIONING);
        }
        self.provisioning.remove(key);
        bind::provision(cluster, key, claim, spec, &class);
        None
    }
}

fn no_class(cluster: &mut Cluster, claim: &Object, class: &str) {
    if class.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        events::normal(cluster, COMPONENT, claim, "FailedBinding", message);
    } else {
        let message = format!("storageclass.storage.k8s.io \"{class}\" not found");
        events::warning(cluster, COMPONENT, claim, "ProvisioningFailed", &message);
    }
}

/// Has a pod that uses the claim found its node?
fn consumed(cluster: &Cluster, key: &Key, claim: &Object) -> bool {
    claim.meta.annotations.contains_key(SELECTED_NODE)
        || users(cluster, key)
            .iter()
            .any(|pod| !crate::pod_spec::node_of(pod).is_empty())
}

/// Deletes a volume.
fn remove(cluster: &mut Cluster, key: &Key) {
    // Refused only when it has just gone.
    cluster.delete(key, &DeleteOptions::default()).ok();
}
