//! A rollout does not get ahead: its deadline passed, or its pods cannot even be created (quota,
//! admission). A paused rollout and a suspended Job are an operator's intent.

use super::Detector;
use crate::diagnose::view::{View, first_seen};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::pod::Condition;
use crate::world::{Event, Kind, Source, Workload};
use jiff::SignedDuration;

/// None: the controller has already waited for `progressDeadlineSeconds` (600 by default).
const PERSISTENCE_DEADLINE: SignedDuration = SignedDuration::ZERO;

/// A quota is freed, or a webhook is back, within a minute when it is passing trouble.
const PERSISTENCE_CREATE: SignedDuration = SignedDuration::from_secs(60);

/// One refusal is a race, two are a rule.
const LEAST_REFUSALS: i64 = 2;

/// The API server's words by reason.
const WORDS: &[(&str, &[&str])] = &[
    ("quota", &["exceeded quota", "failed quota"]),
    (
        "limit_range",
        &[
            "maximum memory usage",
            "minimum memory usage",
            "maximum cpu usage",
            "minimum cpu usage",
        ],
    ),
    ("pod_security", &["violates podsecurity"]),
    ("webhook", &["failed calling webhook", "admission webhook"]),
    ("service_account", &["error looking up service account"]),
    ("forbidden", &["forbidden"]),
];

/// See the file.
pub(super) struct RolloutStuck;

impl Detector for RolloutStuck {
    fn name(&self) -> &'static str {
        "rollout_stuck"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Deployments, Source::ReplicaSets, Source::Events]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let workloads = view.snapshot.workloads.iter();
        workloads
            .filter(|w| {
                w.metadata.deletion_timestamp.is_none() && !w.spec.paused && !w.spec.suspend
            })
            .filter_map(|w| {
                self.create_fails(view, w)
                    .or_else(|| self.deadline(view, w))
            })
            .collect()
    }
}

fn condition<'w>(workload: &'w Workload, kind: &str, status: &str) -> Option<&'w Condition> {
    let mut conditions = workload.status.conditions.iter();
    conditions.find(|c| c.kind == kind && c.status == status)
}

impl RolloutStuck {
    fn deadline(&self, view: &View<'_>, workload: &Workload) -> Option<Finding> {
        let condition = condition(workload, "Progressing", "False")
            .filter(|c| c.reason == "ProgressDeadlineExceeded")?;
        let status = &workload.status;
        let fact = format!(
            "{}: {} of {} pods are of the newest revision, {} are available",
            condition.reason,
            status.updated_replicas,
            workload.replicas(),
            status.available_replicas
        );
        let at = condition.last_transition_time;
        let evidence = vec![Evidence::status(workload.reference(), at, &fact)];
        Some(self.finding(
            view,
            workload,
            "progress_deadline",
            PERSISTENCE_DEADLINE,
            evidence,
        ))
    }

    /// Pods that cannot be created leave no pod to look at: only the condition and the event.
    fn create_fails(&self, view: &View<'_>, workload: &Workload) -> Option<Finding> {
        let (wanted, present) = counts(view, workload);
        let mut events: Vec<&Event> = view.showing(&workload.reference(), &["FailedCreate"]);
        let condition = condition(workload, "ReplicaFailure", "True");
        let refusals: i64 = events.iter().map(|e| e.times()).sum();
        if present >= wanted || (condition.is_none() && refusals < LEAST_REFUSALS) {
            return None;
        }
        events.truncate(1);
        let status = condition.map(|c| {
            let fact = format!("{}: {}", c.reason, c.message);
            Evidence::status(workload.reference(), c.last_transition_time, &fact)
        });
        let status = status.unwrap_or_else(|| {
            let fact = format!("{present} of {wanted} pods exist");
            let at = events.first().and_then(|e| first_seen(e));
            Evidence::status(workload.reference(), at, &fact)
        });
        let mut evidence = vec![status];
        evidence.extend(
            events
                .iter()
                .map(|e| Evidence::event(e, &workload.reference())),
        );
        let text = evidence
            .iter()
            .map(|e| e.fact.to_lowercase())
            .collect::<String>();
        let reason = WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|word| text.contains(word)))
            .map_or("failed_create", |(reason, _)| *reason);
        Some(self.finding(view, workload, reason, PERSISTENCE_CREATE, evidence))
    }

    fn finding(
        &self,
        view: &View<'_>,
        workload: &Workload,
        reason: &str,
        persistence: SignedDuration,
        evidence: Vec<Evidence>,
    ) -> Finding {
        let subject = workload.reference();
        let since = evidence.iter().filter_map(|e| e.at).min();
        Finding {
            detector: self.name().to_owned(),
            class: FaultClass::RolloutStuck,
            owner: view.owner(&subject),
            subject,
            container: None,
            reason: reason.to_owned(),
            since: since.unwrap_or(view.now()).min(view.now()),
            persistence,
            evidence,
        }
    }
}

