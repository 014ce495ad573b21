//! The six runbooks, in `auto` and in `recommend`.

use anyhow::{Result, bail, ensure};

use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::demo;
use crate::faults::{Ending, FAULTS, PATIENCE, Stage};
use crate::lab::Lab;

pub static STORIES: &[Story] = &[
    Story {
        name: "demo_every_ending_is_right",
        long: false,
        play: every_ending_is_right,
    },
    Story {
        name: "demo_with_the_agent_off_fails",
        long: false,
        play: with_the_agent_off_fails,
    },
    Story {
        name: "recommend_writes_nothing",
        long: false,
        play: recommend_writes_nothing,
    },
];

fn every_ending_is_right(lab: &Lab) -> Result<()> {
    let wrong = demo::play(lab, u64::from(rand::random::<u16>()), false)?;
    ensure!(wrong == 0, "{wrong} endings are wrong");
    Ok(())
}

/// A judge that cannot say no proves nothing.
fn with_the_agent_off_fails(lab: &Lab) -> Result<()> {
    for fault in FAULTS
        .iter()
        .filter(|fault| fault.ending() == Ending::Repaired)
    {
        if demo::one(lab, *fault, &tag(), None)?.is_ok() {
            bail!(
                "the judge finds {} repaired, and no agent was there",
                fault.name()
            );
        }
    }
    Ok(())
}

/// With an account that could write: every fault ends with a person, and nothing was written.
fn recommend_writes_nothing(lab: &Lab) -> Result<()> {
    let agent = Agent::start(lab, Settings::recommend())?;
    for fault in FAULTS {
        let stage = Stage::new(lab, fault.name(), &tag())?;
        fault.prepare(&stage)?;
        let object = fault.object(&stage);
        // Two faults are of one node: the incident of the first is not taken for that of the second.
        agent.await_none_open(&object, PATIENCE)?;
        fault.inject(&stage)?;
        let waiting = agent.await_incident(&object, &["waiting"], PATIENCE);
        let writes = stage.writes()?;
        fault.clean_up(&stage)?;
        let waiting = waiting?;
        ensure!(
            writes.is_empty(),
            "{}: the audit log has {writes:?}",
            fault.name()
        );
        let recommended = !waiting["action_recommended"].is_null();
        let due = fault.ending() == Ending::Repaired;
        ensure!(
            recommended || !due,
            "{}: no action is recommended: {waiting}",
            fault.name()
        );
    }
    Ok(())
}
