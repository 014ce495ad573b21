//! The fresh healthy look: what closes an incident and verifies a repair. Silence of the detectors
//! is not enough: the owner itself has to say that it is well, in a picture that was read afresh.

use super::detectors::{detect_in, owner_sources};
use super::symptom::PRESSURES;
use super::{FaultClass, View};
use crate::world::{Kind, Node, ObjectRef, Pod, Snapshot, Source, Workload};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a look says about one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Well, by its own status, and no detector finds anything.
    Healthy {
        /// How it shows.
        why: String,
    },
    /// Nothing is wrong, and nothing runs that could show whether a repair helped: scaled to 0,
    /// suspended, or held at an older revision. Good enough for an end, never for a proof.
    Idle {
        /// How it shows.
        why: String,
    },
    /// Not well, or not yet.
    Unhealthy {
        /// How it shows.
        why: String,
    },
    /// Cannot be told: something that is needed was not seen, or not read afresh.
    Blind {
        /// What, and why.
        missing: Vec<(Source, String)>,
    },
    /// The owner does not exist any more; said only of a source that was seen.
    Gone {
        /// How it shows.
        why: String,
    },
}

/// Sources that show the chain from a pod to an owner that is not watched itself.
const CHAIN: &[Source] = &[
    Source::Deployments,
    Source::ReplicaSets,
    Source::StatefulSets,
    Source::DaemonSets,
    Source::Jobs,
];

/// Looks at one owner (workload, bare pod or node) after a fault of that class.
pub fn look(snapshot: &Snapshot, owner: &ObjectRef, class: FaultClass) -> Health {
    let needs = needs(owner);
    let mut missing = snapshot.blind_to(&needs);
    if !snapshot.fresh {
        missing.extend(
            needs
                .iter()
                .map(|need| (*need, "was not read afresh".to_owned())),
        );
    }
    if !missing.is_empty() {
        return Health::Blind { missing };
    }
    let view = View::of(snapshot);
    if owner.kind == Kind::Node {
        let mut nodes = snapshot.nodes.iter();
        let node = nodes.find(|node| node.metadata.uid == owner.uid);
        return node.map_or_else(|| gone(owner), |node| of_node(node, class));
    }
    let findings = detect_in(&view).findings;
    if let Some(finding) = findings.iter().find(|f| f.owner.uid == owner.uid) {
        let why = format!(
            "{}: {} ({})",
            finding.subject, finding.class, finding.reason
        );
        return Health::Unhealthy { why };
    }
    match &owner.kind {
        Kind::Pod => {
            let pod = view.pod(&owner.uid);
            pod.map_or_else(|| gone(owner), |pod| of_pod(pod))
        }
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
            let workload = view.workload(&owner.uid);
            workload.map_or_else(|| gone(owner), |w| of_workload(&view, w))
        }
        Kind::Node
        | Kind::Namespace
        | Kind::ControllerRevision
        | Kind::CronJob
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event
        | Kind::Other(_) => of_pods(&view, owner),
    }
}

fn needs(owner: &ObjectRef) -> Vec<Source> {
    if owner.kind == Kind::Node {
        return vec![Source::Nodes];
    }
    let mut needs = vec![Source::Pods, Source::Events];
    let own = owner_sources(owner);
    needs.extend(if own.is_empty() { CHAIN } else { own });
    needs.sort();
    needs.dedup();
    needs
}

fn gone(owner: &ObjectRef) -> Health {
    let why = format!("{owner} (uid {}) does not exist any more", owner.uid);
    Health::Gone { why }
}

fn verdict(problem: Option<String>, healthy: String) -> Health {
    problem.map_or(Health::Healthy { why: healthy }, |why| Health::Unhealthy {
        why,
    })
}

fn of_node(node: &Node, class: FaultClass) -> Health {
    let name = &node.metadata.name;
    let mut conditions = node.status.conditions.iter();
    let pressed = conditions.find(|c| PRESSURES.contains(&c.kind.as_str()) && c.status != "False");
    let cordon_is_the_fault = class == FaultClass::NodeCordoned;
    let problem = if !node.is_ready() {
        Some(format!("{name} is not Ready"))
    } else if let Some(condition) = pressed {
        Some(format!(
            "{name} has {} {}",
            condition.kind, condition.status
        ))
    } else if cordon_is_the_fault && node.spec.unschedulable {
        Some(format!("{name} is cordoned"))
    } else {
        None
    };
    verdict(problem, format!("{name} is Ready, without pressure"))
}

