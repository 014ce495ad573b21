//! Reads JSON as a Go server reads it into its types: what is not known is dropped and remembered,
//! what has a wrong type is remembered, nulls are nothing.
//!
//! One visitor for JSON text and for values that were read before (YAML, patched objects).

use super::place::{Place, Step};
use super::{Field, OrElse, Type};
use crate::base64;
use crate::quantity::Quantity;
use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// At most so many strict errors are told (`saveStrictError` of sigs.k8s.io/json).
const MAX_STRICT: usize = 100;

/// What is wrong with an object that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Fields that are not known or there twice, in Kubernetes' words.
    pub(crate) strict: Vec<String>,
    /// The first value of a wrong type.
    pub(crate) wrong: Option<String>,
}

/// What becomes of fields that are not known or there twice (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Nothing.
    Ignore,
    /// The client is warned.
    Warn,
    /// They are refused.
    Strict,
}

impl Directive {
    /// What to warn of, or why the object is refused.
    pub(crate) fn judge(self, found: Found) -> Result<Vec<String>, String> {
        if let Some(wrong) = found.wrong {
            return Err(wrong);
        }
        match self {
            Self::Ignore => Ok(Vec::new()),
            Self::Strict if !found.strict.is_empty() => Err(format!(
                "strict decoding error: {}",
                found.strict.join(", ")
            )),
            Self::Warn | Self::Strict => Ok(found.strict),
        }
    }
}

impl Found {
    /// What was found in another reading, too.
    pub(crate) fn add(&mut self, other: Self) {
        self.strict.extend(other.strict);
        self.wrong = self.wrong.take().or(other.wrong);
    }

    fn strict(&mut self, what: &str, place: &Place<'_>) {
        let text = format!("{what} field \"{}\"", place.path());
        if self.strict.len() < MAX_STRICT && !self.strict.contains(&text) {
            self.strict.push(text);
        }
    }

    fn wrong(&mut self, why: impl FnOnce() -> String) -> Value {
        self.wrong.get_or_insert_with(why);
        Value::Null
    }
}

/// Reads JSON text as a type. The error is that of text that is no JSON.
pub(crate) fn text(kind: &Type, text: &[u8]) -> Result<(Value, Found), serde_json::Error> {
    let mut input = serde_json::Deserializer::from_slice(text);
    let read = input_as(kind, &mut input)?;
    input.end()?;
    Ok(read)
}

/// Reads a value as a type.
pub(crate) fn value(kind: &Type, value: &Value) -> (Value, Found) {
    // A value is JSON: reading it cannot fail.
    input_as(kind, value).unwrap_or_default()
}

fn input_as<'de, D: Deserializer<'de>>(kind: &Type, input: D) -> Result<(Value, Found), D::Error> {
    let mut found = Found::default();
    let seed = Seed {
        kind,
        place: &Place::ROOT,
        found: &mut found,
    };
    let value = seed.deserialize(input)?;
    Ok((value, found))
}

/// Reads one value.
struct Seed<'s, 'p> {
    kind: &'s Type,
    place: &'s Place<'p>,
    found: &'s mut Found,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl Seed<'_, '_> {
    fn mismatch(self, value: &str) -> Value {
        let Self { kind, place, found } = self;
        found.wrong(|| match kind {
            // These read themselves, and tell of no field.
            Type::Quantity => crate::quantity::BadQuantity.to_string(),
            Type::Time | Type::MicroTime => {
                format!("json: cannot unmarshal {value} into Go value of type string")
            }
            Type::IntOrString => {
                format!("json: cannot unmarshal {value} into Go value of type int32")
            }
            Type::Schema(OrElse::Bool) => "boolean or JSON schema expected".to_owned(),
            kind => place.mismatch(value, kind),
        })
    }

    fn number(self, number: Number) -> Value {
        let whole = number.as_i64();
        let fits = match self.kind {
            Type::Int32 => whole.is_some_and(|whole| i32::try_from(whole).is_ok()),
            Type::IntOrString => {
                if whole.is_none_or(|whole| i32::try_from(whole).is_err()) {
                    return self.mismatch(&format!("number {number}"));
                }
                true
            }
            Type::Int64 => whole.is_some(),
            Type::Double | Type::Any => true,
            Type::Quantity => return self.quantity(&number.to_string()),
            _ => return self.mismatch("number"),
        };
        if fits {
            return Value::Number(number);
        }
        self.mismatch(&format!("number {number}"))
    }

    fn quantity(self, text: &str) -> Value {
        match Quantity::parse(text.trim()) {
            Ok(quantity) => Value::String(quantity.to_string()),
            Err(why) => self.found.wrong(|| why.to_string()),
        }
    }

