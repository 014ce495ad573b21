//! The target as it is now: where it is served, what core reads of it, and whether it still is what
//! the step was planned on.

use super::wire::{Draft, Only};
use json_patch::Patch;
use nightshift_core::plan::{Step, basis};
use nightshift_core::world::{Kind, Object, ObjectRef, Workload};
use serde_json::Value;
use std::sync::Arc;

/// Why nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The target is not what the step was planned on: plan again.
    Stale(String),
    /// We may not look.
    Forbidden(String),
    /// The step cannot be carried out.
    Refused(String),
    /// The target could not be read.
    Unread(String),
}

/// An object just read.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// Where it is served.
    pub(super) path: String,
    /// All of it.
    pub(super) json: Value,
    /// What core reads of it.
    pub(super) object: Object,
}

impl Live {
    pub(super) fn decode(path: String, reference: &ObjectRef, json: Value) -> Result<Self, Halt> {
        let object = decode(&reference.kind, &json).map_err(|why| {
            Halt::Unread(format!("{reference} cannot be read as what it is: {why}"))
        })?;
        Ok(Self { path, json, object })
    }

    /// Compares uid and basis with what the step was planned on.
    pub(super) fn compare(&self, step: &Step) -> Result<(), Halt> {
        let meta = self.object.meta();
        let target = &step.target;
        if meta.uid != target.uid {
            return Err(Halt::Stale(format!("{target} is another one now")));
        }
        if meta.deletion_timestamp.is_some() {
            return Err(Halt::Stale(format!("{target} is being deleted")));
        }
        if basis(&step.action, &self.object) != step.basis {
            let shown = step.action.shown(&self.object);
            return Err(Halt::Stale(format!(
                "{target} changed since the step was planned{shown}"
            )));
        }
        Ok(())
    }

    pub(super) fn uid(&self) -> &str {
        self.object.meta().uid.as_str()
    }

    pub(super) fn resource_version(&self) -> &str {
        &self.object.meta().resource_version
    }

    /// A JSON Patch on this object.
    pub(super) fn patched_by(&self, patch: Patch) -> Draft {
        Draft::Patch {
            path: self.path.clone(),
            patch,
        }
    }

    /// This very incarnation and version.
    pub(super) fn only(&self) -> Only {
        Only {
            uid: self.uid().to_owned(),
            resource_version: self.resource_version().to_owned(),
        }
    }
}

/// Path of the object on the API server; `None` for a kind that hands do not touch, and for a name
/// that would not be one segment of a path.
pub(super) fn path(object: &ObjectRef) -> Option<String> {
    let (group, plural) = match object.kind {
        Kind::Pod => ("api/v1", "pods"),
        Kind::Node => ("api/v1", "nodes"),
        Kind::Deployment => ("apis/apps/v1", "deployments"),
        Kind::ReplicaSet => ("apis/apps/v1", "replicasets"),
        Kind::StatefulSet => ("apis/apps/v1", "statefulsets"),
        Kind::DaemonSet => ("apis/apps/v1", "daemonsets"),
        Kind::ControllerRevision => ("apis/apps/v1", "controllerrevisions"),
        _ => return None,
    };
    let name = segment(&object.name)?;
    if object.kind == Kind::Node {
        return Some(format!("/{group}/{plural}/{name}"));
    }
    let namespace = segment(&object.namespace)?;
    Some(format!("/{group}/namespaces/{namespace}/{plural}/{name}"))
}

fn segment(name: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let fits = !name.is_empty() && name.chars().all(plain) && name != "." && name != "..";
    fits.then_some(name)
}

fn decode(kind: &Kind, json: &Value) -> Result<Object, String> {
    let error = |error: serde_json::Error| error.to_string();
    match kind {
        Kind::Pod => Ok(Object::Pod(Arc::new(read(json).map_err(error)?))),
        Kind::Node => Ok(Object::Node(Arc::new(read(json).map_err(error)?))),
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
            let mut workload: Workload = read(json).map_err(error)?;
            workload.kind = kind.clone();
            Ok(Object::Workload(Arc::new(workload)))
        }
        other => Err(format!("hands never write to a {other}")),
    }
}

fn read<T: serde::de::DeserializeOwned>(json: &Value) -> serde_json::Result<T> {
    T::deserialize(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: Kind, namespace: &str, name: &str) -> ObjectRef {
        ObjectRef {
            kind,
            namespace: namespace.into(),
            name: name.into(),
            uid: "u".into(),
        }
    }

    #[test]
    fn paths_are_those_of_the_api_server() {
        let table = [
            (
                object(Kind::Pod, "demo", "a"),
                Some("/api/v1/namespaces/demo/pods/a"),
            ),
            (
                object(Kind::Node, "", "node1.lan"),
                Some("/api/v1/nodes/node1.lan"),
            ),
            (
                object(Kind::StatefulSet, "demo", "db"),
                Some("/apis/apps/v1/namespaces/demo/statefulsets/db"),
            ),
            (object(Kind::Deployment, "", "shop"), None),
            (object(Kind::Deployment, "demo", "a/../../secrets/b"), None),
            (object(Kind::Deployment, "demo", ".."), None),
            (object(Kind::Deployment, "demo", "a?dryRun=All"), None),
            (object(Kind::Deployment, "demo", "%2e%2e"), None),
            (object(Kind::ConfigMap, "demo", "a"), None),
            (object(Kind::Other("Secret".into()), "demo", "a"), None),
        ];
        for (object, wanted) in table {
            assert_eq!(path(&object).as_deref(), wanted, "{object}");
        }
    }
}
