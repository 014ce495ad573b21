//! Which single objects may show a fault: the filter in front of the engine, so that healthy churn
//! wakes nobody. It may let too much through; it must never hold back what a detector would find
//! (tested as a property over every detector).

use super::view::is_restart;
use crate::world::{ContainerStatus, Event, Kind, Node, Object, Pod, Workload};

/// Reasons of Events that some detector reads as trouble. `Killing` and `NodeNotReady` are sent
/// with type `Normal`, so the type alone says too little.
pub(super) const TROUBLE: &[&str] = &[
    "BackOff",
    "ErrImageNeverPull",
    "EvictionThresholdMet",
    "Failed",
    "FailedAttachVolume",
    "FailedCreate",
    "FailedCreatePodSandBox",
    "FailedMapVolume",
    "FailedMount",
    "FailedScheduling",
    "InspectFailed",
    "Killing",
    "NodeHasDiskPressure",
    "NodeHasInsufficientMemory",
    "NodeHasInsufficientPID",
    "NodeNotReady",
    "NodeNotSchedulable",
    "SystemOOM",
    "Unhealthy",
];

/// Reasons for which a container of a healthy pod waits during its start.
pub(super) const STARTING: &[&str] = &["ContainerCreating", "PodInitializing"];

/// Conditions of a node that are bad when they are true. Others (custom ones) have no known sense.
pub(super) const PRESSURES: &[&str] = &["MemoryPressure", "DiskPressure", "PIDPressure"];

/// Whether this object, taken alone, may show a fault. Kinds that no detector starts from never do.
pub fn is_symptom(object: &Object) -> bool {
    match object {
        Object::Pod(pod) => pod_shows(pod),
        Object::Node(node) => node_shows(node),
        Object::Workload(workload) => workload_shows(workload),
        Object::Event(event) => event_shows(event),
        Object::Namespace(_)
        | Object::ControllerRevision(_)
        | Object::HorizontalPodAutoscaler(_)
        | Object::PodDisruptionBudget(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::ConfigMap(_) => false,
    }
}

fn pod_shows(pod: &Pod) -> bool {
    let over = pod.metadata.deletion_timestamp.is_some() || pod.status.phase == "Succeeded";
    let unscheduled =
        pod.status.conditions.iter().any(|c| {
            c.kind == "PodScheduled" && c.status == "False" && c.reason == "Unschedulable"
        });
    !over && (unscheduled || pod.container_statuses().any(container_shows))
}

fn container_shows(container: &ContainerStatus) -> bool {
    let waiting = container.state.waiting.as_ref();
    let blocked =
        waiting.is_some_and(|w| !w.reason.is_empty() && !STARTING.contains(&w.reason.as_str()));
    let failed = [&container.state, &container.last_state]
        .into_iter()
        .filter_map(|state| state.terminated.as_ref())
        .any(|end| end.exit_code != 0 || end.reason == "OOMKilled");
    blocked || failed
}

fn node_shows(node: &Node) -> bool {
    let pressed = node
        .status
        .conditions
        .iter()
        .any(|c| PRESSURES.contains(&c.kind.as_str()) && c.status == "True");
    pressed || !node.is_ready() || node.spec.unschedulable
}

fn workload_shows(workload: &Workload) -> bool {
    workload.status.conditions.iter().any(|condition| {
        (condition.kind == "Progressing" && condition.status == "False")
            || (condition.kind == "ReplicaFailure" && condition.status == "True")
    })
}

fn event_shows(event: &Event) -> bool {
    let about = match &event.involved_object.kind {
        Kind::Pod
        | Kind::Node
        | Kind::Deployment
        | Kind::ReplicaSet
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::Job => true,
        Kind::Namespace
        | Kind::ControllerRevision
        | Kind::CronJob
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event
        | Kind::Other(_) => false,
    };
    // A pod that is deleted is killed too; only a probe's kill is trouble.
    let healthy_kill = event.reason == "Killing" && !event.message.contains("probe");
    about && !healthy_kill && (is_restart(event) || TROUBLE.contains(&event.reason.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{self, World};
    use std::sync::Arc;

    const AT: &str = "2026-01-05T10:00:00Z";

    fn symptoms(world: World) -> Vec<String> {
        let snapshot = world.snapshot();
        let pods = snapshot.pods.iter().map(|o| Object::Pod(Arc::clone(o)));
        let nodes = snapshot.nodes.iter().map(|o| Object::Node(Arc::clone(o)));
        let workloads = snapshot
            .workloads
            .iter()
            .map(|o| Object::Workload(Arc::clone(o)));
        let events = snapshot.events.iter().map(|o| Object::Event(Arc::clone(o)));
        pods.chain(nodes)
            .chain(workloads)
            .chain(events)
            .filter(is_symptom)
            .map(|object| object.kind().to_string())
            .collect()
    }

    #[test]
    fn a_healthy_rollout_wakes_nobody() {
        let world = testkit::world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .revision(2)
            .pod("cart-2-a")
            .waiting("ContainerCreating", "")
            .event("Pulling", "Pulling image \"img.test/cart:2\"")
            .event("Killing", "Stopping container app")
            .event("Started", "Started container app")
            .pod("cart-2-b")
            .unready();
        assert_eq!(symptoms(world), Vec::<String>::new());
    }

    #[test]
    fn every_sort_of_trouble_wakes() {
        let pod = || testkit::world(AT).deployment("demo", "cart").pod("cart-a");
        let node = || testkit::world(AT).node("node1");
        let table = [
            (pod().waiting("ImagePullBackOff", ""), "Pod"),
            (pod().ended(1, "Error", 5, 1), "Pod"),
            (pod().ended(0, "OOMKilled", 5, 1), "Pod"),
            (pod().unscheduled("0/1 nodes are available"), "Pod"),
            (pod().event("Unhealthy", "Readiness probe failed"), "Event"),
            (
                pod().event(
                    "Killing",
                    "Container app failed liveness probe, will be restarted",
                ),
                "Event",
            ),
            (
                node().condition("Ready", "Unknown", "NodeStatusUnknown", 5),
                "Node",
            ),
            (node().condition("DiskPressure", "True", "Full", 5), "Node"),
            (node().cordoned(), "Node"),
            (node().edit_node(|n| n.status.conditions.clear()), "Node"),
            (
                testkit::world(AT).deployment("demo", "cart").condition(
                    "Progressing",
                    "False",
                    "ProgressDeadlineExceeded",
                    5,
                ),
                "Deployment",
            ),
        ];
        for (world, kind) in table {
            assert_eq!(symptoms(world), [kind]);
        }
    }

    #[test]
    fn pods_that_are_over_or_being_deleted_wake_nobody() {
        let pod = || {
            let world = testkit::world(AT).deployment("demo", "cart").pod("cart-a");
            world.ended(1, "Error", 5, 1)
        };
        let done = pod().edit_pod(|p| p.status.phase = "Succeeded".into());
        let leaving = pod().edit_pod(|p| p.metadata.deletion_timestamp = p.status.start_time);
        assert_eq!(symptoms(done), Vec::<String>::new());
        assert_eq!(symptoms(leaving), Vec::<String>::new());
    }
}
