//! Put an earlier revision's template back. The plan knows revisions by the digests of their
//! templates only; the template itself is read here, compared, and goes to the API server and
//! nowhere else.

use super::live::{Halt, Live};
use super::patch::{Guarded, pointer};
use crate::template::{portable, template_digest};
use json_patch::Patch;
use nightshift_core::plan::RevisionRef;
use nightshift_core::world::{Kind, ObjectRef};
use serde_json::Value;

/// The object that holds the revision's template.
pub(super) fn holder(target: &ObjectRef, revision: &RevisionRef) -> Result<ObjectRef, Halt> {
    let fits = match target.kind {
        Kind::Deployment => revision.kind == Kind::ReplicaSet,
        Kind::StatefulSet | Kind::DaemonSet => revision.kind == Kind::ControllerRevision,
        _ => false,
    };
    if !fits {
        return Err(Halt::Refused(format!(
            "a {} has no revision of kind {}",
            target.kind, revision.kind
        )));
    }
    Ok(ObjectRef {
        kind: revision.kind.clone(),
        namespace: target.namespace.clone(),
        name: revision.name.clone(),
        uid: revision.uid.clone(),
    })
}

pub(super) fn patch(
    live: &Live,
    revision: &Value,
    from: &RevisionRef,
    to: &RevisionRef,
) -> Result<Patch, Halt> {
    let spec_template = pointer(&["spec", "template"]);
    let now = spec_template
        .resolve(&live.json)
        .map_err(|_| Halt::Refused(format!("{} has no template", live.object.reference())))?;
    if template_digest(now) != from.template {
        return Err(Halt::Stale(format!(
            "the template of {} is not that of revision {}",
            live.object.reference(),
            from.revision
        )));
    }
    let mut patch = Guarded::on(live);
    patch.test(spec_template.clone(), now.clone());
    patch.replace(spec_template, checked_template(live, revision, to)?);
    Ok(patch.finish())
}

/// The revision's template, when it is the one that was planned and belongs to the target.
fn checked_template(live: &Live, revision: &Value, to: &RevisionRef) -> Result<Value, Halt> {
    let stale = |what: &str| Halt::Stale(format!("{} {} {what}", to.kind, to.name));
    let uid = revision.pointer("/metadata/uid").and_then(Value::as_str);
    if uid != Some(to.uid.as_str()) {
        return Err(stale("is another one now"));
    }
    let owners = revision
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    let ours = |owner: &Value| owner["controller"] == true && owner["uid"] == live.uid();
    if !owners.into_iter().flatten().any(ours) {
        return Err(stale("does not belong to the target"));
    }
    let at = if to.kind == Kind::ReplicaSet {
        "/spec/template"
    } else {
        "/data/spec/template"
    };
    let template = revision
        .pointer(at)
        .ok_or_else(|| stale("holds no template"))?;
    if template_digest(template) != to.template {
        return Err(stale("holds another template now"));
    }
    Ok(portable(template))
}

/// Whether the target holds what we would have written.
pub(super) fn holds(live: &Live, to: &RevisionRef) -> bool {
    live.json
        .pointer("/spec/template")
        .is_some_and(|template| template_digest(template) == to.template)
}
