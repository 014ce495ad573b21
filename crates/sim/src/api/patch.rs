//! `patch`, of all four kinds.

use super::call::Call;
use super::write::{self, Mode};
use super::{Answer, scale};
use crate::cluster::Cluster;
use crate::object::Object;
use crate::patch::{self, PatchKind, Writer, manager_required};
use crate::registry::Part;
use crate::schema::Type;
use crate::status::{Details, Reason, Status};
use std::sync::Arc;

/// Patches an object, or its status. Server-side apply creates what is not there.
pub(super) fn serve(cluster: &mut Cluster, call: &Call<'_>, part: Part) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("PatchOptions")?;
    let kind = PatchKind::of(&call.row, &call.request.content_type)?;
    if kind == PatchKind::Apply {
        return apply(cluster, call, part, dry_run);
    }
    let old = call.view.show(&call.current(cluster)?);
    let directive = call.request.directive("PatchOptions")?;
    let type_of = Type::of_row(&call.row);
    let (new, warnings) = patch::patched(&type_of, &old, kind, &call.request.body, directive)?;
    let written = write::replace(cluster, call, new, part, Mode::sent(dry_run))?;
    Ok(call.object(cluster, 200, &written).warning(warnings))
}

fn apply(
    cluster: &mut Cluster,
    call: &Call<'_>,
    part: Part,
    dry_run: bool,
) -> Result<Answer, Status> {
    let query = &call.request.query;
    let manager = query.get("fieldManager").filter(|name| !name.is_empty());
    let writer = Writer {
        manager: manager.ok_or_else(manager_required)?,
        ..call.writer(cluster, "", true)
    };
    let old: Option<Arc<Object>> = cluster.store.get(&call.target.key()).cloned();
    if old.is_none() && part == Part::Status {
        return Err(Status::not_found(&call.row, call.name()));
    }
    let old = old.map(|old| call.view.show(&old));
    let mode = Mode {
        dry_run,
        applied: true,
    };
    let force = query.flag("force");
    let new = patch::apply(
        &call.row,
        old.as_deref(),
        &call.request.body,
        &writer,
        force,
    )?;
    let (code, written) = if old.is_some() {
        (200, write::replace(cluster, call, new, part, mode)?)
    } else {
        (201, write::add(cluster, call, new, mode)?)
    };
    Ok(call.object(cluster, code, &written))
}

/// Patches the Scale of an object.
pub(super) fn serve_scale(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("PatchOptions")?;
    let kind = PatchKind::of(&call.row, &call.request.content_type)?;
    if kind == PatchKind::Apply {
        let message = "415: Unsupported Media Type";
        let status = Status::new(Reason::UnsupportedMediaType, message);
        return Err(status.with_details(Details::default()));
    }
    let object = call.current(cluster)?;
    let old = scale::Paths::of(cluster, call)?.show(&object);
    let old = Object::from_value(old).map_err(|why| Status::bad_request(why.to_string()))?;
    let directive = call.request.directive("PatchOptions")?;
    let type_of = Type::of_name("Scale").unwrap_or_default();
    let (new, warnings) = patch::patched(&type_of, &old, kind, &call.request.body, directive)?;
    let answer = scale::apply(cluster, call, &new.to_value(), dry_run)?;
    Ok(answer.warning(warnings))
}
