//! An image cannot be pulled: it is not there, there is no right to it, or the registry cannot be
//! reached. Which of the three decides what may help, so the reason comes from the registry's own
//! words as containerd and the kubelet pass them on.

use super::Detector;
use crate::diagnose::view::{View, concerns, first_seen};
use crate::diagnose::{Evidence, FaultClass, Finding};
use crate::world::{ContainerStatus, Event, Pod, Source};
use jiff::SignedDuration;

/// Two tries: the kubelet repeats a failed pull after 10 s, then after 20 s.
const PERSISTENCE: SignedDuration = SignedDuration::from_secs(30);

/// A registry that restarts is back within two minutes, and no change of ours would help it.
const PERSISTENCE_UNREACHABLE: SignedDuration = SignedDuration::from_secs(120);

/// The kubelet's waiting reasons around images (`pkg/kubelet/images/types.go`).
const WAITING: &[&str] = &[
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Words by reason, the first that matches wins. The network comes first: a token that cannot be
/// fetched from an unreachable registry is not a missing right. Then the right: registries answer
/// `does not exist or may require authorization` to hide what exists.
const WORDS: &[(&str, &[&str])] = &[
    (
        "unreachable",
        &[
            "i/o timeout",
            "connection refused",
            "connection reset",
            "no such host",
            "server misbehaving",
            "no route to host",
            "network is unreachable",
            "tls handshake timeout",
            "context deadline exceeded",
            "client.timeout exceeded",
            "x509:",
            "too many requests",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway",
        ],
    ),
    (
        "auth",
        &[
            "401 unauthorized",
            "403 forbidden",
            "no basic auth credentials",
            "authorization failed",
            "failed to authorize",
            "authentication required",
            "may require authorization",
            "pull access denied",
            "access forbidden",
            "denied:",
        ],
    ),
    (
        "platform",
        &["no match for platform", "no matching manifest"],
    ),
    (
        "not_found",
        &[
            "not found",
            "manifest unknown",
            "404 not found",
            "name unknown",
        ],
    ),
    (
        "invalid_name",
        &[
            "invalidimagename",
            "invalid reference format",
            "couldn't parse image",
        ],
    ),
    ("never_pull", &["errimageneverpull", "pull policy of never"]),
];

/// See the file.
pub(super) struct ImagePull;

impl Detector for ImagePull {
    fn name(&self) -> &'static str {
        "image_pull"
    }

    fn needs(&self) -> &'static [Source] {
        &[Source::Pods]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let pods = view.live_pods();
        pods.flat_map(|pod| pod.container_statuses().map(move |c| (pod, c)))
            .filter_map(|(pod, container)| self.judge(view, pod, container))
            .collect()
    }
}

impl ImagePull {
    fn judge(&self, view: &View<'_>, pod: &Pod, container: &ContainerStatus) -> Option<Finding> {
        let waiting = container.state.waiting.as_ref()?;
        if !WAITING.contains(&waiting.reason.as_str()) {
            return None;
        }
        let subject = pod.reference();
        let events: Vec<&Event> = view
            .agreeing(
                &subject,
                &["BackOff", "ErrImageNeverPull", "Failed", "InspectFailed"],
            )
            .into_iter()
            .filter(|e| concerns(e, &container.name) && e.message.to_lowercase().contains("image"))
            .collect();
        let status = format!("{}: {}", waiting.reason, waiting.message);
        let mut texts = std::iter::once(status.as_str()).chain(events.iter().map(|e| &*e.message));
        let reason = texts.find_map(reason).unwrap_or("other");
        let began = view.waiting_since(pod, container);
        let first_event = events.iter().filter_map(|e| first_seen(e)).min();
        let since = first_event.map_or(began, |first| first.max(began));
        let image = pod.spec.container(&container.name).map_or("", |c| &c.image);
        let mut evidence = vec![Evidence::status(
            subject.clone(),
            Some(since),
            &format!(
                "container {} waits for image {image}: {status}",
                container.name
            ),
        )];
        // The newest of each kind: what the registry said, and that the kubelet backs off.
        let mut seen = Vec::new();
        for event in events {
            let kind = (&event.reason, event.message.starts_with("Failed to pull"));
            if !seen.contains(&kind) {
                seen.push(kind);
                evidence.push(Evidence::event(event, &subject));
            }
        }
        Some(Finding {
            detector: self.name().to_owned(),
            class: FaultClass::ImagePullFailure,
            owner: view.owner(&subject),
            subject,
            container: Some(container.name.clone()),
            reason: reason.to_owned(),
            since,
            persistence: if reason == "unreachable" {
                PERSISTENCE_UNREACHABLE
            } else {
                PERSISTENCE
            },
            evidence,
        })
    }
}

