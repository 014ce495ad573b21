//! Kinds that make pods.

use super::field::Errors;
use super::{integer, items, not_negative, pod, text};
use crate::selector::LabelSelector;
use serde_json::Value;
use std::collections::BTreeMap;

/// A kind with replicas, a selector and a template: what they all have in common.
pub(super) fn selecting(spec: &Value, errors: &mut Errors) {
    not_negative(spec, "replicas", "spec", errors);
    not_negative(spec, "minReadySeconds", "spec", errors);
    selector(spec, errors);
    template(spec, errors);
    always(spec, errors);
}

/// The selector is there and picks the template's labels.
fn selector(spec: &Value, errors: &mut Errors) {
    let selector = spec.get("selector").filter(|one| !one.is_null());
    match selector {
        None => errors.required("spec.selector", ""),
        Some(one) if empty(one) => errors.invalid(
            "spec.selector",
            one,
            "empty selector is invalid for deployment",
        ),
        Some(_) => {}
    }
    let metadata = spec.get("template").and_then(|one| one.get("metadata"));
    let labels = metadata.and_then(|one| one.get("labels")).cloned();
    let labels = labels.unwrap_or(Value::Null);
    let map: BTreeMap<String, String> = serde_json::from_value(labels.clone()).unwrap_or_default();
    super::meta::labels(&map, "spec.template.labels", errors);
    let parsed = LabelSelector::from_value(selector.unwrap_or(&Value::Null));
    if parsed.is_none_or(|parsed| !parsed.matches(&map)) {
        errors.invalid(
            "spec.template.metadata.labels",
            &labels,
            "`selector` does not match template `labels`",
        );
    }
}

fn empty(selector: &Value) -> bool {
    LabelSelector::from_value(selector).is_some_and(|one| one.is_everything())
}

fn template(spec: &Value, errors: &mut Errors) {
    let spec = spec.get("template").and_then(|one| one.get("spec"));
    pod::check(spec.unwrap_or(&Value::Null), "spec.template.spec", errors);
}

fn always(spec: &Value, errors: &mut Errors) {
    let template = spec.get("template").and_then(|one| one.get("spec"));
    let policy = template
        .map(|one| text(one, "restartPolicy"))
        .unwrap_or_default();
    if matches!(policy, "OnFailure" | "Never") {
        errors.unsupported(
            "spec.template.spec.restartPolicy",
            &policy.into(),
            &["Always"],
        );
    }
}

pub(super) fn deployment(spec: &Value, errors: &mut Errors) {
    selecting(spec, errors);
    strategy(spec, "strategy", &["Recreate", "RollingUpdate"], errors);
    not_negative(spec, "revisionHistoryLimit", "spec", errors);
    let strategy = spec.get("strategy");
    let rolling = strategy.and_then(|one| one.get("rollingUpdate"));
    if let Some(rolling) = rolling.filter(|one| !one.is_null()) {
        if strategy.map(|one| text(one, "type")) == Some("Recreate") {
            errors.forbidden(
                "spec.strategy.rollingUpdate",
                "may not be specified when strategy `type` is 'Recreate'",
            );
        } else if zero(rolling, "maxUnavailable") && zero(rolling, "maxSurge") {
            errors.invalid(
                "spec.strategy.rollingUpdate.maxUnavailable",
                rolling.get("maxUnavailable").unwrap_or(&Value::Null),
                "may not be 0 when `maxSurge` is 0",
            );
        }
    }
    if let Some(seconds) = integer(spec, "progressDeadlineSeconds")
        && seconds <= integer(spec, "minReadySeconds").unwrap_or(0)
    {
        errors.invalid(
            "spec.progressDeadlineSeconds",
            &seconds.into(),
            "must be greater than minReadySeconds",
        );
    }
}

fn zero(fields: &Value, name: &str) -> bool {
    let value = fields.get(name);
    value.is_some_and(|value| value == 0 || value == "0%")
}

fn strategy(spec: &Value, name: &str, known: &[&str], errors: &mut Errors) {
    let kind = spec.get(name).map(|one| text(one, "type"));
    let kind = kind.unwrap_or_default();
    if !known.contains(&kind) {
        errors.unsupported(&format!("spec.{name}.type"), &kind.into(), known);
    }
}

pub(super) fn stateful_set(spec: &Value, errors: &mut Errors) {
    let policy = text(spec, "podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&policy) {
        errors.unsupported(
            "spec.podManagementPolicy",
            &policy.into(),
            &["OrderedReady", "Parallel"],
        );
    }
    strategy(
        spec,
        "updateStrategy",
        &["OnDelete", "RollingUpdate"],
        errors,
    );
    selecting(spec, errors);
}

pub(super) fn daemon_set(spec: &Value, errors: &mut Errors) {
    selector(spec, errors);
    template(spec, errors);
    always(spec, errors);
    strategy(
        spec,
        "updateStrategy",
        &["OnDelete", "RollingUpdate"],
        errors,
    );
    not_negative(spec, "minReadySeconds", "spec", errors);
    not_negative(spec, "revisionHistoryLimit", "spec", errors);
}

pub(super) fn job(spec: &Value, path: &str, errors: &mut Errors) {
    for name in [
        "parallelism",
        "completions",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ] {
        not_negative(spec, name, path, errors);
    }
    let mode = text(spec, "completionMode");
    let no_count = spec.get("completions").is_none_or(Value::is_null);
    if mode == "Indexed" && no_count {
        errors.required(
            &format!("{path}.completions"),
            "when completion mode is Indexed",
        );
    }
    let template = spec.get("template").and_then(|one| one.get("spec"));
    let template = template.unwrap_or(&Value::Null);
    pod::check(template, &format!("{path}.template.spec"), errors);
    if text(template, "restartPolicy") == "Always" {
        errors.required(
            &format!("{path}.template.spec.restartPolicy"),
            "valid values: \"OnFailure\", \"Never\"",
        );
    }
}

pub(super) fn cron_job(spec: &Value, errors: &mut Errors) {
    if text(spec, "schedule").is_empty() {
        errors.required("spec.schedule", "");
    }
    let policy = text(spec, "concurrencyPolicy");
    let known = ["Allow", "Forbid", "Replace"];
    if !known.contains(&policy) {
        errors.unsupported("spec.concurrencyPolicy", &policy.into(), &known);
    }
    let template = spec.get("jobTemplate").and_then(|one| one.get("spec"));
    job(
        template.unwrap_or(&Value::Null),
        "spec.jobTemplate.spec",
        errors,
    );
}

pub(super) fn autoscaler(spec: &Value, errors: &mut Errors) {
    let least = integer(spec, "minReplicas").unwrap_or(1);
    if least < 1 {
        errors.invalid(
            "spec.minReplicas",
            &least.into(),
            "must be greater than or equal to 1",
        );
    }
    let most = integer(spec, "maxReplicas").unwrap_or(0);
    if most < 1 {
        errors.invalid("spec.maxReplicas", &most.into(), "must be greater than 0");
    } else if most < least {
        errors.invalid(
            "spec.maxReplicas",
            &most.into(),
            "must be greater than or equal to `minReplicas`",
        );
    }
    let target = spec.get("scaleTargetRef").unwrap_or(&Value::Null);
    for name in ["kind", "name"] {
        if text(target, name).is_empty() {
            errors.required(&format!("spec.scaleTargetRef.{name}"), "");
        }
    }
    for (index, metric) in items(spec, "metrics") {
        if text(metric, "type").is_empty() {
            errors.required(
                &format!("spec.metrics[{index}].type"),
                "must specify a metric source type",
            );
        }
    }
}
