//! `check_imagepullbackoff`: whether a container of the owner's pods waits for its image.

use super::{MAX_LINES, Run, Tool, cut, owner};
use crate::runbook::advance::Context;
use crate::world::Source;
use serde_json::{Value, json};

pub(in crate::runbook) const CHECK_IMAGEPULLBACKOFF: Tool = Tool {
    names: &["check_imagepullbackoff"],
    fields: &["imagepull_detected", "reasons"],
    needs: &[Source::Pods],
    params: &[],
    run: Run::Read(read),
    repeats: false,
};

/// Waiting reasons of the kubelet's image manager.
pub(super) const REASONS: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];

fn read(cx: &Context<'_>) -> Value {
    let mut reasons = Vec::new();
    for pod in owner::pods(cx) {
        for container in pod.container_statuses() {
            let waiting = container.state.waiting.as_ref();
            if let Some(waiting) = waiting.filter(|w| REASONS.contains(&w.reason.as_str())) {
                reasons.push(format!(
                    "{} in {}: {}: {}",
                    container.name,
                    pod.metadata.name,
                    waiting.reason,
                    cut(&waiting.message)
                ));
            }
        }
    }
    let found = !reasons.is_empty();
    reasons.truncate(MAX_LINES);
    json!({ "imagepull_detected": found, "reasons": reasons })
}
