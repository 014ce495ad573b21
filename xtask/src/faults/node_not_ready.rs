//! A kubelet stops: the node is cordoned, and a person decides about draining.

use super::{Ending, Fault, PATIENCE, Stage};
use crate::audit::Write;
use crate::lab::Node;
use anyhow::Result;

pub struct NodeNotReady;

impl Fault for NodeNotReady {
    fn name(&self) -> &'static str {
        "node_not_ready"
    }
    fn about(&self) -> &'static str {
        "a node's kubelet is frozen"
    }
    fn object(&self, _: &Stage<'_>) -> String {
        Node::Two.name().to_owned()
    }
    fn prepare(&self, _: &Stage<'_>) -> Result<()> {
        Ok(())
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        stage.lab.stop_kubelet(Node::Two)?;
        stage.lab.await_node(Node::Two, false, PATIENCE)
    }
    fn ending(&self) -> Ending {
        Ending::Contained
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let node = stage
            .lab
            .get(&format!("/api/v1/nodes/{}", Node::Two.name()))?;
        if node["spec"]["unschedulable"] != true {
            return Ok(Err("the node is not cordoned".to_owned()));
        }
        Ok(stage.only(writes, &[("patch", "nodes")]))
    }
    fn clean_up(&self, stage: &Stage<'_>) -> Result<()> {
        stage.lab.continue_kubelet(Node::Two)?;
        stage.lab.await_node(Node::Two, true, PATIENCE)?;
        stage.lab.kubectl(&["uncordon", Node::Two.name()])?;
        stage.remove()
    }
}
