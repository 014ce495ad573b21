//! Pods and the templates of pods.

use super::{Fields, canonical, canonical_resources, each, inside, is_unset, or, within};
use crate::object::Object;
use crate::quantity::Quantity;
use serde_json::{Value, json};

/// Lists of containers in a pod's spec.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Defaults of a pod.
pub(super) fn pod_spec(spec: &mut Fields) {
    template_spec(spec);
    or(spec, "enableServiceLinks", json!(true));
    for list in ["initContainers", "containers"] {
        for container in each(spec, list) {
            requests_follow_limits(container);
        }
    }
}

/// Defaults of a template's metadata and spec.
pub(super) fn template(fields: &mut Fields) {
    let Some(template) = within(fields, "template") else {
        return;
    };
    or(template, "metadata", json!({}));
    if let Some(spec) = within(template, "spec") {
        template_spec(spec);
    }
}

/// Defaults that pods and templates share.
pub(super) fn template_spec(spec: &mut Fields) {
    or(spec, "dnsPolicy", json!("ClusterFirst"));
    or(spec, "restartPolicy", json!("Always"));
    or(spec, "securityContext", json!({}));
    or(spec, "terminationGracePeriodSeconds", json!(30));
    or(spec, "schedulerName", json!("default-scheduler"));
    // The old name of the field always says the same as the new one.
    let account = spec
        .get("serviceAccountName")
        .filter(|name| *name != "" && !name.is_null())
        .or_else(|| spec.get("serviceAccount"))
        .cloned();
    if let Some(account) = account {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    canonical(spec.get_mut("overhead"));
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in CONTAINERS {
        for one in each(spec, list) {
            container(one, host_network);
        }
    }
    for one in each(spec, "volumes") {
        volume(one);
    }
}

fn container(container: &mut Fields, host_network: bool) {
    let policy = match container.get("image").and_then(Value::as_str) {
        Some(image) if is_latest(image) => "Always",
        _ => "IfNotPresent",
    };
    or(container, "imagePullPolicy", json!(policy));
    or(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    or(container, "terminationMessagePolicy", json!("File"));
    or(container, "resources", json!({}));
    canonical_resources(container);
    for port in each(container, "ports") {
        or(port, "protocol", json!("TCP"));
        let number = port.get("containerPort").cloned();
        if let Some(number) = number.filter(|_| host_network) {
            or(port, "hostPort", number);
        }
    }
    for variable in each(container, "env") {
        if let Some(from) = inside(variable, "valueFrom") {
            if let Some(field) = inside(from, "fieldRef") {
                or(field, "apiVersion", json!("v1"));
            }
            if let Some(resource) = inside(from, "resourceFieldRef") {
                or(resource, "divisor", json!("0"));
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(one) = inside(container, name) {
            probe(one);
        }
    }
    if let Some(hooks) = inside(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(hook) = inside(hooks, name) {
                http(hook);
            }
        }
    }
}

fn probe(probe: &mut Fields) {
    for (name, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe.get(name) == Some(&json!(0)) {
            probe.remove(name);
        }
        or(probe, name, json!(value));
    }
    http(probe);
    if let Some(grpc) = inside(probe, "grpc")
        && !grpc.contains_key("service")
    {
        grpc.insert("service".to_owned(), json!(""));
    }
}

fn http(handler: &mut Fields) {
    if let Some(get) = inside(handler, "httpGet") {
        or(get, "path", json!("/"));
        or(get, "scheme", json!("HTTP"));
    }
}

/// No tag, or `latest`, and no digest: it is pulled each time.
fn is_latest(image: &str) -> bool {
    if image.is_empty() || image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

/// The mode of the files of a volume: 0644.
const MODE: u32 = 0o644;

fn volume(volume: &mut Fields) {
    let sources = volume.iter();
    let has_source = sources
        .filter(|(name, value)| *name != "name" && !value.is_null())
        .count();
    if has_source == 0 {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = inside(volume, name) {
            or(source, "defaultMode", json!(MODE));
            fields_of(source);
            for part in each(source, "sources") {
                if let Some(token) = inside(part, "serviceAccountToken") {
                    or(token, "expirationSeconds", json!(3600));
                }
                if let Some(downward) = inside(part, "downwardAPI") {
                    fields_of(downward);
                }
            }
        }
    }
    if let Some(path) = inside(volume, "hostPath")
        && is_unset(path, "type")
    {
        path.insert("type".to_owned(), json!(""));
    }
    if let Some(claim) = inside(volume, "ephemeral")
        && let Some(template) = inside(claim, "volumeClaimTemplate")
        && let Some(spec) = inside(template, "spec")
    {
        or(spec, "volumeMode", json!("Filesystem"));
        canonical_resources(spec);
    }
}

fn fields_of(source: &mut Fields) {
    for item in each(source, "items") {
        if let Some(field) = inside(item, "fieldRef") {
            or(field, "apiVersion", json!("v1"));
        }
    }
}

fn requests_follow_limits(container: &mut Fields) {
    let Some(resources) = inside(container, "resources") else {
        return;
    };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    if let Some(requests) = within(resources, "requests") {
        for (name, limit) in limits {
            or(requests, &name, limit);
        }
    }
}

/// `BestEffort`, `Burstable` or `Guaranteed`.
pub fn qos_class(pod: &Object) -> &'static str {
    let spec: Value = pod.spec();
    let (mut any, mut all) = (false, true);
    for list in ["initContainers", "containers"] {
        let containers = spec.get(list).and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let amount = |kind: &str, name: &str| {
                let value = container.get("resources")?.get(kind)?.get(name)?;
                Quantity::of_value(value).ok().filter(|one| !one.is_zero())
            };
            for name in ["cpu", "memory"] {
                let (request, limit) = (amount("requests", name), amount("limits", name));
                any |= request.is_some() || limit.is_some();
                all &= limit.is_some() && request.is_none_or(|one| Some(one) == limit);
            }
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
