//! As much OpenAPI as clients need to work: which kinds take `fieldValidation`. There are no
//! schemas: kubectl then leaves the checks of fields to the server, and patches by the schemas that
//! it has built in.

use super::discovery;
use crate::resources::{Resource, Resources};
use serde_json::{Map, Value, json};

/// Answers `/openapi/...`; `None` where there is nothing.
pub(super) fn serve(resources: &Resources, parts: &[&str]) -> Option<Value> {
    match parts {
        ["v2"] => Some(document(resources, "swagger", "2.0", |_| true)),
        ["v3"] => Some(index(resources)),
        ["v3", "api", version] => one(resources, "", version),
        ["v3", "apis", group, version] => one(resources, group, version),
        _ => None,
    }
}

fn index(resources: &Resources) -> Value {
    let mut paths = Map::new();
    for (group, versions) in discovery::groups(resources) {
        for version in versions {
            let path = prefix(&group, &version);
            let path = path.trim_start_matches('/');
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
            paths.insert(path.to_owned(), url);
        }
    }
    json!({"paths": paths})
}

fn one(resources: &Resources, group: &str, version: &str) -> Option<Value> {
    let known = |row: &Resource| *row.group == *group && *row.version == *version;
    let value = document(resources, "openapi", "3.0.0", known);
    let some = value.get("paths").and_then(Value::as_object)?;
    (!some.is_empty()).then_some(value)
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

fn document(
    resources: &Resources,
    key: &str,
    version: &str,
    wanted: impl Fn(&Resource) -> bool,
) -> Value {
    let mut paths = Map::new();
    for (_, row) in resources
        .iter()
        .filter(|(_, row)| row.served && wanted(row))
    {
        let namespaces = if row.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let path = format!(
            "{}{namespaces}/{}/{{name}}",
            prefix(&row.group, &row.version),
            row.plural
        );
        paths.insert(path, operations(row));
    }
    let mut value = json!({
        "info": {"title": "Kubernetes", "version": super::other::VERSION},
        "paths": paths,
    });
    if let Some(map) = value.as_object_mut() {
        map.insert(key.to_owned(), json!(version));
    }
    value
}

fn operations(row: &Resource) -> Value {
    let parameter = |name: &str, kind: &str| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}});
    json!({
        "patch": {
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {
                "group": row.group, "version": row.version, "kind": row.kind,
            },
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
