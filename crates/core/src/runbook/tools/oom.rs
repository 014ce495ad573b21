//! `check_oom`: whether a container of the owner's pods was killed for its memory lately.

use super::{Run, Tool, owner};
use crate::runbook::advance::Context;
use crate::runbook::types::{flag, list};
use crate::world::{ContainerStatus, Source, pod::Terminated};
use serde_json::{Value, json};

pub(in crate::runbook) const CHECK_OOM: Tool = Tool {
    names: &["check_oom"],
    fields: &[flag("oom_detected"), list("reasons")],
    needs: &[Source::Pods],
    params: &[],
    run: Run::Read(read),
    repeats: false,
};

fn read(cx: &Context<'_>) -> Value {
    let (found, reasons) = owner::lines(cx, |pod, container| {
        let kill = kill(cx, container)?;
        Some(format!(
            "{} in {}: OOMKilled, exit code {}",
            container.name, pod.metadata.name, kill.exit_code
        ))
    });
    json!({ "oom_detected": found, "reasons": reasons })
}

/// The container's newest end, if that was an OOM kill and not long ago.
pub(super) fn kill<'a>(cx: &Context<'_>, container: &'a ContainerStatus) -> Option<&'a Terminated> {
    let now = container.state.terminated.as_ref();
    let last = now.or(container.last_state.terminated.as_ref());
    last.filter(|end| end.reason == "OOMKilled" && owner::is_recent(cx, end.finished_at))
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
        let scene = Scene::new(FaultClass::CrashLoop, world).tool("check_oom");
        scene.result("it", field)
    }

    #[test]
    fn the_newest_end_must_be_a_recent_kill() {
        let table = [
            (pod().crash_loop(137, "OOMKilled", 60, 3), true),
            (pod().crash_loop(137, "OOMKilled", 3600, 3), true),
            (pod().crash_loop(137, "OOMKilled", 3601, 3), false),
            (pod().crash_loop(137, "Error", 60, 3), false),
            (pod(), false),
            (
                pod().crash_loop(137, "OOMKilled", 60, 3).edit_pod(|pod| {
                    // It ended again since, otherwise.
                    let status = &mut pod.status.container_statuses[0];
                    let mut end = status.last_state.terminated.clone().unwrap();
                    end.reason = "Error".into();
                    status.state.terminated = Some(end);
                }),
                false,
            ),
        ];
        for (world, killed) in table {
            assert_eq!(result(world, "oom_detected"), json!(killed));
        }
        let lines = json!(["app in cart-1-a: OOMKilled, exit code 137"]);
        assert_eq!(
            result(pod().crash_loop(137, "OOMKilled", 60, 3), "reasons"),
            lines
        );
    }

    #[test]
    fn without_pods_it_is_blind() {
        let blind = pod()
            .crash_loop(137, "OOMKilled", 60, 3)
            .unseen(Source::Pods);
        assert_eq!(result(blind, "oom_detected"), Value::Null);
    }
}
