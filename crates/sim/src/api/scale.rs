//! The `scale` subresource: `autoscaling/v1` Scale of everything that has replicas.

use super::call::Call;
use super::write::{self, Mode};
use super::{Answer, body};
use crate::cluster::Cluster;
use crate::custom::{self, ScalePaths};
use crate::object::Object;
use crate::registry::Part;
use crate::selector::LabelSelector;
use crate::status::{Cause, Details, Reason, Status};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Where the numbers of a Scale are kept.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    spec: String,
    status: String,
    selector: Option<String>,
}

impl Paths {
    /// Of this kind; 404 where it has no scale.
    pub(super) fn of(cluster: &Cluster, call: &Call<'_>) -> Result<Self, Status> {
        if !call.row.custom {
            return Ok(Self {
                spec: "/spec/replicas".to_owned(),
                status: "/status/replicas".to_owned(),
                selector: None,
            });
        }
        let pointer = |path: &str| path.replace('.', "/");
        let ScalePaths {
            wished,
            observed,
            selector,
        } = custom::scale_paths(cluster, &call.row).ok_or_else(super::route::unknown_resource)?;
        Ok(Self {
            spec: pointer(&wished),
            status: pointer(&observed),
            selector: selector.as_deref().map(pointer),
        })
    }

    /// The Scale of an object.
    pub(super) fn show(&self, object: &Object) -> Value {
        let value = object.to_value();
        let replicas = |path: &str| value.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let mut spec = Map::new();
        if replicas(&self.spec) != 0 {
            spec.insert("replicas".to_owned(), json!(replicas(&self.spec)));
        }
        let mut status = Map::new();
        status.insert("replicas".to_owned(), json!(replicas(&self.status)));
        if let Some(selector) = self.selector(&value) {
            status.insert("selector".to_owned(), json!(selector));
        }
        json!({
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {
                "name": object.meta.name,
                "namespace": object.meta.namespace,
                "uid": object.meta.uid,
                "resourceVersion": object.meta.resource_version.to_string(),
                "creationTimestamp": object.meta.creation_timestamp,
            },
            "spec": spec,
            "status": status,
        })
    }

    fn selector(&self, value: &Value) -> Option<String> {
        let Some(path) = &self.selector else {
            let selector = value.pointer("/spec/selector")?;
            // Of a ReplicationController it is the labels themselves.
            let labels = serde_json::from_value(selector.clone());
            return match labels {
                Ok(labels) => Some(LabelSelector::from_labels(&labels).to_string()),
                Err(_) => Some(LabelSelector::from_value(selector)?.to_string()),
            };
        };
        Some(value.pointer(path)?.as_str()?.to_owned())
    }
}

/// GET.
pub(super) fn get(cluster: &Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let object = call.current(cluster)?;
    let scale = Paths::of(cluster, call)?.show(&object);
    Ok(Answer::json(200, scale.to_string()))
}

/// PUT.
pub(super) fn update(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let scale = body::value(call.request, "Scale")?;
    let dry_run = call.request.dry_run("UpdateOptions")?;
    apply(cluster, call, &scale, dry_run)
}

/// Writes the replicas of a Scale into its object.
pub(super) fn apply(
    cluster: &mut Cluster,
    call: &Call<'_>,
    scale: &Value,
    dry_run: bool,
) -> Result<Answer, Status> {
    let paths = Paths::of(cluster, call)?;
    let object = call.current(cluster)?;
    let named = scale.pointer("/metadata/name").and_then(Value::as_str);
    if named != Some(call.name()) {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            named.unwrap_or_default(),
            call.name()
        )));
    }
    let replicas = wanted(scale)?;
    let sent = scale
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str);
    let mut value = object.to_value();
    let sent: u64 = super::list::parse_revision(sent.unwrap_or_default())?;
    set(&mut value, &paths.spec, json!(replicas));
    let mut new = Object::from_value(value).map_err(|why| Status::bad_request(why.to_string()))?;
    new.meta.resource_version = if sent == 0 {
        object.meta.resource_version
    } else {
        sent
    };
    let written: Arc<Object> = write::replace(cluster, call, new, Part::Main, Mode::sent(dry_run))?;
    Ok(Answer::json(200, paths.show(&written).to_string()))
}

fn wanted(scale: &Value) -> Result<i64, Status> {
    let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64);
    let replicas = replicas.unwrap_or(0);
    if replicas >= 0 {
        return Ok(replicas);
    }
    let name = scale
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let message = format!("Invalid value: {replicas}: must be greater than or equal to 0");
    let whole = format!("Scale.autoscaling \"{name}\" is invalid: spec.replicas: {message}");
    Err(Status::new(Reason::Invalid, whole).with_details(Details {
        name: name.to_owned(),
        group: "autoscaling".to_owned(),
        kind: "Scale".to_owned(),
        causes: vec![Cause {
            reason: "FieldValueInvalid".to_owned(),
            message,
            field: "spec.replicas".to_owned(),
        }],
        ..Details::default()
    }))
}

/// Sets the value at a pointer, making the maps on the way.
fn set(value: &mut Value, pointer: &str, new: Value) {
    let mut place = value;
    for part in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        let Some(map) = place.as_object_mut() else {
            return;
        };
        place = map.entry(part).or_insert(Value::Null);
    }
    *place = new;
}
