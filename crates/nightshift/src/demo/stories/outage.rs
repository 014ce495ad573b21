//! The API server goes away or falls silent in the middle of a repair.

use super::super::faults::Target;
use super::road::Way;
use super::stage::{AUTO, CLOSED, MID_STEP, RECOMMEND, Stage, WAITING, fault, image};
use nightshift_core::incident::Phase;
use std::time::Duration;

/// A minute without an API server in the middle of a step: nothing is lost, and it is repaired once.
#[tokio::test(flavor = "multi_thread")]
async fn api_server_away_in_mid_step() {
    let stage = Stage::start(AUTO).await;
    let fault = fault("image_not_found");
    let scene = stage.broken(&fault);
    stage.await_incident("catalog", MID_STEP).await;
    stage.way(Way::Away);
    stage.pass(Duration::from_mins(1)).await;
    stage.way(Way::Open);
    stage.await_incident("catalog", CLOSED).await;
    assert_eq!(stage.judge(fault.right, fault.target, scene), Ok(()));
    stage.end().await;
}

/// Connections that stay open and say nothing: blind, and nothing is closed for it.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_blind_and_close_nothing() {
    let stage = Stage::start(RECOMMEND).await;
    stage.carry_out(&fault("image_not_found").deeds);
    stage.await_incident("catalog", WAITING).await;
    stage.way(Way::Silent);
    stage
        .until("every source to be blind", async || {
            let mut seen = stage.sources();
            seen.retain(|(_, is_seen)| *is_seen);
            seen.is_empty()
                .then_some(())
                .ok_or_else(|| format!("{seen:?}"))
        })
        .await;
    let catalog = Target::Deployment("catalog");
    stage.carry_out(&[image(catalog, "shop.test/catalog:1.4")]);
    stage.pass(Duration::from_mins(5)).await;
    let on_it = stage.incidents_on("catalog").await;
    assert!(
        on_it.iter().all(|one| one.phase == Phase::Waiting),
        "{on_it:?}"
    );
    stage.way(Way::Open);
    stage.await_incident("catalog", CLOSED).await;
    stage.end().await;
}
