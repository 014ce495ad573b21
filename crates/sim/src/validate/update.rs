//! What may not change.

use super::field::Errors;
use super::text;
use crate::object::Object;
use crate::resources::{ResourceId, ids};
use serde::Deserialize;
use serde_json::{Value, json};

/// Checks an update of an object's main part.
pub(super) fn check(resource: ResourceId, old: &Object, new: &Object, errors: &mut Errors) {
    let spec = |object: &Object| object.field::<Value>("spec").unwrap_or_default();
    match resource {
        ids::PODS => pod(spec(old), spec(new), errors),
        ids::DEPLOYMENTS | ids::REPLICA_SETS | ids::DAEMON_SETS => {
            same(&spec(old), &spec(new), "selector", errors);
        }
        ids::STATEFUL_SETS => stateful_set(spec(old), spec(new), errors),
        ids::JOBS => job(old, new, errors),
        ids::SERVICES => service(&spec(old), &spec(new), errors),
        ids::CONFIGMAPS | ids::SECRETS => configuration(resource, old, new, errors),
        ids::ROLE_BINDINGS | ids::CLUSTER_ROLE_BINDINGS => role_ref(old, new, errors),
        ids::PERSISTENT_VOLUME_CLAIMS => claim(spec(old), spec(new), errors),
        ids::STORAGE_CLASSES => {
            for (name, why) in [
                ("parameters", "updates to parameters are forbidden."),
                ("provisioner", "updates to provisioner are forbidden."),
                ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
            ] {
                if old.fields.get(name) != new.fields.get(name) {
                    errors.forbidden(name, why);
                }
            }
        }
        ids::PRIORITY_CLASSES if old.fields.get("value") != new.fields.get("value") => {
            errors.forbidden("value", "may not be changed in an update.");
        }
        _ => {}
    }
}

fn same(old: &Value, new: &Value, name: &str, errors: &mut Errors) {
    errors.immutable(&format!("spec.{name}"), old.get(name), new.get(name));
}

/// Only a few fields of a pod's spec may change.
fn pod(old: Value, new: Value, errors: &mut Errors) {
    const WHY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    let count = |spec: &Value, name: &str| super::items(spec, name).count();
    for list in ["containers", "initContainers"] {
        if count(&old, list) != count(&new, list) {
            errors.forbidden(
                &format!("spec.{list}"),
                "pod updates may not add or remove containers",
            );
            return;
        }
    }
    if !tolerations_kept(&old, &new) {
        errors.forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
    let (old, new) = (comparable(old), comparable(new));
    if old != new {
        errors.forbidden("spec", &format!("{WHY}\n{}", difference(&old, &new)));
    }
}

fn tolerations_kept(old: &Value, new: &Value) -> bool {
    let plain = |spec: &Value| -> Vec<Value> {
        let each = super::items(spec, "tolerations").map(|(_, one)| {
            let mut one = one.clone();
            if let Some(fields) = one.as_object_mut() {
                fields.remove("tolerationSeconds");
            }
            one
        });
        each.collect()
    };
    let new = plain(new);
    plain(old).iter().all(|one| new.contains(one))
}

/// A pod's spec without what may change.
fn comparable(spec: Value) -> Value {
    const FREE: [&str; 5] = [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "ephemeralContainers",
        "schedulingGates",
    ];
    without(spec, "image", &FREE)
}

/// A pod's spec without one field of its containers and some of its own.
fn without(mut spec: Value, of_containers: &str, own: &[&str]) -> Value {
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(fields) = container.as_object_mut() {
                fields.remove(of_containers);
            }
        }
    }
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, _| !own.contains(&name.as_str()));
    }
    spec
}

/// The lines that differ. The real server prints its own internal type with three lines around.
fn difference(old: &Value, new: &Value) -> String {
    let print = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (old, new) = (print(old), print(new));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(&old), lines(&new));
    let gone = old.iter().filter(|line| !new.contains(line));
    let added = new.iter().filter(|line| !old.contains(line));
    let all = gone
        .map(|line| format!("-{line}"))
        .chain(added.map(|line| format!("+{line}")));
    all.map(|line| line + "\n").collect()
}

