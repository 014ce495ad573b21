//! What containers need: looked at when they start, and, for services, while they run.

use super::config;
use super::machines::{Machines, Service};
use super::run::PodRun;
use super::spec::{Container, PodSpec};
use super::sync::Sync;
use crate::behaviour::{Behaviour, Exit, Need, Seconds, Without};
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::store::Store;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label that says whose endpoints a slice holds.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A behaviour with variables put into its lines, and with an early end where something that it
/// cannot start without is missing.
pub(super) fn at_start(
    store: &Store,
    machines: &Machines,
    (namespace, spec, container): (&Arc<str>, &PodSpec, &Container),
    behaviour: Arc<Behaviour>,
    environment: &BTreeMap<String, String>,
) -> Arc<Behaviour> {
    let variable = |text: &str| text.contains("$(");
    if behaviour.needs.is_empty() && !behaviour.log.iter().any(|line| variable(line)) {
        return behaviour;
    }
    let mut result = Behaviour::clone(&behaviour);
    for line in &mut result.log {
        *line = expand(line, environment);
    }
    let missing = result.needs.iter().find_map(|need| {
        let place = (namespace, spec, container);
        let why = missing_at_start(store, machines, place, need, environment)?;
        Some(if need.message.is_empty() {
            why
        } else {
            need.message.clone()
        })
    });
    if let Some(message) = missing {
        result.exit = Some(Exit {
            after: Seconds::from_millis(100),
            code: 1,
            message,
        });
        result.log.clear();
    }
    Arc::new(result)
}

/// `$(NAME)` becomes the variable's value, or nothing.
fn expand(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut parts = text.split("$(");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(')').unwrap_or((part, ""));
        result.push_str(environment.get(name).map_or("", String::as_str));
        result.push_str(rest);
    }
    result
}

fn missing_at_start(
    store: &Store,
    machines: &Machines,
    (namespace, spec, container): (&Arc<str>, &PodSpec, &Container),
    need: &Need,
    environment: &BTreeMap<String, String>,
) -> Option<String> {
    let wrong = |found: &str| need.value.as_ref().is_some_and(|wanted| wanted != found);
    let keys = [(false, &need.config_map), (true, &need.secret)];
    for (secret, name) in keys.into_iter().filter(|(_, name)| !name.is_empty()) {
        let kind = if secret { "secret" } else { "configmap" };
        match config::key(store, namespace, secret, name, &need.key) {
            None => return Some(format!("fatal: no {} in {kind} {name}", need.key)),
            Some(found) if wrong(&found) => {
                return Some(format!("fatal: bad value {found:?} of {}", need.key));
            }
            Some(_) => {}
        }
    }
    let name = expand(&need.env, environment);
    if !name.is_empty() {
        match environment.get(&name).map_or("", String::as_str) {
            "" => return Some(format!("app: the environment has no {name}")),
            found if wrong(found) => return Some(format!("fatal: bad value {found:?} of {name}")),
            _ => {}
        }
    }
    if !need.file.is_empty() && !config::has_file(store, namespace, spec, container, &need.file) {
        return Some(format!(
            "fatal: open {}: no such file or directory",
            need.file
        ));
    }
    if need.service.is_empty() || need.without != Without::Exit {
        return None;
    }
    unreachable(store, machines, namespace, need)
}

/// Namespace and name of a service, which may be written `name` or `name.namespace`.
fn service_of(namespace: &str, need: &Need) -> Service {
    let (name, namespace) = need
        .service
        .split_once('.')
        .unwrap_or((&need.service, namespace));
    (namespace.into(), name.into())
}

/// What a client of a service says when it cannot be reached.
fn unreachable(store: &Store, machines: &Machines, namespace: &str, need: &Need) -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
    }
    let service = service_of(namespace, need);
    let (namespace, name) = &service;
    let port = if need.port == 0 { 80 } else { need.port };
    let begin = format!("error: Get \"http://{}:{port}/\": dial tcp", need.service);
    let Some(object) = store.get(&Key::new(ids::SERVICES, namespace, name)) else {
        return Some(format!(
            "{begin}: lookup {name}.{namespace}.svc.cluster.local on 10.96.0.10:53: no such host"
        ));
    };
    let address = object.spec::<Spec>().cluster_ip;
    if machines.cut.contains(&service) {
        return Some(format!("{begin} {address}:{port}: i/o timeout"));
    }
    let mut slices = store.list(ids::ENDPOINT_SLICES, Some(namespace));
    let up = slices.any(|slice| {
        slice
            .meta
            .labels
            .get(SERVICE_NAME)
            .is_some_and(|one| **one == **name)
            && has_ready(slice)
    });
    (!up).then(|| format!("{begin} {address}:{port}: connect: connection refused"))
}

fn has_ready(slice: &Object) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Endpoint {
        conditions: Conditions,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Conditions {
        ready: Option<bool>,
    }
    let endpoints: Vec<Endpoint> = slice.field("endpoints").unwrap_or_default();
    endpoints
        .iter()
        .any(|one| one.conditions.ready != Some(false))
}

impl Sync<'_> {
    /// Looks whether the services that a running container needs are there.
    pub(super) fn look_at_needs(&mut self, index: usize) {
        let namespace = Arc::clone(&self.pod.key.namespace);
        let key = self.pod.key.clone();
        let Some(run) = self.pod.containers.get_mut(index) else {
            return;
        };
        if run.behaviour.needs.is_empty() || !run.is_running() {
            return;
        }
        let behaviour = Arc::clone(&run.behaviour);
        let (mut missing, mut held_up) = (None, false);
        for need in &behaviour.needs {
            if need.service.is_empty() || need.without == Without::Exit {
                continue;
            }
            let service = service_of(&namespace, need);
            let machines = &mut self.cluster.machines;
            machines
                .dependents
                .entry(service)
                .or_default()
                .insert(key.clone());
            let why = unreachable(
                &self.cluster.store,
                &self.cluster.machines,
                &namespace,
                need,
            );
            if let Some(why) = why {
                held_up |= need.without == Without::Unready;
                let said = if need.message.is_empty() {
                    why
                } else {
                    need.message.clone()
                };
                missing = missing.or(Some(said));
            }
        }
        if let Some(instance) = &mut run.current {
            instance.needs(missing, held_up, self.now);
        }
    }
}

impl PodRun {
    /// Does any container need a service while it runs?
    pub(super) fn has_needs(&self) -> bool {
        let mut needs = self.containers.iter().flat_map(|run| &run.behaviour.needs);
        needs.any(|need| !need.service.is_empty())
    }
}