fn of_pod(pod: &Pod) -> Health {
    let done = pod.status.phase == "Succeeded";
    let running = pod.status.phase == "Running" && pod.is_ready();
    let problem = if pod.metadata.deletion_timestamp.is_some() {
        Some("the pod is being deleted".to_owned())
    } else if done || running {
        None
    } else {
        Some(format!("the pod is {} and not ready", pod.status.phase))
    };
    verdict(
        problem,
        if done {
            "it has succeeded"
        } else {
            "it is ready"
        }
        .to_owned(),
    )
}

/// An owner that is not watched itself is judged by its pods.
fn of_pods(view: &View<'_>, owner: &ObjectRef) -> Health {
    let pods = view.pods_of(owner).iter();
    let live: Vec<_> = pods
        .filter(|pod| !matches!(&*pod.status.phase, "Succeeded" | "Failed"))
        .collect();
    if live.is_empty() {
        let why = format!("{owner} is not watched and no pod of it runs to judge by");
        let missing = vec![(Source::Pods, why)];
        return Health::Blind { missing };
    }
    let unready = live.iter().find(|pod| !pod.is_ready());
    let problem = unready.map(|pod| format!("{} is not ready", pod.reference()));
    verdict(problem, format!("all {} pods are ready", live.len()))
}

fn of_workload(view: &View<'_>, workload: &Workload) -> Health {
    let (meta, spec, status) = (&workload.metadata, &workload.spec, &workload.status);
    let unhealthy = |why: String| Health::Unhealthy { why };
    if meta.deletion_timestamp.is_some() {
        return unhealthy("it is being deleted".to_owned());
    }
    if workload.kind == Kind::Job {
        return of_job(view, workload);
    }
    if status.observed_generation < meta.generation {
        return unhealthy(format!(
            "its controller has seen generation {} of {}",
            status.observed_generation, meta.generation
        ));
    }
    let daemons = workload.kind == Kind::DaemonSet;
    let desired = if daemons {
        status.desired_number_scheduled
    } else {
        workload.replicas()
    };
    let (ready, available, updated) = if daemons {
        (
            status.number_ready,
            status.number_available,
            status.updated_number_scheduled,
        )
    } else {
        (
            status.ready_replicas,
            status.available_replicas,
            status.updated_replicas,
        )
    };
    // These roll out only as far as a person lets them: old pods that are well are no fault.
    let held = spec.paused || spec.update_strategy.kind == "OnDelete";
    let rolls = workload.kind != Kind::ReplicaSet && !held;
    if rolls && updated < desired {
        return unhealthy(format!(
            "{updated} of {desired} pods are of the newest revision"
        ));
    }
    if ready < desired || available < desired {
        return unhealthy(format!(
            "{ready} of {desired} pods are ready, {available} available"
        ));
    }
    if !daemons && status.replicas > desired {
        let extra = status.replicas - desired;
        return unhealthy(format!("{extra} pods are still to go"));
    }
    if desired == 0 {
        let why = "it is scaled to 0 and runs nothing".to_owned();
        return Health::Idle { why };
    }
    if updated < desired && held {
        let why = format!("all {desired} pods are ready; the newest revision is held back");
        return Health::Idle { why };
    }
    let why = format!("all {desired} pods are of the newest revision, ready and available");
    Health::Healthy { why }
}

fn of_job(view: &View<'_>, job: &Workload) -> Health {
    let is = |kind: &str| {
        let mut conditions = job.status.conditions.iter();
        conditions.any(|c| c.kind == kind && c.status == "True")
    };
    if is("Failed") {
        let why = "the Job has failed".to_owned();
        return Health::Unhealthy { why };
    }
    if is("Complete") {
        let why = "it is complete".to_owned();
        return Health::Healthy { why };
    }
    if job.spec.suspend {
        let why = "it is suspended".to_owned();
        return Health::Idle { why };
    }
    of_pods(view, &view.owner(&job.reference()))
}

