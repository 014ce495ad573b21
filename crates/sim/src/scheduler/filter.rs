//! Which nodes a pod may run on, and why not on the others: the filter plugins in their order, and
//! their words (`pkg/scheduler/framework/plugins`).

use super::cache::{Cache, NodeInfo};
use super::pod::{PodInfo, PodTerm, Spec};
use super::terms::{NodeSelector, Taint};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why a node is not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// In the plugin's words.
    pub(super) reasons: Vec<String>,
    /// Could taking other pods away help? (`Unschedulable`, not `UnschedulableAndUnresolvable`.)
    pub(super) others_in_the_way: bool,
}

impl Unfit {
    fn for_good(reason: &str) -> Self {
        Self {
            reasons: vec![reason.to_owned()],
            others_in_the_way: false,
        }
    }

    fn for_now(reason: &str) -> Self {
        Self {
            others_in_the_way: true,
            ..Self::for_good(reason)
        }
    }
}

/// A pod to be placed, and what was found out about it once for all nodes.
pub(super) struct Wanted<'a> {
    pub(super) spec: &'a Spec,
    pub(super) info: &'a PodInfo,
    /// Node selectors of the volumes that it has to be near.
    pub(super) volumes: &'a [NodeSelector],
    spreads: Vec<Skew<'a>>,
    /// Topologies in which a pod is that does not want this one near: label and value.
    shunned: BTreeSet<(String, String)>,
    near: Vec<Topology<'a>>,
    far: Vec<Topology<'a>>,
}

/// Where pods are that a term means.
struct Topology<'a> {
    term: &'a PodTerm,
    values: BTreeSet<String>,
}

