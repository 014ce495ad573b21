//! A container cannot be created: a mount fails, the sandbox fails, or the runtime refuses it.
//! A missing ConfigMap or Secret is `config_missing`'s.

use super::Detector;
use super::config_missing::missing;
use crate::diagnose::view::{View, concerns, first_seen};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{ContainerStatus, Event, Pod, Source};
use jiff::SignedDuration;

/// Volumes are detached elsewhere and networks come up within a minute or two; the kubelet itself
/// waits 2 min 3 s for a mount before it calls it late.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(120);

/// Shorter waits are a normal start. The kubelet repeats the event while the fault lasts, so a
/// later look comes by itself.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Event reasons with ours.
const EVENTS: &[(&str, &str)] = &[
    ("FailedAttachVolume", "mount"),
    ("FailedCreatePodSandBox", "sandbox"),
    ("FailedMapVolume", "mount"),
    ("FailedMount", "mount"),
];

/// See the file.
pub(super) struct ContainerStuck;

impl Detector for ContainerStuck {
    fn name(&self) -> &'static str {
        "container_stuck"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods, Source::Events]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        view.first_of_each_pod(|pod, container| self.judge(view, pod, container))
    }
}

impl ContainerStuck {
    fn judge(&self, view: &View<'_>, pod: &Pod, container: &ContainerStatus) -> Option<Finding> {
        let waiting = container.state.waiting.as_ref()?;
        let subject = pod.reference();
        let began = view.waiting_since(pod, container);
        let (reason, events): (&str, Vec<&Event>) = match waiting.reason.as_str() {
            "ContainerCreating" | "PodInitializing" if view.age(began) >= STUCK_AFTER => {
                let reasons = EVENTS.iter().map(|(event, _)| *event).collect::<Vec<_>>();
                let mut events = view.showing(&subject, &reasons);
                events.retain(|e| missing(&e.message).is_none());
                let newest = events.first()?.reason.as_str();
                let named = EVENTS.iter().find(|(event, _)| *event == newest);
                events.retain(|e| e.reason == newest);
                (named.map_or("other", |(_, reason)| reason), events)
            }
            "CreateContainerError" | "CreateContainerConfigError"
                if missing(&waiting.message).is_none() =>
            {
                let mut events = view.agreeing(&subject, &["Failed"]);
                events.retain(|e| concerns(e, &container.name));
                ("create", events)
            }
            _ => return None,
        };
        let since = events.iter().filter_map(|e| first_seen(e)).min();
        let since = since.map_or(began, |first| first.max(began));
        let mut evidence = vec![Evidence::status(
            subject.clone(),
            Some(began),
            &format!(
                "container {} waits: {} {}",
                container.name, waiting.reason, waiting.message
            ),
        )];
        evidence.extend(events.iter().take(1).map(|e| Evidence::event(e, &subject)));
        Some(Finding {
            detector: self.name().to_owned(),
            class: FaultClass::ContainerStuck,
            owner: view.owner(&subject),
            subject,
            container: Some(container.name.clone()),
            reason: reason.to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";
    const MOUNT: &str =
        "MountVolume.SetUp failed for volume \"data\" : mount failed: exit status 32";
    const SANDBOX: &str = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed \
                           to setup network for sandbox \"x\": plugin type=\"bridge\" failed (add)";

    fn pod() -> World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .age(90)
    }

    #[test]
    fn the_events_tell_what_is_stuck() {
        let creating = || pod().waiting("ContainerCreating", "");
        let table = [
            (creating().event("FailedMount", MOUNT), "mount"),
            (
                creating().event("FailedAttachVolume", "Multi-Attach error"),
                "mount",
            ),
            (
                creating().event("FailedCreatePodSandBox", SANDBOX),
                "sandbox",
            ),
            (
                pod()
                    .waiting("CreateContainerError", "failed to reserve container name")
                    .event("Failed", "Error: failed to reserve container name"),
                "create",
            ),
        ];
        for (world, expected) in table {
            let findings = found(&ContainerStuck, world);
            assert_eq!(findings.len(), 1, "{expected}");
            assert_eq!(findings[0].reason, expected);
            assert_eq!(findings[0].evidence.len(), 2);
        }
    }

    #[test]
    fn normal_starts_long_pulls_and_missing_config_are_none() {
        let missing = "MountVolume.SetUp failed for volume \"c\" : configmap \"cart\" not found";
        for world in [
            pod(),
            pod().waiting("ContainerCreating", ""),
            pod()
                .age(5)
                .waiting("ContainerCreating", "")
                .event("FailedMount", MOUNT),
            pod()
                .waiting("ContainerCreating", "")
                .event("FailedMount", MOUNT)
                .seen(3600, 1200, 3),
            pod()
                .waiting("ContainerCreating", "")
                .event("FailedMount", missing),
            pod().event("FailedMount", MOUNT),
        ] {
            assert_eq!(found(&ContainerStuck, world), []);
        }
    }

    #[test]
    fn without_pods_or_events_it_is_blind() {
        assert!(blind(&ContainerStuck, pod().unseen(Source::Pods)));
        assert!(blind(&ContainerStuck, pod().unseen(Source::Events)));
    }
}
