//! Pods and the templates of pods.

use super::field::Errors;
use super::{integer, items, names, not_negative, text};
use crate::quantity::{BadQuantity, Quantity};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a pod's spec may be.
pub(super) fn check(spec: &Value, path: &str, errors: &mut Errors) {
    let volumes: BTreeSet<&str> = items(spec, "volumes")
        .map(|(_, volume)| text(volume, "name"))
        .collect();
    for (index, volume) in items(spec, "volumes") {
        let path = format!("{path}.volumes[{index}]");
        name(volume, &path, names::dns_label, errors);
    }
    duplicates(spec, "volumes", "name", path, errors);
    if items(spec, "containers").next().is_none() {
        errors.required(&format!("{path}.containers"), "");
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in items(spec, list) {
            let path = format!("{path}.{list}[{index}]");
            check_container(container, &path, &volumes, errors);
        }
        duplicates(spec, list, "name", path, errors);
    }
    let policy = text(spec, "restartPolicy");
    if !["Always", "OnFailure", "Never"].contains(&policy) {
        errors.unsupported(
            &format!("{path}.restartPolicy"),
            &policy.into(),
            &["Always", "OnFailure", "Never"],
        );
    }
    not_negative(spec, "terminationGracePeriodSeconds", path, errors);
    if let Some(seconds) = integer(spec, "activeDeadlineSeconds").filter(|one| *one < 1) {
        errors.invalid(
            &format!("{path}.activeDeadlineSeconds"),
            &seconds.into(),
            "must be between 1 and 2147483647, inclusive",
        );
    }
    for (index, toleration) in items(spec, "tolerations") {
        let path = format!("{path}.tolerations[{index}]");
        check_toleration(toleration, &path, errors);
    }
}

fn name(item: &Value, path: &str, rule: fn(&str) -> Vec<String>, errors: &mut Errors) {
    let path = format!("{path}.name");
    match text(item, "name") {
        "" => errors.required(&path, ""),
        name => errors.text(&path, name, &rule(name)),
    }
}

fn duplicates(fields: &Value, list: &str, key: &str, path: &str, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, item) in items(fields, list) {
        let value = text(item, key);
        if !value.is_empty() && !seen.insert(value) {
            errors.duplicate(&format!("{path}.{list}[{index}].{key}"), &value.into());
        }
    }
}

fn check_mounts(container: &Value, path: &str, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    let mut paths = BTreeSet::new();
    for (index, mount) in items(container, "volumeMounts") {
        let path = format!("{path}.volumeMounts[{index}]");
        match text(mount, "name") {
            "" => errors.required(&format!("{path}.name"), ""),
            name if !volumes.contains(name) => errors.not_found(&format!("{path}.name"), name),
            _ => {}
        }
        match text(mount, "mountPath") {
            "" => errors.required(&format!("{path}.mountPath"), ""),
            at if !paths.insert(at) => {
                errors.invalid(&format!("{path}.mountPath"), &at.into(), "must be unique");
            }
            _ => {}
        }
    }
}

fn check_container(container: &Value, path: &str, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    name(container, path, names::dns_label, errors);
    let image = text(container, "image");
    if image.is_empty() {
        errors.required(&format!("{path}.image"), "");
    } else if image.trim() != image {
        errors.invalid(
            &format!("{path}.image"),
            &image.into(),
            "must not have leading or trailing whitespace",
        );
    }
    for (index, port) in items(container, "ports") {
        let path = format!("{path}.ports[{index}]");
        let port_name = text(port, "name");
        if !port_name.is_empty() {
            errors.text(
                &format!("{path}.name"),
                port_name,
                &names::port_name(port_name),
            );
        }
        match integer(port, "containerPort") {
            None | Some(0) => errors.required(&format!("{path}.containerPort"), ""),
            Some(number) => port_range(number, &format!("{path}.containerPort"), errors),
        }
        protocol(port, &path, errors);
    }
    for (index, variable) in items(container, "env") {
        let path = format!("{path}.env[{index}].name");
        match text(variable, "name") {
            "" => errors.required(&path, ""),
            name => errors.text(&path, name, &names::env_name(name)),
        }
    }
    check_mounts(container, path, volumes, errors);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(one) = container.get(probe) {
            check_probe(one, &format!("{path}.{probe}"), probe, errors);
        }
    }
    let policy = text(container, "imagePullPolicy");
    if !["Always", "IfNotPresent", "Never"].contains(&policy) {
        errors.unsupported(
            &format!("{path}.imagePullPolicy"),
            &policy.into(),
            &["Always", "IfNotPresent", "Never"],
        );
    }
    check_resources(container, path, errors);
}

