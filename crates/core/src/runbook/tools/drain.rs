//! `drain_node`: one eviction a pod, one at a time, each judged anew. Always asks.

use super::{Proposal, Run, Tool, WRITE_FIELDS, owner};
use crate::plan::Action;
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Kind, Node, Object, Pod, Source};
use std::sync::Arc;

pub(in crate::runbook) const DRAIN_NODE: Tool = Tool {
    names: &["drain_node"],
    fields: WRITE_FIELDS,
    needs: &[Source::Nodes, Source::Pods, Source::PodDisruptionBudgets],
    params: &[],
    run: Run::Write(propose),
    repeats: true,
};

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let Some(node) = owner::node(cx) else {
        return Proposal::Person("the fault is not about a node that was seen".to_owned());
    };
    let pods = evictable(cx, node);
    if let Some(leaving) = pods
        .iter()
        .find(|pod| pod.metadata.deletion_timestamp.is_some())
    {
        return Proposal::Pass(format!("{} is still leaving", leaving.reference()));
    }
    let Some(pod) = pods.first() else {
        return Proposal::Pass(format!("no pod of {} can be evicted", node.reference()));
    };
    let mut asks = vec!["a drain always asks a person".to_owned()];
    asks.extend(local_data(pod));
    let target = Object::Pod((*pod).clone());
    owner::propose(cx, def, Action::Evict, &target, asks)
}

/// Pods on the node that a controller makes anew elsewhere: never those of a DaemonSet (they would
/// come back here), of kube-system, mirror pods, bare pods, or pods that have ended.
fn evictable<'a>(cx: &Context<'a>, node: &Node) -> Vec<&'a Arc<Pod>> {
    let on_node = cx.snapshot.pods.iter();
    on_node
        .filter(|pod| {
            let controller = pod.metadata.controller();
            let ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
            pod.spec.node_name == node.metadata.name
                && pod.metadata.namespace != "kube-system"
                && !pod.is_mirror()
                && !ended
                && controller.is_some_and(|owner| owner.kind != Kind::DaemonSet)
        })
        .collect()
}

/// Volumes whose data is lost with the pod or stays behind on the node.
fn local_data(pod: &Pod) -> Option<String> {
    let local = |v: &&crate::world::pod::Volume| v.empty_dir.is_some() || v.host_path.is_some();
    let names: Vec<&str> = pod
        .spec
        .volumes
        .iter()
        .filter(local)
        .map(|volume| volume.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} has local data in {}, which it loses",
            pod.reference(),
            names.join(", ")
        )
    })
}
