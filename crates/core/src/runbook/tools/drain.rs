//! `drain_node`: one eviction a pod, one at a time, each judged anew. Always asks.

use super::{MAX_LINES, Proposal, Run, Tool, WRITE_FIELDS, owner};
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
    let Pods { go, stay } = pods(cx, node);
    if let Some(leaving) = go
        .iter()
        .find(|pod| pod.metadata.deletion_timestamp.is_some())
    {
        return Proposal::Pass(format!("{} is still leaving", leaving.reference()));
    }
    let Some(pod) = go.first() else {
        let none = format!("no pod of {} can be evicted", node.reference());
        let more = stay.map_or_else(String::new, |stay| format!("; {stay}"));
        return Proposal::Pass(none + &more);
    };
    let mut asks = vec!["a drain always asks a person".to_owned()];
    asks.extend(local_data(pod));
    asks.extend(stay);
    let target = Object::Pod((*pod).clone());
    owner::propose(cx, def, Action::Evict, &target, asks)
}

/// The pods of a node that a drain speaks of.
struct Pods<'a> {
    /// Those that a controller makes anew elsewhere.
    go: Vec<&'a Arc<Pod>>,
    /// Those that the guard would never let go, named with the reason: none of them keeps the others
    /// from going.
    stay: Option<String>,
}

/// Pods of a DaemonSet and mirror pods belong to the node, and what has ended needs no place: a drain
/// does not speak of them.
fn pods<'a>(cx: &Context<'a>, node: &Node) -> Pods<'a> {
    let (mut go, mut stay) = (Vec::new(), Vec::new());
    for pod in &cx.snapshot.pods {
        let controller = pod.metadata.controller();
        let ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        let of_node = controller.is_some_and(|owner| owner.kind == Kind::DaemonSet);
        if pod.spec.node_name != node.metadata.name || pod.is_mirror() || ended || of_node {
            continue;
        }
        let guarded = &cx.snapshot.guarded_namespaces;
        let protected = cx.policy.protects(&pod.metadata.namespace, guarded);
        let alone = || {
            controller
                .is_none()
                .then(|| "it has no controller".to_owned())
        };
        match protected.or_else(alone) {
            Some(why) => stay.push(format!("{} ({why})", pod.reference())),
            None => go.push(pod),
        }
    }
    Pods {
        go,
        stay: named(&stay),
    }
}

fn named(stay: &[String]) -> Option<String> {
    let first: Vec<&str> = stay.iter().take(MAX_LINES).map(String::as_str).collect();
    let more = stay.len().saturating_sub(MAX_LINES);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    (!stay.is_empty()).then(|| format!("left where they are: {}{more}", first.join(", ")))
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
    use super::{MAX_LINES, named};
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
    fn a_pod_that_never_goes_keeps_no_other_from_going_and_is_named() {
        let world = node()
            .bare_pod("demo", "alone")
            .deployment("a-system", "dns")
            .revision(1)
            .pod("dns-a")
            .deployment("bank", "ledger")
            .revision(1)
            .pod("ledger-a")
            .deployment("hooks", "policy")
            .revision(1)
            .pod("policy-a");
        let stay = "left where they are: Pod a-system/dns-a (a-system is a system namespace), \
                    Pod bank/ledger-a (bank is listed under protected_namespaces), \
                    Pod demo/alone (it has no controller), \
                    Pod hooks/policy-a (an admission webhook is served from hooks)";
        let scene = |world: World| {
            let scene = scene(world).policy(|policy| {
                policy.protected_namespaces.insert("bank".to_owned());
            });
            scene.seen(|snapshot| {
                let webhooks = &mut snapshot.guarded_namespaces.webhooks;
                webhooks.insert("hooks".to_owned());
            })
        };
        let all_stay = scene(world.clone()).says();
        let none = format!("no pod of Node node1 can be evicted; {stay}");
        assert!(all_stay.contains(&none), "{all_stay}");
        let behind = world.deployment("shop", "cart").revision(1).pod("cart-1-a");
        assert_eq!(
            scene(behind).says(),
            format!("evict:shop/cart-1-a {ASKS}; {stay}")
        );
    }

    #[test]
    fn a_protected_pod_that_is_leaving_is_not_waited_for() {
        let world = node()
            .deployment("kube-system", "dns")
            .revision(1)
            .pod("dns-a")
            .edit_pod(|pod| pod.metadata.deletion_timestamp = pod.metadata.creation_timestamp)
            .deployment("shop", "cart")
            .revision(1)
            .pod("cart-1-a");
        let says = scene(world).says();
        assert!(says.starts_with("evict:shop/cart-1-a asks"), "{says}");
    }

    #[test]
    fn of_many_that_stay_the_first_are_named_and_the_others_counted() {
        let names = |count: usize| named(&vec!["Pod a/b (why)".to_owned(); count]);
        assert_eq!(names(0), None);
        assert!(names(MAX_LINES).is_some_and(|text| text.ends_with("(why)")));
        assert!(names(MAX_LINES + 3).is_some_and(|text| text.ends_with("(why) and 3 more")));
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
