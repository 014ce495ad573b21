//! Sets of fields (`fieldsV1`): which fields of an object somebody owns, and what differs between two
//! states of one (`sigs.k8s.io/structured-merge-diff`).

use crate::schema::{Field, ListKind, Schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A set of fields, as a tree. The names of the branches are those of `fieldsV1`: `f:name` for a field,
/// `k:{...}` for the item of a list with these keys, `v:...` for a value of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owned {
    /// This field itself is in the set, and not only fields below it.
    pub(super) itself: bool,
    /// What of its parts is in the set.
    pub(super) parts: BTreeMap<String, Self>,
}

/// Fields that Kubernetes' own types always have, even when they are empty: a create does not own
/// them as such, only what is in them.
const ALWAYS: [&str; 8] = [
    "metadata",
    "spec",
    "status",
    "template",
    "jobTemplate",
    "strategy",
    "updateStrategy",
    "containers",
];

/// What differs between two states.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Added, or of another value.
    pub(super) changed: Owned,
    /// No longer there.
    pub(super) removed: Owned,
}

impl Owned {
    fn leaf() -> Self {
        Self {
            itself: true,
            parts: BTreeMap::new(),
        }
    }

    /// Is nothing in it?
    pub(super) fn is_empty(&self) -> bool {
        !self.itself && self.parts.values().all(Self::is_empty)
    }

    /// The fields of an object that is applied.
    pub(super) fn applied(object: &Map<String, Value>, schema: Schema) -> Self {
        let each = object.iter().map(|(name, value)| {
            let part = Self::of(value, schema.field(name), false);
            (format!("f:{name}"), part)
        });
        let mut all = Self {
            itself: false,
            parts: each.collect(),
        };
        all.strip();
        all
    }

    /// All fields of a value. `itself` says of objects and lists whether they are in the set as such.
    fn of(value: &Value, field: &Field, itself: bool) -> Self {
        match value {
            Value::Object(map) if !map.is_empty() && !field.is_atomic() => {
                let schema = field.schema();
                let each = map.iter().map(|(name, value)| {
                    let part = Self::of(value, schema.field(name), itself);
                    (format!("f:{name}"), part)
                });
                Self {
                    itself,
                    parts: each.collect(),
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let each = items.iter();
                let parts: BTreeMap<String, Self> = match field.list() {
                    ListKind::Atomic => return Self::leaf(),
                    ListKind::Set => each.map(|item| (value_key(item), Self::leaf())).collect(),
                    ListKind::Keyed(..) => each
                        .map(|item| {
                            let mut part = Self::of(item, field, itself);
                            part.itself = true;
                            (item_key(item, field), part)
                        })
                        .collect(),
                };
                Self { itself, parts }
            }
            _ => Self::leaf(),
        }
    }

    /// Takes out what nobody can own: identity, versions and times.
    pub(super) fn strip(&mut self) {
        self.parts.remove("f:apiVersion");
        self.parts.remove("f:kind");
        if let Some(metadata) = self.parts.get_mut("f:metadata") {
            metadata.itself = false;
            for name in [
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generateName",
                "managedFields",
                "selfLink",
            ] {
                metadata.parts.remove(&format!("f:{name}"));
            }
        }
        self.prune();
    }

    /// Drops branches in which nothing is.
    fn prune(&mut self) {
        self.parts.retain(|_, part| {
            part.prune();
            !part.is_empty()
        });
    }

    /// Adds another set.
    pub(super) fn add(&mut self, other: &Self) {
        self.itself |= other.itself;
        for (name, part) in &other.parts {
            self.parts.entry(name.clone()).or_default().add(part);
        }
    }

    /// Takes another set out: exactly its members.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.itself &= !other.itself;
        for (name, part) in &other.parts {
            if let Some(mine) = self.parts.get_mut(name) {
                mine.subtract(part);
                if mine.is_empty() {
                    self.parts.remove(name);
                }
            }
        }
    }

    /// The paths that are in both, as conflicts print them.
    pub(super) fn common(&self, other: &Self, path: &str, found: &mut Vec<String>) {
        if self.itself && other.itself && !path.is_empty() {
            found.push(path.to_owned());
        }
        for (name, part) in &self.parts {
            if let Some(theirs) = other.parts.get(name) {
                part.common(theirs, &format!("{path}{}", printed(name)), found);
            }
        }
    }
}

/// A part of a path, as `fieldpath.PathElement` prints it.
pub(super) fn printed(name: &str) -> String {
    if let Some(field) = name.strip_prefix("f:") {
        return format!(".{field}");
    }
    if let Some(value) = name.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let keys = name.strip_prefix("k:").unwrap_or_default();
    let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    let mut text = String::from("[");
    for (index, (key, value)) in keys.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        if write!(text, "{comma}{key}={value}").is_err() {
            break;
        }
    }
    text.push(']');
    text
}

fn value_key(item: &Value) -> String {
    format!("v:{item}")
}

/// The branch of an item of a keyed list.
pub(super) fn item_key(item: &Value, field: &Field) -> String {
    let ListKind::Keyed(keys, defaults) = field.list() else {
        return value_key(item);
    };
    let each = keys.iter().filter_map(|key| {
        let value = item.get(key).or_else(|| defaults.get(key))?;
        Some((key, value))
    });
    let keys: BTreeMap<&String, &Value> = each.collect();
    format!("k:{}", serde_json::to_string(&keys).unwrap_or_default())
}

