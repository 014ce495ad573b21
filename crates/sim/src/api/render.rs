//! Objects and lists as the text of an answer, in the shape that was asked for.

use super::accept::{Include, Shape};
use super::view::View;
use super::{Answer, table};
use crate::custom::Column;
use crate::object::Object;
use crate::resources::Resource;
use axum::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Group and version of Tables and of lists of metadata.
const META: &str = "meta.k8s.io/v1";
/// What closes a list.
const END: &[u8] = b"]}";
/// So many bytes of a list are written in one go.
const PIECE: usize = 128 * 1024;

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
            Shape::Table(_) => self.table(object, true),
        }
    }

    /// One object of a watch. Only the first Table of a watch says what its columns are.
    pub(super) fn event(&self, object: &Object, first: bool) -> String {
        let Shape::Table(_) = self.shape else {
            return self.one(object);
        };
        self.table(object, first)
    }

    /// A Table of one row.
    fn table(&self, object: &Object, definitions: bool) -> String {
        let meta = ListMeta {
            resource_version: object.meta.resource_version.to_string(),
            ..ListMeta::default()
        };
        let mut text = self.head(&meta, definitions);
        self.item(object, &mut text);
        text.extend_from_slice(END);
        String::from_utf8(text).unwrap_or_default()
    }

    /// A list up to its first item.
    fn head(&self, meta: &ListMeta, definitions: bool) -> Vec<u8> {
        let (items, head) = match self.shape {
            Shape::Plain => {
                let kind = format!("{}List", self.row.kind);
                let version = self.row.api_version();
                let head = json!({"kind": kind, "apiVersion": version, "metadata": meta});
                ("items", head)
            }
            Shape::Partial => {
                let kind = "PartialObjectMetadataList";
                let head = json!({"kind": kind, "apiVersion": META, "metadata": meta});
                ("items", head)
            }
            Shape::Table(_) => {
                let columns = definitions.then(|| self.table_columns().definitions());
                let head = json!({"kind": "Table", "apiVersion": META, "metadata": meta,
                    "columnDefinitions": columns});
                ("rows", head)
            }
        };
        let head = head.to_string();
        let open = head.strip_suffix('}').unwrap_or(&head);
        format!("{open},\"{items}\":[").into_bytes()
    }

    fn item(&self, object: &Object, out: &mut Vec<u8>) {
        match self.shape {
            Shape::Partial => out.extend_from_slice(partial(object).as_bytes()),
            Shape::Table(include) => self.table_row(object, include, out),
            // Items of a typed list do not repeat their kind.
            Shape::Plain if self.row.custom => object.write_json(out),
            Shape::Plain => object.write_item(out),
        }
    }

    fn table_columns(&self) -> table::Columns<'_> {
        table::Columns::of(&self.row, &self.columns)
    }

    fn table_row(&self, object: &Object, include: Include, out: &mut Vec<u8>) {
        let cells = Value::Array(self.table_columns().cells(object, self.now));
        out.extend_from_slice(format!("{{\"cells\":{cells}").as_bytes());
        if include != Include::None {
            out.extend_from_slice(b",\"object\":");
        }
        match include {
            Include::None => {}
            Include::Metadata => out.extend_from_slice(partial(object).as_bytes()),
            Include::Object => object.write_json(out),
        }
        out.push(b'}');
    }
}

/// A list that is written piece by piece, while it is sent: the cluster goes on meanwhile, and a big
/// one is never in memory as a whole.
#[derive(Debug)]
pub struct List {
    renderer: Renderer,
    view: View,
    objects: std::vec::IntoIter<Arc<Object>>,
    /// What comes before the first object.
    head: Vec<u8>,
    /// The first piece, when it is written already.
    first: Option<Bytes>,
    /// The next object is not the first.
    begun: bool,
    ended: bool,
}

impl List {
    /// A list of objects as they are kept.
    pub(super) fn new(
        renderer: Renderer,
        view: View,
        objects: Vec<Arc<Object>>,
        meta: &ListMeta,
    ) -> Self {
        Self {
            head: renderer.head(meta, true),
            first: None,
            renderer,
            view,
            objects: objects.into_iter(),
            begun: false,
            ended: false,
        }
    }

    /// The answer: all there when it is short.
    pub(super) fn answer(mut self) -> Answer {
        let first = self.next().unwrap_or_default();
        if self.ended {
            return Answer::json(200, first);
        }
        self.first = Some(first);
        Answer::List(Box::new(self))
    }
}

impl Iterator for List {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.first.is_some() {
            return self.first.take();
        }
        if self.ended {
            return None;
        }
        let mut out = std::mem::take(&mut self.head);
        out.reserve(PIECE);
        while out.len() < PIECE {
            let Some(object) = self.objects.next() else {
                out.extend_from_slice(END);
                self.ended = true;
                break;
            };
            if std::mem::replace(&mut self.begun, true) {
                out.push(b',');
            }
            self.renderer.item(&self.view.show(&object), &mut out);
        }
        Some(out.into())
    }
}

/// The metadata alone.
fn partial(object: &Object) -> String {
    let meta = serde_json::to_string(&object.meta).unwrap_or_default();
    format!(
        "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{meta}}}"
    )
}
