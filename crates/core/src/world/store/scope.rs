//! A part of the picture, frozen: what belongs to a scope.

use super::{Key, Keys, World};
use crate::world::{
    Coverage, Kind, Object, ObjectRef, Pod, PodSpec, Scope, Service, Snapshot, Source,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl World {
    /// The scope as it looks now, sharing the objects that are held. The caller says how well it
    /// has seen each source.
    pub fn snapshot(
        &self,
        scope: &Scope,
        now: Timestamp,
        coverage: BTreeMap<Source, Coverage>,
    ) -> Snapshot {
        let mut snapshot = Snapshot {
            cluster: self.cluster.clone(),
            taken_at: now,
            coverage,
            ..Snapshot::default()
        };
        match scope {
            Scope::Cluster => {
                for object in self.objects.values() {
                    hold(&mut snapshot, object);
                }
                // Nobody is outside of it.
                let nodes = snapshot.nodes.iter();
                snapshot.neighbours = nodes.map(|n| (n.metadata.name.clone(), 0)).collect();
            }
            Scope::Of(subject) => {
                let keys = self.members(subject);
                for object in keys.iter().filter_map(|key| self.objects.get(key)) {
                    hold(&mut snapshot, object);
                }
                snapshot.neighbours = self.neighbours(&keys);
            }
        }
        // All other lists are in order already: keys are ordered by kind, namespace and name.
        snapshot.workloads.sort_by(|one, other| {
            let (one, other) = (&one.metadata, &other.metadata);
            (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
        });
        snapshot
    }

    fn members(&self, subject: &ObjectRef) -> Keys {
        let known = self.find(subject);
        let subject = known.map_or_else(|| subject.clone(), Object::reference);
        if subject.kind == Kind::Node {
            let mut keys = self.around_node(&subject);
            keys.extend(self.keys_of_kind(&Kind::Node));
            keys
        } else {
            let mut keys = self.around_owner(&subject);
            keys.extend(self.nodes_that_bear_on(&keys));
            keys
        }
    }

    /// The nodes of the pods, and every node that is in trouble or out of use: a gate counts those.
    /// Healthy ones that hold none of the pods say nothing, and there may be thousands.
    fn nodes_that_bear_on(&self, keys: &Keys) -> Keys {
        let pods = self.pods_in(keys);
        let hosts: BTreeSet<&str> = pods.iter().map(|pod| &*pod.spec.node_name).collect();
        let bears = |object: &&Object| {
            let Object::Node(node) = object else {
                return false;
            };
            let hosts_one = hosts.contains(&*node.metadata.name);
            hosts_one || !node.is_ready() || (self.is_symptom)(object)
        };
        let nodes = self.of_kind(&Kind::Node).filter(bears);
        nodes.filter_map(|node| self.key(&Key::of(node))).collect()
    }

    /// The topmost owner with everything below it, and what bears on that.
    fn around_owner(&self, subject: &ObjectRef) -> Keys {
        let root = self.topmost(subject);
        let mut keys = self.family(&root);
        keys.extend(self.known(subject));
        let mut about: BTreeSet<Key> = keys.iter().map(|key| Key::clone(key)).collect();
        about.extend([Key::from(&root), Key::from(subject)]);
        let pods: Vec<&Arc<Pod>> = self.pods_in(&keys);
        about.extend(pods.iter().map(|pod| node_key(&pod.spec.node_name)));

        keys.extend(self.config_maps(&keys));
        let namespace = &root.namespace;
        keys.extend(self.key(&namespace_key(namespace)));
        for kind in [Kind::PodDisruptionBudget, Kind::HorizontalPodAutoscaler] {
            keys.extend(self.keys_in(&kind, namespace));
        }
        keys.extend(self.services(namespace, &pods));
        keys.extend(self.events(&about));
        keys
    }

    /// A node with its pods and what decides whether they may be moved.
    fn around_node(&self, node: &ObjectRef) -> Keys {
        let mut keys: Keys = self.on_node.get(&node.name).cloned().unwrap_or_default();
        let mut about: BTreeSet<Key> = keys.iter().map(|key| Key::clone(key)).collect();
        about.insert(Key::from(node));
        let mut namespaces = BTreeSet::new();
        for pod in self.pods_in(&keys) {
            keys.extend(self.owners(pod));
            namespaces.insert(pod.metadata.namespace.as_str());
        }
        for namespace in namespaces {
            keys.extend(self.key(&namespace_key(namespace)));
            keys.extend(self.keys_in(&Kind::PodDisruptionBudget, namespace));
        }
        keys.extend(self.events(&about));
        keys
    }

    /// `root` and everything that it controls, however far down.
    fn family(&self, root: &ObjectRef) -> Keys {
        let mut keys: Keys = self.known(root).into_iter().collect();
        let mut parents = vec![&root.uid];
        while let Some(parent) = parents.pop() {
            for key in self.children.get(parent).into_iter().flatten() {
                // A cycle of owners ends here.
                if keys.insert(Arc::clone(key))
                    && let Some(child) = self.objects.get(key)
                {
                    parents.push(&child.meta().uid);
                }
            }
        }
        keys
    }

    /// The workloads above a pod.
    fn owners(&self, pod: &Pod) -> Keys {
        let mut keys = Keys::new();
        let mut owner = pod.metadata.controller();
        while let Some(key) = owner.and_then(|owner| self.uids.get(&owner.uid)) {
            if !keys.insert(Arc::clone(key)) {
                break;
            }
            owner = self.objects.get(key).and_then(|o| o.meta().controller());
        }
        keys
    }

    /// ConfigMaps that the pods and templates among `keys` use.
    fn config_maps(&self, keys: &Keys) -> Keys {
        let mut found = Keys::new();
        for object in keys.iter().filter_map(|key| self.objects.get(key)) {
            let Some(spec) = pod_spec(object) else {
                continue;
            };
            let namespace = &object.meta().namespace;
            for name in spec.config_maps() {
                found.extend(self.key(&Key {
                    kind: Kind::ConfigMap,
                    namespace: namespace.clone(),
                    name: name.to_owned(),
                }));
            }
        }
        found
    }

    /// Services that select one of the pods, with their endpoints.
    fn services(&self, namespace: &str, pods: &[&Arc<Pod>]) -> Keys {
        let mut found = Keys::new();
        let mut names = BTreeSet::new();
        for key in self.keys_in(&Kind::Service, namespace) {
            if let Some(Object::Service(service)) = self.objects.get(&key)
                && pods.iter().any(|pod| selects(service, pod))
            {
                names.insert(key.name.clone());
                found.insert(key);
            }
        }
        for key in self.keys_in(&Kind::EndpointSlice, namespace) {
            let service = self.objects.get(&key).and_then(|slice| {
                let labels = &slice.meta().labels;
                labels.get(SERVICE_NAME)
            });
            if service.is_some_and(|service| names.contains(service)) {
                found.insert(key);
            }
        }
        found
    }

    /// What pods that are not among `keys` request on the nodes of those that are.
    fn neighbours(&self, keys: &Keys) -> BTreeMap<String, u64> {
        let pods = self.pods_in(keys);
        let nodes: BTreeSet<&str> = pods.iter().map(|p| p.spec.node_name.as_str()).collect();
        let requested = |node: &str| -> Option<u64> {
            let on_node = self.on_node.get(node)?;
            let others: Keys = on_node.difference(keys).cloned().collect();
            let mut others = self.pods_in(&others).into_iter();
            others.try_fold(0_u64, |sum, pod| {
                Some(sum.saturating_add(pod.requested_memory()?))
            })
        };
        let known = nodes
            .into_iter()
            .filter_map(|node| Some((node.to_owned(), requested(node)?)));
        known.collect()
    }

    fn events(&self, about: &BTreeSet<Key>) -> Keys {
        let found = about.iter().filter_map(|key| self.about.get(key));
        found.flatten().cloned().collect()
    }

    fn pods_in(&self, keys: &Keys) -> Vec<&Arc<Pod>> {
        let objects = keys.iter().filter_map(|key| self.objects.get(key));
        let pods = objects.filter_map(|object| {
            let Object::Pod(pod) = object else {
                return None;
            };
            Some(pod)
        });
        pods.collect()
    }

    /// This incarnation of the object, not another one of the same name.
    fn known(&self, object: &ObjectRef) -> Option<Arc<Key>> {
        self.key(&Key::of(self.find(object)?))
    }

    fn key(&self, key: &Key) -> Option<Arc<Key>> {
        self.objects
            .get_key_value(key)
            .map(|(key, _)| Arc::clone(key))
    }

    fn keys_of_kind(&self, kind: &Kind) -> Keys {
        self.of_kind(kind)
            .filter_map(|o| self.key(&Key::of(o)))
            .collect()
    }

    fn keys_in(&self, kind: &Kind, namespace: &str) -> Keys {
        let first = Key {
            kind: kind.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        self.objects
            .range(first..)
            .map(|(key, _)| key)
            .take_while(|key| key.kind == *kind && key.namespace == namespace)
            .cloned()
            .collect()
    }
}

impl Snapshot {
    /// Everything in it that a [`World`] can hold.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let pods = self.pods.iter().cloned().map(Object::Pod);
        let nodes = self.nodes.iter().cloned().map(Object::Node);
        let namespaces = self.namespaces.iter().cloned().map(Object::Namespace);
        let workloads = self.workloads.iter().cloned().map(Object::Workload);
        let revisions = self.controller_revisions.iter().cloned();
        let hpas = self.hpas.iter().cloned();
        let pdbs = self.pdbs.iter().cloned();
        let services = self.services.iter().cloned().map(Object::Service);
        let slices = self.endpoint_slices.iter().cloned();
        let config_maps = self.config_maps.iter().cloned().map(Object::ConfigMap);
        let events = self.events.iter().cloned().map(Object::Event);
        pods.chain(nodes)
            .chain(namespaces)
            .chain(workloads)
            .chain(revisions.map(Object::ControllerRevision))
            .chain(hpas.map(Object::HorizontalPodAutoscaler))
            .chain(pdbs.map(Object::PodDisruptionBudget))
            .chain(services)
            .chain(slices.map(Object::EndpointSlice))
            .chain(config_maps)
            .chain(events)
    }
}

fn hold(snapshot: &mut Snapshot, object: &Object) {
    match object {
        Object::Pod(o) => snapshot.pods.push(Arc::clone(o)),
        Object::Node(o) => snapshot.nodes.push(Arc::clone(o)),
        Object::Namespace(o) => snapshot.namespaces.push(Arc::clone(o)),
        Object::Workload(o) => snapshot.workloads.push(Arc::clone(o)),
        Object::ControllerRevision(o) => snapshot.controller_revisions.push(Arc::clone(o)),
        Object::HorizontalPodAutoscaler(o) => snapshot.hpas.push(Arc::clone(o)),
        Object::PodDisruptionBudget(o) => snapshot.pdbs.push(Arc::clone(o)),
        Object::Service(o) => snapshot.services.push(Arc::clone(o)),
        Object::EndpointSlice(o) => snapshot.endpoint_slices.push(Arc::clone(o)),
        Object::ConfigMap(o) => snapshot.config_maps.push(Arc::clone(o)),
        Object::Event(o) => snapshot.events.push(Arc::clone(o)),
    }
}

fn pod_spec(object: &Object) -> Option<&PodSpec> {
    match object {
        Object::Pod(pod) => Some(&pod.spec),
        Object::Workload(workload) => Some(&workload.spec.template.spec),
        Object::ControllerRevision(revision) => Some(&revision.data.spec.template.spec),
        Object::Node(_)
        | Object::Namespace(_)
        | Object::HorizontalPodAutoscaler(_)
        | Object::PodDisruptionBudget(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::ConfigMap(_)
        | Object::Event(_) => None,
    }
}

/// A Service without a selector selects nothing: somebody else keeps its endpoints.
fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = &service.spec.selector;
    let labels = &pod.metadata.labels;
    !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

fn node_key(name: &str) -> Key {
    Key {
        kind: Kind::Node,
        namespace: String::new(),
        name: name.to_owned(),
    }
}

fn namespace_key(name: &str) -> Key {
    Key {
        kind: Kind::Namespace,
        namespace: String::new(),
        name: name.to_owned(),
    }
}
