//! Where an image comes from when the broken revision leaves no ready pod behind: from our record, or
//! from the operator's own runbook.

use super::super::faults::{Fault, SHOP, Target};
use super::super::judge::Right;
use super::stage::{CLOSED, Stage, image};
use nightshift_core::incident::Outcome;

const NAME: &str = "banners";
const BANNERS: Target = Target::Deployment(NAME);
const GOOD: &str = "shop.test/catalog:1.4";
const NOWHERE: &str = "shop.test/catalog:nowhere";

/// `Recreate` ends the good pods before the bad ones begin: nothing in the cluster says any more that
/// the first revision was good.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_was_good_in_the_record_alone_is_rolled_back_to() {
    let stage = Stage::start(&[("NIGHTSHIFT_KNOWN_GOOD_AFTER", "1m")]).await;
    stage.apply_deployment(NAME, "Recreate", GOOD);
    stage
        .until("the record of the good revision", async || {
            let path =
                format!("/apis/apps/v1/namespaces/{SHOP}/replicasets?labelSelector=app%3D{NAME}");
            let sets = stage.world.request("GET", &path, None).unwrap();
            let uid = sets["items"][0]["metadata"]["uid"].as_str();
            let known = stage.known_good().await;
            let is_known = uid.is_some_and(|uid| known.iter().any(|one| one == uid));
            is_known.then_some(()).ok_or_else(|| format!("{known:?}"))
        })
        .await;
    let scene = stage.broken(&Fault {
        name: "nowhere",
        about: "",
        target: BANNERS,
        deeds: vec![image(BANNERS, NOWHERE)],
        right: Right::BackAsItWas,
        afterwards: Vec::new(),
        then: None,
    });
    let closed = stage.await_incident(NAME, CLOSED).await;
    assert_eq!(closed.outcome, Some(Outcome::Fixed));
    assert_eq!(stage.judge(Right::BackAsItWas, BANNERS, scene), Ok(()));
    stage.end().await;
}

/// The very first revision names an image that does not exist: there is nothing to go back to, and
/// the operator has said which image of that repository will do.
#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_image_of_the_operators_runbook_is_used() {
    let mut stage = Stage::without_agent();
    let folder = stage.folder().join("runbooks");
    std::fs::create_dir(&folder).unwrap();
    let fallback = format!("fallback_image:\n  {SHOP}/{NAME}/{NAME}: {GOOD}\nsteps:");
    let runbook = include_str!("../../../../../runbooks/RB_IMAGEPULL.md");
    let runbook = runbook.replacen("steps:", &fallback, 1);
    std::fs::write(folder.join("RB_IMAGEPULL.md"), runbook).unwrap();
    let settings = [("NIGHTSHIFT_RUNBOOKS", folder.to_str().unwrap())];
    stage.start_agent(&settings, None).await;
    stage.apply_deployment(NAME, "RollingUpdate", NOWHERE);
    let closed = stage.await_incident(NAME, CLOSED).await;
    assert_eq!(closed.outcome, Some(Outcome::Fixed));
    let found = stage.world.get(BANNERS).unwrap();
    assert_eq!(
        found["spec"]["template"]["spec"]["containers"][0]["image"],
        GOOD
    );
    assert_eq!(found["status"]["availableReplicas"], 1);
    let writes = stage.writes();
    assert!(
        writes.len() == 1 && writes[0].is_to("deployments", NAME),
        "{writes:?}"
    );
    stage.end().await;
}
