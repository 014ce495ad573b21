//! The stories that the agent has on the lab, on the simulated cluster: in seconds, judged by its
//! objects and its audit lines.

mod stage;

use super::faults::{self, Deed, Fault, SHOP, Target};
use super::judge::{Right, judge};
use serde_json::json;
use stage::{Stage, Way};
use std::time::Duration;

const AUTO: &[(&str, &str)] = &[];
/// With an account that could write.
const RECOMMEND: &[(&str, &str)] = &[("AGENT_MODE", "recommend")];

fn fault(name: &str) -> Fault {
    let mut all = faults::all().into_iter();
    all.find(|fault| fault.name == name).unwrap()
}

fn image(of: &'static str, image: &str) -> Deed {
    let container = json!({"name": of, "image": image});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    Deed::Patch(Target::Deployment(of), patch)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_is_right() {
    let options = super::Options {
        once: true,
        seed: 3,
        speed: stage::speed(),
        agent_off: false,
        format: crate::output::Format::Table,
    };
    let is_right = super::run(&options, &nightshift_cluster::SystemClock::default()).await;
    assert!(is_right.unwrap());
}

/// A judge that cannot say no proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_agent_off_every_ending_is_wrong() {
    let stage = Stage::without_agent();
    for fault in faults::all() {
        let before = stage.world.get(fault.target).unwrap();
        let scene = stage.broken(&fault, before);
        stage.pass(Duration::from_mins(5)).await;
        let verdict = judge(fault.right, &stage.now(scene, &fault));
        // Left alone is what nobody does, too: for those the story waits for the agent's word.
        assert!(
            verdict.is_err() || fault.right == Right::LeftAlone,
            "{}",
            fault.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recommend_writes_nothing() {
    let stage = Stage::start(RECOMMEND).await;
    for fault in faults::all() {
        stage.carry_out(&fault.deeds);
        if fault.right != Right::LeftAlone {
            stage.await_phase(fault.target.name(), "waiting").await;
        }
    }
    stage.pass(Duration::from_mins(2)).await;
    assert_eq!(stage.writes(), []);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_rolling_update_opens_nothing() {
    let stage = Stage::start(AUTO).await;
    for version in ["1.10", "1.11"] {
        stage.carry_out(&[image("cart", &format!("shop.test/cart:{version}"))]);
        stage.pass(Duration::from_mins(3)).await;
    }
    assert_eq!(stage.incidents().await, Vec::<String>::new());
    assert_eq!(stage.writes(), []);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rollout_is_left_alone() {
    let stage = Stage::start(AUTO).await;
    let pause = json!({"spec": {"paused": true}});
    let pause = Deed::Patch(Target::Deployment("catalog"), pause);
    let broken = image("catalog", "shop.test/catalog:1.5-rc");
    stage.carry_out(&[broken, pause]);
    stage.keeps_off("catalog").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_pod_is_never_deleted() {
    let stage = Stage::start(AUTO).await;
    stage.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "alone", "namespace": SHOP},
        "spec": {"containers": [{"name": "alone", "image": "shop.test/payments:2.7"}]},
    }));
    stage.keeps_off("alone").await;
}

/// What an operator's custom resource owns is changed back by its operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_of_a_custom_resource_asks() {
    let stage = Stage::start(AUTO).await;
    let owner = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "example.com/v1", "kind": "Shop", "name": "shop", "uid": "u-1",
        "controller": true,
    }]}});
    let owned = Deed::Patch(Target::Deployment("catalog"), owner);
    stage.carry_out(&[owned, image("catalog", "shop.test/catalog:1.5-rc")]);
    stage.keeps_off("shop").await;
}

/// Rolled back; the stuck pod of the StatefulSet would have to be deleted, and two budgets speak of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_under_two_budgets_is_not_deleted() {
    let stage = Stage::start(AUTO).await;
    stage.apply(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "second", "namespace": SHOP},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "orders-db"}}},
    }));
    let container = json!({"name": "orders-db", "image": "shop.test/orders-db:nowhere"});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    stage.carry_out(&[Deed::Patch(Target::StatefulSet("orders-db"), patch)]);
    stage.await_phase("orders-db", "waiting").await;
    stage.pass(Duration::from_mins(2)).await;
    let writes = stage.writes();
    assert!(writes.len() <= 1, "more than the roll back: {writes:?}");
    assert!(
        writes
            .iter()
            .all(|write| write.is_to("statefulsets", "orders-db")),
        "{writes:?}"
    );
    stage.end().await;
}

/// A minute without an API server, after the fault was seen: nothing is lost, and it is repaired once.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_delays_the_repair_and_nothing_else() {
    let stage = Stage::start(AUTO).await;
    let fault = fault("image_not_found");
    let before = stage.world.get(fault.target).unwrap();
    let scene = stage.broken(&fault, before);
    stage.await_phase("catalog", "open").await;
    stage.way(Way::Away);
    stage.pass(Duration::from_mins(1)).await;
    stage.way(Way::Open);
    stage.await_phase("catalog", "closed").await;
    assert_eq!(judge(fault.right, &stage.now(scene, &fault)), Ok(()));
    stage.end().await;
}

/// Connections that stay open and say nothing: blind, and nothing is closed for it.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_blind_and_close_nothing() {
    let stage = Stage::start(RECOMMEND).await;
    stage.carry_out(&fault("image_not_found").deeds);
    stage.await_phase("catalog", "waiting").await;
    stage.way(Way::Silent);
    stage.await_blind().await;
    stage.carry_out(&[image("catalog", "shop.test/catalog:1.4")]);
    stage.pass(Duration::from_mins(5)).await;
    assert_eq!(stage.phases("catalog").await, ["waiting"]);
    stage.way(Way::Open);
    stage.await_phase("catalog", "closed").await;
    stage.end().await;
}

/// Killed with a write under way, and started again on the same record: one write, and no incident
/// is lost.
async fn killed(way: Way) {
    let mut stage = Stage::start(AUTO).await;
    let fault = fault("image_not_found");
    let before = stage.world.get(fault.target).unwrap();
    stage.way(way);
    let scene = stage.broken(&fault, before);
    stage.await_held_write().await;
    stage.kill().await;
    stage.way(Way::Open);
    stage.start_again(AUTO).await;
    stage.await_phase("catalog", "closed").await;
    assert_eq!(judge(fault.right, &stage.now(scene, &fault)), Ok(()));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_write_is_sent_it_is_written_once() {
    killed(Way::HoldsWrites).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_write_whose_answer_is_lost_it_is_written_once() {
    killed(Way::LosesAnswers).await;
}
