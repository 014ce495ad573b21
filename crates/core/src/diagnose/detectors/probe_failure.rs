//! A probe fails: the kubelet keeps the pod out of its services (readiness) or restarts its
//! container (liveness, startup).

use super::Detector;
use super::crash_loop::loops;
use super::oom::killed;
use crate::diagnose::view::{View, concerns, first_seen};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{ContainerStatus, Event, Pod, Source};
use jiff::{SignedDuration, Timestamp};

/// A program that is busy for a minute recovers by itself.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(60);

/// A running container that is not ready for a shorter time is starting.
const STARTING: SignedDuration = SignedDuration::from_secs(30);

/// One failed probe is chance; three are the default `failureThreshold`.
const LEAST_FAILURES: i64 = 3;

/// Exit codes of a container that the kubelet stopped: SIGKILL, SIGTERM, or a tidy end after it.
const STOPPED: &[i32] = &[0, 137, 143];

/// See the file.
pub(super) struct ProbeFailure;

impl Detector for ProbeFailure {
    fn name(&self) -> &'static str {
        "probe_failure"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods, Source::Events]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let pods = view.live_pods();
        pods.flat_map(|pod| pod.container_statuses().map(move |c| (pod, c)))
            .filter_map(|(pod, container)| {
                self.restarting(view, pod, container)
                    .or_else(|| self.not_ready(view, pod, container))
            })
            .collect()
    }
}

/// Events that say `words` about this container.
fn saying<'a>(
    view: &View<'a>,
    pod: &Pod,
    container: &ContainerStatus,
    reason: &str,
    words: &str,
) -> Vec<&'a Event> {
    let mut events = view.showing(&pod.reference(), &[reason]);
    events.retain(|e| concerns(e, &container.name) && e.message.contains(words));
    events
}

impl ProbeFailure {
    /// The kubelet restarts the container again and again because of a probe. The program's own
    /// ends (any other exit) are `crash_loop`'s, even if a probe failed before them.
    fn restarting(
        &self,
        view: &View<'_>,
        pod: &Pod,
        container: &ContainerStatus,
    ) -> Option<Finding> {
        let end = view.last_end(container)?;
        let stopped = STOPPED.contains(&end.exit_code) && killed(view, container).is_none();
        let often = container.restart_count >= 2 || loops(view, container);
        if !(stopped && often) {
            return None;
        }
        let (reason, mut events) = ["liveness", "startup"].into_iter().find_map(|probe| {
            let killing = saying(
                view,
                pod,
                container,
                "Killing",
                &format!("failed {probe} probe"),
            );
            let title = if probe == "liveness" {
                "Liveness"
            } else {
                "Startup"
            };
            let failing = saying(view, pod, container, "Unhealthy", &format!("{title} probe"));
            let times: i64 = failing.iter().map(|e| e.times()).sum();
            let sure = !killing.is_empty() || times >= LEAST_FAILURES;
            sure.then(|| (probe, [killing, failing].concat()))
        })?;
        events.dedup_by_key(|e| e.reason.clone());
        let fact = format!(
            "container {} was stopped (exit {}) and started again, {} restarts",
            container.name, end.exit_code, container.restart_count
        );
        let since = end.started_at.or(end.finished_at);
        Some(self.finding(
            view,
            pod,
            container,
            reason,
            since,
            (&fact, end.finished_at),
            &events,
        ))
    }

