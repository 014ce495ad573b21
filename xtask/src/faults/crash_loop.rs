//! A new revision whose program ends at once.

use super::{Ending, Fault, Stage, command};
use crate::audit::Write;
use anyhow::Result;
use serde_json::json;

pub struct CrashLoop;

impl Fault for CrashLoop {
    fn name(&self) -> &'static str {
        "crash_loop"
    }
    fn about(&self) -> &'static str {
        "a rollout starts the program with arguments that make it exit with code 3"
    }
    fn object(&self, stage: &Stage<'_>) -> String {
        stage.name.clone()
    }
    fn prepare(&self, stage: &Stage<'_>) -> Result<()> {
        // Without a readiness probe Kubernetes calls a pod ready that is about to crash, and takes
        // the good one away before anybody knows.
        let probe =
            "        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}\n";
        stage.roll_out(&stage.deployment(&["serve"], probe))
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        let command = command(&["exit", "-code", "3", "-message", "missing setting PORT"]);
        stage.change_container(&json!({ "command": command }))
    }
    fn ending(&self) -> Ending {
        Ending::Repaired
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let runs = stage.container()?["command"].clone();
        if runs != command(&["serve"]) {
            return Ok(Err(format!("the command is {runs}")));
        }
        let available = stage.is_available()?;
        Ok(available.and_then(|()| stage.only(writes, &[("patch", "deployments")])))
    }
}
