//! The types of the built-in kinds: one table (`schema/types.txt`, written by `cargo xtask schema`) by
//! which bodies are read and checked, patches merge, and OpenAPI is answered.

pub(crate) mod openapi;
mod place;
pub(crate) mod proto;
pub(crate) mod read;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use crate::resources::Resource;
use serde_json::{Map, Value};
use std::sync::LazyLock;
use table::{CUSTOM, TABLE};

/// The type of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Type {
    String,
    Int32,
    Int64,
    Double,
    Bool,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339, in seconds.
    Time,
    /// RFC 3339, in microseconds.
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON.
    #[default]
    Any,
    /// A JSON schema, or something simpler.
    Schema(OrElse),
    /// Of the type with this number in the table.
    Object(usize),
    /// Of a kind that is not built in.
    Custom,
    List(Box<Self>),
    /// By strings.
    Map(Box<Self>),
}

/// What may stand in the place of a JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrElse {
    Bool,
    List,
    Strings,
}

impl Type {
    /// The type of a kind that is built in.
    pub(crate) fn of_kind(api_version: &str, kind: &str) -> Option<Self> {
        let number = TABLE.kinds.get(format!("{api_version}/{kind}").as_str())?;
        Some(Self::Object(*number))
    }

    /// The type of a resource's objects.
    pub(crate) fn of_row(row: &Resource) -> Self {
        let built_in = Self::of_kind(&row.api_version(), &row.kind);
        built_in.filter(|_| !row.custom).unwrap_or(Self::Custom)
    }

    /// The type of a kind that only one group has: `Scale`, `Eviction`, `DeleteOptions`, reviews.
    pub(crate) fn of_name(kind: &str) -> Option<Self> {
        let mut kinds = TABLE.kinds.iter();
        let found = kinds.find(|(one, _)| one.rsplit('/').next() == Some(kind));
        found.map(|(_, number)| Self::Object(*number))
    }

    /// A JSON schema, in the definition of a custom resource.
    pub(crate) fn of_schema() -> Self {
        let found = TABLE.schemas.map(Self::Object);
        found.unwrap_or_default()
    }

    /// The fields of an object of this type.
    pub(crate) fn schema(&self) -> Schema {
        match self {
            Self::Object(number) => Schema(TABLE.types.get(*number)),
            Self::Custom => Schema(Some(&CUSTOM)),
            Self::List(items) => items.schema(),
            _ => Schema(None),
        }
    }
}

/// A type with fields.
#[derive(Debug, Default)]
pub(crate) struct Info {
    /// `core.v1.Pod`
    pub(crate) name: &'static str,
    /// `v1/Pod`, if it is a kind.
    pub(crate) kind: Option<&'static str>,
    /// Apply owns it as one value.
    pub(crate) atomic: bool,
    /// By their names.
    pub(crate) fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the table")]
pub(crate) struct Field {
    /// In JSON.
    pub(crate) name: &'static str,
    /// Its number in protobuf, after those of the fields that embed it.
    pub(crate) path: Vec<u32>,
    /// Its type.
    pub(crate) kind: Type,
    /// Zero is the same as not said.
    pub(crate) omits_zero: bool,
    /// It has to be there.
    pub(crate) required: bool,
    /// What it is if it is not said.
    pub(crate) default: Option<Value>,
    /// Strategies of a strategic merge, with commas between.
    pub(crate) strategy: &'static str,
    /// Which field of the items tells them apart in a strategic merge.
    pub(crate) merge_key: Option<String>,
    /// Apply owns each value by itself.
    pub(crate) is_set: bool,
    /// Which fields of the items tell them apart in apply.
    pub(crate) keys: Vec<String>,
    /// Defaults of those fields.
    key_defaults: Map<String, Value>,
    /// Apply owns it as one value.
    pub(crate) atomic: bool,
}

static UNKNOWN: LazyLock<Field> = LazyLock::new(Field::default);

/// How a list is owned and merged by apply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListKind<'field> {
    /// As one value.
    Atomic,
    /// Each value by itself.
    Set,
    /// Each item by these fields, with the defaults of those.
    Keyed(&'field [String], &'field Map<String, Value>),
}

