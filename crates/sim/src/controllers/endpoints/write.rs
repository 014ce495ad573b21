//! The objects that say what stands behind a Service.

use super::{Endpoint, Port, Spec, target};
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::registry::{DeleteOptions, Part};
use crate::resources::ids;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// So many endpoints a slice holds (`--max-endpoints-per-slice`).
const MOST: usize = 100;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// What a slice says: its ports and its endpoints.
type Content = (Value, Value);

/// Writes the slices of a Service: as few changes as there have to be, no more than so many
/// endpoints in each, one set of ports for all endpoints of a slice.
pub(super) fn slices(cluster: &mut Cluster, service: &Object, spec: &Spec, endpoints: &[Endpoint]) {
    let known: Vec<Key> = cluster
        .store
        .keys_owned_by(&service.meta.uid)
        .into_iter()
        .filter(|key| key.resource == ids::ENDPOINT_SLICES)
        .collect();
    let mut wanted = contents(endpoints);
    let mut free = Vec::new();
    for key in known {
        let Some(slice) = cluster.store.get(&key) else {
            continue;
        };
        let said: Content = (
            slice.field("ports").unwrap_or_default(),
            slice.field("endpoints").unwrap_or_default(),
        );
        match wanted.iter().position(|one| *one == said) {
            Some(place) => drop(wanted.remove(place)),
            None => free.push(key),
        }
    }
    let mut free = free.into_iter();
    for (ports, endpoints) in wanted {
        match free.next() {
            Some(key) => {
                cluster.modify(&key, |slice| {
                    slice.set("ports", &ports);
                    slice.set("endpoints", &endpoints);
                });
            }
            None => create_slice(cluster, service, spec, &ports, &endpoints),
        }
    }
    for key in free {
        cluster.delete(&key, &DeleteOptions::default()).ok();
    }
}

/// One slice for every set of ports and every hundred endpoints; an empty one where there are none.
fn contents(endpoints: &[Endpoint]) -> Vec<Content> {
    let mut groups: BTreeMap<&[Port], Vec<Value>> = BTreeMap::new();
    for endpoint in endpoints {
        let one = json!({
            "addresses": [endpoint.facts.ip],
            "conditions": {
                "ready": endpoint.ready,
                "serving": endpoint.serving,
                "terminating": endpoint.terminating,
            },
            "targetRef": target(endpoint),
            "nodeName": endpoint.node,
        });
        groups.entry(&endpoint.ports).or_default().push(one);
    }
    if groups.is_empty() {
        return vec![(Value::Null, json!([]))];
    }
    let mut contents = Vec::new();
    for (ports, all) in groups {
        contents.extend(all.chunks(MOST).map(|some| (json!(ports), json!(some))));
    }
    contents
}

fn create_slice(
    cluster: &mut Cluster,
    service: &Object,
    spec: &Spec,
    ports: &Value,
    endpoints: &Value,
) {
    let row = cluster.resources.get(ids::ENDPOINT_SLICES);
    let mut slice = Object::new(row, &service.meta.namespace, "");
    slice.meta.generate_name = format!("{}-", service.meta.name).into();
    slice.meta.labels = service.meta.labels.clone();
    let ours = [
        (SERVICE_NAME, &*service.meta.name),
        (MANAGED_BY, "endpointslice-controller.k8s.io"),
    ];
    slice
        .meta
        .labels
        .extend(ours.map(|(label, value)| (label.to_owned(), value.to_owned())));
    if spec.cluster_ip == "None" {
        slice.meta.labels.insert(HEADLESS.to_owned(), String::new());
    }
    slice.meta.owner_references = vec![service.as_controller()].into();
    slice.set("addressType", &"IPv4");
    slice.set("ports", ports);
    slice.set("endpoints", endpoints);
    // Refused only in a namespace that is going away.
    cluster.create(ids::ENDPOINT_SLICES, slice).ok();
}

/// Writes the Endpoints of a Service, the older form: without pods that are being deleted.
pub(super) fn endpoints(
    cluster: &mut Cluster,
    service: &Object,
    spec: &Spec,
    endpoints: &[Endpoint],
) {
    let mut groups: BTreeMap<&[Port], (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    let publish = spec.publish_not_ready_addresses;
    for endpoint in endpoints.iter().filter(|one| publish || !one.terminating) {
        let (ready, not_ready) = groups.entry(&endpoint.ports).or_default();
        let side = if endpoint.ready { ready } else { not_ready };
        side.push(json!({
            "ip": endpoint.facts.ip,
            "nodeName": endpoint.node,
            "targetRef": target(endpoint),
        }));
    }
    let subsets: Vec<Value> = groups
        .into_iter()
        .map(|(ports, (ready, not_ready))| {
            let parts = [("addresses", ready), ("notReadyAddresses", not_ready)];
            let filled = parts.into_iter().filter(|(_, list)| !list.is_empty());
            let mut subset: serde_json::Map<_, _> = filled
                .map(|(name, list)| (name.to_owned(), Value::Array(list)))
                .collect();
            subset.insert("ports".to_owned(), json!(ports));
            Value::Object(subset)
        })
        .collect();
    let row = cluster.resources.get(ids::ENDPOINTS);
    let mut object = Object::new(row, &service.meta.namespace, &service.meta.name);
    object.meta.labels = service.meta.labels.clone();
    let ours = "endpoints.kubernetes.io/managed-by";
    object
        .meta
        .labels
        .insert(ours.to_owned(), "endpoint-controller".to_owned());
    if spec.cluster_ip == "None" {
        object
            .meta
            .labels
            .insert(HEADLESS.to_owned(), String::new());
    }
    if !subsets.is_empty() {
        object.set("subsets", &subsets);
    }
    // Refused only in a namespace that is going away.
    if cluster.store.get(&object.key(ids::ENDPOINTS)).is_some() {
        cluster.update(ids::ENDPOINTS, object, Part::Main).ok();
    } else {
        cluster.create(ids::ENDPOINTS, object).ok();
    }
}

/// Endpoints have no owner: they go with their Service.
pub(super) fn remove_endpoints(cluster: &mut Cluster, service: &Key) {
    let key = Key::new(ids::ENDPOINTS, &service.namespace, &service.name);
    cluster.delete(&key, &DeleteOptions::default()).ok();
}
