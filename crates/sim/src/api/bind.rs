//! `pods/binding` and `namespaces/finalize`.

use super::call::Call;
use super::{Answer, body};
use crate::cluster::Cluster;
use crate::object::Object;
use crate::resources::ids;
use crate::status::{Cause, Details, Reason, Status};
use serde_json::{Map, Value, json};

/// Puts a pod on a node (`k8s.io/kubernetes/pkg/registry/core/pod/storage/storage.go`).
pub(super) fn create(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("CreateOptions")?;
    let binding = body::value(call.request, "Binding")?;
    let text = |path: &str| {
        binding
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if text("/metadata/name") != call.name() {
        return Err(Status::bad_request(
            "name in URL does not match name in Binding object",
        ));
    }
    let kind = text("/target/kind");
    let node = text("/target/name");
    if !matches!(kind, "" | "Node") {
        let message =
            format!("Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\"");
        return Err(invalid(
            call.name(),
            "FieldValueNotSupported",
            "target.kind",
            message,
        ));
    }
    if node.is_empty() {
        let message = "Required value".to_owned();
        return Err(invalid(
            call.name(),
            "FieldValueRequired",
            "target.name",
            message,
        ));
    }
    let pod = call.current(cluster)?;
    assign(cluster, call, &pod, node, dry_run)?;
    let done = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    });
    Ok(Answer::json(201, done.to_string()))
}

fn assign(
    cluster: &mut Cluster,
    call: &Call<'_>,
    pod: &Object,
    node: &str,
    dry_run: bool,
) -> Result<(), Status> {
    let conflict = |why: &str| {
        let kind = "pods/binding";
        let name = &pod.meta.name;
        let message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}");
        Err(
            Status::new(Reason::Conflict, message).with_details(Details {
                name: name.to_string(),
                kind: kind.to_owned(),
                ..Details::default()
            }),
        )
    };
    let mut spec: Map<String, Value> = pod.spec();
    let name = &pod.meta.name;
    if pod.meta.deletion_timestamp.is_some() {
        return conflict(&format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    if let Some(assigned) = spec
        .get("nodeName")
        .and_then(Value::as_str)
        .filter(|one| !one.is_empty())
    {
        return conflict(&format!(
            "pod {name} is already assigned to node {assigned:?}"
        ));
    }
    let gates = spec.get("schedulingGates").and_then(Value::as_array);
    if gates.is_some_and(|gates| !gates.is_empty()) {
        return conflict(&format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    if dry_run {
        return Ok(());
    }
    spec.insert("nodeName".to_owned(), json!(node));
    let now = json!(cluster.now_seconds());
    cluster.modify(&call.target.key(), |pod| {
        pod.set("spec", &spec);
        let mut status: Map<String, Value> = pod.status();
        let conditions = status.entry("conditions").or_insert_with(|| json!([]));
        if let Some(conditions) = conditions.as_array_mut() {
            conditions.retain(|one| one.get("type") != Some(&json!("PodScheduled")));
            conditions.push(json!({
                "type": "PodScheduled", "status": "True",
                "lastProbeTime": null, "lastTransitionTime": now,
            }));
        }
        pod.set("status", &status);
    });
    Ok(())
}

fn invalid(name: &str, reason: &str, field: &str, message: String) -> Status {
    let whole = format!("Binding \"{name}\" is invalid: {field}: {message}");
    Status::new(Reason::Invalid, whole).with_details(Details {
        name: name.to_owned(),
        kind: "Binding".to_owned(),
        causes: vec![Cause {
            reason: reason.to_owned(),
            message,
            field: field.to_owned(),
        }],
        ..Details::default()
    })
}

/// Writes the finalizers of a namespace's spec: without any, a namespace that is being deleted goes.
pub(super) fn finalize(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("UpdateOptions")?;
    let body::Sent { object, warnings } = body::object(call.request, &call.row, "UpdateOptions")?;
    let old = call.current(cluster)?;
    let mut new = Object::clone(&old);
    let finalizers: Map<String, Value> = object.spec();
    new.set("spec", &finalizers);
    new.meta.resource_version = object.meta.resource_version;
    let (_, merged) = cluster.merge(ids::NAMESPACES, new, crate::registry::Part::Main)?;
    let written = if dry_run {
        std::sync::Arc::new(merged)
    } else {
        cluster.update(ids::NAMESPACES, merged, crate::registry::Part::Main)?
    };
    Ok(call.object(cluster, 200, &written).warning(warnings))
}