/// Restarts of all containers of the owner's pods, summed.
pub fn restarts(snapshot: &Snapshot, owner: &ObjectRef) -> i64 {
    let view = View::of(snapshot);
    let pods = view.pods_of(owner).iter();
    let containers = pods.flat_map(|pod| pod.container_statuses());
    containers.map(|c| c.restart_count).sum()
}

/// Whether any container of the owner's pods has ended a run after `since` and was, or will be,
/// started again. New pods are no restarts.
pub fn restarted_since(snapshot: &Snapshot, owner: &ObjectRef, since: Timestamp) -> bool {
    let view = View::of(snapshot);
    let pods = view.pods_of(owner).iter();
    pods.flat_map(|pod| pod.container_statuses())
        .any(|container| {
            let last = container.last_state.terminated.as_ref();
            // A main container that ended and is not yet started again; an init container that ended
            // well is done.
            let now = container.state.terminated.as_ref();
            let now = now.filter(|end| end.exit_code != 0);
            let mut ends = [last, now].into_iter().flatten();
            ends.any(|end| end.finished_at.is_none_or(|at| at > since))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{self, World, reference};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn cart() -> ObjectRef {
        reference(Kind::Deployment, "demo", "cart")
    }

    fn healthy() -> World {
        testkit::world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
    }

    fn word(world: World, owner: &ObjectRef, class: FaultClass) -> &'static str {
        match look(&world.snapshot(), owner, class) {
            Health::Healthy { .. } => "healthy",
            Health::Idle { .. } => "idle",
            Health::Unhealthy { .. } => "unhealthy",
            Health::Blind { .. } => "blind",
            Health::Gone { .. } => "gone",
        }
    }

    #[test]
    fn a_deployment_is_healthy_only_when_it_says_so_itself() {
        let edit = |change: fn(&mut Workload)| healthy().edit_workload(change);
        let counted = |ready: i64, updated: i64, replicas: i64| {
            healthy().edit_workload(move |w| {
                w.status.observed_generation = 1;
                w.status.ready_replicas = ready;
                w.status.available_replicas = ready;
                w.status.updated_replicas = updated;
                w.status.replicas = replicas;
            })
        };
        let table = [
            (healthy(), "healthy"),
            (counted(1, 1, 1), "healthy"),
            (counted(0, 1, 1), "unhealthy"),
            (counted(1, 0, 1), "unhealthy"),
            (counted(1, 1, 2), "unhealthy"),
            (
                counted(1, 0, 1).edit_workload(|w| w.spec.paused = true),
                "idle",
            ),
            (
                counted(1, 1, 1).edit_workload(|w| w.metadata.generation = 2),
                "unhealthy",
            ),
            (
                edit(|w| w.metadata.deletion_timestamp = w.metadata.creation_timestamp),
                "unhealthy",
            ),
            (healthy().crash_loop(1, "Error", 20, 3), "unhealthy"),
            (
                testkit::world(AT)
                    .deployment("demo", "cart")
                    .replicas(0)
                    .revision(1),
                "idle",
            ),
            (testkit::world(AT), "gone"),
            (
                healthy().edit_workload(|w| w.metadata.uid = "another".into()),
                "gone",
            ),
        ];
        for (index, (world, expected)) in table.into_iter().enumerate() {
            assert_eq!(
                word(world, &cart(), FaultClass::CrashLoop),
                expected,
                "row {index}"
            );
        }
    }

    #[test]
    fn the_words_say_that_nothing_runs() {
        let world = testkit::world(AT).deployment("demo", "cart").replicas(0);
        let health = look(&world.snapshot(), &cart(), FaultClass::CrashLoop);
        let why = "it is scaled to 0 and runs nothing".to_owned();
        assert_eq!(health, Health::Idle { why });
    }

    #[test]
    fn anything_unseen_or_stale_is_blind_and_never_gone() {
        for source in [
            Source::Pods,
            Source::Events,
            Source::Deployments,
            Source::ReplicaSets,
        ] {
            let world = healthy().unseen(source);
            assert_eq!(
                word(world, &cart(), FaultClass::CrashLoop),
                "blind",
                "{source:?}"
            );
            let empty = testkit::world(AT).unseen(source);
            assert_eq!(
                word(empty, &cart(), FaultClass::CrashLoop),
                "blind",
                "{source:?}"
            );
        }
        let stale = healthy().from_watch();
        assert_eq!(word(stale, &cart(), FaultClass::CrashLoop), "blind");
        let node = reference(Kind::Node, "", "node1");
        let unseen = healthy().unseen(Source::Nodes);
        assert_eq!(word(unseen, &node, FaultClass::NodeNotReady), "blind");
    }

    #[test]
    fn a_node_is_healthy_as_its_fault_demands() {
        use FaultClass::{NodeCordoned, NodeNotReady, NodePressure};
        let owner = reference(Kind::Node, "", "node1");
        let node = || testkit::world(AT).node("node1");
        let sick = || node().condition("Ready", "Unknown", "NodeStatusUnknown", 30);
        let table = [
            (node(), NodeNotReady, "healthy"),
            (sick(), NodeNotReady, "unhealthy"),
            (sick(), NodeCordoned, "unhealthy"),
            (node().cordoned(), NodeNotReady, "healthy"),
            (node().cordoned(), NodeCordoned, "unhealthy"),
            (
                node().condition("DiskPressure", "True", "Full", 9),
                NodePressure,
                "unhealthy",
            ),
            (
                node().condition("DiskPressure", "Unknown", "", 9),
                NodePressure,
                "unhealthy",
            ),
            (testkit::world(AT).node("node2"), NodeNotReady, "gone"),
        ];
        for (index, (world, class, expected)) in table.into_iter().enumerate() {
            assert_eq!(word(world, &owner, class), expected, "row {index}");
        }
    }

    #[test]
    fn the_other_kinds_are_judged_by_what_they_have() {
        let bare = || testkit::world(AT).bare_pod("demo", "solo");
        let job = || testkit::world(AT).job("demo", "once");
        let set = || {
            testkit::world(AT)
                .stateful_set("demo", "db")
                .revision(1)
                .pod("db-0")
        };
        let agent = || {
            testkit::world(AT)
                .daemon_set("demo", "agent")
                .pod("agent-a")
        };
        let custom = || {
            let set = testkit::world(AT).stateful_set("demo", "db");
            set.owned_by("Database", "db").pod("db-0")
        };
        let pod = reference(Kind::Pod, "demo", "solo");
        let once = reference(Kind::Job, "demo", "once");
        let db = reference(Kind::StatefulSet, "demo", "db");
        let daemon = reference(Kind::DaemonSet, "demo", "agent");
        let database = reference(Kind::Other("Database".to_owned()), "demo", "db");
        let table = [
            (bare(), &pod, "healthy"),
            (bare().unready(), &pod, "unhealthy"),
            (
                bare().edit_pod(|p| p.status.phase = "Succeeded".into()),
                &pod,
                "healthy",
            ),
            (testkit::world(AT), &pod, "gone"),
            (job().condition("Complete", "True", "", 5), &once, "healthy"),
            (
                job().condition("Failed", "True", "BackoffLimitExceeded", 5),
                &once,
                "unhealthy",
            ),
            (job().pod("once-a"), &once, "healthy"),
            (job(), &once, "blind"),
            (set(), &db, "healthy"),
            (set().unready(), &db, "unhealthy"),
            (agent(), &daemon, "healthy"),
            (agent().unready(), &daemon, "unhealthy"),
            (custom(), &database, "healthy"),
            (custom().unready(), &database, "unhealthy"),
            (testkit::world(AT), &database, "blind"),
        ];
        for (index, (world, owner, expected)) in table.into_iter().enumerate() {
            assert_eq!(
                word(world, owner, FaultClass::CrashLoop),
                expected,
                "row {index}"
            );
        }
    }

    #[test]
    fn restarts_are_counted_and_new_pods_are_none() {
        let world = healthy()
            .ended(1, "Error", 40, 2)
            .pod("cart-1-b")
            .ended(0, "Completed", 400, 3)
            .pod("cart-1-c");
        let snapshot = world.snapshot();
        assert_eq!(restarts(&snapshot, &cart()), 5);
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert!(restarted_since(
            &snapshot,
            &cart(),
            at("2026-01-05T09:59:00Z")
        ));
        assert!(!restarted_since(
            &snapshot,
            &cart(),
            at("2026-01-05T09:59:30Z")
        ));
        let other = reference(Kind::Deployment, "demo", "other");
        assert_eq!(restarts(&snapshot, &other), 0);
    }
}