    fn time(self, text: &str) -> Value {
        let layout = match self.kind {
            Type::MicroTime => "2006-01-02T15:04:05.000000Z07:00",
            _ => "2006-01-02T15:04:05Z07:00",
        };
        let read = text.parse::<Timestamp>();
        let Ok(time) = read else {
            return self.found.wrong(|| {
                format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"")
            });
        };
        Value::String(time_text(time, *self.kind == Type::MicroTime))
    }

    fn inner<'de, A: SeqAccess<'de>>(self, mut items: A, kind: &Type) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = self.place.then(Step::Item(list.len()));
            let seed = Seed {
                kind,
                place: &place,
                found: &mut *self.found,
            };
            let Some(item) = items.next_element_seed(seed)? else {
                return Ok(Value::Array(list));
            };
            list.push(some(item, kind));
        }
    }

    /// The value of one entry; `again`: its key was there before.
    fn entry<'de, A: MapAccess<'de>>(
        &mut self,
        entries: &mut A,
        kind: &Type,
        place: &Place<'_>,
        again: bool,
    ) -> Result<Value, A::Error> {
        let found = &mut *self.found;
        let value = entries.next_value_seed(Seed { kind, place, found })?;
        if again {
            self.found.strict("duplicate", place);
        }
        Ok(value)
    }

    /// The values of a map, or of an object of which nothing is known.
    fn values<'de, A: MapAccess<'de>>(
        mut self,
        mut entries: A,
        kind: &Type,
    ) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = self.place.then(Step::Key(&key));
            let value = self.entry(&mut entries, kind, &place, map.contains_key(&key))?;
            map.insert(key, some(value, kind));
        }
        Ok(Value::Object(map))
    }

    fn fields<'de, A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let schema = self.kind.schema();
        let open = *self.kind == Type::Custom;
        let name = schema.info().map_or("", |info| info.name);
        let owner = name.rsplit('.').next().unwrap_or_default();
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let (kind, place) = match schema.get(&key) {
                Some(Field { kind, .. }) => (kind, self.place.then(Step::Field(&key, owner))),
                None if open => (&Type::Any, self.place.then(Step::Key(&key))),
                None => {
                    self.found
                        .strict("unknown", &self.place.then(Step::Key(&key)));
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = self.entry(&mut entries, kind, &place, map.contains_key(&key))?;
            map.insert(key, value);
        }
        map.retain(|_, value| !value.is_null());
        Ok(Value::Object(map))
    }
}

/// A null among the items of a list or the values of a map is Go's zero.
fn some(value: Value, kind: &Type) -> Value {
    match (&value, kind) {
        (Value::Null, Type::String | Type::Bytes) => Value::String(String::new()),
        (Value::Null, Type::Int32 | Type::Int64 | Type::IntOrString) => Value::from(0),
        (Value::Null, Type::Bool) => Value::Bool(false),
        (Value::Null, Type::Quantity) => Value::String("0".to_owned()),
        (Value::Null, Type::Object(_)) => Value::Object(Map::new()),
        _ => value,
    }
}

