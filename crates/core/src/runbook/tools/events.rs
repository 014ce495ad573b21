//! `get_pod_events`: what the events about the owner's pods say.

use super::{MAX_LINES, Run, Tool, cut, owner};
use crate::runbook::advance::Context;
use crate::runbook::types::{flag, list};
use crate::world::{Event, Source};
use serde_json::{Value, json};
use std::sync::Arc;

pub(in crate::runbook) const GET_POD_EVENTS: Tool = Tool {
    names: &["get_pod_events"],
    fields: &[
        flag("oom_detected"),
        flag("sandbox_failure_detected"),
        list("events"),
    ],
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

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::{World, world};
    use crate::world::Source;
    use serde_json::{Value, json};

    fn pod() -> World {
        world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .unready()
    }

    fn result(world: World, field: &str) -> Value {
        let scene = Scene::new(FaultClass::CrashLoop, world).tool("get_pod_events");
        scene.result("it", field)
    }

    #[test]
    fn events_of_the_pods_are_read() {
        let seen = pod()
            .event("FailedCreatePodSandBox", "no network")
            .event("OOMKilling", "killed");
        assert_eq!(
            result(seen.clone(), "sandbox_failure_detected"),
            json!(true)
        );
        assert_eq!(result(seen.clone(), "oom_detected"), json!(true));
        let lines = json!([
            "FailedCreatePodSandBox: no network (1x)",
            "OOMKilling: killed (1x)"
        ]);
        assert_eq!(result(seen, "events"), lines);
    }

    #[test]
    fn other_events_and_old_ones_say_nothing() {
        let other = pod().event("BackOff", "back-off");
        assert_eq!(
            result(other.clone(), "sandbox_failure_detected"),
            json!(false)
        );
        assert_eq!(result(other, "oom_detected"), json!(false));
        let old = pod().event("OOMKilling", "killed").seen(9000, 3601, 1);
        assert_eq!(result(old, "oom_detected"), json!(false));
        let of_another = pod()
            .deployment("demo", "shop")
            .revision(1)
            .pod("shop-1")
            .event("OOMKilling", "x");
        assert_eq!(result(of_another, "events"), json!([]));
    }

    #[test]
    fn without_events_it_is_blind_and_has_no_fields() {
        let blind = pod().event("OOMKilling", "killed").unseen(Source::Events);
        assert_eq!(result(blind.clone(), "oom_detected"), Value::Null);
        assert_eq!(result(blind, "blind"), json!(["Events (silent for 90 s)"]));
    }

    #[test]
    fn long_text_and_many_events_are_cut() {
        let mut many = pod();
        for _ in 0..50 {
            many = many.event("BackOff", &"x".repeat(5000));
        }
        let Value::Array(lines) = result(many, "events") else {
            panic!("a list");
        };
        assert_eq!(lines.len(), super::MAX_LINES);
        assert!(
            lines
                .iter()
                .all(|line| line.as_str().is_some_and(|l| l.len() < 300))
        );
    }
}
