//! What may not change.

use super::field::Errors;
use super::text;
use crate::object::Object;
use crate::resources::{ResourceId, ids};
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
        ids::JOBS => job(&spec(old), &spec(new), errors),
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
fn comparable(mut spec: Value) -> Value {
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(fields) = container.as_object_mut() {
                fields.remove("image");
            }
        }
    }
    if let Some(fields) = spec.as_object_mut() {
        for name in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "ephemeralContainers",
            "schedulingGates",
        ] {
            fields.remove(name);
        }
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

fn job(old: &Value, new: &Value, errors: &mut Errors) {
    same(old, new, "selector", errors);
    same(old, new, "completionMode", errors);
    if text(new, "completionMode") != "Indexed" {
        same(old, new, "completions", errors);
    }
    let template = |spec: &Value| spec.get("template").cloned().unwrap_or_default();
    // A Job that is suspended may still be told where to run; the spec of its pods is fixed after that.
    if old.get("suspend") == Some(&Value::Bool(true)) {
        return;
    }
    let (before, after) = (template(old), template(new));
    for name in ["metadata", "spec"] {
        if before.get(name) != after.get(name) {
            let value = after.get(name).unwrap_or(&Value::Null);
            errors.invalid(
                &format!("spec.template.{name}"),
                value,
                "field is immutable",
            );
        }
    }
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