/// A moment as Kubernetes writes it: in whole seconds, or in microseconds.
pub(super) fn time_text(time: Timestamp, micro: bool) -> String {
    let seconds = "%Y-%m-%dT%H:%M:%S";
    if micro {
        return time.strftime(&format!("{seconds}.%6fZ")).to_string();
    }
    time.strftime(&format!("{seconds}Z")).to_string()
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(match self.kind {
            Type::Bool | Type::Any | Type::Schema(OrElse::Bool) => Value::Bool(value),
            _ => self.mismatch("bool"),
        })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(self.number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(self.number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(match Number::from_f64(value) {
            Some(number) => self.number(number),
            None => Value::Null,
        })
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(match self.kind {
            Type::String | Type::IntOrString | Type::Any => Value::String(value.to_owned()),
            Type::Quantity => self.quantity(value),
            Type::Time | Type::MicroTime => self.time(value),
            Type::Bytes => match base64::check(value) {
                Ok(()) => Value::String(value.to_owned()),
                Err(why) => self.found.wrong(|| why.to_string()),
            },
            _ => self.mismatch("string"),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        match self.kind {
            Type::List(kind) => self.inner(items, kind),
            Type::Any => self.inner(items, &Type::Any),
            Type::Schema(OrElse::List) => {
                let kind = Type::of_schema();
                self.inner(items, &kind)
            }
            Type::Schema(OrElse::Strings) => self.inner(items, &Type::String),
            _ => {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("array"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match self.kind {
            Type::Object(_) | Type::Custom => self.fields(entries),
            Type::Map(kind) => self.values(entries, kind),
            Type::Any => self.values(entries, &Type::Any),
            Type::Schema(_) => {
                let kind = Type::of_schema();
                let Self { place, found, .. } = self;
                let seed = Seed {
                    kind: &kind,
                    place,
                    found,
                };
                seed.fields(entries)
            }
            _ => {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("object"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(kind: &str, body: &str) -> (Value, Found) {
        let (version, kind) = kind.rsplit_once('/').unwrap();
        let kind = Type::of_kind(version, kind).unwrap_or(Type::Custom);
        text(&kind, body.as_bytes()).unwrap()
    }

    #[test]
    fn unknown_and_duplicate_fields_are_dropped_and_told_in_order() {
        let body = r#"{"spec": {"replicas": 1, "size": 2, "replicas": 3, "template": {"spec":
            {"containers": [{"name": "a"}, {"name": "b", "img": "x"}]}}}, "extra": 1,
            "metadata": {"labels": {"a": "1", "a": "2"}}}"#;
        let (value, found) = read("apps/v1/Deployment", body);
        assert_eq!(
            found.strict,
            [
                "unknown field \"spec.size\"",
                "duplicate field \"spec.replicas\"",
                "unknown field \"spec.template.spec.containers[1].img\"",
                "unknown field \"extra\"",
                "duplicate field \"metadata.labels.a\"",
            ]
        );
        assert_eq!(found.wrong, None);
        assert_eq!(value["spec"]["replicas"], 3);
        assert_eq!(value["spec"].get("size"), None);
    }

    #[test]
    fn wrong_types_are_told_in_the_words_of_go() {
        let field = "json: cannot unmarshal";
        let table = [
            (
                "v1/ConfigMap",
                r#"{"data": {"a": 1}}"#,
                "number into Go struct field ConfigMap.data of type string",
            ),
            (
                "apps/v1/Deployment",
                r#"{"spec": {"replicas": "3"}}"#,
                "string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "apps/v1/Deployment",
                r#"{"spec": {"replicas": 1.5}}"#,
                "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                "v1/Pod",
                r#"{"spec": {"containers": {}}}"#,
                "object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                "v1/ConfigMap",
                r#"{"metadata": []}"#,
                "array into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
            ),
            (
                "v1/ConfigMap",
                "[]",
                "array into Go value of type v1.ConfigMap",
            ),
            (
                "example.com/v1/Thing",
                r#"{"metadata": {"labels": {"a": true}}}"#,
                "bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
        ];
        for (kind, body, wanted) in table {
            let (_, found) = read(kind, body);
            assert_eq!(found.wrong, Some(format!("{field} {wanted}")), "{body}");
        }
    }

    #[test]
    fn values_that_read_themselves_tell_of_no_field() {
        let table = [
            (
                r#"{"spec": {"containers": [{"resources": {"limits": {"memory": "lots"}}}]}}"#,
                "quantities must match",
            ),
            (
                r#"{"metadata": {"creationTimestamp": "now"}}"#,
                "parsing time \"now\" as",
            ),
            (
                r#"{"spec": {"activeDeadlineSeconds": 99999999999999999999}}"#,
                "json: cannot unmarshal number",
            ),
        ];
        for (body, begin) in table {
            let wrong = read("v1/Pod", body).1.wrong.unwrap();
            assert!(wrong.starts_with(begin), "{wrong}");
        }
        let secret = r#"{"data": {"a": "%%"}}"#;
        let wrong = read("v1/Secret", secret).1.wrong.unwrap();
        assert_eq!(wrong, "illegal base64 data at input byte 0");
    }

    #[test]
    fn values_are_written_as_the_server_writes_them() {
        let body = r#"{"metadata": {"creationTimestamp": null, "deletionTimestamp": "2026-01-01T02:00:00+02:00"},
            "spec": {"containers": [{"resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}], "nodeName": null}}"#;
        let (value, found) = read("v1/Pod", body);
        assert_eq!(found, Found::default());
        assert_eq!(
            value,
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"containers": [{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}})
        );
    }

    #[test]
    fn a_custom_resource_keeps_what_is_not_known() {
        let body =
            r#"{"metadata": {"name": "a", "odd": 1}, "spec": {"x": null, "y": [1, {"z": 1.5}]}}"#;
        let (value, found) = read("example.com/v1/Thing", body);
        assert_eq!(found.strict, ["unknown field \"metadata.odd\""]);
        assert_eq!(value["spec"], json!({"x": null, "y": [1, {"z": 1.5}]}));
    }

    #[test]
    fn a_value_is_read_as_its_text_is() {
        let body =
            r#"{"spec": {"replicas": 1, "size": 2, "template": {"spec": {"nodeName": null}}}}"#;
        let (kind, parsed) = (
            Type::of_kind("apps/v1", "Deployment").unwrap(),
            serde_json::from_str(body).unwrap(),
        );
        assert_eq!(value(&kind, &parsed), text(&kind, body.as_bytes()).unwrap());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z0-9.:=]{0,8}".prop_map(Value::from),
        ];
        let names = prop_oneof![
            "spec",
            "metadata",
            "labels",
            "containers",
            "template",
            "data",
            "[a-z]{1,4}"
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_again_as_it_is(sent in any_json(), kind in any::<prop::sample::Index>()) {
            let kinds: Vec<Type> = crate::schema::kinds().map(|(_, kind)| kind).collect();
            let kind = kind.get(&kinds);
            let (read, found) = value(kind, &sent);
            if found.wrong.is_none() {
                prop_assert_eq!(value(kind, &read), (read.clone(), Found::default()));
            }
        }

        #[test]
        fn broken_text_never_panics(sent in ".{0,80}") {
            text(&Type::Custom, sent.as_bytes()).ok();
        }
    }
}
