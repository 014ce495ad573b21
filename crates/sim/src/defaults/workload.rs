//! Kinds that make pods.

use super::pod::template;
use super::{Fields, canonical_resources, each, inside, is_unset, or, within};
use crate::object::Object;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn deployment(spec: &mut Fields) {
    or(spec, "replicas", json!(1));
    template(spec);
    if let Some(strategy) = within(spec, "strategy") {
        or(strategy, "type", json!("RollingUpdate"));
        if strategy.get("type") == Some(&json!("RollingUpdate"))
            && let Some(rolling) = within(strategy, "rollingUpdate")
        {
            or(rolling, "maxUnavailable", json!("25%"));
            or(rolling, "maxSurge", json!("25%"));
        }
    }
    or(spec, "revisionHistoryLimit", json!(10));
    or(spec, "progressDeadlineSeconds", json!(600));
}

pub(super) fn replica_set(spec: &mut Fields) {
    or(spec, "replicas", json!(1));
    template(spec);
}

pub(super) fn replication_controller(object: &mut Object, spec: &mut Fields) {
    replica_set(spec);
    let labels = template_labels(spec);
    if !labels.is_empty() {
        or(spec, "selector", json!(labels));
        if object.meta.labels.is_empty() {
            object.meta.labels = labels.into();
        }
    }
}

fn template_labels(spec: &Fields) -> BTreeMap<String, String> {
    let template = spec.get("template").and_then(|one| one.get("metadata"));
    let labels = template.and_then(|one| one.get("labels")).cloned();
    serde_json::from_value(labels.unwrap_or_default()).unwrap_or_default()
}

pub(super) fn stateful_set(spec: &mut Fields) {
    or(spec, "podManagementPolicy", json!("OrderedReady"));
    or(spec, "replicas", json!(1));
    or(spec, "revisionHistoryLimit", json!(10));
    template(spec);
    if let Some(strategy) = within(spec, "updateStrategy") {
        or(strategy, "type", json!("RollingUpdate"));
        if strategy.get("type") == Some(&json!("RollingUpdate"))
            && let Some(rolling) = within(strategy, "rollingUpdate")
        {
            or(rolling, "partition", json!(0));
        }
    }
    if let Some(policy) = within(spec, "persistentVolumeClaimRetentionPolicy") {
        or(policy, "whenDeleted", json!("Retain"));
        or(policy, "whenScaled", json!("Retain"));
    }
    for claim in each(spec, "volumeClaimTemplates") {
        or(claim, "kind", json!("PersistentVolumeClaim"));
        or(claim, "apiVersion", json!("v1"));
        or(claim, "status", json!({"phase": "Pending"}));
        if let Some(spec) = inside(claim, "spec") {
            or(spec, "volumeMode", json!("Filesystem"));
            canonical_resources(spec);
        }
    }
}

pub(super) fn daemon_set(spec: &mut Fields) {
    or(spec, "revisionHistoryLimit", json!(10));
    template(spec);
    if let Some(strategy) = within(spec, "updateStrategy") {
        or(strategy, "type", json!("RollingUpdate"));
        if strategy.get("type") == Some(&json!("RollingUpdate"))
            && let Some(rolling) = within(strategy, "rollingUpdate")
        {
            or(rolling, "maxUnavailable", json!(1));
            or(rolling, "maxSurge", json!(0));
        }
    }
}

pub(super) fn job(object: &mut Object, spec: &mut Fields) {
    template(spec);
    if is_unset(spec, "completions") && is_unset(spec, "parallelism") {
        or(spec, "completions", json!(1));
    }
    or(spec, "parallelism", json!(1));
    if is_unset(spec, "backoffLimitPerIndex") {
        or(spec, "backoffLimit", json!(6));
    } else {
        or(spec, "backoffLimit", json!(i32::MAX));
    }
    or(spec, "completionMode", json!("NonIndexed"));
    or(spec, "suspend", json!(false));
    or(spec, "manualSelector", json!(false));
    let replacement = if is_unset(spec, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    or(spec, "podReplacementPolicy", json!(replacement));
    if object.meta.labels.is_empty() {
        object.meta.labels = template_labels(spec).into();
    }
}

/// The labels by which a Job finds its pods, and a selector for them.
pub(super) fn identify_job(object: &mut Object) {
    let Some(Value::Object(mut spec)) = object.field::<Value>("spec") else {
        return;
    };
    if spec.get("manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let (uid, name) = (object.meta.uid.to_string(), object.meta.name.to_string());
    let labels = within(&mut spec, "template")
        .and_then(|template| within(template, "metadata"))
        .and_then(|metadata| within(metadata, "labels"));
    if let Some(labels) = labels {
        for prefix in ["batch.kubernetes.io/", ""] {
            labels.insert(format!("{prefix}controller-uid"), json!(uid));
            labels.insert(format!("{prefix}job-name"), json!(name));
        }
    }
    if let Some(selector) = within(&mut spec, "selector")
        && let Some(labels) = within(selector, "matchLabels")
    {
        labels.insert("batch.kubernetes.io/controller-uid".to_owned(), json!(uid));
    }
    object.set("spec", &spec);
    // The real one fills defaults in again when it reads what it stored, and finds these labels then.
    if object.meta.labels.is_empty() {
        object.meta.labels = template_labels(&spec).into();
    }
}

pub(super) fn cron_job(spec: &mut Fields) {
    or(spec, "concurrencyPolicy", json!("Allow"));
    or(spec, "suspend", json!(false));
    or(spec, "successfulJobsHistoryLimit", json!(3));
    or(spec, "failedJobsHistoryLimit", json!(1));
    if let Some(job) = within(spec, "jobTemplate") {
        or(job, "metadata", json!({}));
        if let Some(spec) = within(job, "spec") {
            template(spec);
        }
    }
}

pub(super) fn autoscaler(spec: &mut Fields) {
    or(spec, "minReplicas", json!(1));
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    if spec.get("metrics").is_none_or(none) {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        spec.insert("metrics".to_owned(), json!([metric]));
    }
}