impl Field {
    /// A strategic merge merges this list item by item.
    pub(crate) fn merges(&self) -> bool {
        self.strategy.split(',').any(|one| one == "merge")
    }

    /// A strategic merge takes this object as it comes.
    pub(crate) fn replaces(&self) -> bool {
        self.strategy.split(',').any(|one| one == "replace")
    }

    /// How apply merges this list.
    pub(crate) fn list(&self) -> ListKind<'_> {
        match self.keys.as_slice() {
            _ if self.is_set => ListKind::Set,
            [] => ListKind::Atomic,
            keys => ListKind::Keyed(keys, &self.key_defaults),
        }
    }

    /// Apply owns this object as one value.
    pub(crate) fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// The fields of the object, or of the list's items.
    pub(crate) fn schema(&self) -> Schema {
        self.kind.schema()
    }
}

/// The fields of an object, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema(Option<&'static Info>);

impl Schema {
    /// What is known of the type.
    pub(crate) fn info(self) -> Option<&'static Info> {
        self.0
    }

    /// A field that is known.
    pub(crate) fn get(self, name: &str) -> Option<&'static Field> {
        let fields = &self.0?.fields;
        let found = fields.binary_search_by(|one| one.name.cmp(name)).ok()?;
        fields.get(found)
    }

    /// A field; one that is not known is anything, and merges in no special way.
    pub(crate) fn field(self, name: &str) -> &'static Field {
        self.get(name).unwrap_or(&UNKNOWN)
    }
}

/// All kinds, as `apps/v1/Deployment`, and their types.
#[cfg(test)]
fn kinds() -> impl Iterator<Item = (&'static str, Type)> {
    let kinds = TABLE.kinds.iter();
    kinds.map(|(kind, number)| (*kind, Type::Object(*number)))
}

#[cfg(test)]
mod lookup {
    use super::*;

    fn of_kind(api_version: &str, kind: &str) -> Schema {
        Type::of_kind(api_version, kind).unwrap().schema()
    }

    #[test]
    fn the_table_knows_containers() {
        let spec = of_kind("v1", "Pod").field("spec").schema();
        let containers = spec.field("containers");
        assert!(containers.merges() && containers.required);
        assert_eq!(containers.merge_key.as_deref(), Some("name"));
        let ports = containers.schema().field("ports");
        let ListKind::Keyed(keys, defaults) = ports.list() else {
            panic!("{ports:?}");
        };
        assert_eq!(keys, ["containerPort", "protocol"]);
        assert_eq!(defaults.get("protocol"), Some(&Value::from("TCP")));
        assert!(spec.field("nodeSelector").is_atomic());
        assert!(Type::of_kind("example.com/v1", "Thing").is_none());
    }

    #[test]
    fn fields_that_are_embedded_in_protobuf_are_fields_of_the_object() {
        let spec = of_kind("v1", "Pod").field("spec").schema();
        let volume = spec.field("volumes").schema();
        assert_eq!(volume.field("name").path, [1]);
        assert_eq!(volume.field("hostPath").path.len(), 2);
        assert_eq!(of_kind("v1", "Pod").field("kind").kind, Type::String);
    }

    #[test]
    fn every_served_kind_is_in_the_table() {
        for (_, row) in crate::resources::Resources::default().iter() {
            let found = Type::of_kind(&row.api_version(), &row.kind);
            assert!(found.is_some(), "{} {}", row.api_version(), row.kind);
        }
        for kind in [
            "Scale",
            "Eviction",
            "Binding",
            "DeleteOptions",
            "TokenRequest",
        ] {
            assert!(Type::of_name(kind).is_some(), "{kind}");
        }
    }
}
