//! Field selectors: `metadata.name=a,spec.nodeName!=b`, for the fields that each kind supports.

use crate::object::Object;
use crate::resources::Resource;
use crate::status::Status;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A selector by fields. Without any term it picks everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    equal: bool,
    value: String,
}

/// The fields besides name and namespace by which a kind can be selected; `None` for a kind that has
/// no list of its own.
fn supported(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "Node" => &["spec.unschedulable"],
        "ReplicationController" => &["status.replicas"],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Namespace" => &["status.phase"],
        "Secret" => &["type"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Job" => &["status.successful"],
        _ => return None,
    })
}

impl FieldSelector {
    /// Reads a selector as it stands in a URL, for objects of a resource. 400 when it cannot be read,
    /// or when the kind has no such field to select by.
    pub fn parse(row: &Resource, text: &str) -> Result<Self, Status> {
        let mut terms = Vec::new();
        for part in split(text) {
            if part.is_empty() {
                continue;
            }
            let found = term(part).ok_or_else(|| {
                Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ))
            })?;
            let (field, equal, value) = found;
            let field = known(row, field)?;
            terms.push(Term {
                field,
                equal,
                value: unescaped(value)?,
            });
        }
        Ok(Self { terms })
    }

    /// Does it pick everything?
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one name that it picks, if it asks for one: a list of it is a get.
    pub fn name(&self) -> Option<&str> {
        let mut all = self.terms.iter();
        let term = all.find(|term| term.equal && term.field == "metadata.name")?;
        Some(&term.value)
    }

    /// Does it pick this object?
    pub fn matches(&self, object: &Object) -> bool {
        self.terms.iter().all(|term| {
            let is = match term.field.as_str() {
                "metadata.name" => *object.meta.name == *term.value,
                "metadata.namespace" => *object.meta.namespace == *term.value,
                path => value_of(object, path) == term.value,
            };
            is == term.equal
        })
    }
}

/// The field's name as the store knows it.
fn known(row: &Resource, field: &str) -> Result<String, Status> {
    if field == "metadata.name" || (field == "metadata.namespace" && row.namespaced) {
        return Ok(field.to_owned());
    }
    let builtin = (!row.custom).then(|| supported(&row.kind)).flatten();
    let Some(fields) = builtin else {
        return Err(Status::bad_request(if row.custom {
            format!("field label not supported: {field}")
        } else {
            format!(
                "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )
        }));
    };
    let old_name = match field {
        "spec.host" if &*row.kind == "Pod" => "spec.nodeName",
        other => other,
    };
    if fields.contains(&old_name) {
        return Ok(old_name.to_owned());
    }
    let why = match &*row.kind {
        "Job" => format!("field label \"{field}\" not supported for batchv1.Job"),
        _ => format!("field label not supported: {field}"),
    };
    Err(Status::bad_request(why))
}

/// What a field says, as text: empty when it is not there.
fn value_of(object: &Object, path: &str) -> String {
    let (top, rest) = match path {
        "source" => ("source", Some("component")),
        "status.successful" => ("status", Some("succeeded")),
        path => match path.split_once('.') {
            Some((top, rest)) => (top, Some(rest)),
            None => (path, None),
        },
    };
    let Some(raw) = object.fields.get(top) else {
        return absent(path);
    };
    let found = match rest {
        None => serde_json::from_str(&raw.text()).ok(),
        Some(name) => one_field(&raw.text(), name),
    };
    match found {
        Some(Value::String(text)) => text,
        Some(Value::Bool(yes)) => yes.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ => absent(path),
    }
}

/// Fields that are selected by as if they were written even when they are not.
fn absent(path: &str) -> String {
    match path {
        "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
        "status.successful" | "status.replicas" => "0".to_owned(),
        _ => String::new(),
    }
}

/// One field of a JSON object, without reading the others into memory.
fn one_field(text: &str, name: &str) -> Option<Value> {
    // A scan for its name spares the reading of objects that do not have it at all.
    if !text.contains(name) {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = OneField(name).deserialize(&mut reader).ok()??;
    let scalar = !found.get().starts_with(['{', '[']);
    scalar.then(|| serde_json::from_str(found.get()).ok())?
}

/// Reads one field of an object and passes over the others.
struct OneField<'name>(&'name str);

impl<'de> DeserializeSeed<'de> for OneField<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneField<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The parts between commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut slash) = (0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if slash => slash = false,
            '\\' => slash = true,
            ',' => {
                parts.push(text.get(start..index).unwrap_or_default());
                start = index.saturating_add(1);
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// Field, is it `=`, value.
fn term(part: &str) -> Option<(&str, bool, &str)> {
    let at = part.find("!=").into_iter().chain(part.find('=')).min()?;
    let (field, rest) = part.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, false, value));
    }
    let value = rest.strip_prefix("==").or(rest.strip_prefix('='))?;
    Some((field, true, value))
}

fn unescaped(value: &str) -> Result<String, Status> {
    let mut plain = String::with_capacity(value.len());
    let mut all = value.chars();
    while let Some(c) = all.next() {
        match c {
            '\\' => match all.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(Status::bad_request(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(Status::bad_request(format!(
                    "invalid field selector: unescaped character in value: {c}"
                )));
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Resources, ids};
    use proptest::prelude::*;
    use serde_json::json;

    fn pod() -> Object {
        Object::from_value(json!({
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"containers": [{"nodeName": "x"}], "nodeName": "n", "hostNetwork": true},
            "status": {"phase": "Running"},
        }))
        .unwrap()
    }

    #[test]
    fn pods_are_selected_by_their_fields() {
        let resources = Resources::default();
        let row = resources.get(ids::PODS);
        let table = [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,metadata.namespace=b", true),
            ("metadata.name!=a", false),
            ("spec.nodeName=n", true),
            ("spec.host=n", true),
            ("spec.nodeName!=n", false),
            ("spec.hostNetwork=true", true),
            ("spec.schedulerName=", true),
            ("status.phase!=Running,status.phase!=Pending", false),
            ("status.podIP=", true),
            ("metadata.name=a\\,b", false),
        ];
        for (text, picked) in table {
            let selector = FieldSelector::parse(row, text).unwrap();
            assert_eq!(selector.matches(&pod()), picked, "{text}");
        }
    }

    #[test]
    fn fields_that_a_kind_does_not_have_are_refused_in_the_recorded_words() {
        let resources = Resources::default();
        let refused = |id, text| {
            let row = resources.get(id);
            FieldSelector::parse(row, text).unwrap_err().message
        };
        assert_eq!(
            refused(ids::CONFIGMAPS, "data.a=1"),
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(
            refused(ids::PODS, "spec.x=1"),
            "field label not supported: spec.x"
        );
        assert_eq!(
            refused(ids::PODS, "what"),
            "invalid selector: 'what'; can't understand 'what'"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(metadata.name|spec.nodeName|x)?[=!,\\\\a]{0,6}\\PC{0,20}") {
            let resources = Resources::default();
            if let Ok(selector) = FieldSelector::parse(resources.get(ids::PODS), &text) {
                selector.matches(&pod());
            }
        }
    }
}
