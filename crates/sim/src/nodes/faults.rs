//! Faults from outside: what happens to machines, registries and networks, and no manifest says.
//! Each is taken back by the same function.

use crate::behaviour::Behaviour;
use crate::cluster::Cluster;
use crate::events::{EventType, Reference, Source, seconds};
use crate::kubelet::{ImageFault, Pressure};
use crate::object::Key;
use crate::resources::ids;

impl Cluster {
    /// A node's kubelet is at work (`true`) or stopped. A stopped one neither reports nor acts; its
    /// containers run on. The node lifecycle controller finds out by the missing heartbeats.
    pub fn set_kubelet(&mut self, node: &str, works: bool) {
        let now = self.now();
        let Some(machine) = self.machines.nodes.get_mut(node) else {
            return;
        };
        if works == machine.silent_since.is_none() {
            return;
        }
        machine.silent_since = (!works).then_some(now);
        let pods = machine.pods.clone();
        self.nudge(Self::node_key(node));
        if works {
            let name = node.into();
            let about = Reference::node(&name);
            let source = Source::kubelet(&name);
            self.event(
                source,
                &about,
                EventType::Normal,
                "Starting",
                "Starting kubelet.",
            );
            for pod in pods {
                self.nudge(pod);
            }
            // What came while it was away.
            let all = self
                .store
                .list(ids::PODS, None)
                .map(|pod| pod.key(ids::PODS));
            let new: Vec<Key> = all
                .filter(|key| !self.machines.pods.contains_key(key))
                .collect();
            for pod in new {
                self.nudge(pod);
            }
        }
    }

    /// A node is short of something, or no longer. It evicts a pod every ten seconds; the condition
    /// stays for five minutes after the end.
    pub fn set_pressure(&mut self, node: &str, pressure: Pressure, short: bool) {
        let now = self.now();
        let Some(machine) = self.machines.nodes.get_mut(node) else {
            return;
        };
        if short {
            machine.pressure.entry(pressure).or_insert(now);
            machine.relieved.remove(&pressure);
        } else if machine.pressure.remove(&pressure).is_some() {
            machine.relieved.insert(pressure, seconds(now));
        }
        self.nudge(Self::node_key(node));
    }

    /// No pod can get a network on a node: every new sandbox fails with this error. `None` ends it.
    pub fn set_sandbox_error(&mut self, node: &str, error: Option<&str>) {
        if let Some(machine) = self.machines.nodes.get_mut(node) {
            machine.sandbox_error = error.map(str::to_owned);
        }
    }

    /// An image (as it is written in pods), or everything at a registry's host, can or cannot be
    /// pulled. Nodes that have an image keep it.
    pub fn set_image(&mut self, image_or_host: &str, fault: Option<ImageFault>) {
        self.machines.images.set(image_or_host, fault);
    }

    /// What containers of an image do from their next start on. With or without a tag; with one
    /// comes first. `None` forgets it.
    pub fn set_behaviour(&mut self, image: &str, behaviour: Option<Behaviour>) {
        self.machines.set_behaviour(image, behaviour);
    }

    /// A service can or cannot be reached over the network by whoever needs it.
    pub fn set_cut(&mut self, namespace: &str, service: &str, cut: bool) {
        let service = (namespace.into(), service.into());
        if cut {
            self.machines.cut.insert(service.clone());
        } else {
            self.machines.cut.remove(&service);
        }
        for pod in self
            .machines
            .dependents
            .get(&service)
            .cloned()
            .unwrap_or_default()
        {
            self.nudge(pod);
        }
    }
}
