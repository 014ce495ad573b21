//! Which earlier incidents may have to do with this one.

use crate::incident::Incident;
use crate::signal::{Alert, SignalBody};
use crate::world::{Kind, ObjectRef};
use std::collections::BTreeSet;

const ALERT: &str = "alert ";
const OBJECT: &str = "object ";
const NODE: &str = "node ";

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
    a.fingerprint.cluster == b.fingerprint.cluster && !kin_keys(a).is_disjoint(&kin_keys(b))
}

/// What an incident is found by when somebody asks whether it happened before: two incidents of one
/// cluster are [`alike`] when they have a key in common. The store keeps them beside the incident,
/// so that there is one rule. Names, never uids: those change when things are created anew.
pub fn kin_keys(incident: &Incident) -> BTreeSet<String> {
    let alerts = alerts(incident).map(|alert| format!("{ALERT}{}", alert.name));
    let objects = objects(incident).into_iter();
    let nodes = nodes(incident).map(|name| format!("{NODE}{name}"));
    alerts
        .chain(objects.map(|object| format!("{OBJECT}{object}")))
        .chain(nodes)
        .collect()
}

pub(super) fn kinship(a: &Incident, b: &Incident) -> Kinship {
    if a.fingerprint.cluster != b.fingerprint.cluster {
        return Kinship::default();
    }
    let (of_a, of_b) = (kin_keys(a), kin_keys(b));
    let shares = |what: &str| of_a.intersection(&of_b).any(|key| key.starts_with(what));
    Kinship {
        alert: shares(ALERT),
        object: shares(OBJECT),
        node: shares(NODE),
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

/// The owner, the subject, and the pods that alerts name.
fn objects(incident: &Incident) -> Vec<ObjectRef> {
    let known = [&incident.owner, &incident.subject].into_iter();
    let seen = known.filter(|object| object.kind != Kind::Node).cloned();
    let told = alerts(incident).filter_map(|alert| {
        Some(ObjectRef {
            kind: Kind::Pod,
            namespace: alert.labels.get("namespace")?.clone(),
            name: alert.labels.get("pod")?.clone(),
            ..ObjectRef::default()
        })
    });
    seen.chain(told).collect()
}

fn nodes(incident: &Incident) -> impl Iterator<Item = &str> {
    let evidence = incident
        .diagnosis
        .iter()
        .flat_map(|diagnosis| &diagnosis.evidence);
    let objects = evidence.map(|evidence| &evidence.object);
    let seen = objects
        .chain([&incident.owner, &incident.subject])
        .filter(|object| object.kind == Kind::Node);
    let told = alerts(incident).filter_map(|alert| alert.labels.get("node"));
    seen.map(|node| node.name.as_str())
        .chain(told.map(String::as_str))
}
