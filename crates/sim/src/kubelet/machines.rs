//! The nodes as machines: what is outside the API and a kubelet knows or does.

use super::admit::Requests;
use super::images::Images;
use super::run::PodRun;
use crate::behaviour::{Behaviour, of_program};
use crate::kubelet::spec::Container;
use crate::lookup::Lookup;
use crate::object::Key;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All machines, and what runs on them.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    pub(crate) nodes: BTreeMap<Arc<str>, Machine>,
    pub(crate) pods: Lookup<Key, Box<PodRun>>,
    pub(crate) images: Images,
    /// Behaviours by image, with or without its tag.
    behaviours: BTreeMap<String, Arc<Behaviour>>,
    /// Services that cannot be reached over the network.
    pub(crate) cut: BTreeSet<Service>,
    /// Which pods need a service.
    pub(crate) dependents: BTreeMap<Service, BTreeSet<Key>>,
    /// How many machines there have been.
    pub(crate) count: u16,
}

/// Namespace and name of a service.
pub(crate) type Service = (Arc<str>, Arc<str>);

/// One machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its place in the order of machines; decides on its addresses.
    pub(crate) number: u16,
    /// Since when its kubelet is stopped.
    pub(crate) silent_since: Option<Timestamp>,
    /// Images that it has.
    pub(crate) images: BTreeMap<String, u64>,
    pub(crate) pods: BTreeSet<Key>,
    /// What those of them ask for that are not at their end.
    pub(super) asked: Requests,
    /// What it is short of, and since when.
    pub(crate) pressure: BTreeMap<Pressure, Timestamp>,
    /// Shortages that are over, and since when: the condition stays for a while.
    pub(crate) relieved: BTreeMap<Pressure, Timestamp>,
    /// Why no pod can get a sandbox.
    pub(crate) sandbox_error: Option<String>,
    next_ip: u8,
    /// Last parts of the addresses that its pods have.
    taken: BTreeSet<u8>,
    /// `spec.unschedulable`, as it was seen last.
    pub(crate) cordoned: bool,
}

/// What a node can be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum Pressure {
    Memory,
    Disk,
    Pid,
}

impl Machine {
    pub(crate) fn new(number: u16) -> Self {
        Self {
            number,
            silent_since: None,
            images: BTreeMap::new(),
            pods: BTreeSet::new(),
            asked: Requests::default(),
            pressure: BTreeMap::new(),
            relieved: BTreeMap::new(),
            sandbox_error: None,
            next_ip: 2,
            taken: BTreeSet::new(),
            cordoned: false,
        }
    }
}

/// The address of a node by its number.
pub(crate) fn node_address(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("10.0.{high}.{low}")
}

/// The first three parts of the addresses of a node's pods. (3,000 nodes have their own.)
pub(crate) fn pod_network(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("10.{}.{low}", 244_u8.wrapping_add(high % 12))
}

impl Machines {
    /// A node's address; empty for one that is not known.
    pub(crate) fn address(&self, node: &str) -> Arc<str> {
        let machine = self.nodes.get(node);
        machine.map_or_else(|| "".into(), |machine| node_address(machine.number).into())
    }

    /// Is its kubelet at work?
    pub(crate) fn works(&self, node: &str) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|machine| machine.silent_since.is_none())
    }

    /// A new address for a pod. They are used again after a while, as host-local IPAM does.
    pub(super) fn new_ip(&mut self, node: &str) -> Arc<str> {
        let Some(machine) = self.nodes.get_mut(node) else {
            return "".into();
        };
        for _ in 0..u8::MAX {
            let last = machine.next_ip;
            machine.next_ip = if last >= 254 {
                2
            } else {
                last.saturating_add(1)
            };
            if machine.taken.insert(last) {
                return format!("{}.{last}", pod_network(machine.number)).into();
            }
        }
        "".into()
    }

    /// Counts what a new pod asks for among what its node has to give.
    pub(super) fn count(&mut self, pod: &mut PodRun) {
        if let Some(machine) = self.nodes.get_mut(&pod.node) {
            pod.counted = pod.asks;
            machine.asked = machine.asked.plus(pod.counted);
        }
    }

    /// The pod is at its end: others may have what it asked for.
    pub(super) fn give_back(&mut self, pod: &mut PodRun) {
        let counted = std::mem::take(&mut pod.counted);
        let machine = self.nodes.get_mut(&pod.node);
        // One of the same name that came later has never counted it.
        if let Some(machine) = machine.filter(|machine| machine.pods.contains(&pod.key)) {
            machine.asked = machine.asked.minus(counted);
        }
    }

    /// Forgets a pod that was on a node, and frees its address.
    pub(super) fn leave(&mut self, pod: &mut PodRun) {
        self.give_back(pod);
        let Some(machine) = self.nodes.get_mut(&pod.node) else {
            return;
        };
        machine.pods.remove(&pod.key);
        let last = pod
            .ip
            .rsplit_once('.')
            .and_then(|(_, last)| last.parse().ok());
        if let Some(last) = last {
            machine.taken.remove(&last);
        }
    }

    pub(crate) fn set_behaviour(&mut self, image: &str, behaviour: Option<Behaviour>) {
        match behaviour {
            Some(behaviour) => {
                self.behaviours
                    .insert(image.to_owned(), Arc::new(behaviour));
            }
            None => {
                self.behaviours.remove(image);
            }
        }
    }

    /// What a container does: by annotation, by image, by program, or nothing special.
    pub(super) fn behaviour(
        &self,
        annotations: &BTreeMap<String, String>,
        container: &Container,
    ) -> Result<Arc<Behaviour>, String> {
        if let Some(text) = annotations.get(crate::behaviour::ANNOTATION) {
            let mut all = Behaviour::parse_all(text)?;
            if let Some(own) = all.remove(&container.name) {
                return Ok(Arc::new(own));
            }
        }
        let image = container.image.as_str();
        let untagged = image.rsplit_once(':').map_or(image, |(name, _)| name);
        let known = self
            .behaviours
            .get(image)
            .or_else(|| self.behaviours.get(untagged));
        if let Some(known) = known {
            return Ok(Arc::clone(known));
        }
        let program = of_program(image, &container.command, &container.args);
        Ok(program.map_or_else(Behaviour::healthy, Arc::new))
    }
}
