//! How the fields of each kind merge: a table read from a real API server's OpenAPI
//! (`merge_keys.json`), for strategic merge patches and for server-side apply.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[derive(Deserialize)]
struct Table {
    kinds: BTreeMap<String, String>,
    schemas: BTreeMap<String, BTreeMap<String, Field>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is part of the binary; a test reads it. Broken, nothing would merge by key.
    serde_json::from_str(include_str!("../merge_keys.json")).unwrap_or_else(|_| Table {
        kinds: BTreeMap::new(),
        schemas: BTreeMap::new(),
    })
});

static UNKNOWN: LazyLock<Field> = LazyLock::new(Field::default);

/// How one field merges.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Field {
    strategy: String,
    /// Which field of the items tells them apart in a strategic merge.
    pub(super) merge_key: Option<String>,
    list_type: String,
    map_keys: Vec<String>,
    map_type: String,
    defaults: Map<String, Value>,
    of: Option<String>,
    values: Option<String>,
}

/// How a list is owned and merged by apply.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListKind<'field> {
    /// As one value.
    Atomic,
    /// Each value by itself.
    Set,
    /// Each item by these fields, with the defaults of those.
    Keyed(&'field [String], &'field Map<String, Value>),
}

impl Field {
    /// A strategic merge merges this list item by item.
    pub(super) fn merges(&self) -> bool {
        self.strategy.split(',').any(|one| one == "merge")
    }

    /// A strategic merge takes this object as it comes.
    pub(super) fn replaces(&self) -> bool {
        self.strategy.split(',').any(|one| one == "replace")
    }

    /// How apply merges this list.
    pub(super) fn list(&self) -> ListKind<'_> {
        match self.list_type.as_str() {
            "set" => ListKind::Set,
            "map" => ListKind::Keyed(&self.map_keys, &self.defaults),
            _ => ListKind::Atomic,
        }
    }

    /// Apply owns this object as one value.
    pub(super) fn is_atomic(&self) -> bool {
        self.map_type == "atomic"
    }

    /// The schema of the object, or of the list's items.
    pub(super) fn schema(&self) -> Schema {
        let name = self.of.as_deref().or(self.values.as_deref());
        Schema(name.and_then(|name| TABLE.schemas.get(name)))
    }
}

/// The fields of an object that merge in a special way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema(Option<&'static BTreeMap<String, Field>>);

impl Schema {
    /// The schema of a kind; `None` for one that is not built in.
    pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<Self> {
        let name = TABLE.kinds.get(&format!("{api_version}/{kind}"))?;
        Some(Self(TABLE.schemas.get(name)))
    }

    /// A custom resource's: its metadata merges as everybody's does, objects merge field by field,
    /// and lists are taken as they come.
    pub(super) fn of_custom() -> Self {
        static CUSTOM: LazyLock<BTreeMap<String, Field>> = LazyLock::new(|| {
            let metadata = Field {
                of: Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned()),
                ..Field::default()
            };
            BTreeMap::from([("metadata".to_owned(), metadata)])
        });
        Self(Some(&CUSTOM))
    }

    /// How a field merges.
    pub(super) fn field(self, name: &str) -> &'static Field {
        self.0
            .and_then(|fields| fields.get(name))
            .unwrap_or(&UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_containers() {
        let spec = Schema::of_kind("v1", "Pod").unwrap().field("spec").schema();
        let containers = spec.field("containers");
        assert!(containers.merges());
        assert_eq!(containers.merge_key.as_deref(), Some("name"));
        let ports = containers.schema().field("ports");
        assert!(matches!(ports.list(), ListKind::Keyed(keys, _) if keys.len() == 2));
        assert!(spec.field("nodeSelector").is_atomic());
        assert!(Schema::of_kind("example.com/v1", "Thing").is_none());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        for name in TABLE.kinds.values() {
            assert!(TABLE.schemas.contains_key(name), "{name}");
        }
    }
}
