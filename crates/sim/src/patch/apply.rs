//! Server-side apply: what an applier sends becomes its fields, what it no longer sends and nobody else
//! owns is removed, and what others own is a conflict unless it is forced.

use super::managers::{Manager, Managers};
use super::owned::{Difference, Owned, branches, item_key};
use super::{Writer, schema_of};
use crate::object::Object;
use crate::resources::Resource;
use crate::schema::{Field, ListKind, Schema};
use crate::status::{Cause, Details, Reason, Status};
use serde_json::{Map, Value};

/// Applies a configuration. `old` is `None` when there is no such object yet; then it is created
/// from the configuration alone. Defaults are filled in afterwards, and belong to nobody.
pub(super) fn apply(
    row: &Resource,
    old: Option<&Object>,
    config: Map<String, Value>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Object, Status> {
    let schema = schema_of(row);
    let config = without_nulls(config);
    let fields = Owned::applied(&config, schema);
    let live = old.map(Object::to_value).unwrap_or_default();
    let mut live = live.as_object().cloned().unwrap_or_default();
    take_managed(&mut live);
    let mut managers = Managers::read(old);
    let last = managers.take(writer, "Apply", row);
    let mut merged = live.clone();
    merge(&mut merged, config, schema);
    if let Some(last) = &last {
        let mut gone = last.fields.clone();
        gone.subtract(&fields);
        let mut kept = managers.union();
        kept.add(&fields);
        prune(&mut merged, &gone, &kept, schema);
    }
    let difference = Difference::between(&live, &merged, schema);
    let conflicts = managers.conflicts(&difference.changed);
    if !force && !conflicts.is_empty() {
        return Err(refused(&conflicts));
    }
    managers.lose(&difference);
    // An apply that changes nothing leaves its time alone, and so makes no new version.
    let time = match last {
        Some(last) if live == merged => last.entry.time,
        _ => Some(writer.now),
    };
    managers.put(Manager::new(row, writer, "Apply", time, fields));
    let mut object = Object::from_value(Value::Object(merged))
        .map_err(|why| Status::bad_request(format!("error decoding YAML: {why}")))?;
    object.meta.managed_fields = managers.written().into();
    Ok(object)
}

fn take_managed(object: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

fn without_nulls(object: Map<String, Value>) -> Map<String, Value> {
    fn clean(value: Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(without_nulls(map)),
            Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
            other => other,
        }
    }
    let each = object.into_iter().filter(|(_, value)| !value.is_null());
    each.map(|(name, value)| (name, clean(value))).collect()
}

/// Puts the configuration's fields into the object.
fn merge(target: &mut Map<String, Value>, config: Map<String, Value>, schema: Schema) {
    for (name, value) in config {
        let field = schema.field(&name);
        match target.get_mut(&name) {
            Some(old) => merge_value(old, value, field),
            None => {
                target.insert(name, value);
            }
        }
    }
}

fn merge_value(old: &mut Value, new: Value, field: &Field) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if !field.is_atomic() => {
            merge(old, new, field.schema());
        }
        (Value::Array(old), Value::Array(new)) if !matches!(field.list(), ListKind::Atomic) => {
            for item in new {
                let key = item_key(&item, field);
                let mut all = old.iter_mut();
                match all.find(|one| item_key(one, field) == key) {
                    Some(one) => match (one, item) {
                        (Value::Object(one), Value::Object(item)) => {
                            merge(one, item, field.schema());
                        }
                        (one, item) => *one = item,
                    },
                    None => old.push(item),
                }
            }
        }
        (old, new) => *old = new,
    }
}

/// Removes what is no longer applied and nobody keeps.
fn prune(object: &mut Map<String, Value>, gone: &Owned, kept: &Owned, schema: Schema) {
    for (branch, part) in &gone.parts {
        let Some(name) = branch.strip_prefix("f:") else {
            continue;
        };
        let keepers = kept.parts.get(branch);
        if part.itself && keepers.is_none() {
            object.remove(name);
            continue;
        }
        let Some(value) = object.get_mut(name) else {
            continue;
        };
        prune_value(
            value,
            part,
            keepers.unwrap_or(&Owned::default()),
            schema.field(name),
        );
        let empty = match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if empty && keepers.is_none() {
            object.remove(name);
        }
    }
}

fn prune_value(value: &mut Value, gone: &Owned, kept: &Owned, field: &Field) {
    match value {
        Value::Object(map) => prune(map, gone, kept, field.schema()),
        Value::Array(items) => {
            let Some(names) = branches(items, field) else {
                return;
            };
            let each = std::mem::take(items).into_iter().zip(names);
            *items = each
                .filter_map(|(mut item, name)| {
                    let Some(part) = gone.parts.get(&name) else {
                        return Some(item);
                    };
                    let keepers = kept.parts.get(&name);
                    if part.itself && keepers.is_none() {
                        return None;
                    }
                    if let Value::Object(map) = &mut item {
                        let kept = keepers.cloned().unwrap_or_default();
                        prune(map, part, &kept, field.schema());
                    }
                    Some(item)
                })
                .collect();
        }
        _ => {}
    }
}

/// 409, with a cause for each field that somebody else owns.
fn refused(conflicts: &[(String, Vec<String>)]) -> Status {
    let each = conflicts.iter();
    let causes: Vec<Cause> = each
        .flat_map(|(who, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {who}"),
                field: path.clone(),
            })
        })
        .collect();
    let message = if let ([(who, _)], [one]) = (conflicts, causes.as_slice()) {
        format!(
            "Apply failed with 1 conflict: conflict with {who}: {}",
            one.field
        )
    } else {
        let lines = conflicts.iter().flat_map(|(who, paths)| {
            let head = format!("conflicts with {who}:");
            let rest = paths.iter().map(|path| format!("- {path}"));
            std::iter::once(head).chain(rest)
        });
        let lines: Vec<String> = lines.collect();
        format!(
            "Apply failed with {} conflicts: {}",
            causes.len(),
            lines.join("\n")
        )
    };
    Status::new(Reason::Conflict, message).with_details(Details {
        causes,
        ..Details::default()
    })
}
