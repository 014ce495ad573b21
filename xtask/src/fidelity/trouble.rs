//! What a user sees when something is wrong: states, reasons, messages, events, their order.

mod crashes;
mod placing;
mod probes;
mod starting;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::room::{Room, condition, text};
use super::{Check, joined};

/// All checks of this group.
pub fn checks() -> Vec<Check> {
    joined(&[
        starting::CHECKS,
        crashes::CHECKS,
        probes::CHECKS,
        placing::CHECKS,
    ])
}

/// The state of a pod's first container.
fn main(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// Waits until the first container waits for this reason; returns the pod.
fn waiting(room: &Room, reason: &str) -> Result<Value> {
    room.see("pods/it", reason, |pod| {
        main(pod)["state"]["waiting"]["reason"] == reason
    })
}

/// Waits for events about pod `it` with these reasons; fails unless they first came in this order.
fn in_order(room: &Room, reasons: &[&str]) -> Result<()> {
    // The scheduler and the kubelet write theirs apart.
    for reason in reasons {
        room.event("Pod", "it", reason)?;
    }
    let pod = room.get("pods/it")?;
    let mut events = room.events("Pod", "it")?;
    let begun = |event: &Value| {
        let first = text(&event["firstTimestamp"]);
        if first.is_empty() {
            text(&event["eventTime"])
        } else {
            first
        }
    };
    events.sort_by_key(begun);
    let mut found = Vec::new();
    for reason in reasons {
        let event = events.iter().find(|event| event["reason"] == *reason);
        let event = event.ok_or_else(|| anyhow::anyhow!("no event {reason}"))?;
        // A scheduler writes its event after the binding, when the kubelet may have begun.
        let at = if *reason == "Scheduled" {
            text(&condition(&pod, "PodScheduled")["lastTransitionTime"])
        } else {
            begun(event)
        };
        // To the second: that is what an Event of core/v1 knows.
        found.push(at.chars().take(19).collect::<String>());
    }
    ensure!(found.is_sorted(), "{reasons:?} came at {found:?}");
    Ok(())
}
