//! Which objects of a resource a list or a watch is about.

use super::request::Query;
use crate::object::Object;
use crate::resources::Resource;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Status;

/// Both selectors of a request.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(super) fn parse(query: &Query, row: &Resource) -> Result<Self, Status> {
        let labels = query.get("labelSelector").unwrap_or_default();
        let fields = query.get("fieldSelector").unwrap_or_default();
        Ok(Self {
            labels: LabelSelector::parse(labels)?,
            fields: FieldSelector::parse(row, fields)?,
        })
    }

    /// Does it pick this object?
    pub(super) fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&object.meta.labels) && self.fields.matches(object)
    }

    /// Does it pick everything?
    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }
}
