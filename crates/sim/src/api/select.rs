//! Which objects of a resource a list or a watch is about.

use super::request::Query;
use crate::object::Object;
use crate::resources::Resource;
use crate::status::Status;

/// What a request selects: an object by its name, or everything.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    name: Option<String>,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(super) fn parse(query: &Query, _row: &Resource) -> Result<Self, Status> {
        let labels = query.get("labelSelector").unwrap_or_default();
        let fields = query.get("fieldSelector").unwrap_or_default();
        let name = fields.strip_prefix("metadata.name=");
        if !labels.is_empty() || (name.is_none() && !fields.is_empty()) {
            return Err(Status::bad_request("this selector is not supported"));
        }
        Ok(Self {
            name: name.map(str::to_owned),
        })
    }

    /// Does it pick this object?
    pub(super) fn matches(&self, object: &Object) -> bool {
        self.name
            .as_deref()
            .is_none_or(|name| *name == *object.meta.name)
    }

    /// Does it pick everything?
    pub(super) fn is_everything(&self) -> bool {
        self.name.is_none()
    }
}