struct Skew<'a> {
    key: &'a str,
    most: i64,
    counts: BTreeMap<String, i64>,
    /// The pod itself counts.
    itself: i64,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(
        cache: &Cache,
        spec: &'a Spec,
        info: &'a PodInfo,
        volumes: &'a [NodeSelector],
    ) -> Self {
        let topologies = |terms: &'a [PodTerm]| -> Vec<Topology<'a>> {
            terms
                .iter()
                .map(|term| topology(cache, info, term))
                .collect()
        };
        let shy = cache
            .shy
            .iter()
            .filter_map(|key| Some((key, cache.pods.get(key)?)));
        let shunned = shy.flat_map(|(key, (_, other))| {
            let terms = other
                .anti
                .iter()
                .filter(|term| term.means(&other.namespace, info));
            terms.filter_map(|term| {
                let value = cache.node_label(key, &term.topology_key)?;
                Some((term.topology_key.clone(), value.to_owned()))
            })
        });
        let hard = spec.topology_spread_constraints.iter();
        let hard = hard.filter(|one| one.when_unsatisfiable != "ScheduleAnyway");
        Self {
            spec,
            info,
            volumes,
            spreads: hard.map(|one| skew(cache, spec, info, one)).collect(),
            shunned: shunned.collect(),
            near: topologies(&spec.affinity.pod_affinity.required),
            far: topologies(&spec.affinity.pod_anti_affinity.required),
        }
    }

    /// All filters, in their order; the first that says no counts.
    pub(super) fn check(&self, name: &Arc<str>, node: &NodeInfo) -> Result<(), Unfit> {
        self.unschedulable(node)?;
        self.taints(node)?;
        self.node_affinity(name, node)?;
        self.ports(node)?;
        self.resources(node)?;
        self.volumes(name, node)?;
        self.spread(node)?;
        self.pod_affinity(node)
    }

    fn unschedulable(&self, node: &NodeInfo) -> Result<(), Unfit> {
        if !node.unschedulable {
            return Ok(());
        }
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        let tolerated = self
            .spec
            .tolerations
            .iter()
            .any(|one| one.tolerates(&taint));
        if tolerated {
            return Ok(());
        }
        Err(Unfit::for_good("node(s) were unschedulable"))
    }

    fn taints(&self, node: &NodeInfo) -> Result<(), Unfit> {
        let mut hard = node
            .taints
            .iter()
            .filter(|taint| taint.effect != "PreferNoSchedule");
        let tolerated =
            hard.all(|taint| self.spec.tolerations.iter().any(|one| one.tolerates(taint)));
        if tolerated {
            return Ok(());
        }
        Err(Unfit::for_good("node(s) had untolerated taint(s)"))
    }

    fn node_affinity(&self, name: &str, node: &NodeInfo) -> Result<(), Unfit> {
        let selected = self
            .spec
            .node_selector
            .iter()
            .all(|(key, value)| node.labels.get(key) == Some(value));
        let required = self.spec.affinity.node_affinity.required.as_ref();
        if selected && required.is_none_or(|one| one.matches(name, &node.labels)) {
            return Ok(());
        }
        let names = required.and_then(NodeSelector::names);
        if names.is_some_and(|names| !names.contains(&name)) {
            return Err(Unfit::for_good(
                "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            ));
        }
        Err(Unfit::for_good(
            "node(s) didn't match Pod's node affinity/selector",
        ))
    }

    fn ports(&self, node: &NodeInfo) -> Result<(), Unfit> {
        let taken = |(port, protocol): &(u16, String)| {
            node.ports
                .iter()
                .any(|(other, with, _)| other == port && with == protocol)
        };
        if self.info.ports.iter().any(taken) {
            return Err(Unfit::for_now(
                "node(s) didn't have free ports for the requested pod ports",
            ));
        }
        Ok(())
    }

    fn resources(&self, node: &NodeInfo) -> Result<(), Unfit> {
        let mut reasons = Vec::new();
        let mut hopeless = false;
        let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
        if pods >= node.allocatable.get("pods") {
            reasons.push("Too many pods".to_owned());
        }
        for (name, wanted) in self.info.requests.iter() {
            let (all, used) = (node.allocatable.get(name), node.used.get(name));
            if wanted > 0 && wanted > all.saturating_sub(used) {
                reasons.push(format!("Insufficient {name}"));
                hopeless |= wanted > all;
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Unfit {
            reasons,
            others_in_the_way: !hopeless,
        })
    }

    fn volumes(&self, name: &str, node: &NodeInfo) -> Result<(), Unfit> {
        if self
            .volumes
            .iter()
            .all(|volume| volume.matches(name, &node.labels))
        {
            return Ok(());
        }
        Err(Unfit::for_good(
            "node(s) didn't match PersistentVolume's node affinity",
        ))
    }

    fn spread(&self, node: &NodeInfo) -> Result<(), Unfit> {
        let words = "node(s) didn't match pod topology spread constraints";
        for skew in &self.spreads {
            let Some(value) = node.labels.get(skew.key) else {
                return Err(Unfit::for_good(&format!(
                    "{words} (missing required label)"
                )));
            };
            let here = skew
                .counts
                .get(value)
                .copied()
                .unwrap_or(0)
                .saturating_add(skew.itself);
            let least = skew.counts.values().min().copied().unwrap_or(0);
            if here.saturating_sub(least) > skew.most {
                return Err(Unfit::for_now(words));
            }
        }
        Ok(())
    }

    fn pod_affinity(&self, node: &NodeInfo) -> Result<(), Unfit> {
        let in_one = |topology: &Topology<'_>| {
            let value = node.labels.get(&topology.term.topology_key);
            value.is_some_and(|value| topology.values.contains(value))
        };
        // The first pod of a group that wants to be near itself may go anywhere.
        let nobody = self.near.iter().all(|topology| topology.values.is_empty());
        let itself = self
            .near
            .iter()
            .all(|one| one.term.means(&self.info.namespace, self.info));
        let first = nobody && itself;
        if !first && !self.near.iter().all(in_one) {
            return Err(Unfit::for_good("node(s) didn't match pod affinity rules"));
        }
        if self.far.iter().any(in_one) {
            return Err(Unfit::for_now(
                "node(s) didn't match pod anti-affinity rules",
            ));
        }
        let shunned = |(key, value): &(String, String)| node.labels.get(key) == Some(value);
        if self.shunned.iter().any(shunned) {
            return Err(Unfit::for_now(
                "node(s) didn't satisfy existing pods anti-affinity rules",
            ));
        }
        Ok(())
    }
}

fn topology<'a>(cache: &Cache, info: &PodInfo, term: &'a PodTerm) -> Topology<'a> {
    let meant = cache
        .pods
        .iter()
        .filter(|(_, (_, other))| term.means(&info.namespace, other));
    let values = meant.filter_map(|(key, _)| cache.node_label(key, &term.topology_key));
    Topology {
        term,
        values: values.map(str::to_owned).collect(),
    }
}

fn skew<'a>(
    cache: &Cache,
    spec: &Spec,
    info: &PodInfo,
    constraint: &'a super::pod::Spread,
) -> Skew<'a> {
    let key = constraint.topology_key.as_str();
    let counts_for = |labels| {
        constraint
            .label_selector
            .as_ref()
            .is_some_and(|one| one.matches(labels))
    };
    let required = spec.affinity.node_affinity.required.as_ref();
    let mut counts = BTreeMap::new();
    for (name, node) in &cache.nodes {
        let selected = spec
            .node_selector
            .iter()
            .all(|(key, value)| node.labels.get(key) == Some(value));
        let matched = required.is_none_or(|one| one.matches(name, &node.labels));
        let Some(value) = node.labels.get(key).filter(|_| selected && matched) else {
            continue;
        };
        let pods = node.pods.iter().filter_map(|key| cache.pods.get(key));
        let here = pods
            .filter(|(_, other)| other.namespace == info.namespace && counts_for(&other.labels));
        let count = counts.entry(value.clone()).or_insert(0);
        *count = i64::saturating_add(*count, i64::try_from(here.count()).unwrap_or(i64::MAX));
    }
    Skew {
        key,
        most: constraint.max_skew,
        counts,
        itself: i64::from(counts_for(&info.labels)),
    }
}
