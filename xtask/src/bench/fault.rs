//! Faults that are only a status: on fake nodes nothing runs, so the bench writes what a kubelet
//! (or, for a cordon, a person) would write. What is measured is how soon the agent shows it.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An object as the agent names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// Kind.
    pub kind: String,
    /// Namespace; empty for nodes.
    #[serde(default)]
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What to break, and what the agent should call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// A container was killed for memory.
    OomKilled,
    /// A container ends again and again.
    CrashLoop,
    /// An image is not in the registry.
    ImagePullFailure,
    /// A ConfigMap does not exist.
    ConfigMissing,
    /// A node is cordoned.
    NodeCordoned,
}

/// Those that happen to a pod.
const OF_PODS: [Class; 4] = [
    Class::OomKilled,
    Class::CrashLoop,
    Class::ImagePullFailure,
    Class::ConfigMissing,
];

/// One fault to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is wrong.
    pub class: Class,
    /// The object that shows it.
    pub subject: Object,
    /// The topmost owner: what the incident must be about.
    pub owner: Object,
}

/// A pod that can be broken, with the Deployment above it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The pod.
    pub pod: Object,
    /// The Deployment.
    pub owner: Object,
}

/// `count` faults in a random order, no two on one owner: one in five is a cordon while there are
/// nodes, the others are spread over the classes of pods.
pub fn plan(count: usize, targets: &[Target], nodes: &[Object], random: &mut StdRng) -> Vec<Fault> {
    let cordons = nodes.len().min(count / 5);
    let mut faults: Vec<Fault> = nodes
        .iter()
        .take(cordons)
        .map(|node| Fault {
            class: Class::NodeCordoned,
            subject: node.clone(),
            owner: node.clone(),
        })
        .collect();
    let chosen: Vec<&Target> = targets.sample(random, count - cordons).collect();
    faults.extend(
        chosen
            .iter()
            .zip(OF_PODS.iter().cycle())
            .map(|(target, class)| Fault {
                class: *class,
                subject: target.pod.clone(),
                owner: target.owner.clone(),
            }),
    );
    faults.shuffle(random);
    faults
}

impl Fault {
    /// Path and merge patch that break it. `now` is a time of the API, `number` makes it vary.
    pub fn patch(&self, now: &str, number: usize) -> (String, Value) {
        let Object {
            namespace, name, ..
        } = &self.subject;
        if self.class == Class::NodeCordoned {
            let patch = json!({ "spec": { "unschedulable": true } });
            return (format!("/api/v1/nodes/{name}"), patch);
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        (path, json!({ "status": self.status(now, number) }))
    }

    /// What puts it back: a pod is deleted and its owner makes another, a node is uncordoned.
    pub fn undo(&self) -> (&'static str, String, Value) {
        let Object {
            namespace, name, ..
        } = &self.subject;
        if self.class == Class::NodeCordoned {
            let patch = json!({ "spec": { "unschedulable": null } });
            return ("PATCH", format!("/api/v1/nodes/{name}"), patch);
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        ("DELETE", path, json!({ "gracePeriodSeconds": 0 }))
    }

    /// The status that a kubelet would report.
    fn status(&self, now: &str, number: usize) -> Value {
        let ended = |reason: &str, code: i32| {
            json!({ "terminated": {
                "exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now,
                "containerID": format!("containerd://{number:064x}"),
            }})
        };
        let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
        let back_off = waiting(
            "CrashLoopBackOff",
            "back-off 10s restarting failed container=app",
        );
        let restarts = 2 + number % 5;
        let (phase, restarts, state, last) = match self.class {
            Class::OomKilled => ("Running", restarts, back_off, ended("OOMKilled", 137)),
            Class::CrashLoop | Class::NodeCordoned => {
                ("Running", restarts, back_off, ended("Error", 3))
            }
            Class::ImagePullFailure => {
                let image = format!("img.test/app:gone-{number}");
                let why = format!(
                    "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
                );
                ("Pending", 0, waiting("ErrImagePull", &why), json!({}))
            }
            Class::ConfigMissing => {
                let why = format!("configmap \"settings-{number}\" not found");
                (
                    "Pending",
                    0,
                    waiting("CreateContainerConfigError", &why),
                    json!({}),
                )
            }
        };
        let condition = |kind: &str, is: bool| {
            let status = if is { "True" } else { "False" };
            let reason = (!is).then_some("ContainersNotReady");
            json!({ "type": kind, "status": status, "reason": reason, "lastTransitionTime": now })
        };
        json!({
            "phase": phase,
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", true),
                condition("ContainersReady", false), condition("Ready", false),
            ],
            "containerStatuses": [{
                "name": "app", "image": "img.test/app:1", "imageID": "",
                "ready": false, "started": false, "restartCount": restarts,
                "state": state, "lastState": last,
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    fn object(kind: &str, namespace: &str, name: &str) -> Object {
        let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
        Object {
            kind,
            namespace,
            name,
        }
    }

    fn planned(seed: u64) -> Vec<Fault> {
        let target = |n| Target {
            pod: object("Pod", "bench", &format!("app-{n}-x")),
            owner: object("Deployment", "bench", &format!("app-{n}")),
        };
        let targets: Vec<_> = (0..300).map(target).collect();
        let nodes: Vec<_> = (0..40)
            .map(|n| object("Node", "", &format!("fake-{n}")))
            .collect();
        plan(200, &targets, &nodes, &mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn no_owner_is_broken_twice_and_every_class_comes_equally_often() {
        let faults = planned(7);
        let owners: BTreeSet<_> = faults.iter().map(|fault| &fault.owner).collect();
        assert_eq!((faults.len(), owners.len()), (200, 200));
        for class in OF_PODS.into_iter().chain([Class::NodeCordoned]) {
            assert_eq!(
                faults.iter().filter(|f| f.class == class).count(),
                40,
                "{class:?}"
            );
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_faults() {
        assert_eq!(planned(7), planned(7));
        assert_ne!(planned(7), planned(8));
    }

    #[test]
    fn a_status_is_what_a_kubelet_reports() {
        let fault = planned(7)
            .into_iter()
            .find(|f| f.class == Class::OomKilled)
            .unwrap();
        let (path, patch) = fault.patch("2026-11-22T10:00:00Z", 3);
        assert!(path.ends_with("/status"), "{path}");
        let container = &patch["status"]["containerStatuses"][0];
        assert_eq!(container["lastState"]["terminated"]["reason"], "OOMKilled");
        assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(patch["status"]["conditions"][3]["status"], "False");
    }
}
