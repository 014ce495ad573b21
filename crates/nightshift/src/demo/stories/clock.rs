//! The API server's clock does not agree with the agent's: nothing that rests on a time is done.

use super::super::faults::Fault;
use super::super::judge::Scene;
use super::road::Way;
use super::silence::await_sight;
use super::stage::{AUTO, CLOSED, Stage, WAITING, fault};
use jiff::SignedDuration;
use nightshift_core::incident::{Outcome, Phase};
use nightshift_core::record::EntryKind;
use nightshift_core::world::Source;
use std::time::Duration;

/// More than the 5 s that two clocks may differ, and more than a busy machine adds.
const AHEAD: Way = Way::Ahead(SignedDuration::from_mins(2));

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_stops_every_write_until_it_is_right() {
    let stage = Stage::start(AUTO).await;
    stage.way(AHEAD);
    await_sight(&stage, Source::Clock, false).await;
    let fault = fault("image_not_found");
    let scene = stage.broken(&fault);
    stage
        .until("the record of it", async || is_recorded(&stage).await)
        .await;
    stage.pass(Duration::from_mins(1)).await;
    assert_eq!(stage.writes(), []);
    ends_as_fixed(stage, &fault, scene).await;
}

/// The write is done, and whether it helped cannot be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_wrong_after_a_write_closes_nothing() {
    let stage = Stage::start(AUTO).await;
    let fault = fault("image_not_found");
    let scene = stage.broken(&fault);
    stage.await_incident("catalog", &[Phase::Verifying]).await;
    stage.way(AHEAD);
    stage.pass(Duration::from_mins(3)).await;
    let on_it = stage.incidents_on("catalog").await;
    let phases: Vec<_> = on_it.iter().map(|one| one.phase).collect();
    assert_eq!(phases, [Phase::Verifying]);
    ends_as_fixed(stage, &fault, scene).await;
}

/// Five minutes are long enough to wait for a clock: then a person hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stays_wrong_is_a_persons_case() {
    let stage = Stage::start(AUTO).await;
    stage.way(AHEAD);
    await_sight(&stage, Source::Clock, false).await;
    stage.carry_out(&fault("image_not_found").deeds);
    let waiting = stage.await_incident("catalog", WAITING).await;
    let why = waiting.waiting_for.unwrap_or_default();
    assert!(why.contains("Clock"), "{why}");
    assert_eq!(stage.writes(), []);
    stage.end().await;
}

/// The clock is right again: the repair comes to its end.
async fn ends_as_fixed(stage: Stage, fault: &Fault, scene: Scene) {
    stage.way(Way::Open);
    let closed = stage.await_incident("catalog", CLOSED).await;
    assert_eq!(closed.outcome, Some(Outcome::Fixed));
    assert_eq!(stage.judge(fault.right, fault.target, scene), Ok(()));
    stage.end().await;
}

/// Whether the record says that the clock is not seen.
async fn is_recorded(stage: &Stage) -> Result<(), String> {
    for incident in stage.incidents_on("catalog").await {
        let rows = stage.detail(&incident).await.events;
        let mut entries = rows.iter().map(|row| &row.entry);
        if entries.any(|one| one.kind == EntryKind::Blind && one.text.contains("Clock")) {
            return Ok(());
        }
    }
    Err("nothing yet".to_owned())
}
