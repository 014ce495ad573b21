//! The agent is killed at named points of a write and started again: no write is done twice, and
//! no incident is lost. Counted in the audit log.

use anyhow::{Context as _, Result};

use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::faults::{FAULTS, PATIENCE, Stage};
use crate::lab::{Lab, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "killed_before_intent",
        long: true,
        play: |lab| killed_at(lab, "before_intent"),
    },
    Story {
        name: "killed_after_intent",
        long: false,
        play: |lab| killed_at(lab, "after_intent"),
    },
    Story {
        name: "killed_before_send",
        long: true,
        play: |lab| killed_at(lab, "before_send"),
    },
    Story {
        name: "killed_after_commit_with_the_answer_lost",
        long: false,
        play: |lab| killed_at(lab, "after_commit_answer_lost"),
    },
    Story {
        name: "killed_before_result",
        long: false,
        play: |lab| killed_at(lab, "before_result"),
    },
];

fn killed_at(lab: &Lab, point: &str) -> Result<()> {
    let settings = Settings::auto();
    let fault = FAULTS
        .iter()
        .find(|f| f.name() == "image_pull")
        .context("image_pull is a fault")?;
    let stage = Stage::new(lab, "killed", &tag())?;
    fault.prepare(&stage)?;
    let agent = Agent::start(lab, settings.with("NIGHTSHIFT_FAILPOINT", point))?;
    fault.inject(&stage)?;
    until(&format!("the agent to end at {point}"), PATIENCE, || {
        Ok(if agent.is_alive() {
            Err("it lives".to_owned())
        } else {
            Ok(())
        })
    })?;
    agent.go_on(&[("NIGHTSHIFT_FAILPOINT", "")])?;
    agent.await_incident(&stage.name, &["closed"], PATIENCE)?;
    until("one repair in the audit log", PATIENCE, || {
        fault.judge(&stage, &stage.writes()?)
    })?;
    stage.remove()
}
