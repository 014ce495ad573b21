//! The built-in runbooks over whole worlds. Only for tests.

use super::scene::{AT, Scene, done};
use crate::diagnose::{ChangeKind, FaultClass};
use crate::plan::Action;
use crate::testkit::{World, reference, world};
use crate::world::{Kind, Source};
use serde_json::{Value, json};

/// Revision 1 runs; revision 2 was just rolled out.
fn rollout() -> World {
    world(AT)
        .node("node1")
        .deployment("demo", "cart")
        .revision(1)
        .memory("128Mi", "256Mi")
        .pod("cart-1-a")
        .revision(2)
        .image("img.test/cart:2")
        .pod("cart-2-a")
}

const BACK: &str = "rollback:demo/cart:rev 2→1";

#[test]
fn rb_imagepull_goes_back_to_the_known_good_revision() {
    let world = rollout().waiting("ImagePullBackOff", "not found");
    let scene = Scene::new(FaultClass::ImagePullFailure, world).came_with_revision();
    let advance = scene.advance();
    assert_eq!(scene.says(), BACK);
    assert_eq!(advance.results["pull"]["imagepull_detected"], json!(true));
    assert_eq!(advance.results["back"]["action"], json!(BACK));
    assert_eq!(advance.results["back"]["applied"], json!(false));
    let step = scene.step();
    assert_eq!(
        (step.runbook.as_str(), step.runbook_step.as_str()),
        ("RB_IMAGEPULL", "back")
    );
    assert_eq!(step.check.class, FaultClass::ImagePullFailure);
}

#[test]
fn rb_imagepull_asks_when_the_revision_did_not_bring_the_fault() {
    let world = rollout().waiting("ImagePullBackOff", "registry unreachable");
    let says = Scene::new(FaultClass::ImagePullFailure, world).says();
    assert!(
        says.starts_with(BACK) && says.contains("did not come with"),
        "{says}"
    );
}

#[test]
fn rb_imagepull_prefers_a_good_revision_to_the_named_image() {
    let images = "fallback_image:\n  demo/cart/app: img.test/cart:1\nsteps:";
    let scene = |world: World| {
        let scene = Scene::new(FaultClass::ImagePullFailure, world).came_with_revision();
        scene.edited("RB_IMAGEPULL", "steps:", images).says()
    };
    assert_eq!(scene(rollout().waiting("ErrImagePull", "")), BACK);
    let only = world(AT)
        .deployment("demo", "cart")
        .revision(1)
        .image("img.test/cart:2");
    let only = only.pod("cart-1-a").waiting("ErrImagePull", "");
    assert_eq!(
        scene(only),
        "patch_image:demo/cart/app:img.test/cart:2→img.test/cart:1"
    );
}

#[test]
fn rb_imagepull_hands_over_when_nothing_is_known_to_be_good() {
    let world = world(AT)
        .deployment("demo", "cart")
        .revision(1)
        .pod("cart-1-a");
    let world = world.waiting("ImagePullBackOff", "not found");
    let says = Scene::new(FaultClass::ImagePullFailure, world)
        .came_with_revision()
        .says();
    assert!(
        says.starts_with("person: RB_IMAGEPULL has no repair for it: "),
        "{says}"
    );
    assert!(
        says.contains("back: no earlier revision is known to be good"),
        "{says}"
    );
}

#[test]
fn rb_oom_raises_only_what_was_killed() {
    let killed = rollout().crash_loop(137, "OOMKilled", 10, 2);
    let scene = Scene::new(FaultClass::OomKilled, killed);
    assert_eq!(scene.says(), "patch_memory_limit:demo/cart/app:256Mi→512Mi");
    assert_eq!(scene.done("raise").says(), "done");
    let not_killed = rollout().crash_loop(1, "Error", 10, 2);
    let scene = Scene::new(FaultClass::OomKilled, not_killed);
    let says = scene.says();
    assert!(says.contains("it is no case for raise"), "{says}");
    assert_eq!(
        scene.result("raise", "reason"),
        json!("gate `steps.oom.oom_detected` is closed")
    );
}

#[test]
fn rb_crashloop_raises_memory_if_found_and_else_rolls_back() {
    let scene = |world| Scene::new(FaultClass::CrashLoop, world).came_with_revision();
    assert_eq!(scene(rollout().crash_loop(1, "Error", 10, 3)).says(), BACK);
    let killed = scene(rollout().crash_loop(137, "OOMKilled", 10, 3));
    assert_eq!(
        killed.says(),
        "patch_memory_limit:demo/cart/app:256Mi→512Mi"
    );
    // The fault still shows right after the write: nothing else is tried.
    assert_eq!(killed.done("raise").says(), "done");
}

