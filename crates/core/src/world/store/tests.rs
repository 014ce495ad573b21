use super::*;
use crate::diagnose::is_symptom;
use crate::testkit::{self, reference};
use crate::world::other::InvolvedObject;
use crate::world::{
    ConfigMapMeta, HorizontalPodAutoscaler, Meta, NamespaceObject, Pod, PodDisruptionBudget, Scope,
    Service, Snapshot,
};
use jiff::SignedDuration;
use proptest::prelude::*;

const AT: &str = "2026-01-05T10:00:00Z";

fn now() -> Timestamp {
    AT.parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn empty() -> World {
    World::new("cluster-uid".into(), is_symptom)
}

fn fed(objects: impl IntoIterator<Item = Object>) -> World {
    let mut world = empty();
    for object in objects {
        world.apply(Change::Applied(object), now());
    }
    world
}

fn meta(namespace: &str, name: &str, uid: &str) -> Meta {
    Meta {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uid.into(),
        ..Meta::default()
    }
}

fn cluster() -> testkit::World {
    testkit::world(AT)
        .node("node1")
        .node("node2")
        .deployment("demo", "cart")
        .revision(1)
        .pod("cart-1-a")
        .revision(2)
        .image("img.test/cart:2")
        .pod("cart-2-a")
        .waiting("ImagePullBackOff", "")
        .event("Failed", "Error: ErrImagePull")
        .deployment("demo", "shop")
        .revision(1)
        .pod("shop-1-a")
        .on("node2")
        .event("Unhealthy", "Readiness probe failed")
        .stateful_set("demo", "db")
        .revision(1)
        .pod("db-0")
        .deployment("other", "cart")
        .revision(1)
        .pod("cart-1-a")
}

fn names<T>(objects: &[Arc<T>], meta: impl Fn(&T) -> &Meta) -> Vec<String> {
    let name = |o: &Arc<T>| format!("{}/{}", meta(o).namespace, meta(o).name);
    objects.iter().map(name).collect()
}

fn look(world: &World, kind: Kind, namespace: &str, name: &str) -> Snapshot {
    let subject = reference(kind, namespace, name);
    world.snapshot(&Scope::Of(subject), now(), BTreeMap::new())
}

/// Everything but what the past leaves behind on purpose (when a revision became available).
fn picture(world: &World) -> String {
    format!(
        "{:#?}",
        (
            &world.objects,
            &world.uids,
            &world.children,
            &world.on_node,
            &world.about,
            &world.events_by_age
        )
    )
}

#[test]
fn the_whole_cluster_comes_out_as_it_went_in() {
    let put_in = cluster().snapshot();
    let seen = fed(put_in.objects()).snapshot(&Scope::Cluster, now(), BTreeMap::new());
    let out: Vec<Object> = seen.objects().collect();
    assert_eq!(out, put_in.objects().collect::<Vec<_>>());
}

#[test]
fn a_pods_scope_is_its_topmost_owner_with_everything_below_and_nothing_of_others() {
    let world = fed(cluster().snapshot().objects());
    for (kind, name) in [
        (Kind::Pod, "cart-1-a"),
        (Kind::ReplicaSet, "cart-2"),
        (Kind::Deployment, "cart"),
    ] {
        let seen = look(&world, kind, "demo", name);
        let workloads = names(&seen.workloads, |o| &o.metadata);
        assert_eq!(workloads, ["demo/cart", "demo/cart-1", "demo/cart-2"]);
        let pods = names(&seen.pods, |o| &o.metadata);
        assert_eq!(pods, ["demo/cart-1-a", "demo/cart-2-a"]);
        assert_eq!(names(&seen.nodes, |o| &o.metadata), ["/node1"]);
        let reasons: Vec<_> = seen.events.iter().map(|e| e.reason.as_str()).collect();
        assert_eq!(reasons, ["Failed"]);
    }
}

#[test]
fn what_others_request_on_the_nodes_of_a_scope_is_known() {
    let world = |edit: fn(&mut Pod)| {
        let all = testkit::world(AT)
            .node("node1")
            .node("node2")
            .deployment("demo", "cart")
            .revision(1)
            .memory("100Mi", "200Mi")
            .pod("cart-1-a")
            .deployment("other", "shop")
            .revision(1)
            .memory("64Mi", "64Mi")
            .pod("shop-1-a")
            .pod("shop-1-b")
            .edit_pod(edit)
            .snapshot();
        let subject = reference(Kind::Deployment, "demo", "cart");
        let scope = Scope::Of(subject);
        let seen = fed(all.objects()).snapshot(&scope, now(), BTreeMap::new());
        seen.neighbours
    };
    let on_node1 = |bytes: u64| BTreeMap::from([("node1".to_owned(), bytes)]);
    assert_eq!(world(|_| {}), on_node1(128 << 20));
    let elsewhere = world(|pod| pod.spec.node_name = "node2".to_owned());
    assert_eq!(elsewhere, on_node1(64 << 20));
    let ended = world(|pod| pod.status.phase = "Succeeded".to_owned());
    assert_eq!(ended, on_node1(64 << 20));
    let with_init = world(|pod| {
        let mut init = pod.spec.containers[0].clone();
        init.resources
            .requests
            .insert("memory".to_owned(), "256Mi".into());
        let mut sidecar = pod.spec.containers[0].clone();
        sidecar.restart_policy = "Always".to_owned();
        pod.spec.init_containers = vec![init, sidecar];
    });
    assert_eq!(with_init, on_node1((64 + 256 + 64) << 20));
    let unreadable = world(|pod| {
        let requests = &mut pod.spec.containers[0].resources.requests;
        requests.insert("memory".to_owned(), "much".into());
    });
    assert_eq!(unreadable, BTreeMap::new());
}

#[test]
fn an_owners_scope_has_its_pods_nodes_and_every_node_in_trouble() {
    let more = cluster().node("node3").cordoned().node("node4");
    let more = more.node("node5").condition("Ready", "Unknown", "", 60);
    let world = fed(more.snapshot().objects());
    let seen = look(&world, Kind::Deployment, "demo", "shop");
    let nodes = names(&seen.nodes, |o| &o.metadata);
    assert_eq!(nodes, ["/node2", "/node3", "/node5"]);
}

#[test]
fn a_stateful_sets_scope_has_its_revisions() {
    let world = fed(cluster().snapshot().objects());
    let seen = look(&world, Kind::Pod, "demo", "db-0");
    assert_eq!(seen.controller_revisions.len(), 1);
    assert_eq!(names(&seen.workloads, |o| &o.metadata), ["demo/db"]);
}

#[test]
fn an_object_without_uid_is_found_by_name() {
    let world = fed(cluster().snapshot().objects());
    let mut subject = reference(Kind::Pod, "demo", "cart-2-a");
    subject.uid = Uid::default();
    let seen = world.snapshot(&Scope::Of(subject), now(), BTreeMap::new());
    assert_eq!(seen.pods.len(), 2);
}

#[test]
fn a_custom_resources_scope_is_what_hangs_below_it() {
    let owned = testkit::world(AT)
        .deployment("demo", "cart")
        .owned_by("Shop", "my-shop")
        .revision(1)
        .pod("cart-1-a");
    let world = fed(owned.snapshot().objects());
    let seen = look(&world, Kind::Deployment, "demo", "cart");
    assert_eq!((seen.workloads.len(), seen.pods.len()), (2, 1));
}

#[test]
fn what_bears_on_a_workload_comes_with_it() {
    let pods = testkit::world(AT)
        .deployment("demo", "cart")
        .template(|spec| {
            let volume = serde_json::json!({"name": "settings", "configMap": {"name": "settings"}});
            spec.volumes.push(serde_json::from_value(volume).unwrap());
        })
        .revision(1)
        .pod("cart-1-a")
        .edit_pod(|pod| {
            pod.metadata.labels.insert("app".into(), "cart".into());
        })
        .config_map("demo", "settings")
        .config_map("demo", "unused")
        .config_map("other", "settings");
    let service = |name: &str, app: &str| {
        let mut service = Service {
            metadata: meta("demo", name, name),
            ..Service::default()
        };
        service.spec.selector.insert("app".into(), app.into());
        Object::Service(Arc::new(service))
    };
    let more = [
        service("cart", "cart"),
        service("shop", "shop"),
        Object::PodDisruptionBudget(Arc::new(PodDisruptionBudget {
            metadata: meta("demo", "budget", "budget"),
            ..PodDisruptionBudget::default()
        })),
        Object::PodDisruptionBudget(Arc::new(PodDisruptionBudget {
            metadata: meta("other", "budget", "budget-2"),
            ..PodDisruptionBudget::default()
        })),
        Object::HorizontalPodAutoscaler(Arc::new(HorizontalPodAutoscaler {
            metadata: meta("demo", "scaler", "scaler"),
            ..HorizontalPodAutoscaler::default()
        })),
        Object::Namespace(Arc::new(NamespaceObject {
            metadata: meta("", "demo", "ns"),
        })),
    ];
    let world = fed(pods.snapshot().objects().chain(more));
    let seen = look(&world, Kind::Deployment, "demo", "cart");
    assert_eq!(names(&seen.config_maps, |o| &o.metadata), ["demo/settings"]);
    assert_eq!(names(&seen.services, |o| &o.metadata), ["demo/cart"]);
    assert_eq!(names(&seen.pdbs, |o| &o.metadata), ["demo/budget"]);
    assert_eq!((seen.hpas.len(), seen.namespaces.len()), (1, 1));
}

#[test]
fn a_nodes_scope_is_its_pods_with_their_owners_and_all_nodes() {
    let world = fed(cluster().snapshot().objects());
    let seen = look(&world, Kind::Node, "", "node2");
    assert_eq!(names(&seen.pods, |o| &o.metadata), ["demo/shop-1-a"]);
    let workloads = names(&seen.workloads, |o| &o.metadata);
    assert_eq!(workloads, ["demo/shop", "demo/shop-1"]);
    assert_eq!((seen.nodes.len(), seen.events.len()), (2, 1));
}

#[test]
fn trouble_and_its_end_are_told_with_the_topmost_owner() {
    let cart = reference(Kind::Deployment, "demo", "cart");
    let healthy = testkit::world(AT).deployment("demo", "cart").revision(1);
    let sick = healthy.clone().pod("a").waiting("ImagePullBackOff", "");
    let (sick, well) = (sick.snapshot(), healthy.pod("a").snapshot());
    let mut world = fed(sick.objects().filter(|o| o.kind() != Kind::Pod));
    let pod = |of: &Snapshot| Object::Pod(Arc::clone(&of.pods[0]));

    let told = world.apply(Change::Applied(pod(&sick)), now());
    assert_eq!(told, BTreeSet::from([cart.clone()]));
    let told = world.apply(Change::Applied(pod(&sick)), now());
    assert_eq!(told, BTreeSet::new(), "nothing new");
    let told = world.apply(Change::Applied(pod(&well)), now());
    assert_eq!(told, BTreeSet::from([cart.clone()]), "the end of it");
    let told = world.apply(Change::Deleted(pod(&well)), now());
    assert_eq!(told, BTreeSet::new(), "healthy churn");

    world.watch_owner(cart.clone());
    let told = world.apply(Change::Applied(pod(&well)), now());
    assert_eq!(told, BTreeSet::from([cart.clone()]), "watched");
    world.unwatch(&cart);
    let told = world.apply(Change::Deleted(pod(&well)), now());
    assert_eq!(told, BTreeSet::new(), "no longer watched");
}

#[test]
fn a_new_version_that_says_nothing_new_is_kept_and_not_told() {
    let cart = reference(Kind::Deployment, "demo", "cart");
    let snapshot = cluster().snapshot();
    let mut world = fed(snapshot.objects());
    world.watch_owner(cart);
    let mut pod = Pod::clone(&snapshot.pods[0]);
    pod.metadata.resource_version = "2".to_owned();
    let told = world.apply(Change::Applied(Object::Pod(Arc::new(pod))), now());
    assert_eq!(told, BTreeSet::new());
    let seen = look(&world, Kind::Pod, "demo", "cart-1-a");
    assert_eq!(seen.pods[0].metadata.resource_version, "2");
}

#[test]
fn an_event_is_told_with_the_owner_of_what_it_is_about() {
    let snapshot = cluster().snapshot();
    let mut world = fed(snapshot.objects().filter(|o| o.kind() != Kind::Event));
    let told: Vec<_> = snapshot
        .events
        .iter()
        .flat_map(|event| world.apply(Change::Applied(Object::Event(Arc::clone(event))), now()))
        .map(|owner| owner.name)
        .collect();
    assert_eq!(told, ["cart", "shop"]);
}

#[test]
fn a_kubelets_event_is_told_with_its_node() {
    let mut world = fed(testkit::world(AT).node("node1").snapshot().objects());
    let event = Event {
        metadata: meta("default", "event", "event"),
        involved_object: InvolvedObject {
            kind: Kind::Node,
            name: "node1".to_owned(),
            uid: "node1".into(),
            ..InvolvedObject::default()
        },
        reason: "NodeNotReady".to_owned(),
        kind: "Normal".to_owned(),
        ..Event::default()
    };
    let told = world.apply(Change::Applied(Object::Event(Arc::new(event))), now());
    assert_eq!(told, BTreeSet::from([reference(Kind::Node, "", "node1")]));
    assert_eq!(look(&world, Kind::Node, "", "node1").events.len(), 1);
}

#[test]
fn a_relist_drops_what_vanished_and_tells_it() {
    let snapshot = cluster().snapshot();
    let mut world = fed(snapshot.objects());
    let listed: BTreeSet<Uid> = snapshot
        .pods
        .iter()
        .filter(|pod| pod.metadata.name != "cart-2-a")
        .map(|pod| pod.metadata.uid.clone())
        .collect();
    let told = world.sweep(&Kind::Pod, &listed);
    let cart = reference(Kind::Deployment, "demo", "cart");
    assert_eq!(told, BTreeSet::from([cart]));
    let seen = look(&world, Kind::Deployment, "demo", "cart");
    assert_eq!(names(&seen.pods, |o| &o.metadata), ["demo/cart-1-a"]);
    assert_eq!(world.len(), snapshot.objects().count() - 1);
}

#[test]
fn the_deletion_of_an_earlier_incarnation_is_no_deletion() {
    let pod = |uid: &str| {
        let metadata = meta("demo", "db-0", uid);
        Object::Pod(Arc::new(Pod {
            metadata,
            ..Pod::default()
        }))
    };
    let mut world = fed([pod("old"), pod("new")]);
    world.apply(Change::Deleted(pod("old")), now());
    assert_eq!(world.len(), 1);
    world.apply(Change::Deleted(pod("new")), now());
    assert!(world.is_empty());
    assert_eq!(picture(&world), picture(&empty()));
}

fn event(name: &str, kind: &str, reason: &str, seconds: i64) -> Object {
    Object::Event(Arc::new(Event {
        metadata: meta("demo", name, name),
        involved_object: InvolvedObject {
            kind: Kind::Pod,
            namespace: "demo".to_owned(),
            name: "cart-1-a".to_owned(),
            ..InvolvedObject::default()
        },
        reason: reason.to_owned(),
        kind: kind.to_owned(),
        last_timestamp: Some(later(seconds)),
        ..Event::default()
    }))
}

#[test]
fn events_are_bounded_by_object_and_age_and_the_newest_stay() {
    let many = (0..50).map(|n| event(&format!("e{n:02}"), "Warning", "BackOff", n));
    let mut world = fed(many);
    assert_eq!(world.len(), MAX_EVENTS_PER_OBJECT);
    assert_eq!(world.events_by_age.first().unwrap().0, later(30));
    world.expire_events(later(40) + MAX_EVENT_AGE);
    assert_eq!(world.len(), 10);
    world.expire_events(later(50) + MAX_EVENT_AGE);
    assert_eq!(picture(&world), picture(&empty()));
}

#[test]
fn an_event_that_repeats_is_told_at_most_twice_a_minute() {
    let mut world = empty();
    let told = (0..60).map(|second| {
        let again = event("e", "Warning", "BackOff", second);
        world.apply(Change::Applied(again), later(second)).len()
    });
    assert_eq!(told.sum::<usize>(), 2);
    let other = event("other", "Warning", "BackOff", 60);
    assert_eq!(world.apply(Change::Applied(other), later(60)).len(), 1);
}

#[test]
fn routine_events_are_not_kept() {
    let table = [
        ("Normal", "Pulled", false),
        ("Normal", "BackOff", true),
        ("Normal", "Killing", true),
        ("Warning", "Whatever", true),
    ];
    for (kind, reason, kept) in table {
        let world = fed([event("e", kind, reason, 0)]);
        assert_eq!(world.len(), usize::from(kept), "{kind} {reason}");
    }
}

mod known_good {
    use super::*;

    const TEN_MINUTES: SignedDuration = SignedDuration::from_mins(10);

    fn good(world: &mut World, at: i64) -> Vec<String> {
        let good = world.known_good(later(at), TEN_MINUTES);
        good.into_iter()
            .map(|(workload, revision)| format!("{workload}: {}", revision.name))
            .collect()
    }

    fn available() -> testkit::World {
        testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
    }

    fn workload(world: testkit::World, kind: &Kind) -> Object {
        let snapshot = world.snapshot();
        let found = snapshot.workloads.iter().find(|w| w.kind == *kind);
        Object::Workload(Arc::clone(found.unwrap()))
    }

    #[test]
    fn a_revision_is_told_once_when_it_was_available_for_ten_minutes() {
        let mut world = fed(available().snapshot().objects());
        assert_eq!(good(&mut world, 599), [""; 0]);
        assert_eq!(good(&mut world, 600), ["Deployment demo/cart: cart-1"]);
        assert_eq!(good(&mut world, 2000), [""; 0]);
    }

    #[test]
    fn an_interruption_starts_the_time_anew() {
        let mut world = fed(available().snapshot().objects());
        let unready = workload(available().unready(), &Kind::Deployment);
        world.apply(Change::Applied(unready), later(300));
        assert_eq!(good(&mut world, 700), [""; 0]);
        let ready = workload(available(), &Kind::Deployment);
        world.apply(Change::Applied(ready), later(400));
        assert_eq!(good(&mut world, 999), [""; 0]);
        assert_eq!(good(&mut world, 1000), ["Deployment demo/cart: cart-1"]);
    }

    #[test]
    fn time_that_was_not_seen_does_not_count() {
        let mut world = fed(available().snapshot().objects());
        world.lost_sight(&Kind::Deployment);
        assert_eq!(good(&mut world, 5000), [""; 0]);
        world.regained_sight(&Kind::Deployment, later(5000));
        assert_eq!(good(&mut world, 5599), [""; 0]);
        assert_eq!(good(&mut world, 5600).len(), 1);
    }

    #[test]
    fn the_next_revision_has_its_own_time() {
        let mut world = fed(available().snapshot().objects());
        let next = available().revision(2).pod("cart-2-a").edit_workload(|w| {
            // The old ReplicaSet is already gone from the counts.
            w.spec.replicas = Some(2);
        });
        for object in next.snapshot().objects() {
            let object = if let Object::Workload(w) = &object
                && w.kind == Kind::Deployment
            {
                let mut w = w.as_ref().clone();
                w.status.updated_replicas = 2;
                w.status.available_replicas = 2;
                Object::Workload(Arc::new(w))
            } else {
                object
            };
            world.apply(Change::Applied(object), later(100));
        }
        assert_eq!(good(&mut world, 650), [""; 0]);
        assert_eq!(good(&mut world, 700), ["Deployment demo/cart: cart-2"]);
    }

    #[test]
    fn stateful_and_daemon_sets_name_their_controller_revision() {
        let sets = testkit::world(AT)
            .stateful_set("demo", "db")
            .revision(1)
            .pod("db-0")
            .daemon_set("demo", "agent")
            .revision(3)
            .pod("agent-a");
        let snapshot = sets.snapshot();
        let mut world = fed(snapshot.objects());
        let told = good(&mut world, 600);
        assert_eq!(told.len(), 2, "{told:?} {:#?}", snapshot.workloads);
    }

    #[test]
    fn a_rollout_that_is_not_finished_is_not_good() {
        let half = available().revision(2).pod("cart-2-a").unready();
        let mut world = fed(half.snapshot().objects());
        assert_eq!(good(&mut world, 6000), [""; 0]);
    }
}

/// A step of a random history: one of few objects appears in some form, or goes.
#[derive(Clone, Debug)]
struct Step {
    deleted: bool,
    object: Object,
}

fn step() -> impl Strategy<Value = Step> {
    let parts = (any::<bool>(), 0..4_u8, 0..3_u8, 0..2_u8, 0..3_u8);
    parts.prop_map(|(deleted, kind, name, incarnation, form)| Step {
        deleted,
        object: object(kind, name, incarnation, form),
    })
}

fn object(kind: u8, name: u8, incarnation: u8, form: u8) -> Object {
    let name = format!("o{name}");
    let mut meta = meta("demo", &name, &format!("{kind}-{name}-{incarnation}"));
    meta.resource_version = form.to_string();
    let set = |kind: Kind, meta: Meta| {
        Object::Workload(Arc::new(crate::world::Workload {
            kind,
            metadata: meta,
            ..Default::default()
        }))
    };
    let owner = |kind: Kind, uid: String| crate::world::OwnerReference {
        kind,
        uid: uid.into(),
        controller: true,
        ..Default::default()
    };
    match kind {
        0 => {
            meta.owner_references = vec![owner(Kind::ReplicaSet, format!("1-o{form}-0"))];
            let mut pod = Pod {
                metadata: meta,
                ..Pod::default()
            };
            pod.spec.node_name = if form == 0 {
                String::new()
            } else {
                format!("n{form}")
            };
            Object::Pod(Arc::new(pod))
        }
        1 => {
            meta.owner_references = vec![owner(Kind::Deployment, format!("2-o{form}-0"))];
            set(Kind::ReplicaSet, meta)
        }
        2 => set(Kind::Deployment, meta),
        _ => {
            let Object::Event(event) = event(&name, "Warning", "BackOff", i64::from(form)) else {
                unreachable!()
            };
            let mut event = event.as_ref().clone();
            event.metadata = meta;
            event.involved_object.name = format!("o{form}");
            Object::Event(Arc::new(event))
        }
    }
}

proptest! {
    #[test]
    fn any_history_leaves_the_same_picture_as_its_final_state(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = empty();
        let mut left: BTreeMap<Key, Object> = BTreeMap::new();
        for Step { deleted, object } in steps {
            let key = Key::of(&object);
            if !deleted {
                left.insert(key, object.clone());
                world.apply(Change::Applied(object), now());
                continue;
            }
            if left.get(&key).is_some_and(|o| o.meta().uid == object.meta().uid) {
                left.remove(&key);
            }
            world.apply(Change::Deleted(object), now());
        }
        prop_assert_eq!(picture(&world), picture(&fed(left.into_values())));
    }

    #[test]
    fn every_member_of_a_family_sees_the_whole_family(steps in prop::collection::vec(step(), 0..40)) {
        let world = fed(steps.into_iter().map(|step| step.object));
        for object in world.objects.values().filter(|o| o.kind() != Kind::Event) {
            let scope = Scope::Of(object.reference());
            let seen = world.snapshot(&scope, now(), BTreeMap::new());
            let root = world.topmost_of(object);
            for other in world.objects.values().filter(|o| o.kind() != Kind::Event) {
                let inside = seen.objects().any(|o| o.reference() == other.reference());
                prop_assert_eq!(inside, world.topmost_of(other).uid == root.uid);
            }
        }
    }
}

#[test]
fn config_map_edits_are_kept_even_though_only_managers_change() {
    let map = |manager: &str| {
        let mut metadata = meta("demo", "settings", "settings");
        metadata.managed_fields = vec![crate::world::ManagedField {
            manager: manager.to_owned(),
            ..Default::default()
        }];
        Object::ConfigMap(Arc::new(ConfigMapMeta { metadata }))
    };
    let world = fed([map("kubectl-create"), map("kubectl-edit")]);
    let seen = world.snapshot(&Scope::Cluster, now(), BTreeMap::new());
    let last = &seen.config_maps[0].metadata.managed_fields[0].manager;
    assert_eq!(last, "kubectl-edit");
}
