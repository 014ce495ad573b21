//! What is broken, as data: what a person or the machine does, and what ending is right.

use super::judge::Right;
use serde_json::{Value, json};

/// Namespace of the shop.
pub(super) const SHOP: &str = "shop";

/// An object that something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A Deployment of the shop.
    Deployment(&'static str),
    /// A StatefulSet of the shop.
    #[cfg(test)]
    StatefulSet(&'static str),
    /// A node.
    Node(&'static str),
}

impl Target {
    /// Its path at the API server.
    pub(super) fn path(self) -> String {
        match self {
            Self::Deployment(name) => format!("/apis/apps/v1/namespaces/{SHOP}/deployments/{name}"),
            #[cfg(test)]
            Self::StatefulSet(name) => {
                format!("/apis/apps/v1/namespaces/{SHOP}/statefulsets/{name}")
            }
            Self::Node(name) => format!("/api/v1/nodes/{name}"),
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deployment(name) | Self::Node(name) => name,
            #[cfg(test)]
            Self::StatefulSet(name) => name,
        }
    }
}

/// One thing that happens to the cluster from outside.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// A person patches an object (strategic merge, as kubectl does it).
    Patch(Target, Value),
    /// A node's kubelet is not heard any more.
    NodeSilent(&'static str),
    /// It is heard again.
    NodeBack(&'static str),
    /// Alertmanager says that an alert about a pod of this Deployment fires, or resolved.
    Alert {
        /// `alertname`.
        name: &'static str,
        /// The Deployment.
        of: &'static str,
        /// Fires, or resolved.
        fires: bool,
    },
}

/// Something to break.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// Short name.
    pub(super) name: &'static str,
    /// For people.
    pub(super) about: &'static str,
    /// What the incident is about.
    pub(super) target: Target,
    /// Breaks it.
    pub(super) deeds: Vec<Deed>,
    /// What is right then.
    pub(super) right: Right,
    /// What a person, or time, does afterwards. Empty where nothing is left to do.
    pub(super) afterwards: Vec<Deed>,
    /// What is right after that, where the agent has something left to do.
    pub(super) then: Option<Right>,
}

impl Fault {
    /// Whether nobody but the agent has anything to do with its end.
    pub(super) fn is_repaired_alone(&self) -> bool {
        matches!(self.right, Right::BackAsItWas | Right::MoreMemory(_))
    }

    /// Whether it may come twice to the same workload: a second time without memory is a person's.
    pub(super) fn may_come_again(&self) -> bool {
        !matches!(self.right, Right::MoreMemory(_) | Right::TakenBack)
    }
}

/// A new revision of a Deployment's container, which is named as the Deployment.
fn container(name: &'static str, change: &Value) -> Deed {
    let mut container = json!({ "name": name });
    if let (Some(into), Some(change)) = (container.as_object_mut(), change.as_object()) {
        into.extend(change.clone());
    }
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    Deed::Patch(Target::Deployment(name), patch)
}

fn image(name: &'static str, version: &str) -> Deed {
    container(
        name,
        &json!({ "image": format!("shop.test/{name}:{version}") }),
    )
}

fn cordon(node: &'static str, cordoned: bool) -> Deed {
    Deed::Patch(
        Target::Node(node),
        json!({"spec": {"unschedulable": cordoned}}),
    )
}

/// All of them, in the order in which a run without a seed would never play them.
pub(super) fn all() -> Vec<Fault> {
    let mut all = rollouts();
    all.extend([
        memory(),
        leak(),
        silent_node(),
        cordoned_node(),
        false_alarm(),
    ]);
    all
}

/// Rollouts that do not come up: back to the revision that did.
fn rollouts() -> Vec<Fault> {
    let rollout = |name, about, service, deed| Fault {
        name,
        about,
        target: Target::Deployment(service),
        deeds: vec![deed],
        right: Right::BackAsItWas,
        afterwards: Vec::new(),
        then: None,
    };
    let missing = json!({"envFrom": [{"configMapRef": {"name": "shop-settings-v2"}}]});
    let greedy = json!({"resources": {"requests": {"cpu": "64"}}});
    vec![
        rollout(
            "image_not_found",
            "catalog is rolled out with an image tag that nobody pushed",
            "catalog",
            image("catalog", "1.5-rc"),
        ),
        rollout(
            "crash_loop",
            "payments 2.7 is rolled out, and ends with code 3 whenever it is started",
            "payments",
            image("payments", "2.7"),
        ),
        rollout(
            "config_missing",
            "checkout is rolled out with a ConfigMap that does not exist",
            "checkout",
            container("checkout", &missing),
        ),
        rollout(
            "failing_probe",
            "frontend 3.3 is rolled out, and answers its readiness probe with an error",
            "frontend",
            image("frontend", "3.3"),
        ),
        rollout(
            "unschedulable",
            "search is rolled out with a request for 64 CPUs, which no node has",
            "search",
            container("search", &greedy),
        ),
    ]
}

fn memory() -> Fault {
    Fault {
        name: "out_of_memory",
        about: "recommendations 1.0 needs 150 MiB, and its limit is 96Mi",
        target: Target::Deployment("recommendations"),
        deeds: vec![image("recommendations", "1.0")],
        right: Right::MoreMemory(150),
        afterwards: Vec::new(),
        then: None,
    }
}

fn leak() -> Fault {
    Fault {
        name: "leak",
        about: "reports 1.4 leaks: twice the memory only makes it last longer",
        target: Target::Deployment("reports"),
        deeds: vec![image("reports", "1.4")],
        right: Right::TakenBack,
        afterwards: vec![image("reports", "1.3")],
        then: None,
    }
}

fn silent_node() -> Fault {
    Fault {
        name: "silent_node",
        about: "the kubelet of node-3 is not heard any more, and comes back later",
        target: Target::Node("node-3"),
        deeds: vec![Deed::NodeSilent("node-3")],
        right: Right::Cordoned,
        afterwards: vec![Deed::NodeBack("node-3")],
        then: Some(Right::Uncordoned),
    }
}

fn cordoned_node() -> Fault {
    Fault {
        name: "cordoned_node",
        about: "somebody cordons node-2, which is well: perhaps for work on it, so it is theirs",
        target: Target::Node("node-2"),
        deeds: vec![cordon("node-2", true)],
        right: Right::LeftAlone,
        afterwards: vec![cordon("node-2", false)],
        then: None,
    }
}

fn false_alarm() -> Fault {
    let alert = |fires| Deed::Alert {
        name: "KubePodCrashLooping",
        of: "cart",
        fires,
    };
    Fault {
        name: "false_alarm",
        about: "an alert says that cart crashes, while cart is healthy and being updated",
        target: Target::Deployment("cart"),
        deeds: vec![image("cart", "1.10"), alert(true)],
        right: Right::LeftAlone,
        afterwards: vec![alert(false)],
        then: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_target_of_its_own() {
        let faults = all();
        let names: BTreeSet<_> = faults.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), faults.len());
        let targets: BTreeSet<_> = faults.iter().map(|fault| fault.target.path()).collect();
        assert_eq!(targets.len(), faults.len());
    }

    #[test]
    fn what_a_person_has_to_mend_is_mended() {
        for fault in all() {
            let needs = match fault.right {
                Right::BackAsItWas | Right::MoreMemory(_) => false,
                Right::TakenBack | Right::Cordoned | Right::LeftAlone | Right::Uncordoned => true,
            };
            assert_eq!(!fault.afterwards.is_empty(), needs, "{}", fault.name);
        }
    }
}
