//! A container keeps ending soon after its start, and memory is not why.

use super::Detector;
use super::oom::killed;
use crate::diagnose::view::{View, first_seen, restart_event};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::pod::Terminated;
use crate::world::{ContainerStatus, ObjectRef, Pod, Source};
use jiff::SignedDuration;

/// A program that waits for a dependency of the same release is usually up by its third start
/// (back-off 10 s, then 20 s).
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(30);

/// One restart is an accident, two are a pattern.
const LEAST_RESTARTS: i64 = 2;

/// Words in the last log lines that speak of a failure.
const FAILURE_WORDS: &[&str] = &[
    "cannot",
    "denied",
    "error",
    "exception",
    "failed",
    "fatal",
    "invalid",
    "missing",
    "no such",
    "not found",
    "panic",
    "refused",
    "traceback",
];

/// Lines at the end of the log that are looked through.
const LOG_LINES: usize = 20;

/// See the file.
pub(super) struct CrashLoop;

impl Detector for CrashLoop {
    fn name(&self) -> &'static str {
        "crash_loop"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let pods = view.live_pods();
        pods.flat_map(|pod| pod.container_statuses().map(move |c| (pod, c)))
            .filter(|(_, container)| loops(view, container) && killed(view, container).is_none())
            .map(|(pod, container)| self.finding(view, pod, container))
            .collect()
    }
}

/// Whether the container is in a loop of ends and starts, for whatever reason.
pub(super) fn loops(view: &View<'_>, container: &ContainerStatus) -> bool {
    if let Some(waiting) = &container.state.waiting {
        return matches!(&*waiting.reason, "CrashLoopBackOff" | "RunContainerError");
    }
    let failed = view.last_end(container).is_some_and(|e| e.exit_code != 0);
    failed && container.restart_count >= LEAST_RESTARTS
}

impl CrashLoop {
    fn finding(&self, view: &View<'_>, pod: &Pod, container: &ContainerStatus) -> Finding {
        let subject = pod.reference();
        let end = view.last_end(container);
        let ended_at = end.and_then(|e| e.finished_at);
        let how = end.map_or("before its first run ended".to_owned(), |end| {
            format!("with {} (exit {})", end.reason, end.exit_code)
        });
        let mut evidence = vec![Evidence::status(
            subject.clone(),
            ended_at,
            &format!(
                "container {} ended {how}, {} restarts",
                container.name, container.restart_count
            ),
        )];
        let mut since = end
            .and_then(|e| e.started_at)
            .or(ended_at)
            .unwrap_or_else(|| view.waiting_since(pod, container))
            .min(view.now());
        if let Some(event) = restart_event(view, &subject, &container.name) {
            if event.reason == "BackOff" {
                since = first_seen(event).map_or(since, |first| first.min(since));
            }
            evidence.push(Evidence::event(event, &subject));
        }
        evidence.extend(last_words(view, &subject, container, end));
        Finding {
            detector: self.name().to_owned(),
            class: FaultClass::CrashLoop,
            owner: view.owner(&subject),
            subject,
            container: Some(container.name.clone()),
            reason: reason(container, end).to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        }
    }
}

fn reason(container: &ContainerStatus, end: Option<&Terminated>) -> &'static str {
    let waits = container.state.waiting.as_ref();
    let never_ran = waits.is_some_and(|w| w.reason == "RunContainerError");
    let end = end.map(|end| (&*end.reason, end.exit_code));
    match end {
        _ if never_ran => "start_error",
        Some(("StartError" | "ContainerCannotRun", _) | (_, 126 | 127)) => "start_error",
        Some((_, 0)) => "completed",
        Some((_, 137 | 143)) => "killed",
        Some(_) | None => "error",
    }
}

/// The last log line of the run before that speaks of a failure. A log without one says nothing
/// either way.
fn last_words(
    view: &View<'_>,
    pod: &ObjectRef,
    container: &ContainerStatus,
    end: Option<&Terminated>,
) -> Option<Evidence> {
    let log = view.previous_log(&pod.uid, &container.name)?;
    let line = log.lines.iter().rev().take(LOG_LINES).find(|line| {
        let line = line.to_lowercase();
        FAILURE_WORDS.iter().any(|word| line.contains(word))
    })?;
    let at = end.and_then(|e| e.finished_at);
    let fact = format!("container {} said before its end: {line}", container.name);
    Some(Evidence::log(pod.clone(), at, &fact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::EvidenceSource;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn pod() -> World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
    }

    #[test]
    fn ends_tell_their_reason() {
        let table = [
            (pod().crash_loop(1, "Error", 20, 3), "error"),
            (pod().ended(1, "Error", 5, 2), "error"),
            (pod().crash_loop(128, "StartError", 20, 3), "start_error"),
            (pod().crash_loop(127, "Error", 20, 3), "start_error"),
            (
                pod().waiting("RunContainerError", "exec: not found"),
                "start_error",
            ),
            (pod().crash_loop(0, "Completed", 20, 3), "completed"),
            (pod().crash_loop(137, "Error", 20, 3), "killed"),
        ];
        for (world, expected) in table {
            let findings = found(&CrashLoop, world);
            assert_eq!(findings.len(), 1, "{expected}");
            assert_eq!(findings[0].reason, expected);
        }
    }

    #[test]
    fn events_and_the_last_log_agree() {
        let world = pod()
            .crash_loop(1, "Error", 20, 3)
            .event(
                "BackOff",
                "Back-off restarting failed container app in pod cart-1-a_demo(x)",
            )
            .previous_log(&["starting", "fatal: DATABASE_URL is missing", "bye"]);
        let findings = found(&CrashLoop, world);
        let sources: Vec<_> = findings[0].evidence.iter().map(|e| e.source).collect();
        assert_eq!(
            sources,
            [
                EvidenceSource::Status,
                EvidenceSource::Event,
                EvidenceSource::Log
            ]
        );
        assert!(findings[0].evidence[2].fact.contains("DATABASE_URL"));
    }

    #[test]
    fn a_log_without_a_word_of_failure_is_no_evidence() {
        let world = pod().crash_loop(1, "Error", 20, 3).previous_log(&["hello"]);
        assert_eq!(found(&CrashLoop, world)[0].evidence.len(), 1);
    }

    #[test]
    fn memory_one_restart_and_old_restarts_are_none() {
        for world in [
            pod(),
            pod().crash_loop(137, "OOMKilled", 20, 3),
            pod().ended(1, "Error", 5, 1),
            pod().ended(1, "Error", 3600, 9),
            pod().ended(0, "Completed", 5, 3),
            pod().waiting("ImagePullBackOff", ""),
        ] {
            assert_eq!(found(&CrashLoop, world), []);
        }
    }

    #[test]
    fn without_pods_it_is_blind() {
        assert!(blind(&CrashLoop, pod().unseen(Source::Pods)));
    }
}
