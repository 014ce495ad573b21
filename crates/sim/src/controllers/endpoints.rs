//! EndpointSlices and Endpoints: which addresses stand behind a Service.
//!
//! Rules: `pkg/controller/endpointslice`, `pkg/controller/endpoint` and
//! `staging/.../endpointslice` of Kubernetes 1.36.

mod write;

use super::Controller;
use super::pods::{self, Facts};
use crate::cluster::{Cluster, Todo};
use crate::object::{Key, Object};
use crate::pod_spec::{self, node_of};
use crate::resources::ids;
use crate::store::{Change, ChangeKind, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The controller.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    /// Whom the Services select: an index of what the store has.
    selectors: BTreeMap<Key, BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    r#type: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    selector: BTreeMap<String, String>,
    ports: Vec<ServicePort>,
    publish_not_ready_addresses: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort {
    name: String,
    protocol: String,
    port: u16,
    target_port: Option<Value>,
    app_protocol: Option<String>,
}

/// A port as a client finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    name: String,
    #[serde(rename = "port")]
    number: u16,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_protocol: Option<String>,
}

/// One pod behind a Service.
#[derive(Clone, Debug)]
struct Endpoint {
    pod: Arc<Object>,
    node: Arc<str>,
    facts: Facts,
    ready: bool,
    serving: bool,
    terminating: bool,
    ports: Vec<Port>,
}

impl Controller for Endpoints {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        let key = change.key();
        let gone = change.kind == ChangeKind::Deleted;
        match change.resource {
            ids::SERVICES => {
                if gone {
                    self.selectors.remove(&key);
                } else {
                    let selector = change.new.spec::<Spec>().selector;
                    self.selectors.insert(key.clone(), selector);
                }
                todo.now(key);
            }
            ids::PODS => self.heard_pod(change, todo),
            ids::ENDPOINTS if gone => todo.now(Key::new(ids::SERVICES, &key.namespace, &key.name)),
            ids::ENDPOINT_SLICES if gone => {
                let service = change
                    .new
                    .meta
                    .controller()
                    .filter(|one| one.kind == "Service");
                if let Some(service) = service {
                    todo.now(Key::new(ids::SERVICES, &key.namespace, &service.name));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let Some(service) = cluster.store.get(key).cloned() else {
            write::remove_endpoints(cluster, key);
            return None;
        };
        let spec: Spec = service.spec();
        if spec.selector.is_empty() || service.meta.deletion_timestamp.is_some() {
            return None;
        }
        let endpoints = behind(cluster, &service, &spec);
        write::slices(cluster, &service, &spec, &endpoints);
        write::endpoints(cluster, &service, &spec, &endpoints);
        None
    }
}

impl Endpoints {
    fn heard_pod(&self, change: &Change, todo: &mut Todo) {
        let namespace = &change.new.meta.namespace;
        let first = Key::new(ids::SERVICES, namespace, "");
        let services = self.selectors.range(first..);
        let services = services.take_while(|(key, _)| key.namespace == *namespace);
        let selects = |selector: &BTreeMap<String, String>, pod: &Object| {
            let has = |(name, value)| pod.meta.labels.get(name) == Some(value);
            !selector.is_empty() && selector.iter().all(has)
        };
        let found: Vec<_> = services
            .filter(|(_, selector)| {
                let before = change
                    .old
                    .as_ref()
                    .is_some_and(|old| selects(selector, old));
                before || selects(selector, &change.new)
            })
            .map(|(key, _)| key.clone())
            .collect();
        if !found.is_empty() && pods::matters(change) {
            todo.all(found);
        }
    }
}

/// The pods of a Service that have an address and have not come to their end, by name.
fn behind(cluster: &Cluster, service: &Object, spec: &Spec) -> Vec<Endpoint> {
    let all = cluster.store.list(ids::PODS, Some(&service.meta.namespace));
    let selected = all.filter(|pod| {
        let labels = &pod.meta.labels;
        spec.selector
            .iter()
            .all(|(name, value)| labels.get(name) == Some(value))
    });
    let mut found = Vec::new();
    for pod in selected {
        let facts = Facts::of(pod);
        if facts.ip.is_empty() || facts.finished() {
            continue;
        }
        let terminating = pod.meta.deletion_timestamp.is_some();
        let serving = facts.ready_since.is_some();
        found.push(Endpoint {
            ports: ports(spec, pod),
            ready: spec.publish_not_ready_addresses || (serving && !terminating),
            serving,
            terminating,
            node: node_of(pod),
            facts,
            pod: Arc::clone(pod),
        });
    }
    found
}

/// The ports of a Service on one pod. A named port that the pod does not have is left out.
fn ports(spec: &Spec, pod: &Object) -> Vec<Port> {
    let port = |one: &ServicePort| {
        let number = match &one.target_port {
            Some(Value::Number(number)) => u16::try_from(number.as_u64()?).ok()?,
            Some(Value::String(name)) => match name.parse() {
                Ok(number) => number,
                Err(_) => named_port(pod, name)?,
            },
            _ => one.port,
        };
        let protocol = if one.protocol.is_empty() {
            "TCP"
        } else {
            &one.protocol
        };
        Some(Port {
            name: one.name.clone(),
            number,
            protocol: protocol.to_owned(),
            app_protocol: one.app_protocol.clone(),
        })
    };
    spec.ports.iter().filter_map(port).collect()
}

fn named_port(pod: &Object, name: &str) -> Option<u16> {
    let spec = pod_spec::running(pod);
    let mut ports = spec.containers.iter().flat_map(|one| &one.ports);
    ports
        .find(|port| port.name == name)
        .map(|port| port.container_port)
}

fn target(endpoint: &Endpoint) -> Value {
    let meta = &endpoint.pod.meta;
    json!({"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid})
}
