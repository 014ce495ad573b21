//! A limit that is too small for what the program needs, from its first revision on.

use super::{Ending, Fault, Stage};
use crate::audit::Write;
use anyhow::Result;

pub struct Oom;

impl Fault for Oom {
    fn name(&self) -> &'static str {
        "oom"
    }
    fn about(&self) -> &'static str {
        "a container needs 150 MiB and may use 96Mi"
    }
    fn object(&self, stage: &Stage<'_>) -> String {
        stage.name.clone()
    }
    fn prepare(&self, _: &Stage<'_>) -> Result<()> {
        Ok(())
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        let limits = "        resources: {limits: {memory: 96Mi}}\n";
        stage
            .lab
            .apply(&stage.deployment(&["alloc", "-mb", "150"], limits))?;
        Ok(())
    }
    fn ending(&self) -> Ending {
        Ending::Repaired
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let resources = stage.container()?["resources"].clone();
        // Doubled would be 192Mi; the runbook's least is 256Mi. The request stays what it was.
        if resources["limits"]["memory"] != "256Mi" || resources["requests"]["memory"] != "96Mi" {
            return Ok(Err(format!("resources are {resources}")));
        }
        let available = stage.is_available()?;
        Ok(available.and_then(|()| stage.only(writes, &[("patch", "deployments")])))
    }
}
