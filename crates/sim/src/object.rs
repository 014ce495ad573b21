//! An object as the store keeps it: metadata that is understood, and every other top-level field as
//! the JSON text that it was sent as, or as the value that a component inside has written.
//!
//! So a change of the status copies no spec, nothing is read that was never text, and ten thousand
//! pods take kilobytes each, not tens of them.

mod fields;
mod raw;
mod shared;

pub use fields::Fields;
pub use raw::Raw;
pub(crate) use raw::Written;
pub use shared::{Empty, Shared};

use crate::resources::{Resource, ResourceId};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which resource.
    pub resource: ResourceId,
    /// Namespace; empty for a cluster-wide object.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A key.
    pub fn new(resource: ResourceId, namespace: &str, name: &str) -> Self {
        Self {
            resource,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// `metav1.OwnerReference`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields of metav1.OwnerReference")]
pub struct OwnerReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// `metav1.ObjectMeta`. Unknown fields are dropped, as the API server drops them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields of metav1.ObjectMeta")]
pub struct Meta {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub generate_name: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Arc<str>,
    /// 0 means none.
    #[serde(with = "revision", skip_serializing_if = "is_zero")]
    pub resource_version: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<u32>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub labels: Shared<BTreeMap<String, String>>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub annotations: Shared<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub owner_references: Shared<Vec<OwnerReference>>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub finalizers: Shared<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub managed_fields: Shared<Vec<ManagedFields>>,
}

/// `metav1.ManagedFieldsEntry`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the fields of metav1.ManagedFieldsEntry")]
pub struct ManagedFields {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fields_type: String,
    #[serde(rename = "fieldsV1", skip_serializing_if = "Option::is_none")]
    pub fields_v1: Option<Raw>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

impl Meta {
    /// The owner that controls it.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references
            .iter()
            .find(|owner| owner.controller == Some(true))
    }
}

/// One object. Cheap to clone: what is big is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// As in the manifest.
    pub api_version: Arc<str>,
    /// As in the manifest.
    pub kind: Arc<str>,
    /// What is understood of it.
    pub meta: Meta,
    /// Every other top-level field (`spec`, `status`, `data`, `rules`, ...), by name.
    pub fields: Fields,
}

/// Why a text is no object.
#[derive(Debug, thiserror::Error)]
pub enum NotAnObject {
    /// Not JSON, or a field of the metadata has a wrong type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// JSON, but no object.
    #[error("json: cannot unmarshal into Go value of type map[string]interface {{}}")]
    NotAMap,
}

/// An object as it is written and read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    api_version: Arc<str>,
    #[serde(default)]
    kind: Arc<str>,
    #[serde(default)]
    metadata: Meta,
    #[serde(flatten)]
    fields: BTreeMap<Box<str>, Value>,
}

