//! Things that look like faults and are none, or are nobody's to repair: the agent keeps off.

use super::super::faults::{Deed, SHOP, Target};
use super::stage::{AUTO, Stage, WAITING, image};
use serde_json::json;
use std::time::Duration;

const CATALOG: Target = Target::Deployment("catalog");
const NOWHERE: &str = "shop.test/catalog:1.5-rc";

#[tokio::test(flavor = "multi_thread")]
async fn healthy_rolling_update_opens_nothing() {
    let stage = Stage::start(AUTO).await;
    for version in ["1.10", "1.11"] {
        let cart = Target::Deployment("cart");
        stage.carry_out(&[image(cart, &format!("shop.test/cart:{version}"))]);
        stage.pass(Duration::from_mins(3)).await;
    }
    assert_eq!(stage.incidents().await, []);
    assert_eq!(stage.writes(), []);
    stage.end().await;
}

/// Paused with a broken revision half rolled out: an operator is at it.
#[tokio::test(flavor = "multi_thread")]
async fn paused_rollout_is_left_alone() {
    let stage = Stage::start(AUTO).await;
    let pause = Deed::Patch(CATALOG, json!({"spec": {"paused": true}}));
    stage.carry_out(&[image(CATALOG, NOWHERE)]);
    stage
        .until("the broken revision to begin", async || {
            let status = &stage.world.get(CATALOG).unwrap()["status"];
            let begun = status["updatedReplicas"] == 1;
            begun.then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
    stage.carry_out(&[pause]);
    stage.keeps_off("catalog").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_pod_is_never_deleted() {
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
async fn workload_of_a_custom_resource_asks() {
    let stage = Stage::start(AUTO).await;
    let owner = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "example.com/v1", "kind": "Shop", "name": "shop", "uid": "u-1",
        "controller": true,
    }]}});
    stage.carry_out(&[Deed::Patch(CATALOG, owner), image(CATALOG, NOWHERE)]);
    stage.keeps_off("shop").await;
}

/// Rolled back; the stuck pod of the StatefulSet would have to be deleted, and two budgets speak of it.
#[tokio::test(flavor = "multi_thread")]
async fn pod_under_two_disruption_budgets_asks() {
    let stage = Stage::start(AUTO).await;
    stage.apply(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "second", "namespace": SHOP},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "orders-db"}}},
    }));
    let orders = Target::StatefulSet("orders-db");
    stage.carry_out(&[image(orders, "shop.test/orders-db:nowhere")]);
    stage.await_incident("orders-db", WAITING).await;
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
