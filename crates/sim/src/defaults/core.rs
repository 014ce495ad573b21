//! Services, volumes, namespaces, roles, and other small kinds.

use super::{Fields, canonical, canonical_resources, each, inside, is_unset, or, within};
use crate::base64;
use crate::object::Object;
use crate::resources::{ResourceId, ids};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Defaults of kinds whose fields are not in a spec. Says whether this is one.
pub(super) fn fill_top(resource: ResourceId, object: &mut Object) -> bool {
    match resource {
        ids::SECRETS => secret(object),
        ids::ROLE_BINDINGS | ids::CLUSTER_ROLE_BINDINGS => binding(object),
        ids::STORAGE_CLASSES => {
            set_unset(object, "reclaimPolicy", "Delete");
            set_unset(object, "volumeBindingMode", "Immediate");
        }
        ids::PRIORITY_CLASSES => set_unset(object, "preemptionPolicy", "PreemptLowerPriority"),
        ids::ENDPOINT_SLICES => change(object, "ports", |port| {
            or(port, "protocol", json!("TCP"));
            if port.get("name").is_none_or(Value::is_null) {
                port.insert("name".to_owned(), json!(""));
            }
        }),
        ids::ENDPOINTS => change(object, "subsets", |subset| {
            for port in each(subset, "ports") {
                or(port, "protocol", json!("TCP"));
            }
        }),
        ids::MUTATING_WEBHOOKS | ids::VALIDATING_WEBHOOKS => {
            let mutating = resource == ids::MUTATING_WEBHOOKS;
            change(object, "webhooks", |hook| webhook(hook, mutating));
        }
        ids::VALIDATING_POLICIES => policy(object),
        ids::NODES => node(object),
        ids::NAMESPACES => {
            let name = object.meta.name.to_string();
            let label = "kubernetes.io/metadata.name".to_owned();
            if !name.is_empty() {
                object.meta.labels.insert(label, name);
            }
            return false;
        }
        _ => return false,
    }
    true
}

fn set_unset(object: &mut Object, name: &str, value: &str) {
    let now: Option<Value> = object.field(name);
    if now.is_none_or(|now| now == "") {
        object.set(name, &value);
    }
}

/// Changes each object of a list that is a top-level field.
fn change(object: &mut Object, name: &str, change: impl FnMut(&mut Fields)) {
    let Some(mut list) = object.field::<Vec<Value>>(name) else {
        return;
    };
    list.iter_mut()
        .filter_map(Value::as_object_mut)
        .for_each(change);
    object.set(name, &list);
}

fn webhook(hook: &mut Fields, mutating: bool) {
    or(hook, "failurePolicy", json!("Fail"));
    or(hook, "matchPolicy", json!("Equivalent"));
    or(hook, "namespaceSelector", json!({}));
    or(hook, "objectSelector", json!({}));
    or(hook, "timeoutSeconds", json!(10));
    if mutating {
        or(hook, "reinvocationPolicy", json!("Never"));
    }
    for rule in each(hook, "rules") {
        or(rule, "scope", json!("*"));
    }
    if let Some(config) = inside(hook, "clientConfig")
        && let Some(service) = inside(config, "service")
    {
        or(service, "port", json!(443));
    }
}

fn policy(object: &mut Object) {
    let mut spec: Fields = object.spec();
    or(&mut spec, "failurePolicy", json!("Fail"));
    if let Some(constraints) = inside(&mut spec, "matchConstraints") {
        or(constraints, "matchPolicy", json!("Equivalent"));
        or(constraints, "namespaceSelector", json!({}));
        or(constraints, "objectSelector", json!({}));
        for rule in each(constraints, "resourceRules") {
            or(rule, "scope", json!("*"));
        }
    }
    object.set("spec", &spec);
}

fn secret(object: &mut Object) {
    set_unset(object, "type", "Opaque");
    let texts: BTreeMap<String, String> = object.field("stringData").unwrap_or_default();
    object.fields.remove("stringData");
    if texts.is_empty() {
        return;
    }
    let mut data: BTreeMap<String, String> = object.field("data").unwrap_or_default();
    let encoded = texts.into_iter();
    data.extend(encoded.map(|(name, text)| (name, base64::encode(text.as_bytes()))));
    object.set("data", &data);
}

fn binding(object: &mut Object) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    if let Some(Value::Object(mut reference)) = object.field("roleRef") {
        or(&mut reference, "apiGroup", json!(RBAC));
        object.set("roleRef", &reference);
    }
    change(object, "subjects", |subject| {
        if matches!(
            subject.get("kind").and_then(Value::as_str),
            Some("User" | "Group")
        ) {
            or(subject, "apiGroup", json!(RBAC));
        }
    });
}

fn node(object: &mut Object) {
    let Some(Value::Object(mut status)) = object.field("status") else {
        return;
    };
    canonical(status.get_mut("capacity"));
    canonical(status.get_mut("allocatable"));
    if let Some(capacity) = status.get("capacity").cloned() {
        or(&mut status, "allocatable", capacity);
    }
    object.set("status", &status);
}

pub(super) fn service(spec: &mut Fields) {
    or(spec, "sessionAffinity", json!("None"));
    or(spec, "type", json!("ClusterIP"));
    if spec.get("sessionAffinity") == Some(&json!("ClientIP"))
        && let Some(config) = within(spec, "sessionAffinityConfig")
        && let Some(client) = within(config, "clientIP")
    {
        or(client, "timeoutSeconds", json!(10800));
    }
    for port in each(spec, "ports") {
        or(port, "protocol", json!("TCP"));
        let target = port.get("targetPort");
        if target.is_none_or(|one| one.is_null() || one == 0 || one == "")
            && let Some(number) = port.get("port").cloned()
        {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
    let external = matches!(kind, "NodePort" | "LoadBalancer");
    let balanced = kind == "LoadBalancer";
    if external || kind == "ClusterIP" {
        or(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if external {
        or(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if balanced {
        or(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

pub(super) fn claim(spec: &mut Fields) {
    or(spec, "volumeMode", json!("Filesystem"));
    canonical_resources(spec);
}

pub(super) fn volume(spec: &mut Fields) {
    or(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
    or(spec, "volumeMode", json!("Filesystem"));
    canonical(spec.get_mut("capacity"));
    if let Some(path) = inside(spec, "hostPath")
        && is_unset(path, "type")
    {
        path.insert("type".to_owned(), json!(""));
    }
}

pub(super) fn network_policy(spec: &mut Fields) {
    for list in ["ingress", "egress"] {
        for rule in each(spec, list) {
            for port in each(rule, "ports") {
                or(port, "protocol", json!("TCP"));
            }
        }
    }
    let egress = spec
        .get("egress")
        .and_then(Value::as_array)
        .is_some_and(|rules| !rules.is_empty());
    let types = if egress {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    or(spec, "policyTypes", types);
}

pub(super) fn limit_range(spec: &mut Fields) {
    for item in each(spec, "limits") {
        for name in [
            "max",
            "min",
            "default",
            "defaultRequest",
            "maxLimitRequestRatio",
        ] {
            canonical(item.get_mut(name));
        }
        if item.get("type") != Some(&json!("Container")) {
            continue;
        }
        for (to, from) in [
            ("default", "max"),
            ("defaultRequest", "default"),
            ("defaultRequest", "min"),
        ] {
            let Some(Value::Object(from)) = item.get(from).cloned() else {
                continue;
            };
            if let Some(to) = within(item, to) {
                for (name, value) in from {
                    or(to, &name, value);
                }
            }
        }
    }
}
