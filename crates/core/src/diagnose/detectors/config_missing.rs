//! A ConfigMap, Secret or key that the pod names does not exist: as environment
//! (`CreateContainerConfigError`) or as a volume (`FailedMount`).

use super::Detector;
use crate::diagnose::view::{View, concerns, first_seen};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{ContainerStatus, Event, Pod, Source};
use jiff::SignedDuration;

/// The objects of one release are applied in any order, within seconds of each other.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(30);

/// A volume is not ready at a pod's first moments: the kubelet's own caches fill then.
const MOUNT_AFTER: SignedDuration = SignedDuration::from_secs(20);

/// See the file.
pub(super) struct ConfigMissing;

impl Detector for ConfigMissing {
    fn name(&self) -> &'static str {
        "config_missing"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods, Source::Events]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        view.first_of_each_pod(|pod, container| self.judge(view, pod, container))
    }
}

/// What is missing, by a message of the kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// `configmap_missing`, `secret_missing` or `key_missing`.
    pub(super) reason: &'static str,
    /// Name of the ConfigMap, where one is missing.
    pub(super) config_map: Option<String>,
}

/// Reads the kubelet's message. `not registered` is its cache being late, not a missing object.
pub(super) fn missing(message: &str) -> Option<Missing> {
    let lower = message.to_lowercase();
    if lower.contains("not registered") {
        return None;
    }
    let key = ["couldn't find key", "references non-existent"];
    if key.iter().any(|words| lower.contains(words)) {
        return Some(Missing {
            reason: "key_missing",
            config_map: None,
        });
    }
    let named = |kind: &str| {
        let (_, rest) = message.split_once(kind)?;
        let (name, rest) = rest
            .trim_start_matches('s')
            .strip_prefix(" \"")?
            .split_once('"')?;
        rest.trim_start().starts_with("not found").then_some(name)
    };
    if let Some(name) = named("configmap") {
        return Some(Missing {
            reason: "configmap_missing",
            config_map: Some(name.to_owned()),
        });
    }
    named("secret").map(|_| Missing {
        reason: "secret_missing",
        config_map: None,
    })
}

impl ConfigMissing {
    fn judge(&self, view: &View<'_>, pod: &Pod, container: &ContainerStatus) -> Option<Finding> {
        let waiting = container.state.waiting.as_ref()?;
        let subject = pod.reference();
        let began = view.waiting_since(pod, container);
        let (what, events): (Missing, Vec<&Event>) = match waiting.reason.as_str() {
            "CreateContainerConfigError" => {
                let what = missing(&waiting.message)?;
                let events = view.agreeing(&subject, &["Failed"]);
                let same = |e: &&Event| concerns(e, &container.name) && says(e, &what);
                (what.clone(), events.into_iter().filter(same).collect())
            }
            "ContainerCreating" | "PodInitializing" if view.age(began) >= MOUNT_AFTER => {
                let events = view.showing(&subject, &["FailedMount"]);
                let what = events.iter().find_map(|e| missing(&e.message))?;
                let same = |e: &&Event| says(e, &what);
                (what.clone(), events.into_iter().filter(same).collect())
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
        let there = what
            .config_map
            .as_ref()
            .and_then(|name| view.config_map(&subject.namespace, name));
        if let Some(map) = there {
            let fact = "the ConfigMap is there now: the kubelet will find it at its next try";
            let created = map.metadata.creation_timestamp;
            evidence.push(Evidence::status(map.reference(), created, fact).against());
        }
        Some(Finding {
            detector: self.name().to_owned(),
            class: FaultClass::ConfigMissing,
            owner: view.owner(&subject),
            subject,
            container: Some(container.name.clone()),
            reason: what.reason.to_owned(),
            since,
            persistence: PERSISTENCE,
            evidence,
        })
    }
}

fn says(event: &Event, what: &Missing) -> bool {
    missing(&event.message).as_ref() == Some(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detectors::tests::{blind, found};
    use crate::testkit::{self, World};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn pod() -> World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .age(60)
    }

    #[test]
    fn the_kubelets_words_tell_what_is_missing() {
        let table = [
            ("configmap \"cart\" not found", Some("configmap_missing")),
            ("secret \"cart\" not found", Some("secret_missing")),
            ("configmaps \"cart\" not found", Some("configmap_missing")),
            (
                "couldn't find key url in ConfigMap demo/cart",
                Some("key_missing"),
            ),
            (
                "couldn't find key url in Secret demo/cart",
                Some("key_missing"),
            ),
            (
                "MountVolume.SetUp failed for volume \"conf\" : configmap references non-existent \
                 config key: url",
                Some("key_missing"),
            ),
            (
                "MountVolume.SetUp failed for volume \"conf\" : configmap \"cart\" not found",
                Some("configmap_missing"),
            ),
            (
                "MountVolume.SetUp failed for volume \"x\" : object \"demo\"/\"cart\" not registered",
                None,
            ),
            (
                "container has runAsNonRoot and image will run as root",
                None,
            ),
        ];
        for (message, expected) in table {
            assert_eq!(missing(message).map(|m| m.reason), expected, "{message}");
        }
    }

    #[test]
    fn it_is_found_as_environment_and_as_volume() {
        let message = "configmap \"cart\" not found";
        let environment = pod()
            .waiting("CreateContainerConfigError", message)
            .event("Failed", &format!("Error: {message}"));
        let volume = pod().waiting("ContainerCreating", "").event(
            "FailedMount",
            &format!("MountVolume.SetUp failed for volume \"conf\" : {message}"),
        );
        for world in [environment, volume] {
            let findings = found(&ConfigMissing, world);
            assert_eq!(findings.len(), 1);
            assert_eq!(findings[0].reason, "configmap_missing");
            assert_eq!(findings[0].evidence.len(), 2);
        }
    }

    #[test]
    fn a_config_map_that_is_there_now_speaks_against_it() {
        let world = pod()
            .waiting("CreateContainerConfigError", "configmap \"cart\" not found")
            .config_map("demo", "cart");
        let evidence = &found(&ConfigMissing, world)[0].evidence;
        assert_eq!(evidence.iter().filter(|e| !e.supports).count(), 1);
    }

    #[test]
    fn a_volume_that_is_late_and_other_errors_are_none() {
        let mount = "MountVolume.SetUp failed for volume \"conf\" : configmap \"cart\" not found";
        for world in [
            pod(),
            pod()
                .age(5)
                .waiting("ContainerCreating", "")
                .event("FailedMount", mount),
            pod().waiting("ContainerCreating", ""),
            pod().event("FailedMount", mount),
            pod().waiting("CreateContainerConfigError", "image will run as root"),
        ] {
            assert_eq!(found(&ConfigMissing, world), []);
        }
    }

    #[test]
    fn without_pods_or_events_it_is_blind() {
        assert!(blind(&ConfigMissing, pod().unseen(Source::Pods)));
        assert!(blind(&ConfigMissing, pod().unseen(Source::Events)));
    }
}
