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

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::{World, world};
    use crate::world::Kind;
    use crate::world::pod::{Present, Volume};

    fn scene(world: World) -> Scene {
        let scene = Scene::new(FaultClass::NodeNotReady, world).tool("drain_node");
        let node = crate::testkit::reference(Kind::Node, "", "node1");
        scene.diagnosed(|diagnosis| {
            diagnosis.owner.clone_from(&node);
            diagnosis.subject = node;
        })
    }

    fn node() -> World {
        world(AT).node("node1").cordoned()
    }

    const ASKS: &str = "asks: a drain always asks a person";

    #[test]
    fn one_pod_at_a_time_and_always_with_a_person() {
        let two = node()
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-b")
            .pod("cart-1-a");
        assert_eq!(
            scene(two.clone()).says(),
            format!("evict:demo/cart-1-a {ASKS}")
        );
        let leaving = two.edit_pod(|pod| {
            pod.metadata.deletion_timestamp = pod.metadata.creation_timestamp;
        });
        assert!(
            scene(leaving)
                .says()
                .contains("Pod demo/cart-1-a is still leaving")
        );
    }

    #[test]
    fn after_the_first_eviction_the_next_pod_follows_until_none_is_left() {
        let cart = || node().deployment("demo", "cart").revision(1);
        let first = scene(cart().pod("cart-1-a").pod("cart-1-b")).done("it");
        let second = first.later(cart().pod("cart-1-b"));
        assert_eq!(second.says(), format!("evict:demo/cart-1-b {ASKS}"));
        assert_eq!(second.result("it", "applied"), true);
        assert_eq!(second.later(cart()).says(), "done");
    }

    #[test]
    fn these_pods_are_never_evicted() {
        let mirror = node()
            .daemon_set("demo", "x")
            .pod("static")
            .edit_pod(|pod| {
                pod.metadata.owner_references[0].kind = Kind::Node;
                let note = "kubernetes.io/config.mirror".to_owned();
                pod.metadata.annotations.insert(note, "x".into());
            });
        let elsewhere = node()
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .on("node2");
        let ended = node().job("demo", "load").pod("load-a");
        let ended = ended.edit_pod(|pod| pod.status.phase = "Succeeded".into());
        let table = [
            node()
                .daemon_set("demo", "agent")
                .revision(1)
                .pod("agent-a"),
            node()
                .deployment("kube-system", "dns")
                .revision(1)
                .pod("dns-a"),
            node().bare_pod("demo", "alone"),
            mirror,
            elsewhere,
            ended,
        ];
        for world in table {
            let says = scene(world).says();
            assert!(
                says.contains("no pod of Node node1 can be evicted"),
                "{says}"
            );
        }
    }

    #[test]
    fn local_data_is_named() {
        let local = node()
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .edit_pod(|pod| {
                pod.spec.volumes = vec![Volume {
                    name: "cache".into(),
                    empty_dir: Some(Present {}),
                    ..Volume::default()
                }];
            });
        let says = scene(local).says();
        assert!(
            says.ends_with("Pod demo/cart-1-a has local data in cache, which it loses"),
            "{says}"
        );
    }
}
