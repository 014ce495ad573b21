//! `metadata` of an object, narrowed, with who changed what last.

use super::map::Map;
use super::object::Kind;
use crate::ids::Uid;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;

/// The part of `metadata` that rules read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Object name.
    pub name: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Unique id of this incarnation of the object.
    pub uid: Uid,
    /// Opaque version for optimistic concurrency.
    pub resource_version: String,
    /// Counts changes of the spec.
    pub generation: i64,
    /// When the object was created.
    pub creation_timestamp: Option<Timestamp>,
    /// Set when the object is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Labels.
    pub labels: Map<String, String>,
    /// Annotations, only the few in [`KEPT_ANNOTATIONS`].
    #[serde(deserialize_with = "kept_annotations")]
    pub annotations: Map<String, String>,
    /// Owners; the one with `controller: true` manages the object.
    pub owner_references: Vec<OwnerReference>,
    /// Managers with the times and the interesting fields that they own.
    #[serde(deserialize_with = "interesting_managers")]
    pub managed_fields: Vec<ManagedField>,
}

impl Meta {
    /// The owner that controls this object, if any.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether both say the same but for their version and who wrote it when.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        let Self {
            name,
            namespace,
            uid,
            resource_version: _,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels,
            annotations,
            owner_references,
            managed_fields: _,
        } = self;
        *name == other.name
            && *namespace == other.namespace
            && *uid == other.uid
            && *generation == other.generation
            && *creation_timestamp == other.creation_timestamp
            && *deletion_timestamp == other.deletion_timestamp
            && *labels == other.labels
            && *annotations == other.annotations
            && *owner_references == other.owner_references
    }
}

/// Annotations that some rule reads; all others (often large) are dropped while decoding.
pub const KEPT_ANNOTATIONS: &[&str] = &[
    "deployment.kubernetes.io/revision",
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.source",
    "argocd.argoproj.io/tracking-id",
    "meta.helm.sh/release-name",
    "kubectl.kubernetes.io/restartedAt",
];

fn kept_annotations<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, String>, D::Error> {
    let all = Option::<Map<String, String>>::deserialize(from)?.unwrap_or_default();
    let kept = all
        .iter()
        .filter(|(key, _)| KEPT_ANNOTATIONS.contains(&key.as_str()));
    Ok(kept
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}

/// One entry of `ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version, for example `apps/v1`.
    pub api_version: String,
    /// Kind, for example `ReplicaSet`.
    pub kind: Kind,
    /// Name of the owner.
    pub name: String,
    /// Uid of the owner.
    pub uid: Uid,
    /// Whether this owner manages the object.
    pub controller: bool,
}

/// One entry of `managedFields`, with `fieldsV1` reduced to the fields that rules ask about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedField {
    /// Field manager, for example `kubectl-client-side-apply` or `argocd-controller`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// When this manager last changed a field it owns.
    pub time: Option<Timestamp>,
    /// Subresource through which the fields were set (`status`, `scale`), else empty.
    pub subresource: String,
    /// Which interesting fields the manager owns.
    #[serde(rename = "fields")]
    pub touches: BTreeSet<Field>,
}

/// Fields whose last writer matters to a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    /// A container's image in a pod template.
    Image,
    /// A container's resources in a pod template.
    Resources,
    /// Anything in a pod template.
    Template,
    /// `spec.replicas`.
    Replicas,
    /// `spec.unschedulable` of a node.
    Unschedulable,
    /// `data` or `binaryData` of a ConfigMap.
    Data,
}

/// As the API server sends it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawManagedField {
    manager: String,
    operation: String,
    time: Option<Timestamp>,
    subresource: Option<String>,
    fields_v1: Option<Owned>,
    fields: Option<BTreeSet<Field>>,
}

/// `fieldsV1`, of which most is read past: it is a third of many objects.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Owned {
    #[serde(rename = "f:data")]
    data: Option<IgnoredAny>,
    #[serde(rename = "f:binaryData")]
    binary_data: Option<IgnoredAny>,
    #[serde(rename = "f:spec")]
    spec: OwnedSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnedSpec {
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
    #[serde(rename = "f:unschedulable")]
    unschedulable: Option<IgnoredAny>,
    #[serde(rename = "f:template")]
    template: Option<OwnedTemplate>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnedTemplate {
    #[serde(rename = "f:spec")]
    spec: OwnedPod,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnedPod {
    #[serde(rename = "f:containers")]
    containers: Map<String, OwnedContainer>,
    #[serde(rename = "f:initContainers")]
    init_containers: Map<String, OwnedContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnedContainer {
    #[serde(rename = "f:image")]
    image: Option<IgnoredAny>,
    #[serde(rename = "f:resources")]
    resources: Option<IgnoredAny>,
}

fn interesting_managers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ManagedField>, D::Error> {
    let raw = Option::<Vec<RawManagedField>>::deserialize(from)?.unwrap_or_default();
    let managers = raw.into_iter().map(|entry| {
        let owned = entry.fields_v1.unwrap_or_default();
        ManagedField {
            touches: entry.fields.unwrap_or_else(|| touched(&owned)),
            manager: entry.manager,
            operation: entry.operation,
            time: entry.time,
            subresource: entry.subresource.unwrap_or_default(),
        }
    });
    Ok(managers.collect())
}

fn touched(fields: &Owned) -> BTreeSet<Field> {
    let Owned {
        data,
        binary_data,
        spec,
    } = fields;
    let pod = spec.template.as_ref().map(|template| &template.spec);
    let main = pod.iter().flat_map(|pod| &pod.containers);
    let init = pod.iter().flat_map(|pod| &pod.init_containers);
    let containers: Vec<_> = main.chain(init).map(|(_, container)| container).collect();
    let found = [
        (Field::Data, data.is_some() || binary_data.is_some()),
        (Field::Replicas, spec.replicas.is_some()),
        (Field::Unschedulable, spec.unschedulable.is_some()),
        (Field::Template, spec.template.is_some()),
        (Field::Image, containers.iter().any(|c| c.image.is_some())),
        (
            Field::Resources,
            containers.iter().any(|c| c.resources.is_some()),
        ),
    ];
    let found = found.into_iter().filter(|(_, is_owned)| *is_owned);
    found.map(|(field, _)| field).collect()
}

/// Kubernetes sends `null` for some empty lists: read it as empty.
pub(crate) fn null_as_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
