//! `meta.k8s.io/v1` Tables: the columns of `kubectl get`
//! (`k8s.io/kubernetes/pkg/printers/internalversion/printers.go`).

use crate::custom::Column as Custom;
use crate::object::Object;
use crate::resources::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Columns of one resource.
pub(super) struct Columns<'row> {
    custom: &'row [Custom],
}

impl<'row> Columns<'row> {
    /// Columns of a resource.
    pub(super) fn of(_row: &Resource, custom: &'row [Custom]) -> Self {
        Self { custom }
    }

    /// `columnDefinitions`.
    pub(super) fn definitions(&self) -> Value {
        json!([
            {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0},
        ])
    }

    /// The cells of an object.
    pub(super) fn cells(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let _ = (self.custom, now);
        vec![json!(object.meta.name), json!("")]
    }
}
