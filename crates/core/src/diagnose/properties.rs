//! What holds for every world: no finding without a symptom, and nothing unseen makes the agent
//! bolder.

use super::{Diagnosed, FaultClass, Finding, Health, detect, diagnose, is_symptom, look};
use crate::policy::Policy;
use crate::testkit::{self, World};
use crate::world::{Coverage, Kind};
use crate::world::{Event, Field, Object, ObjectRef, Snapshot, Source, Workload};
use proptest::prelude::*;
use std::sync::Arc;

const AT: &str = "2026-01-05T10:00:00Z";

/// Sources whose objects the worlds hold.
const REMOVABLE: [Source; 6] = [
    Source::Pods,
    Source::Nodes,
    Source::Events,
    Source::Deployments,
    Source::ReplicaSets,
    Source::ConfigMaps,
];

#[derive(Clone, Debug)]
struct PodPlan {
    fault: u8,
    age: i64,
    ago: i64,
    restarts: i64,
    exit_code: i32,
    node: u8,
    events: u8,
}

fn pod_plan() -> impl Strategy<Value = PodPlan> {
    let exit_code = prop::sample::select(vec![0, 1, 127, 137, 143]);
    (
        0_u8..12,
        1_i64..7200,
        1_i64..1500,
        0_i64..5,
        exit_code,
        1_u8..3,
        any::<u8>(),
    )
        .prop_map(
            |(fault, age, ago, restarts, exit_code, node, events)| PodPlan {
                fault,
                age,
                ago,
                restarts,
                exit_code,
                node,
                events,
            },
        )
}

fn add(world: World, name: &str, plan: &PodPlan) -> World {
    let world = world
        .pod(name)
        .on(&format!("node{}", plan.node))
        .age(plan.age);
    let crash = |world: World, reason: &str| {
        world.crash_loop(plan.exit_code, reason, plan.ago, plan.restarts)
    };
    let mut world = match plan.fault {
        0 => world.waiting("ImagePullBackOff", "Back-off pulling image: not found"),
        1 => crash(world, "Error"),
        2 => crash(world, "OOMKilled"),
        3 => world.ended(plan.exit_code, "OOMKilled", plan.ago, plan.restarts),
        4 => world.ended(plan.exit_code, "Error", plan.ago, plan.restarts),
        5 => world.waiting("CreateContainerConfigError", "configmap \"cart\" not found"),
        6 => world.waiting("ContainerCreating", ""),
        7 => world.unready(),
        8 => world.unscheduled("0/2 nodes are available: 2 Insufficient cpu."),
        9 => world
            .ended(plan.exit_code, "Error", plan.ago, plan.restarts)
            .unready(),
        10 => crash(world, "Error").edit_pod(|p| p.status.phase = "Succeeded".into()),
        _ => world,
    };
    let events = [
        (
            "Failed",
            "Failed to pull image \"img.test/cart:1\": not found",
        ),
        ("Started", "Started container app"),
        (
            "BackOff",
            "Back-off restarting failed container app in pod x",
        ),
        ("Unhealthy", "Readiness probe failed: connection refused"),
        ("Unhealthy", "Liveness probe failed: connection refused"),
        (
            "Killing",
            "Container app failed liveness probe, will be restarted",
        ),
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume \"c\" : configmap \"cart\" not found",
        ),
        ("FailedCreatePodSandBox", "Failed to create pod sandbox"),
    ];
    for (bit, (reason, message)) in events.into_iter().enumerate() {
        if plan.events >> bit & 1 == 1 {
            world = world
                .event(reason, message)
                .seen(plan.age, plan.ago, plan.restarts + 1);
        }
    }
    world
}

fn any_world() -> impl Strategy<Value = World> {
    let pods = || prop::collection::vec(pod_plan(), 0..4);
    (pods(), pods(), 0_u8..5, 0_u8..4, 1_i64..7200).prop_map(|(old, new, node, deployment, ago)| {
        let mut world = testkit::world(AT).node("node1").node("node2");
        world = match node {
            0 => world.condition("Ready", "Unknown", "NodeStatusUnknown", ago),
            1 => world.condition("DiskPressure", "True", "KubeletHasDiskPressure", ago),
            2 => world
                .cordoned()
                .managed("kubectl-cordon", &[Field::Unschedulable], ago),
            _ => world,
        };
        world = world
            .config_map("demo", "cart")
            .deployment("demo", "cart")
            .replicas(2);
        world = match deployment {
            0 => world.condition("Progressing", "False", "ProgressDeadlineExceeded", ago),
            1 => world.condition("ReplicaFailure", "True", "FailedCreate", ago),
            2 => world
                .event("FailedCreate", "exceeded quota")
                .seen(ago, ago.min(300), 3),
            _ => world,
        };
        world = world.revision(1).age(7200);
        for (index, plan) in old.iter().enumerate() {
            world = add(world, &format!("cart-1-{index}"), plan);
        }
        world = world.revision(2).age(ago);
        for (index, plan) in new.iter().enumerate() {
            world = add(world, &format!("cart-2-{index}"), plan);
        }
        world
    })
}