#[test]
fn rb_crashloop_leaves_a_fault_that_no_revision_brought_to_a_person() {
    let world = rollout().crash_loop(1, "Error", 10, 3);
    let scene = Scene::new(FaultClass::CrashLoop, world).came_with_revision();
    let scene = scene.diagnosed(|d| d.changes[0].kind = ChangeKind::ConfigMap);
    assert_eq!(
        scene.says(),
        "person: RB_CRASHLOOP has no repair for it: it is no case for image, raise, back, unblock"
    );
    assert_eq!(
        scene.result("back", "reason"),
        json!("gate `diagnosis.came_with_revision` is closed")
    );
    let scene = scene.diagnosed(|d| {
        d.changes[0].kind = ChangeKind::Revision;
        d.changes[0].explains_fault = false;
    });
    assert!(scene.says().starts_with("person: "), "{}", scene.says());
}

#[test]
fn what_a_new_revision_brought_is_rolled_back_whatever_its_class() {
    use FaultClass as F;
    let classes = [
        F::ProbeFailure,
        F::RolloutStuck,
        F::ConfigMissing,
        F::ContainerStuck,
        F::Unschedulable,
    ];
    for class in classes {
        let scene = || Scene::new(class, rollout().unready());
        assert_eq!(scene().came_with_revision().says(), BACK, "{class}");
        assert!(scene().says().starts_with("person: "), "{class}");
    }
}

#[test]
fn rb_containercreating_does_not_blame_the_revision_for_a_failing_sandbox() {
    let world = rollout().waiting("ContainerCreating", "");
    let world = world.event("FailedCreatePodSandBox", "no network");
    let scene = Scene::new(FaultClass::ContainerStuck, world).came_with_revision();
    assert!(scene.says().starts_with("person: "), "{}", scene.says());
    assert_eq!(
        scene.result("back", "reason"),
        json!("gate `!steps.events.sandbox_failure_detected` is closed")
    );
}

#[test]
fn rb_containercreating_without_events_does_not_roll_back() {
    let world = rollout()
        .waiting("ContainerCreating", "")
        .unseen(Source::Events);
    let scene = Scene::new(FaultClass::ContainerStuck, world).came_with_revision();
    let says = scene.says();
    assert!(
        says.contains("not known whether it is a case for back (not seen: Events"),
        "{says}"
    );
    assert_eq!(scene.result("events", "oom_detected"), Value::Null);
}

#[test]
fn a_stateful_set_is_rolled_back_and_then_loses_the_pod_that_it_waits_for() {
    let broken = || {
        world(AT)
            .stateful_set("demo", "db")
            .revision(1)
            .pod("db-0")
            .revision(2)
            .image("img.test/db:2")
            .pod("db-1")
            .crash_loop(1, "Error", 10, 3)
    };
    let scene = Scene::new(FaultClass::CrashLoop, broken()).came_with_revision();
    assert_eq!(scene.says(), "rollback:demo/db:rev 2→1");
    let scene = scene.done("back");
    // The controller has not made the new revision yet.
    assert_eq!(scene.says(), "done");
    let scene = scene.later(broken().revision(3).image("img.test/db:1"));
    assert_eq!(scene.says(), "delete_pod:demo/db-1");
    let step = scene.step();
    assert_eq!(
        (step.runbook_step.as_str(), step.asks.len()),
        ("unblock", 0)
    );
    let scene = scene.done("unblock");
    let healthy = world(AT).stateful_set("demo", "db").revision(1).pod("db-0");
    assert_eq!(scene.later(healthy).says(), "done");
}

#[test]
fn rb_node_unschedulable_uncordons_by_itself_only_what_we_cordoned() {
    let cordoned = || world(AT).node("node1").cordoned();
    let node = reference(Kind::Node, "", "node1");
    let scene = |world| Scene::new(FaultClass::NodeCordoned, world);
    let ours = scene(cordoned()).acted(Action::Cordon, &node, 2, done());
    assert_eq!(ours.says(), "uncordon:node1");
    assert!(scene(cordoned()).says().contains("asks: our record"));
    let table = [
        cordoned().condition("Ready", "False", "KubeletNotReady", 60),
        cordoned().condition("MemoryPressure", "True", "Low", 60),
        world(AT).node("node1"),
    ];
    for world in table {
        let says = scene(world).acted(Action::Cordon, &node, 2, done()).says();
        assert!(
            says.starts_with("person: RB_NODE_UNSCHEDULABLE has no repair for it: "),
            "{says}"
        );
    }
}

#[test]
fn rb_node_notready_confirms_cordons_and_asks_for_the_drain() {
    let lost = || {
        world(AT)
            .node("node1")
            .condition("Ready", "Unknown", "NodeStatusUnknown", 60)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
    };
    let scene = Scene::new(FaultClass::NodeNotReady, lost());
    assert_eq!(scene.says(), "cordon:node1");
    assert_eq!(
        scene.result("conditions", "conditions")["Ready"],
        json!("Unknown")
    );
    let scene = scene
        .done("cordon")
        .later(lost().edit_node(|n| n.spec.unschedulable = true));
    assert_eq!(
        scene.says(),
        "evict:demo/cart-1-a asks: a drain always asks a person"
    );
    let back = Scene::new(FaultClass::NodeNotReady, world(AT).node("node1"));
    assert_eq!(
        back.result("cordon", "reason"),
        json!("gate `steps.ready.not_ready` is closed")
    );
}

