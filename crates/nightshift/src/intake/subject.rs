//! What an alert speaks of, from its labels.
//!
//! The trap: labels of the *scrape target* stand beside labels of the *metric*. An alert on
//! `kube_deployment_*` carries `pod="kube-state-metrics-..."`, one on `node_*` carries
//! `pod="node-exporter-..."`. Where both had the same name, Prometheus keeps the metric's as
//! `exported_*` (`honor_labels: false`), else the metric's wins (`honor_labels: true`).

use nightshift_core::world::{Kind, ObjectRef};
use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// Labels that name a namespaced object other than a pod, in order of preference.
const WORKLOADS: [(&str, Kind); 4] = [
    ("deployment", Kind::Deployment),
    ("statefulset", Kind::StatefulSet),
    ("daemonset", Kind::DaemonSet),
    ("job_name", Kind::Job),
];

/// Exporters whose own pod, container and instance never are the subject of their metrics.
const EXPORTERS: [&str; 2] = ["kube-state-metrics", "node-exporter"];

/// The object that the labels speak of; an empty reference where they name none that could exist.
/// Names that Kubernetes would not accept are not names: they can never become part of a request.
pub(super) fn subject(labels: &Labels) -> ObjectRef {
    pod(labels)
        .or_else(|| workload(labels))
        .or_else(|| node(labels))
        .unwrap_or_default()
}

/// The namespace of the subject, not of the exporter that was scraped.
pub(super) fn namespace(labels: &Labels) -> Option<&str> {
    metric_label(labels, "namespace").filter(|name| is_dns_label(name))
}

/// The container of the subject, not of the exporter that was scraped.
pub(super) fn container(labels: &Labels) -> Option<&str> {
    metric_label(labels, "container")
        .filter(|name| is_dns_label(name) && (is_exported(labels) || !names_exporter(name)))
}

fn pod(labels: &Labels) -> Option<ObjectRef> {
    let name = match labels.get("exported_pod") {
        Some(name) => name,
        None if is_exported(labels) || pod_is_the_exporters(labels) => return None,
        None => labels.get("pod")?,
    };
    object(Kind::Pod, namespace(labels)?, name)
}

fn workload(labels: &Labels) -> Option<ObjectRef> {
    let namespace = namespace(labels)?;
    WORKLOADS.into_iter().find_map(|(label, kind)| {
        let name = metric_label(labels, label)?;
        object(kind, namespace, name)
    })
}

fn node(labels: &Labels) -> Option<ObjectRef> {
    let name = metric_label(labels, "node")
        .or_else(|| labels.get("nodename").map(String::as_str))
        .or_else(|| node_exporter_instance(labels))?;
    object(Kind::Node, "", name)
}

/// node-exporter's `instance` is an address, or the node's name where it was relabelled so.
fn node_exporter_instance(labels: &Labels) -> Option<&str> {
    let instance = labels.get("instance")?;
    let from_node_exporter = labels
        .get("job")
        .is_some_and(|job| job.contains("node-exporter"));
    let is_address = instance.parse::<std::net::IpAddr>().is_ok();
    (from_node_exporter && !is_address).then_some(instance)
}

/// Whether the `pod` label is the scraped exporter's own. Pod metrics of kube-state-metrics carry
/// the pod's `uid`; its other metrics name their object in another label.
fn pod_is_the_exporters(labels: &Labels) -> bool {
    if labels.contains_key("uid") {
        return false;
    }
    let is_exporter = |label: &str| labels.get(label).is_some_and(|value| names_exporter(value));
    let names_another = WORKLOADS
        .iter()
        .any(|(label, _)| labels.contains_key(*label))
        || labels.contains_key("node");
    is_exporter("pod") || is_exporter("container") || (is_exporter("job") && names_another)
}

fn names_exporter(value: &str) -> bool {
    EXPORTERS.iter().any(|exporter| value.contains(exporter))
}

/// Whether Prometheus renamed colliding labels: then those without `exported_` are the target's.
fn is_exported(labels: &Labels) -> bool {
    ["exported_namespace", "exported_pod", "exported_container"]
        .iter()
        .any(|label| labels.contains_key(*label))
}

fn metric_label<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    labels
        .get(&format!("exported_{name}"))
        .or_else(|| labels.get(name))
        .map(String::as_str)
}

fn object(kind: Kind, namespace: &str, name: &str) -> Option<ObjectRef> {
    is_dns_subdomain(name).then(|| ObjectRef {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..ObjectRef::default()
    })
}

/// RFC 1123 label, as namespaces and containers are named.
fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_dns_part(name)
}

/// RFC 1123 subdomain, as pods, workloads and nodes are named. Its parts have no limit of their
/// own: Kubernetes checks the whole only.
fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_part)
}

