//! Which earlier incidents may have to do with this one.

use crate::incident::Incident;
use crate::signal::{Alert, SignalBody};
use crate::world::{Kind, ObjectRef};
use std::collections::BTreeSet;

/// What two incidents share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinship {
    /// The name of an alert.
    pub(super) alert: bool,
    /// The workload, or a pod of the same namespace and name.
    pub(super) object: bool,
    /// A node.
    pub(super) node: bool,
}

/// Whether two incidents of one cluster share an alert's name, a pod (or its workload), or a node.
pub fn alike(a: &Incident, b: &Incident) -> bool {
    let shared = kinship(a, b);
    shared.alert || shared.object || shared.node
}

pub(super) fn kinship(a: &Incident, b: &Incident) -> Kinship {
    if a.fingerprint.cluster != b.fingerprint.cluster {
        return Kinship::default();
    }
    Kinship {
        alert: !alert_names(a).is_disjoint(&alert_names(b)),
        object: !objects(a).is_disjoint(&objects(b)),
        node: !nodes(a).is_disjoint(&nodes(b)),
    }
}

fn alerts(incident: &Incident) -> impl Iterator<Item = &Alert> {
    incident
        .alerts
        .iter()
        .filter_map(|signal| match &signal.body {
            SignalBody::Alert(alert) => Some(alert),
            SignalBody::Watch => None,
        })
}

fn alert_names(incident: &Incident) -> BTreeSet<&str> {
    alerts(incident).map(|alert| alert.name.as_str()).collect()
}

/// The owner and the subject by name: uids change when things are created anew.
fn objects(incident: &Incident) -> BTreeSet<(Kind, &str, &str)> {
    let known = [&incident.owner, &incident.subject].into_iter();
    let named = known.filter(|object| object.kind != Kind::Node);
    let seen = named.map(|object| {
        (
            object.kind.clone(),
            object.namespace.as_str(),
            object.name.as_str(),
        )
    });
    let told = alerts(incident).filter_map(|alert| {
        let label = |key: &str| alert.labels.get(key).map(String::as_str);
        Some((Kind::Pod, label("namespace")?, label("pod")?))
    });
    seen.chain(told).collect()
}

fn nodes(incident: &Incident) -> BTreeSet<&str> {
    let evidence = incident
        .diagnosis
        .iter()
        .flat_map(|diagnosis| &diagnosis.evidence);
    let objects = evidence.map(|evidence| &evidence.object);
    let is_node = |object: &&ObjectRef| object.kind == Kind::Node;
    let seen = objects
        .chain([&incident.owner, &incident.subject])
        .filter(is_node);
    let told = alerts(incident).filter_map(|alert| alert.labels.get("node"));
    seen.map(|node| node.name.as_str())
        .chain(told.map(String::as_str))
        .collect()
}
