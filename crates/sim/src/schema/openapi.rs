//! The table as OpenAPI v3 says it, without descriptions.

use super::{Field, Info, ListKind, TABLE, Type};
use serde_json::{Map, Value, json};

/// Beginnings of the names of types, and what they stand for in OpenAPI; all others are of
/// `k8s.io/api`.
const PACKAGES: [(&str, &str); 3] = [
    ("meta.", "io.k8s.apimachinery.pkg.apis."),
    ("apiextensions.", "io.k8s.apiextensions-apiserver.pkg.apis."),
    ("apiregistration.", "io.k8s.kube-aggregator.pkg.apis."),
];

/// `components/schemas` of a group and version: its kinds, and what they are made of.
pub(crate) fn components(group_version: &str) -> Map<String, Value> {
    let mut found = Map::new();
    for (kind, number) in &TABLE.kinds {
        let of_group = kind.rsplit_once('/').map(|(group, _)| group) == Some(group_version);
        if of_group {
            add(&Type::Object(*number), &mut found);
        }
    }
    found
}

/// The schema that stands for a type, as a property refers to it.
pub(crate) fn reference(kind: &Type) -> Value {
    match kind {
        Type::String => json!({"type": "string"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Any | Type::Custom => json!({"type": "object"}),
        Type::Schema(_) => json!({}),
        Type::List(items) => json!({"type": "array", "items": reference(items)}),
        Type::Map(values) => json!({"type": "object", "additionalProperties": reference(values)}),
        Type::Time | Type::MicroTime | Type::Quantity | Type::IntOrString | Type::Object(_) => {
            let path = format!("#/components/schemas/{}", full_name(kind));
            json!({"allOf": [{"$ref": path}]})
        }
    }
}

/// The name of a type that is a schema of its own.
fn full_name(kind: &Type) -> String {
    let name = match kind {
        Type::Time => "meta.v1.Time",
        Type::MicroTime => "meta.v1.MicroTime",
        Type::Quantity => return "io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned(),
        Type::IntOrString => return "io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned(),
        kind => kind.schema().info().map_or("", |info| info.name),
    };
    let package = PACKAGES.iter().find(|(begin, _)| name.starts_with(begin));
    let package = package.map_or("io.k8s.api.", |(_, package)| package);
    format!("{package}{name}")
}

/// Adds a type and all that it is made of.
pub(crate) fn add(kind: &Type, found: &mut Map<String, Value>) {
    let schema = match kind {
        Type::List(inner) | Type::Map(inner) => return add(inner, found),
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Type::IntOrString => json!({
            "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}],
        }),
        Type::Object(_) => Value::Null,
        _ => return,
    };
    let name = full_name(kind);
    if found.contains_key(&name) {
        return;
    }
    found.insert(name.clone(), schema);
    if let (Type::Object(_), Some(info)) = (kind, kind.schema().info()) {
        found.insert(name, object(info));
        for field in &info.fields {
            add(&field.kind, found);
        }
    }
}

fn object(info: &Info) -> Value {
    let fields = info.fields.iter();
    let properties: Map<String, Value> = fields
        .map(|field| (field.name.to_owned(), property(field)))
        .collect();
    let required = info.fields.iter().filter(|field| field.required);
    let required: Vec<&str> = required.map(|field| field.name).collect();
    let mut schema = Map::new();
    let mut set = |name: &str, value: Value| schema.insert(name.to_owned(), value);
    set("type", json!("object"));
    set("properties", Value::Object(properties));
    if !required.is_empty() {
        set("required", json!(required));
    }
    if info.atomic {
        set("x-kubernetes-map-type", json!("atomic"));
    }
    if let Some(kind) = info.kind {
        set("x-kubernetes-group-version-kind", json!([gvk(kind)]));
    }
    Value::Object(schema)
}

/// `apps/v1/Deployment` in three parts.
fn gvk(kind: &str) -> Value {
    let mut parts = kind.rsplit('/');
    let (kind, version, group) = (parts.next(), parts.next(), parts.next());
    json!({"group": group.unwrap_or_default(), "version": version, "kind": kind})
}

fn property(field: &Field) -> Value {
    let mut property = reference(&field.kind);
    let mut set = |name: &str, value: Value| {
        if let Some(map) = property.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    };
    if let Some(default) = &field.default {
        set("default", default.clone());
    }
    if !field.strategy.is_empty() {
        set("x-kubernetes-patch-strategy", json!(field.strategy));
    }
    if let Some(key) = &field.merge_key {
        set("x-kubernetes-patch-merge-key", json!(key));
    }
    if field.is_atomic() {
        set("x-kubernetes-map-type", json!("atomic"));
    }
    match field.list() {
        ListKind::Atomic => {}
        ListKind::Set => set("x-kubernetes-list-type", json!("set")),
        ListKind::Keyed(keys, _) => {
            set("x-kubernetes-list-type", json!("map"));
            set("x-kubernetes-list-map-keys", json!(keys));
        }
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_and_all_that_it_is_made_of_are_said() {
        let all = components("apps/v1");
        let deployment = &all["io.k8s.api.apps.v1.Deployment"];
        assert_eq!(
            deployment["x-kubernetes-group-version-kind"],
            json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
        );
        let containers = &all["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["type"], "array");
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert!(all.contains_key("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
        assert!(!all.contains_key("io.k8s.api.core.v1.Node"));
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        for version in ["v1", "apps/v1", "apiextensions.k8s.io/v1", "batch/v1"] {
            let all = components(version);
            let text = Value::Object(all.clone()).to_string();
            for part in text.split("#/components/schemas/").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(all.contains_key(name), "{version}: {name}");
            }
            assert!(all.values().all(|one| !one.is_null()));
        }
    }
}
