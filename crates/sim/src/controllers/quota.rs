//! ResourceQuotas: says in their status what their namespace uses.
//!
//! Rules: `pkg/controller/resourcequota` of Kubernetes 1.36. What fits is judged by admission.

use super::Controller;
use super::common::more_than_status;
use super::pods;
use crate::admission::quota;
use crate::cluster::{Cluster, Todo};
use crate::object::Key;
use crate::resources::ids;
use crate::store::{Change, ChangeKind, Store};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// The quotas there are: an index of what the store has.
    known: BTreeSet<Key>,
}

impl Controller for Quotas {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        let key = change.key();
        if change.resource == ids::RESOURCE_QUOTAS {
            if change.kind == ChangeKind::Deleted {
                self.known.remove(&key);
            } else {
                self.known.insert(key.clone());
                if more_than_status(change.old.as_deref(), &change.new) {
                    todo.now(key.clone());
                }
            }
        }
        if self.known.is_empty() || key.namespace.is_empty() {
            return;
        }
        let counted = change.kind != ChangeKind::Modified
            || (change.resource == ids::PODS && pods::matters(change))
            || change.resource == ids::SERVICES;
        if !counted {
            return;
        }
        let first = Key::new(ids::RESOURCE_QUOTAS, &key.namespace, "");
        let here = self
            .known
            .range(first..)
            .take_while(|one| one.namespace == key.namespace);
        here.for_each(|one| todo.now(one.clone()));
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let object = cluster.store.get(key)?.clone();
        let used = quota::usage(&cluster.store, &cluster.resources, &object);
        let hard = object.spec::<Value>().get("hard").cloned();
        cluster.set_status(key, &json!({"hard": hard, "used": used}));
        None
    }
}
