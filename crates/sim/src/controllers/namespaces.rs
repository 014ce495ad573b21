//! Namespaces: each gets a ServiceAccount and the cluster's CA; one that is deleted takes all its
//! content along.
//!
//! Rules and texts: `pkg/controller/namespace`, `serviceaccount` and `certificates/rootcacertpublisher`
//! of Kubernetes 1.36.

use super::Controller;
use super::common::{Condition, condition};
use crate::cluster::{Cluster, Todo};
use crate::object::{Key, Object};
use crate::registry::{DeleteOptions, Propagation};
use crate::resources::ids;
use crate::store::{Change, ChangeKind, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const ROOT_CA: &str = "kube-root-ca.crt";

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Namespaces;

impl Controller for Namespaces {
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo) {
        if change.resource == ids::NAMESPACES {
            todo.now(change.key());
            return;
        }
        let gone = change.kind == ChangeKind::Deleted;
        let namespace = &change.new.meta.namespace;
        if !gone || namespace.is_empty() {
            return;
        }
        let key = Key::new(ids::NAMESPACES, "", namespace);
        let given = given().iter().any(|(resource, name)| {
            *resource == change.resource && *name == &*change.new.meta.name
        });
        let ends = store
            .get(&key)
            .is_some_and(|one| one.meta.deletion_timestamp.is_some());
        if given || ends {
            todo.now(key);
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let namespace = cluster.store.get(key)?.clone();
        if namespace.meta.deletion_timestamp.is_some() {
            empty(cluster, key, &namespace);
        } else {
            furnish(cluster, &key.name);
        }
        None
    }
}

fn given() -> [(crate::resources::ResourceId, &'static str); 2] {
    [
        (ids::SERVICE_ACCOUNTS, "default"),
        (ids::CONFIGMAPS, ROOT_CA),
    ]
}

fn furnish(cluster: &mut Cluster, namespace: &str) {
    for (resource, name) in given() {
        if cluster
            .store
            .get(&Key::new(resource, namespace, name))
            .is_some()
        {
            continue;
        }
        let mut object = Object::new(cluster.resources.get(resource), namespace, name);
        if resource == ids::CONFIGMAPS {
            let about = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
            let annotations = &mut object.meta.annotations;
            annotations.insert("kubernetes.io/description".to_owned(), about.to_owned());
            object.set("data", &json!({"ca.crt": ""}));
        }
        cluster.create(resource, object).ok();
    }
}

/// Deletes the content; when there is none left, lets the namespace go.
fn empty(cluster: &mut Cluster, key: &Key, namespace: &Object) {
    let resources: Vec<_> = cluster
        .resources
        .iter()
        .filter(|(_, row)| row.namespaced)
        .map(|(id, row)| (id, row.qualified()))
        .collect();
    let mut remaining = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for (resource, qualified) in resources {
        let all = cluster.store.list(resource, Some(&key.name));
        let all: Vec<Key> = all.map(|object| object.key(resource)).collect();
        for one in all {
            let options = DeleteOptions {
                propagation_policy: Some(Propagation::Background),
                ..DeleteOptions::default()
            };
            let marked = cluster
                .store
                .get(&one)
                .is_some_and(|it| it.meta.deletion_timestamp.is_some());
            if !marked {
                cluster.delete(&one, &options).ok();
            }
            let Some(left) = cluster.store.get(&one) else {
                continue;
            };
            let number: &mut usize = remaining.entry(qualified.clone()).or_default();
            *number = number.saturating_add(1);
            for finalizer in &left.meta.finalizers {
                let number = finalizers.entry(finalizer.clone()).or_default();
                *number = number.saturating_add(1);
            }
        }
    }
    report(cluster, key, namespace, &remaining, &finalizers);
    if remaining.is_empty() {
        cluster.modify(key, |object| {
            let mut spec: Value = object.spec();
            if let Some(map) = spec.as_object_mut() {
                map.remove("finalizers");
            }
            object.set("spec", &spec);
        });
    }
}

/// Type, status, reason and message of a condition.
type Said = (&'static str, &'static str, &'static str, String);

fn report(
    cluster: &mut Cluster,
    key: &Key,
    namespace: &Object,
    remaining: &BTreeMap<String, usize>,
    finalizers: &BTreeMap<String, usize>,
) {
    let now = cluster.now_seconds();
    let status: Value = namespace.status();
    let before = status.get("conditions").cloned().unwrap_or_default();
    let before: Vec<Condition> = serde_json::from_value(before).unwrap_or_default();
    let conditions: Vec<Condition> = said(remaining, finalizers)
        .into_iter()
        .map(|(kind, status, reason, message)| {
            let mut new = Condition::new(kind, status, reason, &message, now);
            if let Some(old) = condition(&before, kind).filter(|old| old.status == status) {
                new.last_transition_time = old.last_transition_time;
            }
            new
        })
        .collect();
    let status = json!({"phase": "Terminating", "conditions": conditions});
    cluster.set_status(key, &status);
}

/// What there is to say about how far the deletion of the content is.
fn said(remaining: &BTreeMap<String, usize>, finalizers: &BTreeMap<String, usize>) -> [Said; 5] {
    let list = |what: &BTreeMap<String, usize>, between: &str| {
        let each = what.iter();
        let each = each.map(|(name, number)| format!("{name}{between}{number} resource instances"));
        each.collect::<Vec<_>>().join(", ")
    };
    let fine = |kind, reason, message: &str| (kind, "False", reason, message.to_owned());
    let content = "NamespaceContentRemaining";
    let content = if remaining.is_empty() {
        fine(
            content,
            "ContentRemoved",
            "All content successfully removed",
        )
    } else {
        let which = list(remaining, ". has ");
        let message = format!("Some resources are remaining: {which}");
        (content, "True", "SomeResourcesRemain", message)
    };
    let held = "NamespaceFinalizersRemaining";
    let held = if finalizers.is_empty() {
        fine(
            held,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        )
    } else {
        let which = list(finalizers, " in ");
        let message = format!("Some content in the namespace has finalizers remaining: {which}");
        (held, "True", "SomeFinalizersRemain", message)
    };
    [
        fine(
            "NamespaceDeletionDiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        fine(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        fine(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        content,
        held,
    ]
}
