//! Addresses and node ports of Services: each its own, kept as long as the Service lives.

use super::Fields;
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::status::{Reason, Status};
use crate::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// First address that is given out; the ones before are for well-known Services.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 11);

/// How many addresses and ports there are (the range of addresses is a /16, as in the lab).
const ADDRESSES: u32 = 65_000;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

fn text<'a>(spec: &'a Fields, name: &str) -> &'a str {
    spec.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Gives a Service what it needs and does not have.
pub(super) fn allocate(cluster: &Cluster, service: &mut Object) -> Result<(), Status> {
    let mut spec: Fields = service.spec();
    let kind = text(&spec, "type").to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    if text(&spec, "clusterIP").is_empty() {
        let taken = taken(&cluster.store, service, "clusterIP");
        let from = u32::from(FIRST);
        let free = (from..from.saturating_add(ADDRESSES))
            .map(|bits| Ipv4Addr::from(bits).to_string())
            .find(|address| !taken.contains(address))
            .ok_or_else(|| full("failed to allocate IP: range is full"))?;
        spec.insert("clusterIP".to_owned(), json!(free));
    }
    let address = text(&spec, "clusterIP").to_owned();
    spec.insert("clusterIPs".to_owned(), json!([address]));
    spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
    spec.entry("ipFamilyPolicy")
        .or_insert_with(|| json!("SingleStack"));
    if kind == "NodePort" || kind == "LoadBalancer" {
        node_ports(&cluster.store, service, &mut spec)?;
    }
    service.set("spec", &spec);
    Ok(())
}

fn full(why: &str) -> Status {
    Status::new(
        Reason::InternalError,
        format!("Internal error occurred: {why}"),
    )
}

/// What the other Services have in a field.
fn taken(store: &Store, but: &Object, field: &str) -> BTreeSet<String> {
    let others = store.list(ids::SERVICES, None).filter(|one| {
        (&one.meta.namespace, &one.meta.name) != (&but.meta.namespace, &but.meta.name)
    });
    let values = others.filter_map(|one| {
        let spec: Fields = one.spec();
        Some(spec.get(field)?.as_str()?.to_owned())
    });
    values.collect()
}

fn node_ports(store: &Store, service: &Object, spec: &mut Fields) -> Result<(), Status> {
    let mut taken: BTreeSet<i64> = BTreeSet::new();
    for other in store.list(ids::SERVICES, None) {
        let same =
            other.meta.name == service.meta.name && other.meta.namespace == service.meta.namespace;
        let spec: Value = other.spec();
        let ports = spec
            .get("ports")
            .and_then(Value::as_array)
            .filter(|_| !same);
        let numbers = ports.into_iter().flatten();
        taken.extend(numbers.filter_map(|port| port.get("nodePort")?.as_i64()));
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let given = port.get("nodePort").and_then(Value::as_i64);
        let number = match given.filter(|given| *given != 0) {
            Some(given) => given,
            None => NODE_PORTS
                .into_iter()
                .find(|number| !taken.contains(number))
                .ok_or_else(|| full("failed to allocate a nodePort: range is full"))?,
        };
        taken.insert(number);
        port.insert("nodePort".to_owned(), json!(number));
    }
    Ok(())
}

/// A new state that does not name what was given keeps it.
pub(super) fn keep(store: &Store, service: &mut Object) {
    let key = Key::new(ids::SERVICES, &service.meta.namespace, &service.meta.name);
    let Some(old) = store.get(&key) else {
        return;
    };
    let (old, mut spec): (Fields, Fields) = (old.spec(), service.spec());
    if text(&spec, "type") == "ExternalName" {
        return;
    }
    for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let unset = spec.get(name).is_none_or(|one| one.is_null() || one == "");
        if let Some(value) = old.get(name).filter(|_| unset) {
            spec.insert(name.to_owned(), value.clone());
        }
    }
    if matches!(text(&spec, "type"), "NodePort" | "LoadBalancer") {
        let before = old.get("ports").and_then(Value::as_array).cloned();
        let before = before.unwrap_or_default();
        let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
            let same = |one: &&Value| one.get("port") == port.get("port");
            let number = before.iter().find(same).and_then(|one| one.get("nodePort"));
            if let Some(number) = number {
                port.entry("nodePort").or_insert_with(|| number.clone());
            }
        }
    }
    service.set("spec", &spec);
}
