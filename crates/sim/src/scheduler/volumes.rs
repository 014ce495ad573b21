//! Where a pod's claims let it run (`volumebinding`).

use super::pod::Spec;
use super::terms::NodeSelector;
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::store::Store;
use serde::Deserialize;

/// The annotation by which the scheduler tells a provisioner where a volume is needed.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    volume_name: String,
    storage_class_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    phase: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    node_affinity: Option<VolumeAffinity>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VolumeAffinity {
    required: Option<NodeSelector>,
}

/// What is known of a pod's claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Where the bound volumes can be reached from.
    pub(super) selectors: Vec<NodeSelector>,
    /// Claims that are bound once a node is chosen.
    pub(super) waiting: Vec<Key>,
}

/// The claims of a pod, or why it cannot be scheduled whatever the node.
pub(super) fn claims(store: &Store, namespace: &str, spec: &Spec) -> Result<Claims, String> {
    let mut result = Claims::default();
    let mut immediate = false;
    for volume in &spec.volumes {
        let Some(claim) = &volume.persistent_volume_claim else {
            continue;
        };
        let name = claim.claim_name.as_str();
        let key = Key::new(ids::PERSISTENT_VOLUME_CLAIMS, namespace, name);
        let Some(object) = store.get(&key) else {
            return Err(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if object.meta.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        let spec: ClaimSpec = object.spec();
        let phase = object.status::<ClaimStatus>().phase;
        if phase == "Lost" {
            return Err(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{}\"",
                spec.volume_name
            ));
        }
        if phase == "Bound" {
            let volume = store.get(&Key::new(ids::PERSISTENT_VOLUMES, "", &spec.volume_name));
            let affinity = volume.and_then(|volume| volume.spec::<VolumeSpec>().node_affinity);
            result
                .selectors
                .extend(affinity.and_then(|affinity| affinity.required));
        } else if spec.volume_name.is_empty() && waits(store, &spec) {
            result.waiting.push(key);
        } else {
            immediate = true;
        }
    }
    if immediate {
        return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
    }
    Ok(result)
}

/// Is a claim's volume only bound when a pod needs it?
fn waits(store: &Store, claim: &ClaimSpec) -> bool {
    let Some(class) = claim.storage_class_name.as_deref() else {
        return false;
    };
    let class = store.get(&Key::new(ids::STORAGE_CLASSES, "", class));
    let mode = class.and_then(|class| class.field::<String>("volumeBindingMode"));
    mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Does a claim carry the choice of this node already?
pub(super) fn is_selected(claim: &Object, node: &str) -> bool {
    claim
        .meta
        .annotations
        .get(SELECTED_NODE)
        .is_some_and(|one| one == node)
}