/// A port's number.
pub(super) fn port_range(number: i64, path: &str, errors: &mut Errors) {
    if !(1..=65535).contains(&number) {
        errors.invalid(
            path,
            &number.into(),
            "must be between 1 and 65535, inclusive",
        );
    }
}

/// A port's protocol.
pub(super) fn protocol(port: &Value, path: &str, errors: &mut Errors) {
    let protocol = text(port, "protocol");
    if !["SCTP", "TCP", "UDP"].contains(&protocol) {
        errors.unsupported(
            &format!("{path}.protocol"),
            &protocol.into(),
            &["SCTP", "TCP", "UDP"],
        );
    }
}

fn check_probe(probe: &Value, path: &str, kind: &str, errors: &mut Errors) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let count = handlers
        .iter()
        .filter(|one| probe.get(**one).is_some_and(|one| !one.is_null()));
    match count.count() {
        0 => errors.required(path, "must specify a handler type"),
        1 => {}
        _ => errors.forbidden(path, "may not specify more than 1 handler type"),
    }
    for name in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "failureThreshold",
    ] {
        not_negative(probe, name, path, errors);
    }
    let successes = integer(probe, "successThreshold").unwrap_or(1);
    if kind != "readinessProbe" && successes != 1 {
        errors.invalid(
            &format!("{path}.successThreshold"),
            &successes.into(),
            "must be 1",
        );
    }
}

fn check_toleration(toleration: &Value, path: &str, errors: &mut Errors) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    if !key.is_empty() {
        errors.text(&format!("{path}.key"), key, &names::label_key(key));
    }
    if key.is_empty() && operator != "Exists" {
        errors.invalid(
            &format!("{path}.operator"),
            &operator.into(),
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    if toleration
        .get("tolerationSeconds")
        .is_some_and(|one| !one.is_null())
        && text(toleration, "effect") != "NoExecute"
    {
        errors.invalid(
            &format!("{path}.effect"),
            &text(toleration, "effect").into(),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        );
    }
}

fn check_resources(container: &Value, path: &str, errors: &mut Errors) {
    let Some(resources) = container.get("resources") else {
        return;
    };
    let amounts = |name: &str| resources.get(name).and_then(Value::as_object);
    for kind in ["limits", "requests"] {
        for (name, value) in amounts(kind).into_iter().flatten() {
            if Quantity::of_value(value).is_ok_and(Quantity::is_negative) {
                errors.invalid(
                    &format!("{path}.resources.{kind}[{name}]"),
                    value,
                    "must be greater than or equal to 0",
                );
            }
        }
    }
    for (name, request) in amounts("requests").into_iter().flatten() {
        let limit = amounts("limits").and_then(|limits| limits.get(name));
        let (Ok(wanted), Some(Ok(most))) =
            (Quantity::of_value(request), limit.map(Quantity::of_value))
        else {
            continue;
        };
        if wanted > most {
            errors.invalid(
                &format!("{path}.resources.requests"),
                request,
                &format!("must be less than or equal to {name} limit of {most}"),
            );
        }
    }
}

/// Are all amounts somewhere in a value quantities?
pub(super) fn all_quantities(value: &Value) -> Result<(), BadQuantity> {
    match value {
        Value::Array(items) => items.iter().try_for_each(all_quantities),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let amounts = match name.as_str() {
                "requests" | "limits" | "hard" | "capacity" => value.as_object(),
                _ => None,
            };
            // `limits` of a LimitRange is a list; only maps hold amounts, and those no objects.
            match amounts.filter(|all| all.values().all(|one| !one.is_object())) {
                Some(amounts) => amounts
                    .values()
                    .try_for_each(|one| Quantity::of_value(one).map(|_| ())),
                None => all_quantities(value),
            }
        }),
        _ => Ok(()),
    }
}
