//! Objects and lists as the text of an answer, in the shape that was asked for.

use super::accept::{Include, Shape};
use super::table;
use crate::custom::Column;
use crate::object::Object;
use crate::resources::Resource;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// `metav1.ListMeta`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMeta {
    /// Revision of the list.
    pub(super) resource_version: String,
    /// Token for the next page.
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// How many are on the pages after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remaining_item_count: Option<usize>,
}

/// How objects are written.
#[derive(Clone, Debug)]
pub(super) struct Renderer {
    /// Shape that was asked for.
    pub(super) shape: Shape,
    /// What the objects are.
    pub(super) row: Resource,
    /// Present time: Tables tell ages.
    pub(super) now: Timestamp,
    /// Columns of a custom resource, as its definition has them.
    pub(super) columns: Vec<Column>,
}

impl Renderer {
    /// One object.
    pub(super) fn one(&self, object: &Object) -> String {
        match self.shape {
            Shape::Plain => object.to_json(),
            Shape::Partial => partial(object),
            Shape::Table(include) => {
                let meta = ListMeta {
                    resource_version: object.meta.resource_version.to_string(),
                    ..ListMeta::default()
                };
                self.table(&[object], &meta, include, true)
            }
        }
    }

    /// A list.
    pub(super) fn list(&self, objects: &[Arc<Object>], meta: &ListMeta) -> String {
        let kind = match self.shape {
            Shape::Plain => format!("{}List", self.row.kind),
            Shape::Partial => "PartialObjectMetadataList".to_owned(),
            Shape::Table(include) => {
                let all: Vec<&Object> = objects.iter().map(|one| &**one).collect();
                return self.table(&all, meta, include, true);
            }
        };
        let version = match self.shape {
            Shape::Partial => "meta.k8s.io/v1".to_owned(),
            _ => self.row.api_version(),
        };
        let size: usize = objects.iter().map(|one| one.len_hint()).sum();
        let mut text = String::with_capacity(size.saturating_add(200));
        let head = json!({"kind": kind, "apiVersion": version, "metadata": meta}).to_string();
        text.push_str(head.strip_suffix('}').unwrap_or(&head));
        text.push_str(",\"items\":[");
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match self.shape {
                Shape::Partial => text.push_str(&partial(object)),
                // Items of a typed list do not repeat their kind.
                _ if self.row.custom => object.write_json(&mut text),
                _ => object.write_item(&mut text),
            }
        }
        text.push_str("]}");
        text
    }

    /// One object of a watch. Only the first Table of a watch says what its columns are.
    pub(super) fn event(&self, object: &Object, first: bool) -> String {
        let Shape::Table(include) = self.shape else {
            return self.one(object);
        };
        let meta = ListMeta {
            resource_version: object.meta.resource_version.to_string(),
            ..ListMeta::default()
        };
        self.table(&[object], &meta, include, first)
    }

    fn table(&self, objects: &[&Object], meta: &ListMeta, include: Include, head: bool) -> String {
        let columns = table::Columns::of(&self.row, &self.columns);
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| {
                let mut row = json!({"cells": columns.cells(object, self.now)});
                let shown = match include {
                    Include::None => None,
                    Include::Metadata => serde_json::from_str(&partial(object)).ok(),
                    Include::Object => Some(object.to_value()),
                };
                if let (Some(shown), Some(map)) = (shown, row.as_object_mut()) {
                    map.insert("object".to_owned(), shown);
                }
                row
            })
            .collect();
        let definitions = if head {
            columns.definitions()
        } else {
            Value::Null
        };
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": definitions,
            "rows": rows,
        })
        .to_string()
    }
}

/// The metadata alone.
fn partial(object: &Object) -> String {
    let meta = serde_json::to_string(&object.meta).unwrap_or_default();
    format!(
        "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{meta}}}"
    )
}
