//! `create` and `update`.

use super::call::Call;
use super::{Answer, body};
use crate::cluster::Cluster;
use crate::object::Key;
use crate::object::Object;
use crate::registry::Part;
use crate::resources::{Resource, ids};
use crate::status::{Cause, Details, Reason, Status};
use crate::{admission, auth, custom};
use std::sync::Arc;

/// How an object is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mode {
    /// Only say what it would become.
    pub(super) dry_run: bool,
    /// It was made by server-side apply: its managers are noted already.
    pub(super) applied: bool,
}

impl Mode {
    /// As it is sent.
    pub(super) fn sent(dry_run: bool) -> Self {
        Self {
            dry_run,
            applied: false,
        }
    }
}

/// Creates an object.
pub(super) fn create(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("CreateOptions")?;
    let sent = body::object(call.request, &call.row, "CreateOptions")?;
    let written = add(cluster, call, sent.object, Mode::sent(dry_run))?;
    Ok(call.object(cluster, 201, &written).warning(sent.warnings))
}

/// Adds a new object, sent by a client or made by server-side apply.
pub(super) fn add(
    cluster: &mut Cluster,
    call: &Call<'_>,
    mut object: Object,
    mode: Mode,
) -> Result<Arc<Object>, Status> {
    place(&mut object, call)?;
    let sent_version = object.meta.resource_version;
    let stored = cluster.resources.get(call.target.stored).clone();
    let mut object = call.view.keep(object, &stored);
    if stored.has("status") {
        object.fields.remove("status");
    }
    check_namespace(cluster, call, &object)?;
    if sent_version != 0 {
        return Err(Status::new(
            Reason::Unknown,
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let resource = call.target.stored;
    auth::check_escalation(cluster, resource, &object, &call.user)?;
    let writer = call.writer(cluster, "", mode.applied);
    let asker = call.asker(mode.dry_run);
    let written = admission::create(cluster, resource, object, &writer, asker)?;
    if !mode.dry_run {
        custom::written(cluster, resource, &written);
    }
    Ok(written)
}

/// Replaces an object, or its status.
pub(super) fn update(cluster: &mut Cluster, call: &Call<'_>, part: Part) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("UpdateOptions")?;
    let sent = body::object(call.request, &call.row, "UpdateOptions")?;
    let written = replace(cluster, call, sent.object, part, Mode::sent(dry_run))?;
    Ok(call.object(cluster, 200, &written).warning(sent.warnings))
}

/// Writes a whole new state, sent by a client or made by a patch.
pub(super) fn replace(
    cluster: &mut Cluster,
    call: &Call<'_>,
    mut object: Object,
    part: Part,
    mode: Mode,
) -> Result<Arc<Object>, Status> {
    place(&mut object, call)?;
    let stored = cluster.resources.get(call.target.stored).clone();
    let object = call.view.keep(object, &stored);
    call.current(cluster)?;
    if object.meta.resource_version == 0 && needs_version(&stored) {
        return Err(Status::invalid(
            &stored,
            &object.meta.name,
            vec![Cause {
                reason: "FieldValueInvalid".to_owned(),
                message: "Invalid value: 0: must be specified for an update".to_owned(),
                field: "metadata.resourceVersion".to_owned(),
            }],
        ));
    }
    auth::check_escalation(cluster, call.target.stored, &object, &call.user)?;
    let subresource = call.target.subresource.as_deref().unwrap_or_default();
    let writer = call.writer(cluster, subresource, mode.applied);
    admission::update(
        cluster,
        call.target.stored,
        object,
        part,
        &writer,
        call.asker(mode.dry_run),
    )
}

/// Kinds that are never updated unconditionally (`AllowUnconditionalUpdate` of their strategy).
fn needs_version(row: &Resource) -> bool {
    row.custom
        || matches!(
            &*row.kind,
            "PodDisruptionBudget"
                | "Lease"
                | "RuntimeClass"
                | "CSIDriver"
                | "CSINode"
                | "VolumeAttachment"
                | "MutatingWebhookConfiguration"
                | "ValidatingWebhookConfiguration"
                | "CustomResourceDefinition"
        )
}

/// Into a namespace that is not there, or that goes, nothing is created
/// (admission plugin `NamespaceLifecycle`).
fn check_namespace(cluster: &Cluster, call: &Call<'_>, object: &Object) -> Result<(), Status> {
    let name = &object.meta.namespace;
    if name.is_empty() {
        return Ok(());
    }
    let Some(namespace) = cluster.store.get(&Key::new(ids::NAMESPACES, "", name)) else {
        let row = cluster.resources.get(ids::NAMESPACES);
        return Err(Status::not_found(row, name));
    };
    if namespace.meta.deletion_timestamp.is_none() {
        return Ok(());
    }
    let why =
        format!("unable to create new content in namespace {name} because it is being terminated");
    let mut status = Status::forbidden(&call.row, &object.meta.name, &why);
    let details = status.details.get_or_insert_with(Box::<Details>::default);
    details.causes.push(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    Err(status)
}

/// Name and namespace of the body have to be those of the path.
fn place(object: &mut Object, call: &Call<'_>) -> Result<(), Status> {
    if let Some(name) = &call.target.name {
        if object.meta.name.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        if *object.meta.name != **name {
            return Err(Status::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                object.meta.name
            )));
        }
    }
    let namespace = call.target.namespace.as_deref().unwrap_or_default();
    if call.row.namespaced && namespace.is_empty() && call.target.name.is_none() {
        // A collection of all namespaces can be read, not written to.
        return Err(super::route::not_allowed());
    }
    if object.meta.namespace.is_empty() {
        object.meta.namespace = namespace.into();
    }
    if *object.meta.namespace != *namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
