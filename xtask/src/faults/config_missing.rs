//! A new revision reads a ConfigMap that does not exist.

use super::{Ending, Fault, Stage};
use crate::audit::Write;
use anyhow::Result;
use serde_json::json;

pub struct ConfigMissing;

impl Fault for ConfigMissing {
    fn name(&self) -> &'static str {
        "config_missing"
    }
    fn about(&self) -> &'static str {
        "a rollout reads its environment from a ConfigMap that does not exist"
    }
    fn object(&self, stage: &Stage<'_>) -> String {
        stage.name.clone()
    }
    fn prepare(&self, stage: &Stage<'_>) -> Result<()> {
        stage.roll_out(&stage.deployment(&["serve"], ""))
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        stage.change_container(&json!({ "envFrom": [{ "configMapRef": { "name": "settings" } }] }))
    }
    fn ending(&self) -> Ending {
        Ending::Repaired
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let env_from = stage.container()?["envFrom"].clone();
        if !env_from.is_null() {
            return Ok(Err(format!("envFrom is {env_from}")));
        }
        let available = stage.is_available()?;
        Ok(available.and_then(|()| stage.only(writes, &[("patch", "deployments")])))
    }
}
