//! Full pod templates, which core never sees: their digest is what a roll back is bound to.

use nightshift_core::ids::Digest;
use serde_json::Value;

/// Digest of a full pod template as revisions and workloads hold it: `spec.template` of a
/// Deployment, ReplicaSet, StatefulSet or DaemonSet, `data.spec.template` of a ControllerRevision.
/// What only marks a revision (see `portable`) does not count, so that a workload's template and
/// that of its newest revision have the same digest.
pub fn template_digest(template: &Value) -> Digest {
    Digest::of(&portable(template))
}

/// The template as it can be put into a workload: without the label that the Deployment controller
/// adds to its ReplicaSets, without the `$patch` directive of ControllerRevisions, and without the
/// `creationTimestamp: null` that older API servers write.
pub(crate) fn portable(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(map) = template.as_object_mut() {
        map.remove("$patch");
    }
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        if metadata
            .get("creationTimestamp")
            .is_some_and(Value::is_null)
        {
            metadata.remove("creationTimestamp");
        }
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove("pod-template-hash");
        }
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template() -> Value {
        json!({
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"containers": [{"name": "app", "image": "shop:1"}]},
        })
    }

    #[test]
    fn marks_of_a_revision_do_not_change_the_digest() {
        let mut replica_set = template();
        replica_set["metadata"]["labels"]["pod-template-hash"] = json!("5d9c");
        let mut revision = template();
        revision["$patch"] = json!("replace");
        revision["metadata"]["creationTimestamp"] = Value::Null;
        assert_eq!(template_digest(&replica_set), template_digest(&template()));
        assert_eq!(template_digest(&revision), template_digest(&template()));
    }

    #[test]
    fn every_other_byte_of_the_template_counts() {
        let mut other = template();
        other["spec"]["containers"][0]["env"] = json!([{"name": "MODE", "value": "fast"}]);
        assert_ne!(template_digest(&other), template_digest(&template()));
        let mut labelled = template();
        labelled["metadata"]["labels"]["tier"] = json!("web");
        assert_ne!(template_digest(&labelled), template_digest(&template()));
    }

    #[test]
    fn the_portable_template_is_the_workloads_own() {
        let mut replica_set = template();
        replica_set["metadata"]["labels"]["pod-template-hash"] = json!("5d9c");
        assert_eq!(portable(&replica_set), template());
        assert_eq!(portable(&Value::Null), Value::Null);
    }
}