#[test]
fn a_node_without_a_ready_condition_is_neither_cordoned_nor_uncordoned() {
    let bare = |world: World| world.edit_node(|node| node.status.conditions.clear());
    let young = Scene::new(FaultClass::NodeNotReady, bare(world(AT).node("node1")));
    assert!(young.says().starts_with("person: "), "{}", young.says());
    let cordoned = bare(world(AT).node("node1").cordoned());
    let cordoned = Scene::new(FaultClass::NodeCordoned, cordoned);
    assert!(
        cordoned.says().starts_with("person: "),
        "{}",
        cordoned.says()
    );
}

#[test]
fn a_blind_write_is_a_persons_case() {
    let world = rollout().crash_loop(1, "Error", 10, 3);
    let blind = world.unseen(Source::ReplicaSets);
    let says = Scene::new(FaultClass::CrashLoop, blind)
        .came_with_revision()
        .says();
    assert_eq!(
        says,
        "person: back: not seen: ReplicaSets (silent for 90 s)"
    );
}

#[test]
fn a_runbook_that_only_looks_ends_with_a_person() {
    let world = rollout().crash_loop(1, "Error", 10, 3);
    let says = Scene::new(FaultClass::CrashLoop, world)
        .tool("get_pod_events")
        .says();
    assert_eq!(
        says,
        "person: RB_TEST only looks: it has no write for this fault"
    );
}

#[test]
fn the_same_world_gives_the_same_step() {
    let scene = || {
        let world = rollout().waiting("ImagePullBackOff", "not found");
        Scene::new(FaultClass::ImagePullFailure, world).came_with_revision()
    };
    assert_eq!(scene().advance(), scene().advance());
}

/// Whatever single source is missing, the agent never does without a person what it would not have
/// done when seeing everything.
#[test]
fn not_seeing_never_makes_it_bolder() {
    let worlds = [
        (
            FaultClass::CrashLoop,
            rollout().crash_loop(1, "Error", 10, 3),
        ),
        (
            FaultClass::OomKilled,
            rollout().crash_loop(137, "OOMKilled", 10, 3),
        ),
        (
            FaultClass::ImagePullFailure,
            rollout().waiting("ErrImagePull", ""),
        ),
        (
            FaultClass::ContainerStuck,
            rollout().waiting("ContainerCreating", ""),
        ),
        (FaultClass::NodeCordoned, world(AT).node("node1").cordoned()),
    ];
    for (class, world) in worlds {
        let seeing = Scene::new(class, world.clone()).came_with_revision().says();
        for source in crate::testkit::SOURCES {
            let blind = Scene::new(class, world.clone().unseen(source));
            let blind = blind.came_with_revision().says();
            let same = blind == seeing;
            assert!(
                same || blind.starts_with("person") || blind.contains(" asks: "),
                "{blind}"
            );
        }
    }
}

/// From what the detectors see to the step, without anything made by hand in between.
#[test]
fn the_detectors_diagnosis_leads_to_the_step() {
    let fresh = |world: World| {
        let before = world
            .deployment("demo", "cart")
            .revision(1)
            .memory("128Mi", "256Mi");
        let before = before.age(9000).pod("cart-1-a").age(9000);
        before
            .revision(2)
            .age(120)
            .image("img.test/cart:2")
            .pod("cart-2-a")
            .age(115)
    };
    let node = || world(AT).node("node1");
    let pull = fresh(node())
        .waiting(
            "ImagePullBackOff",
            "Back-off pulling image \"img.test/cart:2\"",
        )
        .event(
            "Failed",
            "Failed to pull image \"img.test/cart:2\": not found",
        );
    let missing = fresh(node())
        .waiting(
            "CreateContainerConfigError",
            "configmap \"settings\" not found",
        )
        .event("Failed", "Error: configmap \"settings\" not found");
    let lost = node().condition("Ready", "Unknown", "NodeStatusUnknown", 60);
    let table = [
        (pull, FaultClass::ImagePullFailure, BACK),
        (
            fresh(node()).crash_loop(1, "Error", 20, 3),
            FaultClass::CrashLoop,
            BACK,
        ),
        (missing, FaultClass::ConfigMissing, BACK),
        (
            fresh(node()).crash_loop(137, "OOMKilled", 20, 3),
            FaultClass::OomKilled,
            "patch_memory_limit:demo/cart/app:256Mi→512Mi",
        ),
        (lost, FaultClass::NodeNotReady, "cordon:node1"),
        (
            node().cordoned(),
            FaultClass::NodeCordoned,
            "uncordon:node1 asks: our record does not say that we cordoned it",
        ),
    ];
    for (world, class, says) in table {
        let scene = Scene::diagnosed_from(world);
        assert_eq!(scene.diagnosis.class, class);
        assert_eq!(scene.says(), says, "{class}");
    }
}
