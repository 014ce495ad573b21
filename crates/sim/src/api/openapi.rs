//! OpenAPI v3: which kinds there are, of which fields they are made, and how those merge. There are
//! no descriptions. kubectl explains kinds by it, and leaves the checks of fields to the server.

use super::discovery;
use crate::cluster::Cluster;
use crate::custom;
use crate::resources::{Resource, Resources};
use crate::schema::{Type, openapi};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Answers `/openapi/...`; `None` where there is nothing.
pub(super) fn serve(cluster: &Cluster, parts: &[&str]) -> Option<Value> {
    match parts {
        ["v3"] => Some(index(cluster)),
        ["v3", "api", version] => document(cluster, "", version),
        ["v3", "apis", group, version] => document(cluster, group, version),
        _ => None,
    }
}

fn index(cluster: &Cluster) -> Value {
    let mut paths = Map::new();
    for (group, versions) in discovery::groups(&cluster.resources) {
        for version in versions {
            let path = prefix(&group, &version);
            let path = path.trim_start_matches('/');
            let hash = hash(cluster, &group, &version);
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")});
            paths.insert(path.to_owned(), url);
        }
    }
    json!({"paths": paths})
}

/// The resources of one group and version that are served.
fn rows<'r>(
    resources: &'r Resources,
    group: &str,
    version: &str,
) -> impl Iterator<Item = &'r Resource> {
    let all = resources.iter().map(|(_, row)| row);
    all.filter(move |row| row.served && *row.group == *group && *row.version == *version)
}

/// Another one when the document is another one: clients keep what they have got by it.
fn hash(cluster: &Cluster, group: &str, version: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(super::other::VERSION);
    hash.update(prefix(group, version));
    for row in rows(&cluster.resources, group, version) {
        hash.update(format!("{row:?}{:?}", custom::schema(cluster, row)));
    }
    hex::encode_upper(hash.finalize())
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

fn document(cluster: &Cluster, group: &str, version: &str) -> Option<Value> {
    let groups = discovery::groups(&cluster.resources);
    let served = |(one, versions): &(String, Vec<String>)| {
        *one == *group && versions.iter().any(|one| *one == *version)
    };
    groups.iter().find(|one| served(one))?;
    let prefix = prefix(group, version);
    let mut paths = Map::new();
    let mut schemas = openapi::components(
        prefix
            .trim_start_matches("/apis/")
            .trim_start_matches("/api/"),
    );
    for row in rows(&cluster.resources, group, version) {
        let namespaces = if row.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let path = format!("{prefix}{namespaces}/{}/{{name}}", row.plural);
        paths.insert(path, operations(row));
        if row.custom {
            let metadata = Type::Custom.schema().field("metadata");
            openapi::add(&metadata.kind, &mut schemas);
            schemas.insert(custom_name(row), custom_schema(cluster, row));
        }
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": super::other::VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// `com.example.v1.Widget`
fn custom_name(row: &Resource) -> String {
    let mut group: Vec<&str> = row.group.split('.').collect();
    group.reverse();
    format!("{}.{}.{}", group.join("."), row.version, row.kind)
}

/// The schema of a definition, with what every object has.
fn custom_schema(cluster: &Cluster, row: &Resource) -> Value {
    let mut schema = custom::schema(cluster, row).unwrap_or_default();
    schema.insert("type".to_owned(), json!("object"));
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        for name in ["apiVersion", "kind", "metadata"] {
            let field = Type::Custom.schema().field(name);
            properties.insert(name.to_owned(), openapi::reference(&field.kind));
        }
    }
    schema.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        json!([kind(row)]),
    );
    Value::Object(schema)
}

fn kind(row: &Resource) -> Value {
    json!({"group": row.group, "version": row.version, "kind": row.kind})
}

fn operations(row: &Resource) -> Value {
    let parameter = |name: &str, kind: &str| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}});
    json!({
        "patch": {
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": kind(row),
            "parameters": [
                parameter("dryRun", "string"),
                parameter("fieldManager", "string"),
                parameter("fieldValidation", "string"),
                parameter("force", "boolean"),
            ],
            "responses": {"200": {"description": "OK"}},
        }
    })
}
