//! One claim and one volume, bound to each other.

use super::{COMPONENT, ClaimSpec, Class, Phase, VolumeSpec, bytes, remove};
use crate::cluster::Cluster;
use crate::controllers::events;
use crate::object::{Key, Object};
use crate::resources::ids;
use serde_json::{Value, json};
use std::sync::Arc;

const BOUND_BY_US: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The smallest free volume that suits a claim, or the one that is reserved for it.
pub(super) fn best(cluster: &Cluster, claim: &Key, spec: &ClaimSpec) -> Option<Key> {
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let suits = |volume: &Arc<Object>| {
        let offer: VolumeSpec = volume.spec();
        let reserved = offer.claim_ref.as_ref().is_some_and(|it| {
            *it.namespace == *claim.namespace && *it.name == *claim.name && it.uid.is_empty()
        });
        let size = offer.capacity.get("storage").map_or(0, bytes);
        let selected = spec
            .selector
            .as_ref()
            .is_none_or(|one| one.matches(&volume.meta.labels));
        let modes = spec
            .access_modes
            .iter()
            .all(|one| offer.access_modes.contains(one));
        let fits = (offer.claim_ref.is_none() || reserved)
            && volume.meta.deletion_timestamp.is_none()
            && offer.storage_class_name == spec.class()
            && mode(&offer.volume_mode) == mode(&spec.volume_mode)
            && selected
            && modes
            && size >= spec.request();
        fits.then(|| (!reserved, size, volume.key(ids::PERSISTENT_VOLUMES)))
    };
    let volumes = cluster.store.list(ids::PERSISTENT_VOLUMES, None);
    volumes.filter_map(suits).min().map(|(.., key)| key)
}

/// Binds both ways.
pub(super) fn bind(cluster: &mut Cluster, claim: &Key, volume: &Key) {
    let Some(object) = cluster.store.get(claim).cloned() else {
        return;
    };
    let reference = reference(&object);
    let Some(bound) = cluster.modify(volume, |volume| {
        let mut spec: Value = volume.spec();
        if let Some(map) = spec.as_object_mut() {
            map.insert("claimRef".to_owned(), reference);
        }
        volume.set("spec", &spec);
        volume
            .meta
            .annotations
            .insert(BOUND_BY_US.to_owned(), "yes".to_owned());
    }) else {
        return;
    };
    cluster.set_status(volume, &json!({"phase": "Bound"}));
    cluster.modify(claim, |claim| {
        let mut spec: Value = claim.spec();
        if let Some(map) = spec.as_object_mut() {
            map.insert("volumeName".to_owned(), json!(volume.name));
        }
        claim.set("spec", &spec);
        for name in ["pv.kubernetes.io/bind-completed", BOUND_BY_US] {
            claim
                .meta
                .annotations
                .insert(name.to_owned(), "yes".to_owned());
        }
    });
    say_bound(cluster, claim, &bound);
}

fn say_bound(cluster: &mut Cluster, claim: &Key, volume: &Object) {
    let offer: Value = volume.spec();
    cluster.set_status(
        claim,
        &json!({
            "phase": "Bound",
            "accessModes": offer.get("accessModes"),
            "capacity": offer.get("capacity"),
        }),
    );
}

fn reference(claim: &Object) -> Value {
    json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1",
        "namespace": claim.meta.namespace, "name": claim.meta.name, "uid": claim.meta.uid,
        "resourceVersion": claim.meta.resource_version.to_string(),
    })
}

/// A claim that names its volume: bound when the volume is there, lost when it is gone.
pub(super) fn check(cluster: &mut Cluster, key: &Key, claim: &Object, spec: &ClaimSpec) {
    let phase = claim.status::<Phase>().phase;
    let volume = Key::new(ids::PERSISTENT_VOLUMES, "", &spec.volume_name);
    let found = cluster.store.get(&volume).cloned();
    match found {
        None if phase == "Bound" => {
            cluster.set_status(key, &json!({"phase": "Lost"}));
            let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
            events::warning(cluster, COMPONENT, claim, "ClaimLost", message);
        }
        Some(found) => {
            let holder = found.spec::<VolumeSpec>().claim_ref;
            match holder {
                None => bind(cluster, key, &volume),
                Some(holder) if *holder.uid == *claim.meta.uid => {
                    if phase != "Bound" {
                        say_bound(cluster, key, &found);
                    }
                }
                Some(_) => {}
            }
        }
        None => {}
    }
}

/// A volume: free, bound, or left by its claim and then kept or removed.
pub(super) fn volume(cluster: &mut Cluster, key: &Key, object: &Object) {
    let spec: VolumeSpec = object.spec();
    let phase = object.status::<Phase>().phase;
    let Some(holder) = &spec.claim_ref else {
        say(cluster, key, &phase, "Available");
        return;
    };
    let claims = ids::PERSISTENT_VOLUME_CLAIMS;
    let claim = cluster
        .store
        .get(&Key::new(claims, &holder.namespace, &holder.name));
    let kept = claim.is_some_and(|claim| *claim.meta.uid == *holder.uid);
    if holder.uid.is_empty() {
        say(cluster, key, &phase, "Available");
    } else if kept {
        say(cluster, key, &phase, "Bound");
    } else if spec.persistent_volume_reclaim_policy == "Delete" {
        remove(cluster, key);
    } else {
        say(cluster, key, &phase, "Released");
    }
}

fn say(cluster: &mut Cluster, key: &Key, before: &str, phase: &str) {
    if before != phase {
        cluster.set_status(key, &json!({"phase": phase}));
    }
}

/// Makes the volume that a claim asks for.
pub(super) fn provision(
    cluster: &mut Cluster,
    key: &Key,
    claim: &Object,
    spec: &ClaimSpec,
    class: &Class,
) {
    let name = format!("pvc-{}", claim.meta.uid);
    let mut volume = Object::new(cluster.resources.get(ids::PERSISTENT_VOLUMES), "", &name);
    let annotations = &mut volume.meta.annotations;
    annotations.insert(PROVISIONED_BY.to_owned(), class.provisioner.clone());
    volume.set(
        "spec",
        &json!({
            "accessModes": spec.access_modes,
            "capacity": {"storage": spec.resources.requests.get("storage")},
            "claimRef": reference(claim),
            "persistentVolumeReclaimPolicy": class.reclaim,
            "storageClassName": spec.class(),
            "volumeMode": spec.volume_mode.as_deref().unwrap_or("Filesystem"),
            "csi": {"driver": class.provisioner, "volumeHandle": name},
        }),
    );
    match cluster.create(ids::PERSISTENT_VOLUMES, volume) {
        Ok(volume) => {
            let message = format!("Successfully provisioned volume {name}");
            let component = class.provisioner.clone();
            events::normal(cluster, component, claim, "ProvisioningSucceeded", &message);
            bind(cluster, key, &volume.key(ids::PERSISTENT_VOLUMES));
        }
        Err(why) => {
            let message = format!("failed to provision volume: {why}");
            events::warning(cluster, COMPONENT, claim, "ProvisioningFailed", &message);
        }
    }
}