impl Object {
    /// An empty object of a resource.
    pub fn new(resource: &Resource, namespace: &str, name: &str) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: Arc::clone(&resource.kind),
            meta: Meta {
                name: name.into(),
                namespace: namespace.into(),
                ..Meta::default()
            },
            fields: Fields::default(),
        }
    }

    /// Reads one from JSON text.
    pub fn parse(text: &[u8]) -> Result<Self, NotAnObject> {
        Self::from_value(serde_json::from_slice(text)?)
    }

    /// Reads one from a value.
    pub fn from_value(value: Value) -> Result<Self, NotAnObject> {
        if !value.is_object() {
            return Err(NotAnObject::NotAMap);
        }
        let wire: Wire = serde_json::from_value(value)?;
        let given = wire.fields.iter();
        Ok(Self {
            api_version: wire.api_version,
            kind: wire.kind,
            meta: wire.metadata,
            fields: given
                .filter(|(_, value)| !value.is_null())
                .filter_map(|(name, value)| Some((&**name, Raw::of(value)?)))
                .collect(),
        })
    }

    /// The whole object as a value, to be patched.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.to_json()).unwrap_or_default()
    }

    /// The fields besides the metadata as a value.
    pub(crate) fn fields_to_value(&self) -> Value {
        let all = self.fields.iter();
        all.filter_map(|(name, raw)| {
            let value: Value = serde_json::from_str(&raw.text()).ok()?;
            Some((name.to_owned(), value))
        })
        .collect()
    }

    /// The whole object as JSON text.
    pub fn to_json(&self) -> String {
        let mut text = Vec::with_capacity(self.len_hint());
        self.write_json(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// Appends the JSON text.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"kind\":");
        append(out, &self.kind);
        out.extend_from_slice(b",\"apiVersion\":");
        append(out, &self.api_version);
        out.push(b',');
        self.write_rest(out);
    }

    /// Appends the JSON text without kind and apiVersion, as it stands in a list of its kind.
    pub fn write_item(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_rest(out);
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"metadata\":");
        append(out, &self.meta);
        self.fields.write(out);
        out.push(b'}');
    }

    /// About how many bytes its JSON text has.
    pub fn len_hint(&self) -> usize {
        self.fields.len_hint().saturating_add(700)
    }

    /// One top-level field, read as `T`. `None` where it is absent or of another shape.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(&self.fields.get(name)?.text()).ok()
    }

    /// `spec`, read as `T`, or its default.
    pub fn spec<T: DeserializeOwned + Default>(&self) -> T {
        self.field("spec").unwrap_or_default()
    }

    /// `status`, read as `T`, or its default.
    pub fn status<T: DeserializeOwned + Default>(&self) -> T {
        self.field("status").unwrap_or_default()
    }

    /// `status` as the component that writes it keeps it; read as `T`, or its default, where a client
    /// wrote it.
    pub(crate) fn kept_status<T>(&self) -> T
    where
        T: DeserializeOwned + Default + Clone + 'static,
    {
        let kept = self.fields.get("status").and_then(Raw::as_value);
        kept.cloned().unwrap_or_else(|| self.status())
    }

    /// Takes over from a similar object what both have alike, so that it is kept once.
    pub fn share(&mut self, other: &Self) {
        let arcs = [
            (&mut self.api_version, &other.api_version),
            (&mut self.kind, &other.kind),
            (&mut self.meta.namespace, &other.meta.namespace),
            (&mut self.meta.generate_name, &other.meta.generate_name),
        ];
        for (one, other) in arcs {
            if one == other {
                *one = Arc::clone(other);
            }
        }
        self.meta.labels.share(&other.meta.labels);
        self.meta.annotations.share(&other.meta.annotations);
        self.meta
            .owner_references
            .share(&other.meta.owner_references);
        self.meta.finalizers.share(&other.meta.finalizers);
        self.meta.managed_fields.share(&other.meta.managed_fields);
        if self.meta.managed_fields != other.meta.managed_fields {
            // Written at other times: only the sets of fields are alike.
            let pairs = self.meta.managed_fields.iter_mut();
            for (one, other) in pairs.zip(&other.meta.managed_fields) {
                if one.fields_v1 == other.fields_v1 {
                    one.fields_v1.clone_from(&other.fields_v1);
                }
            }
        }
        self.fields.share(&other.fields);
    }

    /// Sets a top-level field; a null removes it.
    pub fn set(&mut self, name: &str, value: &impl Serialize) {
        match Raw::of(value) {
            Some(raw) if *raw.text() != *"null" => {
                self.fields.insert(name, raw);
            }
            _ => {
                self.fields.remove(name);
            }
        }
    }

    /// Its key, given its resource.
    pub fn key(&self, resource: ResourceId) -> Key {
        Key {
            resource,
            namespace: Arc::clone(&self.meta.namespace),
            name: Arc::clone(&self.meta.name),
        }
    }

    /// A reference to it as an owner that controls.
    pub fn as_controller(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.to_string(),
            kind: self.kind.to_string(),
            name: self.meta.name.to_string(),
            uid: self.meta.uid.to_string(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// Appends a value as JSON. Vectors can always be written to, and all that is appended here is JSON.
pub(crate) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A resourceVersion is a string on the wire.
pub(crate) mod revision {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
    pub(crate) fn serialize<S: Serializer>(number: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        let text = Option::<String>::deserialize(input)?.unwrap_or_default();
        if text.is_empty() {
            return Ok(0);
        }
        text.parse()
            .map_err(|_| serde::de::Error::custom("resourceVersion: must be a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_comes_back_as_it_went_in() {
        let text = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": "7", "labels": {"x": "y"},
                         "creationTimestamp": "2026-11-22T10:00:00Z"},
            "spec": {"containers": [{"name": "c"}]},
        });
        let object = Object::from_value(text.clone()).unwrap();
        assert_eq!(object.to_value(), text);
    }

    #[test]
    fn nulls_in_metadata_are_nothing() {
        let text = json!({"metadata": {"name": "a", "labels": null, "creationTimestamp": null}});
        let object = Object::from_value(text).unwrap();
        assert!(object.meta.labels.is_empty());
        assert_eq!(object.meta.creation_timestamp, None);
    }
}
