//! `meta.k8s.io/v1` Tables: the columns of `kubectl get`
//! (`k8s.io/kubernetes/pkg/printers/internalversion/printers.go`).

mod core;
mod format;
mod pods;
mod rest;
mod workloads;

use crate::custom::Column as Custom;
use crate::object::Object;
use crate::resources::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

/// One column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    /// Above 0: only with `-o wide`.
    priority: u8,
    cell: fn(&Row<'_>) -> Value,
}

const fn column(
    name: &'static str,
    kind: &'static str,
    priority: u8,
    cell: fn(&Row<'_>) -> Value,
) -> Column {
    Column {
        name,
        kind,
        priority,
        cell,
    }
}

/// A column of text that is always shown.
const fn text(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Column {
    column(name, "string", 0, cell)
}

/// A column of text that is shown with `-o wide`.
const fn wide(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Column {
    column(name, "string", 1, cell)
}

/// A column of numbers.
const fn number(name: &'static str, cell: fn(&Row<'_>) -> Value) -> Column {
    column(name, "integer", 0, cell)
}

const NAME: Column = text("Name", |row| json!(row.object.meta.name));
const AGE: Column = text("Age", |row| json!(row.age()));
const CREATED: Column = column("Created At", "date", 0, |row| {
    json!(row.object.meta.creation_timestamp)
});

/// What a cell is made from.
struct Row<'row> {
    object: &'row Object,
    /// The object; for columns of ours without its metadata, which is read already.
    value: Value,
    now: Timestamp,
}

impl Row<'_> {
    fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Text; empty where there is none.
    fn str(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// Text, or `<none>`.
    fn or_none(&self, pointer: &str) -> Value {
        json!(format::or_none(self.str(pointer)))
    }

    fn number(&self, pointer: &str) -> Value {
        json!(self.at(pointer).as_i64().unwrap_or(0))
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    /// How many entries a list or a map has.
    fn count(&self, pointer: &str) -> usize {
        match self.at(pointer) {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        }
    }

    /// How long the object is there.
    fn age(&self) -> String {
        let created = self.object.meta.creation_timestamp;
        created.map_or_else(|| "<unknown>".to_owned(), |at| format::since(at, self.now))
    }

    /// How long ago a time in the object was.
    fn since(&self, pointer: &str) -> String {
        let time = self.str(pointer).parse();
        time.map_or_else(|_| "<unknown>".to_owned(), |at| format::since(at, self.now))
    }
}

/// Columns of one resource.
pub(in crate::api) enum Columns<'row> {
    Known(&'static [Column]),
    Custom(&'row [Custom]),
}

impl<'row> Columns<'row> {
    /// Columns of a resource.
    pub(super) fn of(row: &Resource, custom: &'row [Custom]) -> Self {
        if row.custom && !custom.is_empty() {
            return Self::Custom(custom);
        }
        Self::Known(known(&row.group, &row.kind))
    }

    /// `columnDefinitions`.
    pub(super) fn definitions(&self) -> Value {
        let known = |one: &Column| {
            let name = one.name == "Name" || one.name == "Attacher";
            json!({
                "name": one.name, "type": one.kind, "format": if name { "name" } else { "" },
                "description": "", "priority": one.priority,
            })
        };
        match self {
            Self::Known(columns) => columns.iter().map(known).collect(),
            Self::Custom(columns) => {
                let custom = columns.iter().map(|one| {
                    json!({
                        "name": one.name, "type": one.kind, "format": one.format,
                        "description": one.description, "priority": one.priority,
                    })
                });
                std::iter::once(known(&NAME)).chain(custom).collect()
            }
        }
    }

    /// The cells of an object.
    pub(super) fn cells(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let value = match self {
            Self::Known(_) => object.fields_to_value(),
            Self::Custom(_) => object.to_value(),
        };
        let row = Row { object, value, now };
        match self {
            Self::Known(columns) => columns.iter().map(|one| (one.cell)(&row)).collect(),
            Self::Custom(columns) => {
                let cells = columns.iter().map(|one| custom(&row, one));
                std::iter::once(json!(object.meta.name))
                    .chain(cells)
                    .collect()
            }
        }
    }
}

/// A cell of a custom resource. Only simple paths are understood: `.spec.list[0].name`, and
/// `[?(@.type=="Ready")]` on a list.
fn custom(row: &Row<'_>, column: &Custom) -> Value {
    let found = format::json_path(&row.value, &column.json_path);
    match (column.kind.as_str(), found) {
        (_, None) => Value::Null,
        ("date", Some(Value::String(time))) => {
            let time = time.parse();
            json!(time.map_or_else(|_| "<invalid>".to_owned(), |at| format::since(at, row.now)))
        }
        ("string", Some(Value::String(text))) => json!(text),
        ("string", Some(other)) => json!(other.to_string()),
        (_, Some(other)) => other.clone(),
    }
}

fn known(group: &str, kind: &str) -> &'static [Column] {
    match (group, kind) {
        ("", "Pod") => pods::COLUMNS,
        ("" | "events.k8s.io", _) => core::columns(kind),
        ("apps" | "batch" | "autoscaling" | "policy", _) => workloads::columns(kind),
        _ => rest::columns(kind),
    }
}

/// Name and age: what is shown of kinds without columns of their own.
const PLAIN: &[Column] = &[NAME, AGE];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::ResourceId;
    use crate::resources::{Resources, ids};

    pub(super) fn cells(id: ResourceId, value: Value) -> Vec<Value> {
        let resources = Resources::default();
        let object = Object::from_value(value).unwrap();
        let now = "2026-11-22T11:00:00Z".parse().unwrap();
        Columns::of(resources.get(id), &[]).cells(&object, now)
    }

    #[test]
    fn the_columns_are_those_that_a_real_one_has() {
        let recorded = include_str!("../../../../docs/recorded/tables.yaml");
        let recorded: Value = serde_saphyr::from_str(recorded).unwrap();
        let resources = Resources::default();
        let mut seen = 0;
        for (_, row) in resources.iter() {
            let prefix = if row.group.is_empty() {
                "/api"
            } else {
                "/apis"
            };
            let path = format!("{prefix}/{}/{}", row.api_version(), row.plural);
            let Some(expected) = recorded.get(&path) else {
                continue;
            };
            let of = |list: &Value| -> Vec<Value> {
                let all = list.as_array().unwrap().iter();
                all.map(|one| json!([one["name"], one["type"], one["format"], one["priority"]]))
                    .collect()
            };
            let ours = Columns::of(row, &[]).definitions();
            assert_eq!(of(&ours), of(&expected["columns"]), "{path}");
            seen += 1;
        }
        assert!(seen > 35, "{seen}");
    }

    #[test]
    fn a_deployment_is_printed_as_by_the_real_one() {
        let deployment = json!({
            "metadata": {"name": "it", "creationTimestamp": "2026-11-22T10:56:44Z"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "it"}},
                "template": {"spec": {"containers": [{"name": "main", "image": "img.test/app:1"}]}}},
            "status": {"readyReplicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
        });
        assert_eq!(
            json!(cells(ids::DEPLOYMENTS, deployment)),
            json!([
                "it",
                "3/3",
                3,
                3,
                "3m16s",
                "main",
                "img.test/app:1",
                "app=it"
            ])
        );
    }
}
