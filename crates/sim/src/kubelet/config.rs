//! Where the configuration of containers comes from: `ConfigMap`s, `Secret`s and volumes, and what a
//! kubelet says when it is not there (`kubelet_pods.go`, `volume/configmap`, `volume/secret`).

use super::spec::{Container, Item, KeyRef, PodSpec, Volume};
use crate::behaviour::image_environment;
use crate::object::Key;
use crate::resources::{ResourceId, ids};
use crate::store::Store;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `data` of a `ConfigMap` or `Secret`, or why not.
enum Data {
    Missing,
    There(BTreeMap<String, String>),
}

impl Data {
    fn of(store: &Store, resource: ResourceId, namespace: &str, name: &str) -> Self {
        let Some(object) = store.get(&Key::new(resource, namespace, name)) else {
            return Self::Missing;
        };
        let mut data: BTreeMap<String, String> = object.field("data").unwrap_or_default();
        let binary: BTreeMap<String, Box<RawValue>> =
            object.field("binaryData").unwrap_or_default();
        data.extend(binary.into_keys().map(|key| (key, String::new())));
        Self::There(data)
    }
}

/// Which of the two.
#[derive(Clone, Copy)]
struct Kind {
    resource: ResourceId,
    /// In `configmap "x" not found`.
    lower: &'static str,
    /// In `couldn't find key k in ConfigMap ns/x`.
    camel: &'static str,
}

const CONFIG_MAP: Kind = Kind {
    resource: ids::CONFIGMAPS,
    lower: "configmap",
    camel: "ConfigMap",
};
const SECRET: Kind = Kind {
    resource: ids::SECRETS,
    lower: "secret",
    camel: "Secret",
};

/// The environment of a container, its image's first, or what `CreateContainerConfigError` says.
pub(super) fn environment(
    store: &Store,
    namespace: &str,
    container: &Container,
) -> Result<BTreeMap<String, String>, String> {
    let mut result = image_environment(&container.image);
    for from in &container.env_from {
        let sources = [
            (CONFIG_MAP, &from.config_map_ref),
            (SECRET, &from.secret_ref),
        ];
        for (kind, source) in sources {
            let Some(source) = source else { continue };
            match Data::of(store, kind.resource, namespace, &source.name) {
                Data::Missing if source.optional => {}
                Data::Missing => {
                    return Err(format!("{} \"{}\" not found", kind.lower, source.name));
                }
                Data::There(data) => {
                    let prefix = &from.prefix;
                    result.extend(
                        data.into_iter()
                            .map(|(key, value)| (format!("{prefix}{key}"), value)),
                    );
                }
            }
        }
    }
    for variable in &container.env {
        let from = variable.value_from.as_ref();
        let sources = [
            (
                CONFIG_MAP,
                from.and_then(|from| from.config_map_key_ref.as_ref()),
            ),
            (SECRET, from.and_then(|from| from.secret_key_ref.as_ref())),
        ];
        let mut value = Some(variable.value.clone());
        for (kind, source) in sources {
            if let Some(source) = source {
                value = one_key(store, namespace, kind, source)?;
            }
        }
        if let Some(value) = value {
            result.insert(variable.name.clone(), value);
        }
    }
    Ok(result)
}

fn one_key(
    store: &Store,
    namespace: &str,
    kind: Kind,
    source: &KeyRef,
) -> Result<Option<String>, String> {
    match Data::of(store, kind.resource, namespace, &source.name) {
        Data::Missing if source.optional => Ok(None),
        Data::Missing => Err(format!("{} \"{}\" not found", kind.lower, source.name)),
        Data::There(data) => match data.get(&source.key) {
            Some(value) => Ok(Some(value.clone())),
            None if source.optional => Ok(None),
            None => Err(format!(
                "couldn't find key {} in {} {namespace}/{}",
                source.key, kind.camel, source.name
            )),
        },
    }
}

/// A key that a program looks for by itself, wherever it comes from. `None` when it is not there.
pub(super) fn key(
    store: &Store,
    namespace: &str,
    secret: bool,
    name: &str,
    key: &str,
) -> Option<String> {
    let kind = if secret { SECRET } else { CONFIG_MAP };
    match Data::of(store, kind.resource, namespace, name) {
        Data::Missing => None,
        Data::There(_) if key.is_empty() => Some(String::new()),
        Data::There(data) => data.get(key).cloned(),
    }
}

/// A volume that cannot be had.
pub(super) enum Unmounted {
    /// Its content is missing: the volume manager says so.
    SetUp(String),
    /// It cannot even be looked at: the pod's worker says so.
    Process(String),
}

