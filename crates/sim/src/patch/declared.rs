//! Whether what is applied is declared: apply refuses fields that the kind has not, and values of
//! another type (`sigs.k8s.io/structured-merge-diff/typed`).

use super::owned::{item_key, printed};
use crate::resources::Resource;
use crate::schema::{Field, ListKind, Schema, Type};
use crate::status::{Reason, Status};
use serde_json::{Map, Value};

/// 500 where something is not declared.
pub(super) fn check(row: &Resource, config: &Map<String, Value>) -> Result<(), Status> {
    let mut errors = Vec::new();
    let kind = Type::of_row(row);
    fields(config, kind.schema(), kind == Type::Custom, "", &mut errors);
    let why = match errors.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let text = |name: &str| {
        let metadata = config.get("metadata");
        let found = metadata.and_then(|metadata| metadata.get(name)?.as_str());
        found.unwrap_or_default()
    };
    let message = format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {why}",
        text("namespace"),
        text("name"),
        if row.group.is_empty() {
            format!("/{}", row.version)
        } else {
            row.api_version().to_string()
        },
        row.kind,
    );
    Err(Status::new(Reason::Unknown, message))
}

fn fields(
    map: &Map<String, Value>,
    schema: Schema,
    open: bool,
    path: &str,
    errors: &mut Vec<String>,
) {
    for (name, value) in map {
        let path = format!("{path}.{name}");
        match schema.get(name) {
            Some(field) => one(value, &field.kind, field, &path, errors),
            None if open => {}
            // The rest of this object is not looked at.
            None => return errors.push(format!("{path}: field not declared in schema")),
        }
    }
}

/// Looks at one value. `field` is the field that it is, or is an item of.
fn one(value: &Value, kind: &Type, field: &Field, path: &str, errors: &mut Vec<String>) {
    let mut wrong = |why: String| errors.push(format!("{path}: {why}"));
    match (kind, value) {
        (_, Value::Null) | (Type::String | Type::Bytes, Value::String(_)) => {}
        (Type::Object(_), Value::Object(map)) => fields(map, kind.schema(), false, path, errors),
        (Type::Map(kind), Value::Object(map)) => {
            for (key, value) in map {
                one(value, kind, field, &format!("{path}.{key}"), errors);
            }
        }
        (Type::List(kind), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let place = match field.list() {
                    ListKind::Atomic => format!("[{index}]"),
                    ListKind::Set | ListKind::Keyed(..) => printed(&item_key(item, field)),
                };
                one(item, kind, field, &format!("{path}{place}"), errors);
            }
        }
        (Type::Object(_) | Type::Map(_), other) => {
            wrong(format!("expected map, got {}", go(other)));
        }
        (Type::List(_), other) => wrong(format!("expected list, got {}", go(other))),
        (Type::String | Type::Bytes, other) => wrong(format!(
            "expected string, got &value.valueUnstructured{{Value:{other}}}"
        )),
        (Type::Int32 | Type::Int64 | Type::Double, other) if !other.is_number() => {
            let name = match other {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            wrong(format!("expected numeric (int or float), got {name}"));
        }
        (Type::Bool, other) if !other.is_boolean() => {
            wrong(format!("expected boolean, got {}", go(other)));
        }
        _ => {}
    }
}

/// As Go prints a wrapped value.
fn go(value: &Value) -> String {
    match value {
        Value::String(text) => format!("&{{{text}}}"),
        other => format!("&{{{other}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Resources, ids};
    use serde_json::json;

    #[test]
    fn what_is_not_declared_is_refused_with_its_path() {
        let resources = Resources::default();
        let row = resources.get(ids::DEPLOYMENTS);
        let container = json!({"name": "a", "img": "x"});
        let table = [
            (
                json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}}),
                None,
            ),
            (
                json!({"nonsense": 1}),
                Some(".nonsense: field not declared in schema"),
            ),
            (
                json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
                Some(
                    ".spec.template.spec.containers[name=\"a\"].img: field not declared in schema",
                ),
            ),
            (
                json!({"spec": {"replicas": "3"}}),
                Some(".spec.replicas: expected numeric (int or float), got string"),
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                Some(".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}"),
            ),
            (
                json!({"spec": {"paused": "x", "selector": []}}),
                Some(
                    "errors:\n  .spec.paused: expected boolean, got &{x}\n  .spec.selector: expected map, got &{[]}",
                ),
            ),
        ];
        for (mut config, wanted) in table {
            config["metadata"]["name"] = json!("it");
            let got = check(row, config.as_object().unwrap()).map_err(|status| status.message);
            let begin = "failed to create typed patch object (/it; apps/v1, Kind=Deployment): ";
            assert_eq!(
                got,
                wanted.map_or(Ok(()), |why| Err(format!("{begin}{why}")))
            );
        }
    }
}
