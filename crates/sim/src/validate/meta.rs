//! Names, labels, annotations, finalizers and owners.

use super::field::Errors;
use super::names;
use crate::object::Object;
use crate::resources::{ResourceId, ids};
use serde_json::Value;

/// Most bytes of all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What a new object's metadata may be.
pub(super) fn check(resource: ResourceId, object: &Object, errors: &mut Errors) {
    let meta = &object.meta;
    let rule: fn(&str) -> Vec<String> = match resource {
        ids::NAMESPACES => names::dns_label,
        ids::SERVICES => names::dns_1035_label,
        ids::ROLES | ids::ROLE_BINDINGS | ids::CLUSTER_ROLES | ids::CLUSTER_ROLE_BINDINGS => {
            names::path_segment
        }
        _ => names::dns_subdomain,
    };
    if meta.name.is_empty() && meta.generate_name.is_empty() {
        errors.required("metadata.name", "name or generateName is required");
    } else if !meta.name.is_empty() {
        errors.text("metadata.name", &meta.name, &rule(&meta.name));
    }
    if !meta.generate_name.is_empty() {
        // What is generated from it begins with it: a dash or a dot at its end is fine.
        let whole = format!("{}a", meta.generate_name);
        errors.text("metadata.generateName", &meta.generate_name, &rule(&whole));
    }
    check_labels(object, errors);
}

/// Labels, annotations, finalizers and owners.
pub(super) fn check_labels(object: &Object, errors: &mut Errors) {
    let meta = &object.meta;
    labels(&meta.labels, "metadata.labels", errors);
    for key in meta.annotations.keys() {
        let wrong = names::label_key(&key.to_lowercase());
        errors.text("metadata.annotations", key, &wrong);
    }
    let each = meta.annotations.iter();
    let size: usize = each
        .map(|(key, value)| key.len().saturating_add(value.len()))
        .sum();
    if size > MAX_ANNOTATIONS {
        errors.invalid(
            "metadata.annotations",
            &Value::Null,
            &format!("may not be more than {MAX_ANNOTATIONS} bytes"),
        );
    }
    for finalizer in &meta.finalizers {
        errors.text(
            "metadata.finalizers",
            finalizer,
            &names::label_key(finalizer),
        );
        let known = ["foregroundDeletion", "orphan", "kubernetes"];
        if !finalizer.contains('/') && !known.contains(&finalizer.as_str()) {
            errors.text(
                "metadata.finalizers",
                finalizer,
                &[
                    "name is neither a standard finalizer name nor is it fully qualified"
                        .to_owned(),
                ],
            );
        }
    }
    owners(object, errors);
}

/// Labels that are somewhere in an object.
pub(super) fn labels(
    labels: &std::collections::BTreeMap<String, String>,
    path: &str,
    errors: &mut Errors,
) {
    for (key, value) in labels {
        errors.text(path, key, &names::label_key(key));
        errors.text(path, value, &names::label_value(value));
    }
}

fn owners(object: &Object, errors: &mut Errors) {
    let mut controllers = 0_usize;
    for (index, owner) in object.meta.owner_references.iter().enumerate() {
        let path = format!("metadata.ownerReferences[{index}]");
        let fields = [
            (
                "apiVersion",
                &owner.api_version,
                "version must not be empty",
            ),
            ("kind", &owner.kind, "must not be empty"),
            ("name", &owner.name, "must not be empty"),
            ("uid", &owner.uid, "must not be empty"),
        ];
        for (name, value, why) in fields {
            if value.is_empty() {
                errors.invalid(&format!("{path}.{name}"), &"".into(), why);
            }
        }
        controllers = controllers.saturating_add(usize::from(owner.controller == Some(true)));
    }
    if controllers > 1 {
        let owners = serde_json::to_value(&object.meta.owner_references).unwrap_or_default();
        errors.invalid(
            "metadata.ownerReferences",
            &owners,
            "Only one reference can have Controller set to true",
        );
    }
}

/// What an update may not do to the metadata.
pub(super) fn check_update(old: &Object, new: &Object, errors: &mut Errors) {
    if old.meta.deletion_timestamp.is_none() {
        return;
    }
    let each = new.meta.finalizers.iter();
    let added: Vec<String> = each
        .filter(|one| !old.meta.finalizers.contains(one))
        .map(|one| format!("{one:?}"))
        .collect();
    if !added.is_empty() {
        errors.forbidden(
            "metadata.finalizers",
            &format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            ),
        );
    }
}
