//! A new revision whose program ends at once.

use super::{Ending, Fault, Stage};
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
        stage.roll_out(&stage.deployment(&["serve"], ""))
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        let args = ["exit", "-code", "3", "-message", "missing setting PORT"];
        stage.change_container(&json!({ "args": args }))
    }
    fn ending(&self) -> Ending {
        Ending::Repaired
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let args = stage.container()?["args"].clone();
        if args != json!(["serve"]) {
            return Ok(Err(format!("the arguments are {args}")));
        }
        let available = stage.is_available()?;
        Ok(available.and_then(|()| stage.only(writes, &[("patch", "deployments")])))
    }
}
