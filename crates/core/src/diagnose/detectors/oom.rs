//! A container was killed for using more memory than its limit. Only the kernel's own word counts
//! (`OOMKilled`): an exit with 137 is any SIGKILL, a probe's too.

use super::Detector;
use crate::diagnose::view::{View, first_seen, restart_event};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::pod::Terminated;
use crate::world::{ContainerStatus, Kind, ObjectRef, Pod, Source};
use jiff::{SignedDuration, Timestamp};

/// The kill has happened, and waiting does not make the limit larger; but the kubelet's Events about
/// it follow within seconds.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(10);

/// A system-wide OOM this close to the end is the likelier cause: the node was full, not the limit
/// too low.
const SYSTEM_OOM_NEAR: SignedDuration = SignedDuration::from_secs(120);

/// See the file.
pub(super) struct Oom;

impl Detector for Oom {
    fn name(&self) -> &'static str {
        "oom"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let pods = view.live_pods();
        pods.flat_map(|pod| pod.container_statuses().map(move |c| (pod, c)))
            .filter_map(|(pod, container)| {
                let end = killed(view, container)?;
                Some(self.finding(view, pod, container, end))
            })
            .collect()
    }
}

/// The end of the last run, if the kernel ended it for memory and it still matters.
pub(super) fn killed<'c>(
    view: &View<'_>,
    container: &'c ContainerStatus,
) -> Option<&'c Terminated> {
    view.last_end(container)
        .filter(|end| end.reason == "OOMKilled")
}

impl Oom {
    fn finding(
        &self,
        view: &View<'_>,
        pod: &Pod,
        container: &ContainerStatus,
        end: &Terminated,
    ) -> Finding {
        let subject = pod.reference();
        let at = end.finished_at.unwrap_or(view.now()).min(view.now());
        let spec = pod.spec.container(&container.name);
        let limit = spec.and_then(|c| c.resources.limits.get("memory"));
        let limit_text = limit.map_or("no limit of its own".to_owned(), |l| format!("limit {l}"));
        let mut evidence = vec![Evidence::status(
            subject.clone(),
            Some(at),
            &format!(
                "container {} ended with OOMKilled (exit {}) at {limit_text}, {} restarts",
                container.name, end.exit_code, container.restart_count
            ),
        )];
        let mut since = at;
        if let Some(event) = restart_event(view, &subject, &container.name) {
            if event.reason == "BackOff" {
                since = first_seen(event).map_or(since, |first| first.min(since));
            }
            evidence.push(Evidence::event(event, &subject));
        }
        if limit.is_none() {
            let fact = format!("container {} has no memory limit to exceed", container.name);
            evidence.push(Evidence::status(subject.clone(), None, &fact).against());
        }
        evidence.extend(system_oom(view, pod, at));
        Finding {
            detector: self.name().to_owned(),
            class: FaultClass::OomKilled,
            owner: view.owner(&subject),
            subject,
            container: Some(container.name.clone()),
            reason: if limit.is_some() { "limit" } else { "no_limit" }.to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        }
    }
}

fn system_oom(view: &View<'_>, pod: &Pod, at: Timestamp) -> Option<Evidence> {
    let node = view.node(&pod.spec.node_name).map_or_else(
        || ObjectRef {
            kind: Kind::Node,
            name: pod.spec.node_name.clone(),
            ..ObjectRef::default()
        },
        |node| node.reference(),
    );
    let near = |seen: Timestamp| seen.duration_since(at).abs() <= SYSTEM_OOM_NEAR;
    view.agreeing(&node, &["SystemOOM"])
        .into_iter()
        .find(|event| event.last_seen().is_some_and(near))
        .map(|event| Evidence::event(event, &node).against())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn pod() -> World {
        testkit::world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .memory("64Mi", "64Mi")
            .pod("cart-1-a")
    }

    #[test]
    fn a_kill_for_memory_is_found_in_back_off_and_right_after_the_restart() {
        for world in [
            pod().crash_loop(137, "OOMKilled", 200, 4),
            pod().ended(137, "OOMKilled", 20, 1),
            pod().ended(1, "OOMKilled", 20, 1),
        ] {
            let findings = found(&Oom, world);
            assert_eq!(findings.len(), 1);
            assert_eq!(findings[0].reason, "limit");
            assert_eq!(findings[0].container.as_deref(), Some("app"));
            assert!(findings[0].evidence[0].fact.contains("limit 64Mi"));
        }
    }

    #[test]
    fn the_back_off_event_agrees() {
        let world = pod()
            .crash_loop(137, "OOMKilled", 30, 4)
            .event(
                "BackOff",
                "Back-off restarting failed container app in pod cart-1-a_demo(x)",
            )
            .seen(300, 10, 9);
        let findings = found(&Oom, world);
        assert_eq!(findings[0].evidence.len(), 2);
        let age = findings[0]
            .since
            .duration_until(AT.parse().expect("a time"));
        assert_eq!(age.as_secs(), 300);
    }

    #[test]
    fn a_second_start_of_the_container_agrees() {
        let world = pod()
            .ended(137, "OOMKilled", 5, 1)
            .event("Started", "Started container app")
            .seen(3600, 4, 2);
        assert_eq!(found(&Oom, world)[0].evidence.len(), 2);
    }

    #[test]
    fn another_kill_or_a_kill_long_ago_is_none() {
        for world in [
            pod(),
            pod().crash_loop(137, "Error", 20, 3),
            pod().ended(137, "OOMKilled", 3 * 24 * 3600, 1),
            pod().ended(137, "OOMKilled", 120, 1),
        ] {
            assert_eq!(found(&Oom, world), []);
        }
    }

    #[test]
    fn a_full_node_or_a_missing_limit_speaks_against_it() {
        let full = testkit::world(AT)
            .node("node1")
            .event(
                "SystemOOM",
                "System OOM encountered, victim process: app, pid: 7",
            )
            .deployment("demo", "cart")
            .memory("", "64Mi")
            .pod("cart-a")
            .ended(137, "OOMKilled", 20, 1);
        let unlimited =
            pod().edit_pod(|p| drop(p.spec.containers[0].resources.limits.remove("memory")));
        for world in [full, unlimited.ended(137, "OOMKilled", 20, 1)] {
            let findings = found(&Oom, world);
            assert_eq!(
                findings[0].evidence.iter().filter(|e| !e.supports).count(),
                1
            );
        }
    }

    #[test]
    fn without_pods_it_is_blind() {
        assert!(blind(&Oom, pod().unseen(Source::Pods)));
    }
}
