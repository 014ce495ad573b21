//! Whole clusters of controllers, with a kubelet of a few lines.

mod evictions;
mod housekeeping;
mod whole;
mod workloads;

use super::*;
use crate::object::Object;
use crate::registry::{DeleteOptions, Propagation};
use crate::resources::{ResourceId, ids};
use serde_json::{Value, json};

/// Starts every pod a second after it is made, and ends it a second after it is deleted. What comes
/// of it is in its image: `broken` never gets ready, `fails` and `succeeds` end.
#[derive(Debug)]
struct Kubelet;

impl Controller for Kubelet {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        if change.resource == ids::PODS {
            todo.after(change.key(), Duration::from_secs(1));
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        let pod = cluster.store.get(key)?.clone();
        if pod.meta.deletion_timestamp.is_some() {
            cluster.delete(key, &force()).unwrap();
            return None;
        }
        let mut spec: Value = pod.spec();
        let image = spec["containers"][0]["image"]
            .as_str()
            .unwrap_or("good")
            .to_owned();
        if spec["nodeName"].is_null() {
            let affinity = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
            spec["nodeName"] = spec.pointer(affinity).cloned().unwrap_or(json!("n1"));
            cluster.modify(key, |pod| pod.set("spec", &spec));
        }
        let status: Value = pod.status();
        if status["phase"] == "Pending" {
            let (phase, ready) = match image.as_str() {
                "broken" => ("Running", "False"),
                "fails" => ("Failed", "False"),
                "succeeds" => ("Succeeded", "False"),
                _ => ("Running", "True"),
            };
            let now = cluster.now_seconds();
            let octet = cluster.chance(250);
            cluster.set_status(
                key,
                &json!({
                    "phase": phase, "podIP": format!("10.0.0.{octet}"),
                    "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
                }),
            );
        }
        None
    }
}

fn force() -> DeleteOptions {
    DeleteOptions {
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    }
}

/// A cluster with its controllers, the kubelet above, and a namespace.
struct World {
    cluster: Cluster,
}

impl World {
    fn new() -> Self {
        Self::seeded(1)
    }

    fn seeded(seed: u64) -> Self {
        let mut list = manager();
        list.push(Box::new(Kubelet));
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut world = Self {
            cluster: Cluster::with(seed, start, list),
        };
        for node in ["n1", "n2"] {
            world.create(ids::NODES, json!({"metadata": {"name": node}}));
        }
        world.create(
            ids::NAMESPACES,
            json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}),
        );
        world
    }

    fn create(&mut self, resource: ResourceId, value: Value) -> Key {
        let object = Object::from_value(value).unwrap();
        let object = self.cluster.create(resource, object).unwrap();
        object.key(resource)
    }

    fn pass(&mut self, seconds: u64) {
        self.cluster.pass(Duration::from_secs(seconds));
    }

    fn get(&self, key: &Key) -> Value {
        self.cluster
            .store
            .get(key)
            .map_or(Value::Null, |object| object.to_value())
    }

    fn spec(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        self.cluster.modify(key, |object| {
            let mut spec: Value = object.spec();
            change(&mut spec);
            object.set("spec", &spec);
        });
    }

    fn list(&self, resource: ResourceId) -> Vec<Value> {
        let all = self.cluster.store.list(resource, None);
        all.map(|object| object.to_value()).collect()
    }

    fn names(&self, resource: ResourceId) -> Vec<String> {
        let all = self.cluster.store.list(resource, None);
        all.map(|object| object.meta.name.to_string()).collect()
    }

    fn delete(&mut self, key: &Key, policy: Propagation) {
        let options = DeleteOptions {
            propagation_policy: Some(policy),
            ..DeleteOptions::default()
        };
        self.cluster.delete(key, &options).unwrap();
    }

    /// Messages of the events of a reason, oldest first.
    fn said(&self, reason: &str) -> Vec<String> {
        let mut events = self.list(ids::EVENTS);
        events.sort_by_key(|event| {
            event["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        });
        let wanted = events.into_iter().filter(|event| event["reason"] == reason);
        wanted
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Reason of a condition.
    fn reason(&self, key: &Key, kind: &str) -> String {
        let object = self.get(key);
        let list = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = list.iter().find(|one| one["type"] == kind);
        found.map_or(String::new(), |one| {
            one["reason"].as_str().unwrap().to_owned()
        })
    }
}

fn workload(name: &str, replicas: u32, image: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "a"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    })
}

fn set_image(spec: &mut Value, image: &str) {
    spec["template"]["spec"]["containers"][0]["image"] = json!(image);
}