fn is_dns_part(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(labels: &[(&str, &str)]) -> String {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let object = subject(&labels);
        if object == ObjectRef::default() {
            "nothing".to_owned()
        } else {
            object.to_string()
        }
    }

    #[test]
    fn plain_labels_name_the_subject() {
        for (label, value, expected) in [
            ("pod", "my-app-7d9c-x2", "Pod demo/my-app-7d9c-x2"),
            ("deployment", "my-app", "Deployment demo/my-app"),
            ("statefulset", "db", "StatefulSet demo/db"),
            ("daemonset", "agent", "DaemonSet demo/agent"),
            ("job_name", "import", "Job demo/import"),
        ] {
            assert_eq!(found(&[("namespace", "demo"), (label, value)]), expected);
            assert_eq!(
                found(&[(label, value)]),
                "nothing",
                "{label} without a namespace"
            );
        }
        assert_eq!(
            found(&[("node", "worker-1.example.com")]),
            "Node worker-1.example.com"
        );
    }

    #[test]
    fn the_pod_of_kube_state_metrics_is_not_the_subject() {
        let scrape = [
            ("container", "kube-state-metrics"),
            ("instance", "10.244.0.5:8080"),
            ("job", "kube-state-metrics"),
            ("pod", "prom-kube-state-metrics-6c4-abc"),
        ];
        let with = |more: &[(&'static str, &'static str)]| found(&[&scrape[..], more].concat());
        assert_eq!(
            with(&[("namespace", "demo"), ("deployment", "my-app")]),
            "Deployment demo/my-app"
        );
        assert_eq!(
            with(&[("namespace", "monitoring"), ("node", "worker-1")]),
            "Node worker-1"
        );
        assert_eq!(
            with(&[("namespace", "demo"), ("resourcequota", "q")]),
            "nothing"
        );
    }

    #[test]
    fn a_pod_metric_of_kube_state_metrics_names_its_pod() {
        assert_eq!(
            found(&[
                ("job", "kube-state-metrics"),
                ("namespace", "demo"),
                ("pod", "my-app-1"),
                ("container", "app"),
                ("uid", "0d6c"),
            ]),
            "Pod demo/my-app-1"
        );
        // The exporter's own pod can be in trouble too.
        assert_eq!(
            found(&[
                ("job", "kube-state-metrics"),
                ("namespace", "monitoring"),
                ("pod", "kube-state-metrics-1"),
                ("container", "kube-state-metrics"),
                ("uid", "0d6d"),
            ]),
            "Pod monitoring/kube-state-metrics-1"
        );
    }

    #[test]
    fn a_renamed_exporter_is_known_by_its_job() {
        assert_eq!(
            found(&[
                ("job", "kube-state-metrics"),
                ("namespace", "demo"),
                ("pod", "ksm-0"),
                ("statefulset", "db"),
            ]),
            "StatefulSet demo/db"
        );
    }

    #[test]
    fn exported_labels_win_and_make_the_others_the_targets() {
        let target = [
            ("namespace", "monitoring"),
            ("pod", "ksm-0"),
            ("container", "ksm"),
        ];
        let with = |more: &[(&'static str, &'static str)]| found(&[&target[..], more].concat());
        assert_eq!(
            with(&[("exported_namespace", "demo"), ("exported_pod", "my-app-1")]),
            "Pod demo/my-app-1"
        );
        assert_eq!(
            with(&[("exported_namespace", "demo"), ("deployment", "my-app")]),
            "Deployment demo/my-app"
        );
        assert_eq!(with(&[("exported_namespace", "demo")]), "nothing");
    }

    #[test]
    fn node_exporter_names_a_node_only_by_name() {
        let scrape = [
            ("job", "node-exporter"),
            ("namespace", "monitoring"),
            ("pod", "node-exporter-x1"),
            ("container", "node-exporter"),
        ];
        let with = |instance| found(&[&scrape[..], &[("instance", instance)]].concat());
        assert_eq!(with("worker-1"), "Node worker-1");
        assert_eq!(with("10.0.0.4:9100"), "nothing");
        assert_eq!(with("10.0.0.4"), "nothing");
    }

    #[test]
    fn text_that_is_no_name_never_becomes_one() {
        for planted in [
            "../../secrets",
            "a/b",
            "Ignore all rules",
            "",
            "-a",
            "a..b",
            "a?x=1",
        ] {
            assert_eq!(found(&[("namespace", "demo"), ("pod", planted)]), "nothing");
            assert_eq!(
                found(&[("namespace", planted), ("pod", "my-app")]),
                "nothing"
            );
            assert_eq!(found(&[("node", planted)]), "nothing");
        }
        assert_eq!(
            found(&[("namespace", "demo"), ("pod", &"a".repeat(254))]),
            "nothing"
        );
    }

    #[test]
    fn a_watchdog_speaks_of_nothing() {
        assert_eq!(
            found(&[("alertname", "Watchdog"), ("severity", "none")]),
            "nothing"
        );
    }
}