/// Pods that are wanted, and pods that exist.
fn counts(view: &View<'_>, workload: &Workload) -> (i64, i64) {
    let status = &workload.status;
    if workload.kind == Kind::DaemonSet {
        // It does not count all its pods; a refused creation keeps down those of the newest revision.
        (
            status.desired_number_scheduled,
            status.updated_number_scheduled,
        )
    } else if workload.kind == Kind::Job {
        let top = view.owner(&workload.reference());
        let mine = view.pods_of(&top).iter().filter(|pod| {
            let owner = pod.metadata.controller();
            owner.is_some_and(|o| o.uid == workload.metadata.uid)
        });
        (1, status.succeeded.max(i64::from(mine.count() > 0)))
    } else {
        (workload.replicas(), status.replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";
    const QUOTA: &str = "Error creating: pods \"cart-1-\" is forbidden: exceeded quota: compute, \
                         requested: limits.memory=64Mi, used: limits.memory=1Gi, limited: \
                         limits.memory=1Gi";

    fn deployment() -> World {
        testkit::world(AT).deployment("demo", "cart")
    }

    fn late(world: World) -> World {
        world.condition("Progressing", "False", "ProgressDeadlineExceeded", 30)
    }

    #[test]
    fn a_passed_deadline_is_found() {
        let findings = found(&RolloutStuck, late(deployment().revision(1)));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].reason, "progress_deadline");
        assert_eq!(findings[0].owner.to_string(), "Deployment demo/cart");
    }

    #[test]
    fn refused_pods_tell_their_reason() {
        let table = [
            (QUOTA, "quota"),
            (
                "Error creating: pods \"cart-1-\" is forbidden: violates PodSecurity \
                 \"restricted:latest\": allowPrivilegeEscalation != false",
                "pod_security",
            ),
            (
                "Error creating: Internal error occurred: failed calling webhook \
                 \"policy.example.test\": no endpoints available",
                "webhook",
            ),
            (
                "Error creating: pods \"cart-1-\" is forbidden: error looking up service account \
                 demo/cart: serviceaccount \"cart\" not found",
                "service_account",
            ),
            ("Error creating: out of luck", "failed_create"),
        ];
        for (message, expected) in table {
            let world = deployment()
                .revision(1)
                .event("FailedCreate", message)
                .seen(60, 5, 4)
                .pod("cart-1-a")
                .edit_pod(|p| p.metadata.owner_references.clear());
            let mut snapshot = world.snapshot();
            for workload in &mut snapshot.workloads {
                std::sync::Arc::make_mut(workload).spec.replicas = Some(2);
            }
            let findings = RolloutStuck.detect(&View::of(&snapshot));
            assert_eq!(findings.len(), 1, "{expected}");
            assert_eq!(findings[0].reason, expected);
            assert_eq!(findings[0].owner.to_string(), "Deployment demo/cart");
        }
    }

    #[test]
    fn a_stateful_set_that_may_not_create_is_found_by_its_events() {
        let world = testkit::world(AT)
            .stateful_set("demo", "db")
            .event("FailedCreate", QUOTA)
            .seen(60, 5, 4);
        assert_eq!(found(&RolloutStuck, world)[0].reason, "quota");
    }

    #[test]
    fn paused_suspended_complete_and_progressing_are_none() {
        for world in [
            deployment().revision(1).pod("cart-1-a"),
            late(deployment()).edit_workload(|w| w.spec.paused = true),
            deployment().condition("Progressing", "True", "ReplicaSetUpdated", 5),
            deployment().event("FailedCreate", QUOTA),
            deployment()
                .event("FailedCreate", QUOTA)
                .seen(3600, 1200, 9),
            testkit::world(AT)
                .job("demo", "once")
                .edit_workload(|w| w.spec.suspend = true)
                .event("FailedCreate", QUOTA)
                .seen(60, 5, 4),
            deployment()
                .event("FailedCreate", QUOTA)
                .seen(60, 5, 4)
                .revision(1)
                .pod("cart-1-a"),
        ] {
            assert_eq!(found(&RolloutStuck, world), []);
        }
    }

    #[test]
    fn without_deployments_replica_sets_or_events_it_is_blind() {
        for source in [Source::Deployments, Source::ReplicaSets, Source::Events] {
            assert!(blind(&RolloutStuck, late(deployment()).unseen(source)));
        }
    }
}