    /// The container runs, is past its start, and is still not ready because of its probe.
    fn not_ready(
        &self,
        view: &View<'_>,
        pod: &Pod,
        container: &ContainerStatus,
    ) -> Option<Finding> {
        let running = container.state.running.as_ref()?;
        let started = running.started_at.unwrap_or(view.now());
        if container.ready || view.age(started) < STARTING {
            return None;
        }
        let (reason, mut events) = ["Readiness", "Startup"].into_iter().find_map(|probe| {
            let mut events = saying(view, pod, container, "Unhealthy", &format!("{probe} probe"));
            events.retain(|e| e.last_seen() > Some(started));
            let times: i64 = events.iter().map(|e| e.times()).sum();
            let reason = if probe == "Startup" {
                "startup"
            } else {
                "readiness"
            };
            (times >= LEAST_FAILURES).then_some((reason, events))
        })?;
        events.truncate(1);
        let ready = pod.status.conditions.iter().find(|c| c.kind == "Ready");
        let since = ready.and_then(|c| c.last_transition_time).or(Some(started));
        let fact = format!("container {} runs and is not ready", container.name);
        Some(self.finding(view, pod, container, reason, since, (&fact, since), &events))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one finding's parts, from the two functions above only"
    )]
    fn finding(
        &self,
        view: &View<'_>,
        pod: &Pod,
        container: &ContainerStatus,
        reason: &str,
        since: Option<Timestamp>,
        status: (&str, Option<Timestamp>),
        events: &[&Event],
    ) -> Finding {
        let subject = pod.reference();
        let first = events.iter().filter_map(|e| first_seen(e)).min();
        let since = [since, first].into_iter().flatten().min();
        let mut evidence = vec![Evidence::status(subject.clone(), status.1, status.0)];
        evidence.extend(events.iter().map(|e| Evidence::event(e, &subject)));
        Finding {
            detector: self.name().to_owned(),
            class: FaultClass::ProbeFailure,
            owner: view.owner(&subject),
            subject,
            container: Some(container.name.clone()),
            reason: reason.to_owned(),
            since: since.unwrap_or(view.now()).min(view.now()),
            persistence: PERSISTENCE,
            evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";
    const READINESS: &str = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    const LIVENESS: &str = "Liveness probe failed: Get \"http://10.0.0.7:8080/healthz\": context \
                            deadline exceeded";
    const KILLING: &str = "Container app failed liveness probe, will be restarted";

    fn pod() -> World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .age(120)
    }

    #[test]
    fn each_probe_is_told_apart() {
        let stopped = || pod().ended(137, "Error", 10, 2);
        let table = [
            (
                pod().unready().event("Unhealthy", READINESS).seen(90, 5, 9),
                "readiness",
            ),
            (
                pod()
                    .unready()
                    .event("Unhealthy", "Startup probe failed: ")
                    .seen(90, 5, 9),
                "startup",
            ),
            (stopped().event("Killing", KILLING), "liveness"),
            (
                stopped().event("Unhealthy", LIVENESS).seen(90, 5, 9),
                "liveness",
            ),
            (
                pod()
                    .crash_loop(143, "Error", 10, 5)
                    .event("Killing", KILLING),
                "liveness",
            ),
            (
                pod().crash_loop(0, "Completed", 10, 5).event(
                    "Killing",
                    "Container app failed startup probe, will be restarted",
                ),
                "startup",
            ),
        ];
        for (world, expected) in table {
            let findings = found(&ProbeFailure, world);
            assert_eq!(findings.len(), 1, "{expected}");
            assert_eq!(findings[0].reason, expected);
            assert!(findings[0].evidence.len() >= 2);
        }
    }

    #[test]
    fn starts_single_failures_and_other_ends_are_none() {
        for world in [
            pod(),
            pod().unready(),
            pod().unready().event("Unhealthy", READINESS).seen(5, 5, 1),
            pod()
                .age(10)
                .unready()
                .event("Unhealthy", READINESS)
                .seen(9, 1, 5),
            pod().event("Unhealthy", READINESS).seen(90, 5, 9),
            pod()
                .unready()
                .event("Unhealthy", READINESS)
                .seen(3600, 1200, 9),
            pod().ended(137, "Error", 10, 1).event("Killing", KILLING),
            pod()
                .ended(1, "Error", 10, 4)
                .event("Unhealthy", LIVENESS)
                .seen(90, 5, 9),
            pod()
                .ended(137, "OOMKilled", 10, 4)
                .event("Killing", KILLING),
        ] {
            assert_eq!(found(&ProbeFailure, world), []);
        }
    }

    #[test]
    fn without_pods_or_events_it_is_blind() {
        assert!(blind(&ProbeFailure, pod().unseen(Source::Pods)));
        assert!(blind(&ProbeFailure, pod().unseen(Source::Events)));
    }
}
