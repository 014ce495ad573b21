//! Who owns which fields of one object: its `managedFields`, read and written.

use super::Writer;
use super::owned::{Difference, Owned};
use crate::object::{ManagedFields, Object, Raw};
use crate::resources::Resource;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How many managers by update are kept apart; older ones become one (`managedfields` in apimachinery).
const MAX_UPDATERS: usize = 10;

/// Name of the one that older ones become.
const ANCIENT: &str = "ancient-changes";

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Manager {
    /// As it is written, without the fields.
    pub(super) entry: ManagedFields,
    /// The fields.
    pub(super) fields: Owned,
}

impl Manager {
    /// A new entry.
    pub(super) fn new(
        row: &Resource,
        writer: &Writer<'_>,
        operation: &str,
        time: Option<Timestamp>,
        fields: Owned,
    ) -> Self {
        Self {
            entry: ManagedFields {
                manager: writer.manager.to_owned(),
                operation: operation.to_owned(),
                api_version: row.api_version().to_string(),
                time,
                fields_type: "FieldsV1".to_owned(),
                fields_v1: None,
                subresource: writer.subresource.to_owned(),
            },
            fields,
        }
    }

    fn is(&self, writer: &Writer<'_>, operation: &str, row: &Resource) -> bool {
        self.entry.manager == writer.manager
            && self.entry.operation == operation
            && self.entry.subresource == writer.subresource
            && (operation == "Apply" || *self.entry.api_version == *row.api_version())
    }

    /// As a conflict names it.
    fn printed(&self) -> String {
        let mut text = format!("{:?}", self.entry.manager);
        if !self.entry.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.entry.subresource);
        }
        if self.entry.operation == "Update" {
            text = format!("{text} using {}", self.entry.api_version);
        }
        text
    }
}

/// Everybody who owns something of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(Vec<Manager>);

impl Managers {
    /// Reads them. Entries that say nothing (a client's way to forget them) are left out.
    pub(super) fn read(object: Option<&Object>) -> Self {
        let entries = object.map(|object| object.meta.managed_fields.as_slice());
        let each = entries.unwrap_or_default().iter();
        let known = each.filter(|entry| !entry.operation.is_empty());
        Self(
            known
                .map(|entry| {
                    let text = entry.fields_v1.as_ref().map_or("{}".into(), Raw::text);
                    let mut fields: Owned = serde_json::from_str(&text).unwrap_or_default();
                    fields.itself = false;
                    Manager {
                        entry: ManagedFields {
                            fields_v1: None,
                            ..entry.clone()
                        },
                        fields,
                    }
                })
                .collect(),
        )
    }

    /// Takes out the entry of a writer.
    pub(super) fn take(
        &mut self,
        writer: &Writer<'_>,
        operation: &str,
        row: &Resource,
    ) -> Option<Manager> {
        let at = self
            .0
            .iter()
            .position(|one| one.is(writer, operation, row))?;
        Some(self.0.remove(at))
    }

    /// Adds an entry.
    pub(super) fn put(&mut self, manager: Manager) {
        self.0.push(manager);
    }

    /// Everything that somebody owns.
    pub(super) fn union(&self) -> Owned {
        let mut all = Owned::default();
        for one in &self.0 {
            all.add(&one.fields);
        }
        all
    }

    /// Who owns something of what was changed: the names, with the paths.
    pub(super) fn conflicts(&self, changed: &Owned) -> Vec<(String, Vec<String>)> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in &self.0 {
            let mut paths = Vec::new();
            one.fields.common(changed, "", &mut paths);
            if !paths.is_empty() {
                found.entry(one.printed()).or_default().extend(paths);
            }
        }
        found.into_iter().collect()
    }

    /// Everybody loses what somebody else changed or removed.
    pub(super) fn lose(&mut self, difference: &Difference) {
        for one in &mut self.0 {
            one.fields.subtract(&difference.changed);
            one.fields.subtract(&difference.removed);
        }
        self.0.retain(|one| !one.fields.is_empty());
    }

    /// As they are written: in Kubernetes' order, and no more updaters than are kept.
    pub(super) fn written(mut self) -> Vec<ManagedFields> {
        self.sort();
        self.cap();
        self.sort();
        let each = self.0.into_iter().map(|one| ManagedFields {
            fields_v1: Raw::of(&one.fields),
            ..one.entry
        });
        each.collect()
    }

    fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            let key = |one: &Manager| (one.entry.operation.clone(), one.entry.time);
            let names = (&a.entry.manager, &a.entry.subresource);
            key(a)
                .cmp(&key(b))
                .then(names.cmp(&(&b.entry.manager, &b.entry.subresource)))
        });
    }

    fn cap(&mut self) {
        let is_update = |one: &Manager| one.entry.operation == "Update";
        let count = self.0.iter().filter(|one| is_update(one)).count();
        if count <= MAX_UPDATERS {
            return;
        }
        // One more goes, to make room for the entry that the old ones become.
        let mut surplus = count.saturating_sub(MAX_UPDATERS).saturating_add(1);
        let mut ancient: Option<Manager> = None;
        self.0.retain(|one| {
            if surplus == 0 || !is_update(one) || !one.entry.subresource.is_empty() {
                return true;
            }
            surplus = surplus.saturating_sub(1);
            match &mut ancient {
                Some(ancient) => {
                    ancient.fields.add(&one.fields);
                    ancient.entry.time = ancient.entry.time.max(one.entry.time);
                }
                None => ancient = Some(one.clone()),
            }
            false
        });
        if let Some(mut one) = ancient {
            ANCIENT.clone_into(&mut one.entry.manager);
            self.0.push(one);
        }
    }
}