/// What is wrong with a pod's volumes, in their order.
pub(super) fn volumes(store: &Store, namespace: &str, spec: &PodSpec) -> Vec<Unmounted> {
    let each = spec.volumes.iter();
    each.filter_map(|volume| volume_error(store, namespace, volume))
        .collect()
}

fn volume_error(store: &Store, namespace: &str, volume: &Volume) -> Option<Unmounted> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return claim_error(store, namespace, volume, &claim.claim_name);
    }
    let set_up = |why: String| {
        Unmounted::SetUp(format!(
            "MountVolume.SetUp failed for volume \"{}\" : {why}",
            volume.name
        ))
    };
    let content = |kind: Kind, name: &str, optional: bool, items: &[Item]| {
        content_error(store, namespace, kind, name, items).filter(|_| !optional)
    };
    if let Some(source) = &volume.config_map {
        return content(CONFIG_MAP, &source.name, source.optional, &source.items).map(set_up);
    }
    if let Some(source) = &volume.secret {
        return content(SECRET, &source.secret_name, source.optional, &source.items).map(set_up);
    }
    // The service account's token and the cluster's certificate are always there.
    if volume.name.starts_with("kube-api-access-") {
        return None;
    }
    let sources = volume
        .projected
        .iter()
        .flat_map(|projected| &projected.sources);
    let errors = sources.filter_map(|source| {
        let map = source.config_map.as_ref();
        let map = map.and_then(|one| content(CONFIG_MAP, &one.name, one.optional, &one.items));
        let secret = source.secret.as_ref();
        map.or_else(|| secret.and_then(|one| content(SECRET, &one.name, one.optional, &one.items)))
    });
    let errors: Vec<String> = errors.collect();
    match errors.as_slice() {
        [] => None,
        [one] => Some(set_up(one.clone())),
        many => Some(set_up(format!("[{}]", many.join(", ")))),
    }
}

fn content_error(
    store: &Store,
    namespace: &str,
    kind: Kind,
    name: &str,
    items: &[Item],
) -> Option<String> {
    let data = match Data::of(store, kind.resource, namespace, name) {
        Data::Missing => return Some(format!("{} \"{name}\" not found", kind.lower)),
        Data::There(data) => data,
    };
    let missing = items.iter().find(|item| !data.contains_key(&item.key))?;
    Some(match kind.resource {
        ids::SECRETS => format!("references non-existent secret key: {}", missing.key),
        _ => format!(
            "configmap references non-existent config key: {}",
            missing.key
        ),
    })
}

fn claim_error(store: &Store, namespace: &str, volume: &Volume, claim: &str) -> Option<Unmounted> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Status {
        phase: String,
    }
    let key = Key::new(ids::PERSISTENT_VOLUME_CLAIMS, namespace, claim);
    let why = match store.get(&key) {
        None => format!(
            "failed to fetch PVC from API server: persistentvolumeclaims \"{claim}\" not found"
        ),
        Some(object) if object.status::<Status>().phase != "Bound" => "PVC is not bound".to_owned(),
        Some(_) => return None,
    };
    let name = &volume.name;
    Some(Unmounted::Process(format!(
        "Unable to attach or mount volumes: unmounted volumes=[{name}], unattached volumes=[], \
         failed to process volumes=[{name}]: error processing PVC {namespace}/{claim}: {why}"
    )))
}

/// Does a path lie below a volume of a `ConfigMap` or `Secret` that has such a file?
pub(super) fn has_file(
    store: &Store,
    namespace: &str,
    spec: &PodSpec,
    container: &Container,
    path: &str,
) -> bool {
    let mounted = container.volume_mounts.iter().filter_map(|mount| {
        let file = path
            .strip_prefix(&mount.mount_path)?
            .trim_start_matches('/');
        let volume = spec
            .volumes
            .iter()
            .find(|volume| volume.name == mount.name)?;
        Some((file, volume))
    });
    mounted.into_iter().any(|(file, volume)| {
        let (kind, name, items) = match (&volume.config_map, &volume.secret) {
            (Some(source), _) => (CONFIG_MAP, &source.name, &source.items),
            (None, Some(source)) => (SECRET, &source.secret_name, &source.items),
            // What is in other volumes is not simulated: it is there.
            (None, None) => return true,
        };
        let Data::There(data) = Data::of(store, kind.resource, namespace, name) else {
            return false;
        };
        match items.as_slice() {
            [] => data.contains_key(file),
            items => items
                .iter()
                .any(|item| item.path == file && data.contains_key(&item.key)),
        }
    })
}