fn stateful_set(old: Value, new: Value, errors: &mut Errors) {
    const FREE: [&str; 8] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "status",
    ];
    let without = |mut spec: Value| {
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !FREE.contains(&name.as_str()));
        }
        spec
    };
    if without(old) != without(new) {
        errors.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

/// `ValidateJobSpecUpdate`.
fn job(before: &Object, after: &Object, errors: &mut Errors) {
    let spec = |object: &Object| object.field::<Value>("spec").unwrap_or_default();
    let (old, new) = (spec(before), spec(after));
    for name in ["selector", "completionMode", "podFailurePolicy"] {
        same(&old, &new, name, errors);
    }
    if text(&new, "completionMode") != "Indexed" {
        same(&old, &new, "completions", errors);
    }
    if !rests(before) {
        same(&old, &new, "template", errors);
        return;
    }
    let pods = |spec: &Value| spec.pointer("/template/spec").cloned().unwrap_or_default();
    let now = pods(&new);
    if placeless(pods(&old)) != placeless(now.clone()) {
        errors.invalid("spec.template.spec", &now, "field is immutable");
    }
}

/// Is a Job suspended with nothing of it running? Then its pods may still be told where to run and
/// how much they get (`shouldAllowMutablePodTemplate` in `registry/batch/job/strategy.go`).
fn rests(job: &Object) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Status {
        active: u32,
        start_time: Option<String>,
        conditions: Vec<Condition>,
    }
    #[derive(Deserialize)]
    struct Condition {
        r#type: String,
        status: String,
    }
    let suspended = job.field::<Value>("spec").unwrap_or_default();
    let status: Status = job.status();
    let mut conditions = status.conditions.iter();
    let stands = status.start_time.is_none()
        || conditions.any(|one| one.r#type == "Suspended" && one.status == "True");
    suspended.get("suspend") == Some(&Value::Bool(true)) && stands && status.active == 0
}

/// A pod's spec without where it may run and how much it gets.
fn placeless(spec: Value) -> Value {
    let mut spec = without(
        spec,
        "resources",
        &["nodeSelector", "tolerations", "schedulingGates"],
    );
    if let Some(fields) = spec.as_object_mut()
        && let Some(affinity) = fields.get_mut("affinity").and_then(Value::as_object_mut)
    {
        affinity.remove("nodeAffinity");
        if affinity.is_empty() {
            fields.remove("affinity");
        }
    }
    spec
}

fn service(old: &Value, new: &Value, errors: &mut Errors) {
    let (before, after) = (text(old, "clusterIP"), text(new, "clusterIP"));
    let leaves = |spec: &Value| text(spec, "type") == "ExternalName";
    if !before.is_empty() && before != after && !leaves(old) && !leaves(new) {
        errors.invalid(
            "spec.clusterIPs[0]",
            &json!([after]),
            "may not change once set",
        );
    }
}

fn configuration(resource: ResourceId, old: &Object, new: &Object, errors: &mut Errors) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if resource == ids::SECRETS && old.fields.get("type") != new.fields.get("type") {
        let now: Value = new.field("type").unwrap_or_default();
        errors.invalid("type", &now, "field is immutable");
    }
    if old.field("immutable") != Some(true) {
        return;
    }
    if new.field("immutable") != Some(true) {
        errors.forbidden("immutable", WHY);
    }
    for name in ["data", "binaryData"] {
        let value = |object: &Object| object.field::<Value>(name);
        if value(old) != value(new) {
            errors.forbidden(name, WHY);
        }
    }
}

fn role_ref(old: &Object, new: &Object, errors: &mut Errors) {
    let reference = |object: &Object| object.field::<Value>("roleRef").unwrap_or_default();
    let now = reference(new);
    if reference(old) != now {
        // Printed as Go prints the internal type.
        let quoted = |name: &str| Value::from(text(&now, name));
        let printed = format!(
            "{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}",
            quoted("apiGroup"),
            quoted("kind"),
            quoted("name")
        );
        errors.printed("roleRef", &printed, "cannot change roleRef");
    }
}

fn claim(old: Value, new: Value, errors: &mut Errors) {
    let without = |mut spec: Value| {
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("volumeName");
            fields.remove("volumeAttributesClassName");
            fields.remove("resources");
        }
        spec
    };
    let unbound = text(&old, "volumeName").is_empty();
    if without(old) != without(new) && !unbound {
        errors.forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
}
