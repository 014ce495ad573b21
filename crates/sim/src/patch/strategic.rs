//! Strategic merge patch, as `k8s.io/apimachinery/pkg/util/strategicpatch` does it: lists merge by the
//! keys of their items, and directives in the patch say what else is wanted.

use crate::schema::{Field, Schema};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Why a patch cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPatch {
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    #[error("invalid patch format of setElementOrder list")]
    Order,
    #[error("lists of lists are not supported")]
    ListOfLists,
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey { item: String, key: String },
    #[error("unknown patch type: {directive} in map: {item}")]
    Directive { directive: String, item: String },
}

/// Merges a patch into an object.
pub(super) fn merge(
    target: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Schema,
) -> Result<(), BadPatch> {
    match patch.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            *target = patch;
            return Ok(());
        }
        Some(Value::String(word)) if word == "delete" => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(unknown(&other, &Value::Object(patch))),
    }
    retain(target, &mut patch)?;
    let orders = take_prefixed(&mut patch, ORDER);
    let deletions = take_prefixed(&mut patch, DELETE_FROM);
    for (name, values) in deletions {
        let values = values.as_array().ok_or(BadPatch::PrimitiveList)?;
        if let Some(Value::Array(list)) = target.get_mut(&name) {
            list.retain(|one| !values.contains(one));
        }
    }
    for (name, order) in &orders {
        if !patch.contains_key(name) && target.contains_key(name) {
            let order = order.as_array().ok_or(BadPatch::Order)?;
            let field = schema.field(name);
            if let Some(Value::Array(list)) = target.get_mut(name) {
                let before = list.clone();
                *list = ordered(std::mem::take(list), order, &before, field);
            }
        }
    }
    for (name, value) in patch {
        let order = orders.iter().find(|(one, _)| *one == name);
        let order = match order {
            Some((_, order)) => Some(order.as_array().ok_or(BadPatch::Order)?.as_slice()),
            None => None,
        };
        merge_field(target, name, value, order, schema)?;
    }
    Ok(())
}

fn merge_field(
    target: &mut Map<String, Value>,
    name: String,
    value: Value,
    order: Option<&[Value]>,
    schema: Schema,
) -> Result<(), BadPatch> {
    let field = schema.field(&name);
    match (target.get_mut(&name), value) {
        (_, Value::Null) => {
            target.remove(&name);
        }
        (Some(Value::Object(old)), Value::Object(new)) if !field.replaces() => {
            merge(old, new, field.schema())?;
        }
        (Some(Value::Array(old)), Value::Array(new)) if field.merges() => {
            *old = merge_list(std::mem::take(old), new, order, field)?;
        }
        (_, value) => match cleaned(value) {
            Some(value) => {
                target.insert(name, value);
            }
            None => {
                target.remove(&name);
            }
        },
    }
    Ok(())
}

/// Keeps of the target only what `$retainKeys` names.
fn retain(target: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), BadPatch> {
    let Some(kept) = patch.remove(RETAIN) else {
        return Ok(());
    };
    let kept = kept.as_array().ok_or(BadPatch::RetainKeys)?;
    let named = |name: &str| kept.iter().any(|one| one.as_str() == Some(name));
    let stray = patch.iter().any(|(name, value)| {
        !value.is_null()
            && !name.starts_with(ORDER)
            && !name.starts_with(DELETE_FROM)
            && !named(name)
    });
    if stray {
        return Err(BadPatch::RetainKeys);
    }
    let gone: Vec<String> = target.keys().filter(|name| !named(name)).cloned().collect();
    for name in gone {
        target.remove(&name);
    }
    Ok(())
}

/// Takes the fields out of a patch whose names have a prefix; gives them without it.
fn take_prefixed(patch: &mut Map<String, Value>, prefix: &str) -> Vec<(String, Value)> {
    let names: Vec<String> = patch
        .keys()
        .filter(|name| name.starts_with(prefix))
        .cloned()
        .collect();
    names
        .into_iter()
        .filter_map(|name| {
            let value = patch.remove(&name)?;
            Some((name.strip_prefix(prefix)?.to_owned(), value))
        })
        .collect()
}

