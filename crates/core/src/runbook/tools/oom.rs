//! `check_oom`: whether a container of the owner's pods was killed for its memory lately.

use super::{MAX_LINES, Run, Tool, owner};
use crate::runbook::advance::Context;
use crate::world::{ContainerStatus, Source, pod::Terminated};
use serde_json::{Value, json};

pub(in crate::runbook) const CHECK_OOM: Tool = Tool {
    names: &["check_oom"],
    fields: &["oom_detected", "reasons"],
    needs: &[Source::Pods],
    params: &[],
    run: Run::Read(read),
    repeats: false,
};

fn read(cx: &Context<'_>) -> Value {
    let mut reasons = Vec::new();
    for pod in owner::pods(cx) {
        for container in pod.container_statuses() {
            if let Some(kill) = kill(cx, container) {
                reasons.push(format!(
                    "{} in {}: OOMKilled, exit code {}",
                    container.name, pod.metadata.name, kill.exit_code
                ));
            }
        }
    }
    let found = !reasons.is_empty();
    reasons.truncate(MAX_LINES);
    json!({ "oom_detected": found, "reasons": reasons })
}

/// The container's newest end, if that was an OOM kill and not long ago.
pub(super) fn kill<'a>(cx: &Context<'_>, container: &'a ContainerStatus) -> Option<&'a Terminated> {
    let now = container.state.terminated.as_ref();
    let last = now.or(container.last_state.terminated.as_ref());
    last.filter(|end| end.reason == "OOMKilled" && owner::is_recent(cx, end.finished_at))
}
