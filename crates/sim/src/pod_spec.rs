//! The spec of a pod, as it is kept and read by components inside.
//!
//! Pods of one template have the same spec until they get a node. So a pod that was placed keeps the
//! spec of before, shared with all others of its template, and beside it its node; and what is read
//! of that spec is read once for all of them.

use crate::kubelet::PodSpec;
use crate::object::{Object, Raw, Written};
use crate::scheduler::Spec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// A spec that had no node, and the node.
#[derive(Debug, PartialEq)]
struct Placed {
    node: Arc<str>,
    spec: Raw,
}

impl Written for Placed {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"nodeName\":");
        crate::object::append(out, &self.node);
        let text = self.spec.text();
        let rest = text.trim_start().strip_prefix('{').unwrap_or("}");
        if !rest.trim_start().starts_with('}') {
            out.push(b',');
        }
        out.extend_from_slice(rest.as_bytes());
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn same(&self, other: &dyn Any) -> Option<bool> {
        other.downcast_ref().map(|other| self == other)
    }

    fn base(&self) -> Option<&Raw> {
        Some(&self.spec)
    }
}

/// What was read of a spec, each part when somebody asked for it.
#[derive(Debug, Default)]
struct Parts {
    node: Arc<str>,
    scheduling: OnceLock<Arc<Spec>>,
    running: OnceLock<Arc<PodSpec>>,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Node {
            #[serde(default)]
            node_name: Arc<str>,
        }
        let node = serde_json::from_str::<Node>(text).ok()?.node_name;
        Some(Self {
            node,
            ..Self::default()
        })
    }
}

/// The same spec with a node. `None` when it is no object.
pub(crate) fn place(spec: &Raw, node: &Arc<str>) -> Option<Raw> {
    let text = spec.text();
    if text.contains("\"nodeName\"") {
        let mut value: Value = serde_json::from_str(&text).ok()?;
        let fields = value.as_object_mut()?;
        fields.insert("nodeName".to_owned(), (**node).into());
        return Raw::of(&value);
    }
    text.trim_start().starts_with('{').then(|| {
        Raw::written(Placed {
            node: Arc::clone(node),
            spec: spec.clone(),
        })
    })
}

/// The node a pod is on; empty when it is on none.
pub(crate) fn node_of(pod: &Object) -> Arc<str> {
    let Some(spec) = pod.fields.get("spec") else {
        return Arc::default();
    };
    if let Some(placed) = spec.as_value::<Placed>() {
        return Arc::clone(&placed.node);
    }
    let parts = spec.read_once(Parts::read);
    parts
        .map(|parts| Arc::clone(&parts.node))
        .unwrap_or_default()
}

/// What a scheduler reads of it.
pub(crate) fn scheduling(pod: &Object) -> Arc<Spec> {
    part(pod, |parts| &parts.scheduling)
}

/// What a kubelet reads of it.
pub(crate) fn running(pod: &Object) -> Arc<PodSpec> {
    part(pod, |parts| &parts.running)
}

fn part<T: DeserializeOwned + Default>(
    pod: &Object,
    of: impl FnOnce(&Parts) -> &OnceLock<Arc<T>>,
) -> Arc<T> {
    let known = || {
        let spec = pod.fields.get("spec")?;
        let spec = spec
            .as_value::<Placed>()
            .map_or(spec, |placed| &placed.spec);
        Some((spec, spec.read_once(Parts::read)?))
    };
    known().map_or_else(Arc::default, |(spec, parts)| {
        let read = || Arc::new(serde_json::from_str(&spec.text()).unwrap_or_default());
        Arc::clone(of(&parts).get_or_init(read))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: &Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap()
    }

    fn placed(spec: &Value) -> Object {
        let mut pod = pod(spec);
        let spec = place(pod.fields.get("spec").unwrap(), &"n1".into()).unwrap();
        pod.fields.insert("spec", spec);
        pod
    }

    #[test]
    fn a_placed_pod_is_written_with_its_node() {
        let spec = json!({"containers": [{"name": "main"}]});
        let with = json!({"nodeName": "n1", "containers": [{"name": "main"}]});
        assert_eq!(placed(&spec).to_value(), pod(&with).to_value());
        assert_eq!(
            placed(&json!({})).to_value(),
            pod(&json!({"nodeName": "n1"})).to_value()
        );
        let other = placed(&json!({"nodeName": "other"}));
        assert_eq!((&*node_of(&other), &*node_of(&pod(&json!({})))), ("n1", ""));
        assert_eq!(place(&Raw::of(&1).unwrap(), &"n1".into()), None);
    }

    #[test]
    fn pods_of_one_template_are_read_once_wherever_they_are() {
        let mut one = pod(&json!({"containers": [{"name": "main"}]}));
        let mut other = pod(&json!({"containers": [{"name": "main"}]}));
        one.fields.insert(
            "spec",
            place(one.fields.get("spec").unwrap(), &"n1".into()).unwrap(),
        );
        other.share(&one);
        assert!(Arc::ptr_eq(&running(&one), &running(&other)));
        assert_eq!((&*node_of(&one), &*node_of(&other)), ("n1", ""));
        assert_eq!(running(&one).containers.len(), 1);
    }
}
