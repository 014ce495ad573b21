//! Which nodes a DaemonSet's pod belongs on, and the pod for one of them.

use crate::cluster::Cluster;
use crate::controllers::placement::{Node, Toleration, Wishes};
use crate::controllers::pods::Template;
use crate::object::Object;
use serde_json::{Value, json};

/// Does the pod belong on a node?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// One has to run there.
    Must,
    /// None is to be started there, one that runs stays.
    MayStay,
    /// None may run there.
    MustNot,
}

/// Taints that every pod of a DaemonSet tolerates: what is wrong with a node is what it is for.
fn tolerations(host_network: bool) -> Vec<Toleration> {
    let one = |name: &str, effect: &str| Toleration {
        key: format!("node.kubernetes.io/{name}"),
        operator: "Exists".to_owned(),
        effect: effect.to_owned(),
        ..Toleration::default()
    };
    let mut all = vec![
        one("not-ready", "NoExecute"),
        one("unreachable", "NoExecute"),
        one("disk-pressure", "NoSchedule"),
        one("memory-pressure", "NoSchedule"),
        one("pid-pressure", "NoSchedule"),
        one("unschedulable", "NoSchedule"),
    ];
    if host_network {
        all.push(one("network-unavailable", "NoSchedule"));
    }
    all
}

/// What the pods of a template wish for.
pub(super) fn wishes(template: &Value) -> Wishes {
    let spec = template.get("spec").cloned().unwrap_or_default();
    let mut wishes: Wishes = serde_json::from_value(spec).unwrap_or_default();
    let more = tolerations(wishes.host_network);
    wishes.tolerations.extend(more);
    wishes
}

pub(super) fn fit(wishes: &Wishes, node: &Node<'_>) -> Fit {
    if !wishes.suits(node) {
        Fit::MustNot
    } else if wishes.tolerates(&node.taints, &["NoSchedule", "NoExecute"]) {
        Fit::Must
    } else if wishes.tolerates(&node.taints, &["NoExecute"]) {
        Fit::MayStay
    } else {
        Fit::MustNot
    }
}

/// The pod for a node: the scheduler binds it, and can bind it nowhere else.
pub(super) fn draft(
    cluster: &Cluster,
    owner: &Object,
    template: &Value,
    hash: &str,
    node: &str,
) -> Object {
    let mut pod = Template::of(template).pod(cluster, owner);
    let labels = &mut pod.meta.labels;
    labels.insert(super::HASH_LABEL.to_owned(), hash.to_owned());
    let generation = owner.meta.generation.to_string();
    labels.insert("pod-template-generation".to_owned(), generation);
    let mut spec: Value = pod.spec();
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    if let Some(map) = spec.as_object_mut() {
        let only = json!([{
            "matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}],
        }]);
        let affinity = map.entry("affinity").or_insert_with(|| json!({}));
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        if let Some(affinity) = affinity.as_object_mut() {
            let on_nodes = affinity.entry("nodeAffinity").or_insert_with(|| json!({}));
            if let Some(on_nodes) = on_nodes.as_object_mut() {
                on_nodes.insert(required.to_owned(), json!({"nodeSelectorTerms": only}));
            }
        }
        let own = map.entry("tolerations").or_insert_with(|| json!([]));
        if let Some(own) = own.as_array_mut() {
            own.extend(tolerations(host_network).iter().map(|one| json!(one)));
        }
    }
    pod.set("spec", &spec);
    pod
}
