//! Services, budgets, claims, configuration, roles, leases.

use super::field::Errors;
use super::{integer, items, names, not_negative, pod, text};
use crate::object::Object;
use crate::selector::LabelSelector;
use serde_json::{Map, Value, json};

/// Most bytes of the data of one ConfigMap or Secret.
const MAX_DATA: usize = 1024 * 1024;

pub(super) fn service(spec: &Value, errors: &mut Errors) {
    let kind = text(spec, "type");
    let known = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !known.contains(&kind) {
        errors.unsupported("spec.type", &kind.into(), &known);
    }
    let headless = text(spec, "clusterIP") == "None";
    let count = items(spec, "ports").count();
    if count == 0 && !headless && kind != "ExternalName" {
        errors.required("spec.ports", "");
    }
    if kind == "ExternalName" && text(spec, "externalName").is_empty() {
        errors.required("spec.externalName", "");
    }
    for (index, port) in items(spec, "ports") {
        let path = format!("spec.ports[{index}]");
        let name = text(port, "name");
        if name.is_empty() && count > 1 {
            errors.required(&format!("{path}.name"), "");
        } else if !name.is_empty() {
            errors.text(&format!("{path}.name"), name, &names::dns_label(name));
        }
        pod::port_range(
            integer(port, "port").unwrap_or(0),
            &format!("{path}.port"),
            errors,
        );
        pod::protocol(port, &path, errors);
        match port.get("targetPort") {
            Some(Value::String(name)) => {
                errors.text(&format!("{path}.targetPort"), name, &names::port_name(name));
            }
            Some(Value::Number(number)) => {
                let number = number.as_i64().unwrap_or(0);
                pod::port_range(number, &format!("{path}.targetPort"), errors);
            }
            _ => {}
        }
    }
}

pub(super) fn budget(spec: &Value, errors: &mut Errors) {
    let set = |name: &str| spec.get(name).filter(|one| !one.is_null());
    if let (Some(least), Some(most)) = (set("minAvailable"), set("maxUnavailable")) {
        // Printed as Go prints the internal type.
        let policy = set("unhealthyPodEvictionPolicy").unwrap_or(&Value::Null);
        let selector = set("selector").unwrap_or(&Value::Null);
        let printed = format!(
            "{{\"MinAvailable\":{least},\"Selector\":{selector},\"MaxUnavailable\":{most},\"UnhealthyPodEvictionPolicy\":{policy}}}"
        );
        errors.printed(
            "spec",
            &printed,
            "minAvailable and maxUnavailable cannot be both set",
        );
    }
    for name in ["minAvailable", "maxUnavailable"] {
        not_negative(spec, name, "spec", errors);
        if let Some(Value::String(percent)) = set(name)
            && percent
                .strip_suffix('%')
                .and_then(|one| one.parse::<u32>().ok())
                .is_none()
        {
            errors.invalid(
                &format!("spec.{name}"),
                &percent.as_str().into(),
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            );
        }
    }
    if let Some(selector) = set("selector").filter(|one| LabelSelector::from_value(one).is_none()) {
        errors.invalid("spec.selector", selector, "not a valid selector");
    }
}

pub(super) fn claim(spec: &Value, errors: &mut Errors) {
    if items(spec, "accessModes").next().is_none() {
        errors.required("spec.accessModes", "at least 1 access mode is required");
    }
    let requests = spec.get("resources").and_then(|one| one.get("requests"));
    if requests.and_then(|one| one.get("storage")).is_none() {
        errors.required("spec.resources[storage]", "");
    }
}

pub(super) fn keys(object: &Object, errors: &mut Errors) {
    let mut size = 0_usize;
    for name in ["data", "binaryData"] {
        let data: Map<String, Value> = object.field(name).unwrap_or_default();
        for (key, value) in data {
            errors.text(&format!("{name}[{key}]"), &key, &names::config_key(&key));
            size = size.saturating_add(value.as_str().map_or(0, str::len));
        }
    }
    if size > MAX_DATA {
        errors.too_long(MAX_DATA);
    }
}

pub(super) fn role(object: &Object, errors: &mut Errors) {
    let rules: Vec<Value> = object.field("rules").unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("rules[{index}]");
        let none = |name: &str| items(rule, name).next().is_none();
        if none("verbs") {
            errors.required(
                &format!("{path}.verbs"),
                "verbs must contain at least one value",
            );
        }
        if !none("nonResourceURLs") {
            continue;
        }
        if none("apiGroups") {
            errors.required(
                &format!("{path}.apiGroups"),
                "resource rules must supply at least one api group",
            );
        }
        if none("resources") {
            errors.required(
                &format!("{path}.resources"),
                "resource rules must supply at least one resource",
            );
        }
    }
}

pub(super) fn binding(object: &Object, errors: &mut Errors) {
    let reference: Value = object.field("roleRef").unwrap_or_default();
    let kind = text(&reference, "kind");
    let known = ["Role", "ClusterRole"];
    if !known.contains(&kind) {
        errors.unsupported("roleRef.kind", &kind.into(), &known);
    }
    if text(&reference, "name").is_empty() {
        errors.required("roleRef.name", "");
    }
    let subjects: Vec<Value> = object.field("subjects").unwrap_or_default();
    for (index, subject) in subjects.iter().enumerate() {
        let path = format!("subjects[{index}]");
        if text(subject, "name").is_empty() {
            errors.required(&format!("{path}.name"), "");
        }
        let kind = text(subject, "kind");
        let known = ["ServiceAccount", "User", "Group"];
        if !known.contains(&kind) {
            errors.unsupported(&format!("{path}.kind"), &kind.into(), &known);
        } else if kind == "ServiceAccount" && text(subject, "namespace").is_empty() {
            errors.required(&format!("{path}.namespace"), "");
        }
    }
}

pub(super) fn lease(spec: &Value, errors: &mut Errors) {
    if let Some(seconds) = integer(spec, "leaseDurationSeconds").filter(|one| *one <= 0) {
        errors.invalid(
            "spec.leaseDurationSeconds",
            &json!(seconds),
            "must be greater than 0",
        );
    }
    if let Some(count) = integer(spec, "leaseTransitions").filter(|one| *one < 0) {
        errors.invalid(
            "spec.leaseTransitions",
            &json!(count),
            "must be greater than or equal to 0",
        );
    }
}

pub(super) fn storage_class(object: &Object, errors: &mut Errors) {
    let provisioner: Option<String> = object.field("provisioner");
    if provisioner.is_none_or(|one| one.is_empty()) {
        errors.required("provisioner", "");
    }
}
