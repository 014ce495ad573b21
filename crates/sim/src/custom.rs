//! Custom resources: a definition that is created serves its objects at once, one that is deleted
//! takes them along.

use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::resources::{Resource, ResourceId, ids};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `apiextensions.k8s.io/v1` CustomResourceDefinitionSpec, as far as it decides anything here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Spec {
    group: String,
    names: Naming,
    scope: String,
    versions: Vec<Version>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Naming {
    plural: String,
    singular: String,
    kind: String,
    #[serde(rename = "listKind")]
    list: String,
    short_names: Vec<Arc<str>>,
    categories: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Version {
    name: String,
    served: bool,
    storage: bool,
    subresources: Subresources,
    additional_printer_columns: Vec<Column>,
    schema: Validation,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Validation {
    #[serde(rename = "openAPIV3Schema")]
    schema: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Subresources {
    status: Option<Value>,
    scale: Option<ScalePaths>,
}

/// Where a custom resource keeps what a Scale shows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ScalePaths {
    /// Wished replicas.
    #[serde(rename = "specReplicasPath")]
    pub(crate) wished: String,
    /// Observed replicas.
    #[serde(rename = "statusReplicasPath")]
    pub(crate) observed: String,
    /// Selector as text.
    #[serde(rename = "labelSelectorPath")]
    pub(crate) selector: Option<String>,
}

/// A column of `kubectl get`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Column {
    /// Heading.
    pub(crate) name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// OpenAPI format.
    pub(crate) format: String,
    /// For a person.
    pub(crate) description: String,
    /// Above 0: only with `-o wide`.
    pub(crate) priority: i32,
    /// Path of the value: `.spec.size`.
    pub(crate) json_path: String,
}

/// The definition of a custom resource.
fn definition(cluster: &Cluster, row: &Resource) -> Option<Spec> {
    let name = format!("{}.{}", row.plural, row.group);
    let key = Key::new(ids::CUSTOM_RESOURCE_DEFINITIONS, "", &name);
    Some(cluster.store.get(&key)?.spec())
}

fn version(cluster: &Cluster, row: &Resource) -> Option<Version> {
    let versions = definition(cluster, row)?.versions;
    versions.into_iter().find(|one| *one.name == *row.version)
}

/// Columns of `kubectl get`, as the definition has them.
pub(crate) fn columns(cluster: &Cluster, row: &Resource) -> Vec<Column> {
    version(cluster, row).map_or_else(Vec::new, |version| version.additional_printer_columns)
}

/// The schema of a custom resource, as its definition has it.
pub(crate) fn schema(cluster: &Cluster, row: &Resource) -> Option<Map<String, Value>> {
    version(cluster, row)?.schema.schema
}

/// Paths of the scale subresource.
pub(crate) fn scale_paths(cluster: &Cluster, row: &Resource) -> Option<ScalePaths> {
    version(cluster, row)?.subresources.scale
}

/// To be called after each write: a definition takes effect.
pub(crate) fn written(cluster: &mut Cluster, resource: ResourceId, object: &Object) {
    if resource == ids::CUSTOM_RESOURCE_DEFINITIONS {
        serve(cluster, object);
    }
}

/// Serves what a definition defines, and stops serving versions that it no longer has.
fn serve(cluster: &mut Cluster, definition: &Object) {
    let spec: Spec = definition.spec();
    // The version that is stored comes first: its id is that of the objects.
    let mut versions = spec.versions.clone();
    versions.sort_by_key(|version| !version.storage);
    let known: Vec<ResourceId> = ids_of(cluster, &spec);
    for version in &versions {
        let mut subresources: Vec<Arc<str>> = Vec::new();
        if version.subresources.status.is_some() {
            subresources.push("status".into());
        }
        if version.subresources.scale.is_some() {
            subresources.push("scale".into());
        }
        let singular = if spec.names.singular.is_empty() {
            spec.names.kind.to_lowercase()
        } else {
            spec.names.singular.clone()
        };
        cluster.resources.add(Resource {
            group: spec.group.as_str().into(),
            version: version.name.as_str().into(),
            kind: spec.names.kind.as_str().into(),
            plural: spec.names.plural.as_str().into(),
            singular: singular.as_str().into(),
            short_names: spec.names.short_names.clone(),
            namespaced: spec.scope == "Namespaced",
            subresources,
            in_all: spec.names.categories.iter().any(|one| one == "all"),
            custom: true,
            served: version.served,
        });
    }
    for id in known {
        let name = &cluster.resources.get(id).version;
        if !versions.iter().any(|version| *version.name == **name) {
            cluster.resources.serve(id, false);
        }
    }
}

/// Ids of all versions of a definition, served or not.
fn ids_of(cluster: &Cluster, spec: &Spec) -> Vec<ResourceId> {
    let its = |row: &Resource| {
        row.custom && *row.group == *spec.group && *row.plural == *spec.names.plural
    };
    let all = cluster.resources.iter();
    all.filter(|(_, row)| its(row)).map(|(id, _)| id).collect()
}

/// Stops serving what a definition defines, and gives the keys of its objects.
pub(crate) fn retire(cluster: &mut Cluster, definition: &Object) -> Vec<Key> {
    let spec: Spec = definition.spec();
    let mut keys = Vec::new();
    for id in ids_of(cluster, &spec) {
        cluster.resources.serve(id, false);
        keys.extend(cluster.store.list(id, None).map(|object| object.key(id)));
    }
    keys
}

/// The status of a definition whose names are accepted.
pub(crate) fn status(cluster: &Cluster, definition: &Object) -> Value {
    let spec: Spec = definition.spec();
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": cluster.now_seconds(),
        })
    };
    let stored = spec.versions.iter().filter(|version| version.storage);
    let mut names = json!({
        "plural": spec.names.plural,
        "singular": if spec.names.singular.is_empty() { spec.names.kind.to_lowercase() } else { spec.names.singular.clone() },
        "kind": spec.names.kind,
        "listKind": if spec.names.list.is_empty() { format!("{}List", spec.names.kind) } else { spec.names.list.clone() },
    });
    if let Some(map) = names.as_object_mut() {
        if !spec.names.short_names.is_empty() {
            map.insert("shortNames".to_owned(), json!(spec.names.short_names));
        }
        if !spec.names.categories.is_empty() {
            map.insert("categories".to_owned(), json!(spec.names.categories));
        }
    }
    json!({
        "acceptedNames": names,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": stored.map(|version| &version.name).collect::<Vec<_>>(),
    })
}