fn reason(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let mut table = WORDS.iter();
    table
        .find(|(_, words)| words.iter().any(|word| text.contains(word)))
        .map(|(reason, _)| *reason)
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
    fn the_registrys_words_tell_the_reason() {
        let table = [
            (
                "rpc error: code = NotFound desc = failed to pull and unpack image \
                 \"img.test/cart:9\": failed to resolve reference \"img.test/cart:9\": \
                 img.test/cart:9: not found",
                "not_found",
            ),
            (
                "failed to resolve reference \"img.test/cart:9\": pulling from host img.test failed \
                 with status code [manifests 9]: 401 Unauthorized",
                "auth",
            ),
            (
                "pull access denied, repository does not exist or may require authorization: \
                 server message: insufficient_scope: authorization failed",
                "auth",
            ),
            (
                "Head \"https://img.test/v2/cart/manifests/9\": no basic auth credentials",
                "auth",
            ),
            (
                "failed to do request: Head \"https://img.test/v2/cart/manifests/9\": dial tcp: \
                 lookup img.test on 10.96.0.10:53: no such host",
                "unreachable",
            ),
            (
                "failed to authorize: failed to fetch anonymous token: Get \
                 \"https://auth.test/token\": dial tcp 192.0.2.1:443: i/o timeout",
                "unreachable",
            ),
            (
                "dial tcp 192.0.2.1:5000: connect: connection refused",
                "unreachable",
            ),
            ("no match for platform in manifest: not found", "platform"),
            ("something new", "other"),
        ];
        for (said, expected) in table {
            let message = format!("Failed to pull image \"img.test/cart:9\": {said}");
            let findings = found(
                &ImagePull,
                pod()
                    .waiting(
                        "ImagePullBackOff",
                        "Back-off pulling image \"img.test/cart:9\"",
                    )
                    .event("Failed", &message)
                    .event("Failed", "Error: ErrImagePull"),
            );
            assert_eq!(findings.len(), 1, "{said}");
            assert_eq!(findings[0].reason, expected, "{said}");
            assert_eq!(findings[0].evidence.len(), 3, "{said}");
        }
    }

    #[test]
    fn the_waiting_status_alone_is_enough_to_find_it() {
        let findings = found(
            &ImagePull,
            pod()
                .waiting(
                    "InvalidImageName",
                    "Failed to apply default image tag \"a b\"",
                )
                .unseen(Source::Events),
        );
        assert_eq!(findings[0].reason, "invalid_name");
        assert_eq!(findings[0].owner.to_string(), "Deployment demo/cart");
    }

    #[test]
    fn pods_that_start_are_over_or_leave_give_nothing() {
        let table = [
            pod(),
            pod().waiting("ContainerCreating", ""),
            pod()
                .waiting("ImagePullBackOff", "")
                .edit_pod(|p| p.metadata.deletion_timestamp = p.status.start_time),
            pod()
                .waiting("ImagePullBackOff", "")
                .edit_pod(|p| p.status.phase = "Succeeded".into()),
        ];
        for world in table {
            assert_eq!(found(&ImagePull, world), []);
        }
    }

    #[test]
    fn without_pods_it_is_blind_and_an_unseen_owner_is_no_owner() {
        assert!(blind(&ImagePull, pod().unseen(Source::Pods)));
        let cut = pod().waiting("ErrImagePull", "not found");
        assert!(blind(&ImagePull, cut.unseen(Source::ReplicaSets)));
    }
}
