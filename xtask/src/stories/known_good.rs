//! Where an image comes from when the broken revision leaves no ready pod behind: from our record, or
//! from the operator's own runbook.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::faults::{FAULTS, Fault, PATIENCE, Stage};
use crate::lab::{Lab, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "a_revision_that_was_good_in_the_record_alone_is_rolled_back_to",
        long: false,
        play: good_in_the_record,
    },
    Story {
        name: "the_fallback_image_of_the_operators_runbook_is_used",
        long: false,
        play: fallback_image,
    },
];

fn image_pull() -> Result<&'static dyn Fault> {
    let mut faults = FAULTS.iter().copied();
    let fault = faults.find(|f| f.name() == "image_pull");
    fault.context("image_pull is a fault")
}

/// `Recreate` ends the good pods before the bad ones begin: nothing in the cluster says any more that
/// the first revision was good.
fn good_in_the_record(lab: &Lab) -> Result<()> {
    let fault = image_pull()?;
    let settings = Settings::auto().with("NIGHTSHIFT_KNOWN_GOOD_AFTER", "3s");
    let agent = Agent::start(lab, settings)?;
    let stage = Stage::new(lab, "record", &tag())?;
    let manifest = stage.deployment(&["serve"], "");
    let recreate = "spec:\n  strategy: {type: Recreate}\n  replicas: 1";
    stage.roll_out(&manifest.replacen("spec:\n  replicas: 1", recreate, 1))?;
    until("the record of the good revision", PATIENCE, || {
        let log = std::fs::read_to_string(lab.logs().join("agent.log"))?;
        let recorded = format!("of Deployment {}/{} was fully", stage.namespace, stage.name);
        Ok(if log.contains(&recorded) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        })
    })?;
    fault.inject(&stage)?;
    repaired(&agent, fault, &stage)
}

/// The very first revision names an image that does not exist: there is nothing to go back to, and
/// the operator has said which image of that repository will do.
fn fallback_image(lab: &Lab) -> Result<()> {
    let fault = image_pull()?;
    let stage = Stage::new(lab, "fallback", &tag())?;
    let folder = lab.state().join("runbooks");
    std::fs::create_dir_all(&folder)?;
    let workload = format!("{}/{}/app", stage.namespace, stage.name);
    let image = format!("fallback_image:\n  {workload}: img.test/app:1\nsteps:");
    let runbook = include_str!("../../../runbooks/RB_IMAGEPULL.md").replacen("steps:", &image, 1);
    std::fs::write(folder.join("RB_IMAGEPULL.md"), runbook)?;
    let folder_name = folder.display().to_string();
    let agent = Agent::start(
        lab,
        Settings::auto().with("NIGHTSHIFT_RUNBOOKS", &folder_name),
    )?;
    let manifest = stage.deployment(&["serve"], "");
    lab.apply(&manifest.replacen("img.test/app:1", "img.test/app:nowhere", 1))?;
    let played = repaired(&agent, fault, &stage);
    std::fs::remove_dir_all(&folder)?;
    played
}

fn repaired(agent: &Agent<'_>, fault: &dyn Fault, stage: &Stage<'_>) -> Result<()> {
    let judged = until("the repair", PATIENCE, || {
        fault.judge(stage, &stage.writes_inside()?)
    });
    let closed = agent.await_incident(&stage.name, &["closed"], PATIENCE);
    stage.remove()?;
    judged?;
    let outcome = closed?["outcome"].clone();
    anyhow::ensure!(outcome == json!("fixed"), "the incident ended {outcome}");
    Ok(())
}
