//! `get_pod_events`: what the events about the owner's pods say.

use super::{MAX_LINES, Run, Tool, cut, owner};
use crate::runbook::advance::Context;
use crate::world::{Event, Source};
use serde_json::{Value, json};
use std::sync::Arc;

pub(in crate::runbook) const GET_POD_EVENTS: Tool = Tool {
    names: &["get_pod_events"],
    fields: &["oom_detected", "sandbox_failure_detected", "events"],
    needs: &[Source::Pods, Source::Events],
    params: &[],
    run: Run::Read(read),
    repeats: false,
};

/// Reasons with which kubelet and node-problem-detector report an OOM kill.
const OOM: &[&str] = &["OOMKilling", "OOMKilled"];
/// Reason with which the kubelet reports that the pod's sandbox (network, cgroup) cannot be made.
const SANDBOX: &str = "FailedCreatePodSandBox";

fn read(cx: &Context<'_>) -> Value {
    let mut events: Vec<&Arc<Event>> = owner::pods(cx)
        .flat_map(|pod| {
            let pod = pod.reference();
            let about = cx.snapshot.events.iter();
            about.filter(move |event| event.involved_object.uid == pod.uid)
        })
        .filter(|event| owner::is_recent(cx, event.last_seen()))
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.last_seen()));
    let any = |wanted: &dyn Fn(&str) -> bool| events.iter().any(|e| wanted(&e.reason));
    let lines: Vec<_> = events.iter().take(MAX_LINES).map(|e| line(e)).collect();
    json!({
        "oom_detected": any(&|reason| OOM.contains(&reason)),
        "sandbox_failure_detected": any(&|reason| reason == SANDBOX),
        "events": lines,
    })
}

fn line(event: &Event) -> String {
    format!(
        "{}: {} ({}x)",
        cut(&event.reason),
        cut(&event.message),
        event.times()
    )
}
