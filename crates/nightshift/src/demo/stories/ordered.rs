//! A StatefulSet that starts its pods in order: the roll back alone does not mend it, because its
//! controller waits for the broken pod for ever (kubernetes/kubernetes#67250).

use super::super::faults::{Deed, Target};
use super::super::judge::Write;
use super::stage::{AUTO, CLOSED, Stage, image};
use nightshift_core::incident::Outcome;
use serde_json::json;

pub(super) const ORDERS: Target = Target::StatefulSet("orders-db");
pub(super) const GOOD: &str = "shop.test/orders-db:16.4";
pub(super) const NOWHERE: &str = "shop.test/orders-db:nowhere";

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_ordered_stateful_set_is_rolled_back_and_its_pod_deleted() {
    let stage = Stage::start(AUTO).await;
    stage.carry_out(&[Deed::Patch(ORDERS, json!({"spec": {"replicas": 3}}))]);
    stage
        .until("three pods", async || is_whole(&stage, 3))
        .await;
    stage.carry_out(&[image(ORDERS, NOWHERE)]);
    let closed = stage.await_incident("orders-db", CLOSED).await;
    assert_eq!(closed.outcome, Some(Outcome::Fixed));
    is_repaired(&stage, 3);
    stage.end().await;
}

/// Every pod is of the newest revision and ready.
fn is_whole(stage: &Stage, replicas: u32) -> Result<(), String> {
    let found = stage.world.get(ORDERS);
    let found = found.map_err(|error| error.to_string())?;
    let (meta, status) = (&found["metadata"], &found["status"]);
    let all = |key: &str| status[key] == replicas;
    let is_whole = status["observedGeneration"] == meta["generation"]
        && status["currentRevision"] == status["updateRevision"]
        && all("replicas")
        && all("readyReplicas")
        && all("currentReplicas");
    is_whole.then_some(()).ok_or_else(|| status.to_string())
}

/// The template is what it was, all of it is ready, and two writes did that, once each and in this
/// order. The pod with the highest number is the first that a rolling update replaces.
pub(super) fn is_repaired(stage: &Stage, replicas: u32) {
    assert_eq!(is_whole(stage, replicas), Ok(()));
    let found = stage.world.get(ORDERS).unwrap();
    let container = &found["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], GOOD);
    let last = format!("orders-db-{}", replicas - 1);
    let expected = [
        Write::done("patch", "statefulsets", "orders-db"),
        Write::done("delete", "pods", &last),
    ];
    assert_eq!(stage.writes(), expected);
}