/// Merges a list item by item.
fn merge_list(
    old: Vec<Value>,
    patch: Vec<Value>,
    order: Option<&[Value]>,
    field: &Field,
) -> Result<Vec<Value>, BadPatch> {
    let before = old.clone();
    if old.iter().chain(&patch).any(Value::is_array) {
        return Err(BadPatch::ListOfLists);
    }
    let Some(key) = &field.merge_key else {
        let mut merged = old;
        for value in &patch {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return Ok(ordered(merged, order.unwrap_or(&patch), &before, field));
    };
    let (mut merged, changes) = obey(old, patch, key)?;
    let wanted: Vec<Value> = changes.iter().map(only_key(key)).collect();
    for change in changes {
        let Value::Object(change) = change else {
            continue;
        };
        let same = |one: &&mut Value| one.get(key) == change.get(key);
        if let Some(Value::Object(item)) = merged.iter_mut().find(same) {
            merge(item, change, field.schema())?;
        } else if let Some(item) = cleaned(Value::Object(change)) {
            merged.push(item);
        }
    }
    Ok(ordered(merged, order.unwrap_or(&wanted), &before, field))
}

fn only_key(key: &str) -> impl Fn(&Value) -> Value {
    move |item| {
        let one = (key.to_owned(), item.get(key).cloned().unwrap_or_default());
        Value::Object(Map::from_iter([one]))
    }
}

/// Follows the directives among the items of a list. Gives the list, and the items that are to be
/// merged into it.
fn obey(
    mut old: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), BadPatch> {
    let mut changes = Vec::new();
    let mut replace = false;
    for item in patch {
        let directive = item.get(DIRECTIVE).cloned();
        let word = directive.as_ref().and_then(Value::as_str);
        match (&directive, word) {
            (_, Some("replace")) => replace = true,
            (Some(other), Some(word)) if word != "delete" => return Err(unknown(other, &item)),
            (Some(other), None) => return Err(unknown(other, &item)),
            _ if item.get(key).is_none() => {
                return Err(BadPatch::NoMergeKey {
                    item: item.to_string(),
                    key: key.to_owned(),
                });
            }
            (Some(_), _) => old.retain(|one| one.get(key) != item.get(key)),
            (None, _) => changes.push(item),
        }
    }
    Ok(if replace {
        (Vec::new(), changes)
    } else {
        (old, changes)
    })
}

fn unknown(directive: &Value, item: &Value) -> BadPatch {
    BadPatch::Directive {
        directive: directive.to_string(),
        item: item.to_string(),
    }
}

/// Puts the items that `wanted` names in its order, and lets the others keep their place between them
/// as far as the server's order tells it.
fn ordered(all: Vec<Value>, wanted: &[Value], server: &[Value], field: &Field) -> Vec<Value> {
    let same = |a: &Value, b: &Value| match &field.merge_key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|one| same(one, item));
    let (mut named, others): (Vec<Value>, Vec<Value>) = all
        .into_iter()
        .partition(|item| place(wanted, item).is_some());
    named.sort_by_key(|item| place(wanted, item));
    let mut sorted = Vec::with_capacity(named.len().saturating_add(others.len()));
    let mut named = named.into_iter().peekable();
    for other in others {
        let at = place(server, &other);
        let before = |one: &Value| match (at, place(server, one)) {
            (Some(at), Some(one)) => one < at,
            _ => true,
        };
        while let Some(one) = named.next_if(before) {
            sorted.push(one);
        }
        sorted.push(other);
    }
    sorted.extend(named);
    sorted
}

