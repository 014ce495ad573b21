//! The agent was away for so long that its watches cannot go on where they stopped (410): it lists
//! anew, and nothing that happened meanwhile is lost.

use super::super::faults::Target;
use super::road::Way;
use super::silence::await_sight;
use super::stage::{CLOSED, RECOMMEND, Stage, WAITING, fault, image};
use nightshift_core::incident::{Outcome, Phase};
use nightshift_core::world::Source;
use std::time::Duration;

/// Three workloads: catalog is broken all the time, payments is broken and then deleted while nobody
/// looks, checkout is broken while nobody looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_old_is_listed_anew() {
    let stage = Stage::start(RECOMMEND).await;
    stage.carry_out(&fault("image_not_found").deeds);
    stage.carry_out(&fault("crash_loop").deeds);
    let stays = stage.await_incident("catalog", WAITING).await;
    stage.await_incident("payments", WAITING).await;

    stage.way(Way::Away);
    await_sight(&stage, Source::Pods, false).await;
    let mark = stage.world.audit_mark();
    let payments = Target::Deployment("payments").path();
    stage.world.request("DELETE", &payments, None).unwrap();
    let checkout = Target::Deployment("checkout");
    stage.carry_out(&[image(checkout, "shop.test/checkout:nowhere")]);
    stage.pass(Duration::from_mins(2)).await;
    stage.world.server.with(|cluster| {
        let newest = cluster.store.revision();
        cluster.store.compact(newest);
    });
    stage.way(Way::Open);

    let found = stage.await_incident("checkout", WAITING).await;
    assert_eq!(found.fingerprint.class.to_string(), "ImagePullFailure");
    let gone = stage.await_incident("payments", CLOSED).await;
    assert_eq!(gone.outcome, Some(Outcome::Gone));
    await_sight(&stage, Source::Pods, true).await;
    let on_it = stage.incidents_on("catalog").await;
    let on_it: Vec<_> = on_it.iter().map(|one| (&one.id, one.phase)).collect();
    assert_eq!(on_it, [(&stays.id, Phase::Waiting)]);
    assert!(stage.lists_since(mark, "pods") > 0, "no new list of pods");
    assert_eq!(stage.writes(), []);
    stage.end().await;
}
