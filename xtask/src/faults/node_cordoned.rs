//! A person cordoned a node: intent, so a person decides.

use super::{Ending, Fault, Stage};
use crate::audit::Write;
use anyhow::Result;

pub struct NodeCordoned;

const NODE: &str = "node2";

impl Fault for NodeCordoned {
    fn name(&self) -> &'static str {
        "node_cordoned"
    }
    fn about(&self) -> &'static str {
        "somebody cordons a healthy node: perhaps on purpose, so it is theirs to undo"
    }
    fn object(&self, _: &Stage<'_>) -> String {
        NODE.to_owned()
    }
    fn prepare(&self, _: &Stage<'_>) -> Result<()> {
        Ok(())
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        stage.lab.kubectl(&["cordon", NODE]).map(drop)
    }
    fn ending(&self) -> Ending {
        Ending::HandedOver
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let node = stage.lab.get(&format!("/api/v1/nodes/{NODE}"))?;
        if node["spec"]["unschedulable"] != true {
            return Ok(Err("the node was uncordoned".to_owned()));
        }
        Ok(stage.only(writes, &[]))
    }
    fn clean_up(&self, stage: &Stage<'_>) -> Result<()> {
        stage.lab.kubectl(&["uncordon", NODE])?;
        stage.remove()
    }
}