/// A new value without nulls in its objects and without directives; `None` when it is one itself.
fn cleaned(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut fields) => {
            if let Some(word) = fields.remove(DIRECTIVE)
                && word.as_str() != Some("replace")
            {
                return None;
            }
            let each = fields.into_iter().filter(|(name, value)| {
                !value.is_null()
                    && name != RETAIN
                    && !name.starts_with(ORDER)
                    && !name.starts_with(DELETE_FROM)
            });
            let each = each.filter_map(|(name, value)| Some((name, cleaned(value)?)));
            Some(Value::Object(each.collect()))
        }
        Value::Array(items) => {
            let only = |item: &Value| {
                let fields = item.as_object();
                fields.is_some_and(|fields| fields.len() == 1 && fields.contains_key(DIRECTIVE))
            };
            let each = items.into_iter().filter(|item| !only(item));
            Some(Value::Array(each.filter_map(cleaned).collect()))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn patched(kind: (&str, &str), target: Value, patch: Value) -> Result<Value, BadPatch> {
        let schema = crate::schema::Type::of_kind(kind.0, kind.1)
            .unwrap()
            .schema();
        let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else {
            panic!("objects are merged");
        };
        merge(&mut target, patch, schema).map(|()| Value::Object(target))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test hands in what it has just written"
    )]
    fn pod(target: Value, patch: Value) -> Result<Value, BadPatch> {
        patched(
            ("v1", "Pod"),
            json!({"spec": target}),
            json!({"spec": patch}),
        )
        .map(|mut pod| pod["spec"].take())
    }

    #[test]
    fn containers_merge_by_name_and_keep_their_order() {
        let target =
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
        let patch =
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]});
        let result = json!({"containers": [
            {"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]});
        assert_eq!(pod(target, patch), Ok(result));
    }

    #[test]
    fn directives_delete_replace_and_retain() {
        let target = || json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "x": 1});
        let table = [
            (
                json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                json!({"containers": [{"name": "b"}], "x": 1}),
            ),
            (
                json!({"containers": [{"name": "z"}, {"$patch": "replace"}]}),
                json!({"containers": [{"name": "z"}], "x": 1}),
            ),
            (json!({"$patch": "replace", "y": 2}), json!({"y": 2})),
            (json!({"$patch": "delete"}), json!({})),
            (json!({"$retainKeys": ["x"], "x": 2}), json!({"x": 2})),
            (
                json!({"x": null, "y": {"a": null, "b": 1}}),
                json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "y": {"b": 1}}),
            ),
            (
                json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "2"}]}),
                json!({"containers": [{"name": "b"}, {"name": "a", "image": "2"}], "x": 1}),
            ),
            (
                json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
                json!({"containers": [{"name": "b"}, {"name": "a", "image": "1"}], "x": 1}),
            ),
        ];
        for (patch, result) in table {
            assert_eq!(pod(target(), patch.clone()), Ok(result), "{patch}");
        }
    }

    /// What is new comes before what only the server has, when no order is sent (`mergeSortedSlice`).
    #[test]
    fn primitive_lists_are_joined_and_values_taken_out() {
        let target = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
        let result = patched(("v1", "Pod"), target, patch);
        assert_eq!(result, Ok(json!({"metadata": {"finalizers": ["c", "b"]}})));
    }

    #[test]
    fn atomic_lists_and_plain_values_are_replaced() {
        let target = json!({"tolerations": [{"key": "a"}], "nodeName": "x"});
        let patch = json!({"tolerations": [{"key": "b"}], "nodeName": "y"});
        assert_eq!(pod(target, patch.clone()), Ok(patch));
    }

    #[test]
    fn bad_patches_are_refused() {
        let table = [
            json!({"containers": [{"image": "1"}]}),
            json!({"containers": [{"name": "a", "$patch": "jump"}]}),
            json!({"$patch": 7}),
            json!({"$retainKeys": ["x"], "y": 1}),
            json!({"$retainKeys": 1}),
            json!({"$setElementOrder/containers": 1}),
        ];
        for patch in table {
            let target = json!({"containers": [{"name": "a"}]});
            assert!(pod(target, patch.clone()).is_err(), "{patch}");
        }
    }

    /// What `kubectl apply` sends: a patch that makes `old` to `new`.
    fn diff(
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        schema: Schema,
    ) -> Map<String, Value> {
        let mut patch = Map::new();
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            patch.insert(name.clone(), Value::Null);
        }
        for (name, value) in new {
            let field = schema.field(name);
            match (old.get(name), value) {
                (Some(before), now) if before == now => {}
                (Some(Value::Object(before)), Value::Object(now)) if !field.replaces() => {
                    patch.insert(
                        name.clone(),
                        Value::Object(diff(before, now, field.schema())),
                    );
                }
                (Some(Value::Array(before)), Value::Array(now)) if field.merges() => {
                    let key = field.merge_key.as_deref().unwrap();
                    let find = |list: &[Value], item: &Value| {
                        list.iter().find(|one| one[key] == item[key]).cloned()
                    };
                    let mut items: Vec<Value> = Vec::new();
                    for item in now {
                        let mut change = match find(before, item) {
                            Some(was) => diff(
                                was.as_object().unwrap(),
                                item.as_object().unwrap(),
                                field.schema(),
                            ),
                            None => item.as_object().unwrap().clone(),
                        };
                        change.insert(key.to_owned(), item[key].clone());
                        items.push(Value::Object(change));
                    }
                    for item in before.iter().filter(|item| find(now, item).is_none()) {
                        items.push(json!({key: item[key], DIRECTIVE: "delete"}));
                    }
                    patch.insert(name.clone(), Value::Array(items));
                    patch.insert(
                        format!("{ORDER}{name}"),
                        now.iter().map(only_key(key)).collect(),
                    );
                }
                _ => {
                    patch.insert(name.clone(), value.clone());
                }
            }
        }
        patch
    }

    fn containers() -> impl Strategy<Value = Value> {
        let env = proptest::collection::btree_map("[a-c]", "[x-z]", 0..3);
        let one = (prop::option::of("[a-c]"), env).prop_map(|(image, env)| {
            let env: Vec<Value> = env
                .into_iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect();
            let mut one = json!({"env": env, "args": ["x"]});
            if let Some(image) = image {
                one["image"] = json!(image);
            }
            one
        });
        proptest::collection::btree_map("[a-e]", one, 0..4)
            .prop_map(|all| {
                all.into_iter()
                    .map(|(name, mut one)| {
                        one["name"] = json!(name);
                        one
                    })
                    .collect::<Vec<_>>()
            })
            .prop_shuffle()
            .prop_map(|all| json!({"containers": all, "nodeName": "n"}))
    }

    proptest! {
        #[test]
        fn a_merge_of_the_difference_gives_the_target(old in containers(), new in containers()) {
            let schema = crate::schema::Type::of_kind("v1", "Pod").unwrap().schema().field("spec").schema();
            let (Value::Object(mut old), Value::Object(new)) = (old, new) else { unreachable!() };
            let patch = diff(&old, &new, schema);
            merge(&mut old, patch, schema).unwrap();
            prop_assert_eq!(Value::Object(old), Value::Object(new));
        }
    }
}