/// The branches of a list: where each item is. `None` for a list that is owned as one value.
pub(super) fn branches(items: &[Value], field: &Field) -> Option<Vec<String>> {
    match field.list() {
        ListKind::Atomic => None,
        ListKind::Set => Some(items.iter().map(value_key).collect()),
        ListKind::Keyed(..) => Some(items.iter().map(|item| item_key(item, field)).collect()),
    }
}

impl Difference {
    /// What differs between two objects.
    pub(super) fn between(
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        schema: Schema,
    ) -> Self {
        let mut found = Self::objects(old, new, schema, true);
        found.changed.strip();
        found.removed.strip();
        found
    }

    fn objects(
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        schema: Schema,
        always: bool,
    ) -> Self {
        let mut found = Self::default();
        for name in old
            .keys()
            .chain(new.keys().filter(|name| !old.contains_key(*name)))
        {
            let field = schema.field(name);
            let always = always && ALWAYS.contains(&name.as_str());
            let part = Self::values(old.get(name), new.get(name), field, always);
            found.put(format!("f:{name}"), part);
        }
        found
    }

    fn put(&mut self, name: String, part: Self) {
        if !part.changed.is_empty() {
            self.changed.parts.insert(name.clone(), part.changed);
        }
        if !part.removed.is_empty() {
            self.removed.parts.insert(name, part.removed);
        }
    }

    fn values(old: Option<&Value>, new: Option<&Value>, field: &Field, always: bool) -> Self {
        match (old, new) {
            (old, new) if old == new => Self::default(),
            (None, Some(Value::Object(new))) if always => {
                Self::objects(&Map::new(), new, field.schema(), true)
            }
            (None, Some(Value::Array(new))) if always => Self::lists(&[], new, field),
            (None, Some(new)) => Self {
                changed: Owned::of(new, field, true),
                removed: Owned::default(),
            },
            (Some(old), None) => Self {
                changed: Owned::default(),
                removed: Owned::of(old, field, true),
            },
            (Some(Value::Object(old)), Some(Value::Object(new))) if !field.is_atomic() => {
                Self::objects(old, new, field.schema(), always)
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => Self::lists(old, new, field),
            _ => Self {
                changed: Owned::leaf(),
                removed: Owned::default(),
            },
        }
    }

    fn lists(old: &[Value], new: &[Value], field: &Field) -> Self {
        let (Some(before), Some(after)) = (branches(old, field), branches(new, field)) else {
            return Self {
                changed: Owned::leaf(),
                removed: Owned::default(),
            };
        };
        let before: BTreeMap<&String, &Value> = before.iter().zip(old).collect();
        let after: BTreeMap<&String, &Value> = after.iter().zip(new).collect();
        let mut found = Self::default();
        for (name, item) in &before {
            if !after.contains_key(name) {
                let mut part = Owned::of(item, field, true);
                part.itself = true;
                found.removed.parts.insert((*name).clone(), part);
            }
        }
        for (name, item) in &after {
            let part = match (before.get(name), item) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    Self::objects(old, new, field.schema(), false)
                }
                (Some(_), _) => Self::default(),
                (None, item) => Self::values(None, Some(item), field, false),
            };
            found.put((*name).clone(), part);
        }
        found
    }
}

impl Serialize for Owned {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let nothing = Self::default();
        let dot = (self.itself && !self.parts.is_empty()).then_some((".", &nothing));
        let parts = self.parts.iter().map(|(name, part)| (name.as_str(), part));
        out.collect_map(dot.into_iter().chain(parts))
    }
}

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut parts = BTreeMap::<String, Self>::deserialize(input)?;
        let dot = parts.remove(".").is_some();
        Ok(Self {
            itself: dot || parts.is_empty(),
            parts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test hands in what it has just written"
    )]
    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_applied_deployment_owns_what_the_recorded_one_owned() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ap"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "it"}}, "template": {
                "metadata": {"labels": {"app": "it"}},
                "spec": {"containers": [{"name": "main", "image": "img.test/app:1"}]}}}});
        let schema = crate::schema::Type::of_kind("apps/v1", "Deployment")
            .unwrap()
            .schema();
        let owned = Owned::applied(&map(object), schema);
        let recorded = json!({"f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:name": {}}}}}}});
        assert_eq!(serde_json::to_value(&owned).unwrap(), recorded);
        assert_eq!(
            serde_json::from_value::<Owned>(recorded).unwrap().parts,
            owned.parts
        );
    }

    #[test]
    fn a_created_object_is_owned_with_its_maps() {
        let schema = crate::schema::Type::of_kind("v1", "Pod").unwrap().schema();
        let pod = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {
            "nodeSelector": {"a": "b"},
            "containers": [{"name": "c", "ports": [{"containerPort": 80}], "resources": {}}]}});
        let found = Difference::between(&Map::new(), &map(pod), schema).changed;
        assert_eq!(
            serde_json::to_value(&found).unwrap(),
            json!({"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:spec": {
                "f:nodeSelector": {},
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:resources": {},
                    "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}})
        );
    }

    #[test]
    fn only_what_differs_is_found() {
        let schema = crate::schema::Type::of_kind("v1", "ConfigMap")
            .unwrap()
            .schema();
        let old = map(json!({"data": {"a": "1", "b": "1", "c": "1"}}));
        let new = map(json!({"data": {"a": "1", "b": "2", "d": "1"}}));
        let found = Difference::between(&old, &new, schema);
        assert_eq!(
            serde_json::to_value(&found.changed).unwrap(),
            json!({"f:data": {"f:b": {}, "f:d": {}}})
        );
        assert_eq!(
            serde_json::to_value(&found.removed).unwrap(),
            json!({"f:data": {"f:c": {}}})
        );
    }
}
