//! `delete` and `deletecollection`.

use super::call::Call;
use super::list;
use super::render::List;
use super::request::{check_dry_run, invalid_options};
use super::{Answer, body};
use crate::admission::policy::{self, Asked};
use crate::cluster::Cluster;
use crate::object::Object;
use crate::registry::{DeleteOptions, Deleted};
use crate::resources::{ResourceId, ids};
use crate::status::Status;
use serde_json::{Value, json};

/// Kinds whose deletion answers with the last state (`ReturnDeletedObject` of their storage).
const RETURN_DELETED: [ResourceId; 12] = [
    ids::PODS,
    ids::NAMESPACES,
    ids::SERVICES,
    ids::SERVICE_ACCOUNTS,
    ids::RESOURCE_QUOTAS,
    ids::PERSISTENT_VOLUMES,
    ids::PERSISTENT_VOLUME_CLAIMS,
    ids::POD_TEMPLATES,
    ids::STORAGE_CLASSES,
    ids::CSI_DRIVERS,
    ids::CSI_NODES,
    ids::VOLUME_ATTACHMENTS,
];

/// Namespaces that are never deleted (admission plugin `NamespaceLifecycle`).
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Deletes one object.
pub(super) fn delete(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let (options, dry_run) = options(call)?;
    let deleted = remove(cluster, call, &options, dry_run)?;
    Ok(match deleted {
        Deleted::Marked(object) => call.object(cluster, 200, &object),
        Deleted::Gone(object) if RETURN_DELETED.contains(&call.target.stored) => {
            call.object(cluster, 200, &object)
        }
        Deleted::Gone(object) => success(call, &object),
    })
}

/// Deletes every object that is selected.
pub(super) fn delete_collection(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let (options, dry_run) = options(call)?;
    let page = list::page(cluster, call)?;
    let mut gone = Vec::new();
    for object in &page.objects {
        let mut each = call.clone();
        each.target.namespace = Some(object.meta.namespace.to_string());
        each.target.name = Some(object.meta.name.to_string());
        match remove(cluster, &each, &options, dry_run) {
            Ok(Deleted::Marked(object) | Deleted::Gone(object)) => {
                gone.push(object);
            }
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let (renderer, view) = (call.renderer(cluster), call.view.clone());
    Ok(List::new(renderer, view, gone, &page.meta).answer())
}

fn remove(
    cluster: &mut Cluster,
    call: &Call<'_>,
    options: &DeleteOptions,
    dry_run: bool,
) -> Result<Deleted, Status> {
    let name = call.name();
    if call.target.stored == ids::NAMESPACES && IMMORTAL.contains(&name) {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden(&call.row, name, why));
    }
    if let Some(object) = cluster.store.get(&call.target.key()) {
        let asked = Asked {
            row: &call.row,
            subresource: "",
            user: &call.user,
            dry_run,
            old: Some(object),
            new: None,
        };
        policy::check(cluster, &asked)?;
    }
    if dry_run {
        return cluster.try_delete(&call.target.key(), options);
    }
    cluster.delete(&call.target.key(), options)
}

/// What the body and the query say about how to delete.
fn options(call: &Call<'_>) -> Result<(DeleteOptions, bool), Status> {
    let request = call.request;
    let query = &request.query;
    let mut value = json!({});
    if !request.body.is_empty() {
        value = body::value(request, "DeleteOptions")?;
    }
    if let Some(map) = value.as_object_mut() {
        if let Some(seconds) = query.number("gracePeriodSeconds")? {
            map.insert("gracePeriodSeconds".to_owned(), json!(seconds));
        }
        if let Some(policy) = query.get("propagationPolicy") {
            map.insert("propagationPolicy".to_owned(), json!(policy));
        }
        if query.get("orphanDependents").is_some() {
            map.insert(
                "orphanDependents".to_owned(),
                json!(query.flag("orphanDependents")),
            );
        }
        let dry: Vec<&str> = query.all("dryRun").collect();
        if !dry.is_empty() {
            map.insert("dryRun".to_owned(), json!(dry));
        }
    }
    check(&value)?;
    let options: DeleteOptions = serde_json::from_value(value).map_err(|why| {
        Status::bad_request(format!(
            "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: json: {why}"
        ))
    })?;
    let dry: Vec<&str> = options.dry_run.iter().map(String::as_str).collect();
    let dry_run = check_dry_run(&dry, "DeleteOptions")?;
    Ok((options, dry_run))
}

fn check(value: &Value) -> Result<(), Status> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if let Some(policy) = text("propagationPolicy")
        && !matches!(policy, "Foreground" | "Background" | "Orphan")
    {
        let message = format!(
            "Unsupported value: {policy:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        );
        return Err(invalid_options(
            "DeleteOptions",
            "propagationPolicy",
            "FieldValueNotSupported",
            message,
        ));
    }
    Ok(())
}

/// A `Status` that says that the object is gone.
fn success(call: &Call<'_>, object: &Object) -> Answer {
    let mut details = json!({
        "name": object.meta.name,
        "kind": call.row.plural,
        "uid": object.meta.uid,
    });
    if !call.row.group.is_empty()
        && let Some(map) = details.as_object_mut()
    {
        map.insert("group".to_owned(), json!(call.row.group));
    }
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    });
    Answer::json(200, status.to_string())
}
