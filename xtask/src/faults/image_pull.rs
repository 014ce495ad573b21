//! A new revision names an image that does not exist.

use super::{Ending, Fault, Stage};
use crate::audit::Write;
use anyhow::Result;
use serde_json::json;

pub struct ImagePull;

impl Fault for ImagePull {
    fn name(&self) -> &'static str {
        "image_pull"
    }
    fn about(&self) -> &'static str {
        "a rollout names an image tag that does not exist"
    }
    fn object(&self, stage: &Stage<'_>) -> String {
        stage.name.clone()
    }
    fn prepare(&self, stage: &Stage<'_>) -> Result<()> {
        stage.roll_out(&stage.deployment(&["serve"], ""))
    }
    fn inject(&self, stage: &Stage<'_>) -> Result<()> {
        stage.change_container(&json!({ "image": "img.test/app:nowhere" }))
    }
    fn ending(&self) -> Ending {
        Ending::Repaired
    }
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>> {
        let image = stage.container()?["image"].clone();
        if image != "img.test/app:1" {
            return Ok(Err(format!("the image is {image}")));
        }
        let available = stage.is_available()?;
        Ok(available.and_then(|()| stage.only(writes, &[("patch", "deployments")])))
    }
}