/// The same world without one source: its objects are not there, and it says so.
fn without(snapshot: &Snapshot, source: Source) -> Snapshot {
    let mut blind = snapshot.clone();
    let why = "silent for 90 s".to_owned();
    blind.coverage.insert(source, Coverage::Blind { why });
    let hidden = |seen: Source| seen == source;
    blind.pods.retain(|_| !hidden(Source::Pods));
    blind.nodes.retain(|_| !hidden(Source::Nodes));
    blind.events.retain(|_| !hidden(Source::Events));
    blind.config_maps.retain(|_| !hidden(Source::ConfigMaps));
    let workloads = [
        (Source::Deployments, Kind::Deployment),
        (Source::ReplicaSets, Kind::ReplicaSet),
    ];
    blind.workloads.retain(|w| {
        let mut of_kind = workloads.iter().filter(|(_, kind)| *kind == w.kind);
        !of_kind.any(|(seen, _)| hidden(*seen))
    });
    blind
}

fn has_symptom(snapshot: &Snapshot, finding: &Finding) -> bool {
    let subject = &finding.subject.uid;
    let about = |event: &Arc<Event>| event.involved_object.uid == *subject;
    let pods = snapshot.pods.iter().cloned().map(Object::Pod);
    let nodes = snapshot.nodes.iter().cloned().map(Object::Node);
    let workloads = snapshot.workloads.iter().cloned().map(Object::Workload);
    let objects = pods.chain(nodes).chain(workloads);
    let events = snapshot.events.iter().filter(|event| about(event)).cloned();
    objects
        .filter(|object| object.meta().uid == *subject)
        .chain(events.map(Object::Event))
        .any(|object| is_symptom(&object))
}

fn bold(diagnosed: &Diagnosed) -> Vec<(ObjectRef, FaultClass)> {
    let over = Policy::default().confidence_over;
    let sure = diagnosed.diagnoses.iter().filter(|d| d.confidence.0 > over);
    sure.map(|d| (d.owner.clone(), d.class)).collect()
}

fn healthy(snapshot: &Snapshot) -> bool {
    let owner = testkit::reference(Kind::Deployment, "demo", "cart");
    let health = look(snapshot, &owner, FaultClass::CrashLoop);
    matches!(health, Health::Healthy { .. })
}

proptest! {
    #[test]
    fn whatever_a_detector_finds_has_woken_the_engine(world in any_world()) {
        let snapshot = world.snapshot();
        for finding in detect(&snapshot).findings {
            prop_assert!(has_symptom(&snapshot, &finding), "{finding:?}");
        }
    }

    #[test]
    fn nothing_unseen_makes_the_agent_bolder(world in any_world(), index in 0..REMOVABLE.len()) {
        let full = world.snapshot();
        let blind = without(&full, REMOVABLE[index]);
        let allowed = bold(&diagnose(&full, &[]));
        for sure in bold(&diagnose(&blind, &[])) {
            prop_assert!(allowed.contains(&sure), "{sure:?} without {:?}", REMOVABLE[index]);
        }
        prop_assert!(!healthy(&blind) || healthy(&full));
    }

    #[test]
    fn a_healthy_look_and_a_diagnosis_exclude_each_other(world in any_world()) {
        let snapshot = world.snapshot();
        let diagnosed = diagnose(&snapshot, &[]);
        let mut owners = diagnosed.diagnoses.iter().map(|d| &d.owner);
        let wrong = owners.any(|owner| owner.kind == Kind::Deployment);
        prop_assert!(!(wrong && healthy(&snapshot)));
    }

    #[test]
    fn evidence_ids_are_given_in_order_and_the_order_of_objects_does_not_matter(
        world in any_world(),
    ) {
        let mut snapshot = world.snapshot();
        let diagnosed = diagnose(&snapshot, &[]);
        for diagnosis in &diagnosed.diagnoses {
            for (index, fact) in diagnosis.evidence.iter().enumerate() {
                prop_assert_eq!(fact.id.as_str(), format!("E{}", index + 1));
            }
        }
        snapshot.pods.reverse();
        snapshot.events.reverse();
        snapshot.workloads.sort_by_key(|w: &Arc<Workload>| std::cmp::Reverse(w.metadata.uid.clone()));
        prop_assert_eq!(diagnose(&snapshot, &[]), diagnosed);
    }
}
