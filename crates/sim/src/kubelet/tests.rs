//! Whole clusters on virtual time: what a watcher of pods and Events sees.

use super::{ImageFault, Pressure};
use crate::behaviour::ANNOTATION;
use crate::cluster::Cluster;
use crate::nodes::NodeSpec;
use crate::object::{Key, Object};
use crate::registry::DeleteOptions;
use crate::resources::ids;
use serde_json::{Value, json};
use std::time::Duration;

struct World(Cluster);

fn world() -> World {
    let mut cluster = Cluster::new(7, "2026-01-01T00:00:00Z".parse().unwrap());
    cluster.add_node("n1", &NodeSpec::default()).unwrap();
    World(cluster)
}

fn key(name: &str) -> Key {
    Key::new(ids::PODS, "shop", name)
}

impl World {
    /// A pod `it` with one container `main`.
    fn pod(&mut self, container: Value, spec: Value, annotation: &str) {
        let mut main = json!({"name": "main", "image": "img.test/app:1",
            "terminationMessagePolicy": "FallbackToLogsOnError"});
        merge(&mut main, container);
        let mut whole = json!({"containers": [main]});
        merge(&mut whole, spec);
        let pod = json!({"metadata": {"name": "it", "namespace": "shop",
            "annotations": {ANNOTATION: annotation}}, "spec": whole,
            "status": {"phase": "Pending", "qosClass": "BestEffort"}});
        let pod = Object::from_value(pod).unwrap();
        self.0.create(ids::PODS, pod).unwrap();
    }

    fn app(words: &str) -> Self {
        let mut world = world();
        let words: Vec<&str> = words.split(' ').collect();
        world.pod(json!({"command": words}), json!({}), "{}");
        world
    }

    fn pass(&mut self, seconds: u64) {
        self.0.pass(Duration::from_secs(seconds));
    }

    fn status(&self) -> Value {
        let pod = self.0.store.get(&key("it")).expect("the pod");
        pod.field("status").unwrap()
    }

    fn main(&self) -> Value {
        self.status()["containerStatuses"][0].clone()
    }

    fn waiting(&self) -> (String, String) {
        let waiting = &self.main()["state"]["waiting"];
        let text = |name: &str| waiting[name].as_str().unwrap_or("").to_owned();
        (text("reason"), text("message"))
    }

    fn condition(&self, name: &str) -> Value {
        let status = self.status();
        let all = status["conditions"].as_array().unwrap();
        all.iter().find(|one| one["type"] == name).unwrap().clone()
    }

    /// `reason xCOUNT: message` of each Event about the pod, in the order of their first times.
    fn events(&self) -> Vec<String> {
        let mut all: Vec<_> = self
            .0
            .store
            .list(ids::EVENTS, Some("shop"))
            .map(|event| (event.meta.name.clone(), event.to_value()))
            .collect();
        all.sort_by_key(|(name, _)| name.clone());
        let text = |event: &Value| {
            let of = |name: &str| event[name].as_str().unwrap_or("").to_owned();
            format!(
                "{} x{}: {}",
                of("reason"),
                event["count"].as_u64().unwrap_or(1),
                of("message")
            )
        };
        all.iter().map(|(_, event)| text(event)).collect()
    }

    fn reasons(&self) -> Vec<String> {
        let all = self.events().into_iter();
        all.map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    }
}

fn merge(into: &mut Value, from: Value) {
    let Value::Object(from) = from else { panic!() };
    for (name, value) in from {
        into[name] = value;
    }
}

#[test]
fn a_healthy_pod_runs_within_two_seconds_and_costs_nothing_after_that() {
    let mut world = world();
    let probe = json!({"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 5});
    world.pod(json!({"readinessProbe": probe}), json!({}), "{}");
    world.pass(8);
    let status = world.status();
    assert_eq!(status["phase"], "Running", "{status}");
    assert_eq!(status["podIP"], "10.244.1.2");
    assert_eq!(status["hostIP"], "10.0.0.1");
    assert_eq!(world.condition("Ready")["status"], "True");
    assert_eq!(world.condition("PodScheduled")["status"], "True");
    let reasons = world.reasons();
    assert_eq!(
        reasons[..4],
        ["Scheduled x1", "Pulled x1", "Created x1", "Started x1"]
    );
    let revision = world.0.store.get(&key("it")).unwrap().meta.resource_version;
    // (The node's heartbeats and the end of the Events go on.)
    world.pass(7200);
    assert_eq!(
        world.0.store.get(&key("it")).unwrap().meta.resource_version,
        revision
    );
}

#[test]
fn a_crash_loop_waits_10_s_20_s_40_s() {
    let mut world = World::app("/app exit -code 3 -message fatal");
    world.pass(7);
    let uid = world.0.store.get(&key("it")).unwrap().meta.uid.clone();
    let (reason, message) = world.waiting();
    assert_eq!(reason, "CrashLoopBackOff");
    assert_eq!(
        message,
        format!("back-off 10s restarting failed container=main pod=it_shop({uid})")
    );
    let main = world.main();
    assert_eq!(main["restartCount"], 1);
    let ended = &main["lastState"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(3), &json!("Error"))
    );
    assert_eq!(ended["message"], "fatal\n");
    assert_eq!(world.status()["phase"], "Running");
    let events = world.events();
    let back_off = format!("Back-off restarting failed container main in pod it_shop({uid})");
    assert!(
        events.iter().any(|line| line.ends_with(&back_off)),
        "{events:?}"
    );
    world.pass(13);
    assert!(
        world.waiting().1.starts_with("back-off 20s"),
        "{:?}",
        world.waiting()
    );
    world.pass(31);
    assert!(
        world.waiting().1.starts_with("back-off 40s"),
        "{:?}",
        world.waiting()
    );
    world.pass(1800);
    assert!(
        world.waiting().1.starts_with("back-off 5m0s"),
        "{:?}",
        world.waiting()
    );
    let log = world.0.logs(&key("it"), "main", true).unwrap();
    assert_eq!(log[0].text, "fatal");
}

#[test]
fn over_its_memory_limit_it_is_killed() {
    let mut world = world();
    world.pod(
        json!({"command": ["/app", "alloc", "-mb", "150"],
               "resources": {"limits": {"memory": "96Mi"}}}),
        json!({}),
        "{}",
    );
    world.pass(8);
    let main = world.main();
    let ended = &main["lastState"]["terminated"];
    assert_eq!(ended["reason"], "OOMKilled", "{main}");
    assert_eq!(ended["exitCode"], 137);
    assert!(
        ended["message"]
            .as_str()
            .unwrap()
            .ends_with("allocated 80 MiB\n")
    );
    assert_eq!(world.waiting().0, "CrashLoopBackOff");
}

#[test]
fn an_image_that_is_not_there() {
    let mut world = world();
    world.pod(json!({"image": "img.test/app:nowhere"}), json!({}), "{}");
    world.pass(1);
    world.pass(6);
    let error = "rpc error: code = NotFound desc = failed to pull and unpack image \
                 \"img.test/app:nowhere\": failed to resolve image: img.test/app:nowhere: not found";
    let (reason, message) = world.waiting();
    assert_eq!(reason, "ImagePullBackOff");
    assert_eq!(
        message,
        format!("Back-off pulling image \"img.test/app:nowhere\": ErrImagePull: {error}")
    );
    let events = world.events();
    assert_eq!(
        events[1],
        "Pulling x1: Pulling image \"img.test/app:nowhere\""
    );
    assert_eq!(
        events[2],
        format!("Failed x1: Failed to pull image \"img.test/app:nowhere\": {error}")
    );
    assert_eq!(events[3], "Failed x1: Error: ErrImagePull");
    assert_eq!(
        events[4],
        "BackOff x1: Back-off pulling image \"img.test/app:nowhere\""
    );
    assert_eq!(events[5], "Failed x1: Error: ImagePullBackOff");
    assert_eq!(world.status()["phase"], "Pending");
    // It comes: the next attempt finds it.
    world.0.set_image("img.test/app:nowhere", None);
    world.pass(600);
    assert_eq!(world.status()["phase"], "Running");
    let pulled = world
        .events()
        .into_iter()
        .find(|line| line.starts_with("Pulled"));
    assert!(pulled.unwrap().contains("Successfully pulled image"));
}

#[test]
fn a_log_says_why_there_is_none_and_begins_with_the_image_s_version() {
    let mut world = world();
    world.pod(json!({"image": "img.test/app:nowhere"}), json!({}), "{}");
    world.pass(7);
    let refused = world.0.logs(&key("it"), "main", false).unwrap_err();
    assert_eq!(
        refused.message,
        "container \"main\" in pod \"it\" is waiting to start: trying and failing to pull image"
    );
    let mut world = World::app("/app serve");
    world.pass(5);
    let log = world.0.logs(&key("it"), "main", false).unwrap();
    assert_eq!(log[0].text, "version 1 listens on :8080");
}

#[test]
fn a_registry_that_does_not_answer() {
    let mut world = world();
    world.0.set_image("registry.shop", Some(ImageFault::Silent));
    world.pod(json!({"image": "registry.shop/cart:7"}), json!({}), "{}");
    world.pass(20);
    assert_eq!(world.waiting().0, "ContainerCreating");
    world.pass(15);
    assert!(
        world.waiting().1.ends_with("i/o timeout"),
        "{:?}",
        world.waiting()
    );
}

#[test]
fn configuration_that_is_not_there_and_comes() {
    let mut world = world();
    let from = json!([{"configMapRef": {"name": "settings"}}]);
    world.pod(json!({"envFrom": from}), json!({}), "{}");
    world.pass(5);
    let expected = (
        "CreateContainerConfigError".to_owned(),
        "configmap \"settings\" not found".to_owned(),
    );
    assert_eq!(world.waiting(), expected);
    let events = world.events();
    assert!(
        events
            .iter()
            .any(|line| line.ends_with("Error: configmap \"settings\" not found"))
    );
    let map = json!({"metadata": {"name": "settings", "namespace": "shop"}, "data": {"A": "1"}});
    world
        .0
        .create(ids::CONFIGMAPS, Object::from_value(map).unwrap())
        .unwrap();
    world.pass(20);
    assert_eq!(world.status()["phase"], "Running");
}

#[test]
fn a_volume_that_cannot_be_mounted_is_tried_again_ever_more_rarely() {
    let mut world = world();
    let volumes = json!([{"name": "v", "secret": {"secretName": "keys"}}]);
    world.pod(json!({}), json!({"volumes": volumes}), "{}");
    world.pass(10);
    assert_eq!(
        world.waiting(),
        ("ContainerCreating".to_owned(), String::new())
    );
    // After 0, 0.5, 1.5, 3.5 and 7.5 s, as on a real node.
    let failed =
        "FailedMount x5: MountVolume.SetUp failed for volume \"v\" : secret \"keys\" not found";
    assert!(
        world.events().contains(&failed.to_owned()),
        "{:?}",
        world.events()
    );
    assert_eq!(
        world.condition("PodReadyToStartContainers")["status"],
        "False"
    );
}

#[test]
fn a_failing_readiness_probe_makes_unready_and_nothing_else() {
    let mut world = world();
    let probe = json!({"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1});
    let more = json!({"readinessProbe": probe, "args": ["-unready"]});
    world.pod(more, json!({}), "{}");
    world.pass(12);
    assert_eq!(
        world.condition("Ready")["message"],
        "containers with unready status: [main]"
    );
    let events = world.events();
    let expected = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    assert!(
        events.iter().any(|line| line.ends_with(expected)),
        "{events:?}"
    );
    assert_eq!(world.main()["restartCount"], 0);
    assert_eq!(world.main()["ready"], false);
}

#[test]
fn a_failing_liveness_probe_restarts() {
    let mut world = world();
    let probe = json!({"tcpSocket": {"port": 9999}, "periodSeconds": 1, "failureThreshold": 2});
    world.pod(json!({"livenessProbe": probe}), json!({}), "{}");
    world.pass(12);
    let main = world.main();
    assert!(main["restartCount"].as_u64().unwrap() >= 1, "{main}");
    assert_eq!(main["lastState"]["terminated"]["reason"], "Completed");
    let events = world.events();
    let killing = "Container main failed liveness probe, will be restarted";
    assert!(
        events.iter().any(|line| line.ends_with(killing)),
        "{events:?}"
    );
    let refused = "Liveness probe failed: dial tcp 10.244.1.2:9999: connect: connection refused";
    assert!(
        events.iter().any(|line| line.ends_with(refused)),
        "{events:?}"
    );
}

#[test]
fn a_job_s_pod_ends_well_or_badly() {
    for (words, phase, reason) in [
        ("/app exit -code 0 -after 1s", "Succeeded", "PodCompleted"),
        ("/app exit -code 2 -after 1s", "Failed", "PodFailed"),
    ] {
        let mut world = world();
        let words: Vec<&str> = words.split(' ').collect();
        world.pod(
            json!({"command": words}),
            json!({"restartPolicy": "Never"}),
            "{}",
        );
        world.pass(6);
        assert_eq!(world.status()["phase"], phase, "{}", world.status());
        assert_eq!(world.condition("Ready")["reason"], reason);
    }
}

#[test]
fn init_containers_come_first_and_sidecars_stay() {
    let mut world = world();
    let first = json!({"name": "first", "image": "img.test/app:1",
        "command": ["/app", "exit", "-code", "0", "-after", "2s"]});
    let side = json!({"name": "side", "image": "img.test/app:1", "restartPolicy": "Always"});
    let inits = json!([first, side]);
    world.pod(
        json!({"command": ["/app", "exit", "-code", "0", "-after", "5s"]}),
        json!({"initContainers": inits, "restartPolicy": "Never"}),
        "{}",
    );
    world.pass(2);
    assert_eq!(world.waiting().0, "PodInitializing");
    let initialized = world.condition("Initialized");
    assert_eq!(
        initialized["message"],
        "containers with incomplete status: [first side]"
    );
    world.pass(3);
    assert_eq!(world.status()["phase"], "Running", "{}", world.status());
    assert_eq!(world.status()["initContainerStatuses"][0]["ready"], true);
    world.pass(8);
    assert_eq!(world.status()["phase"], "Succeeded", "{}", world.status());
    assert!(world.reasons().contains(&"Killing x1".to_owned()));
}

#[test]
fn a_deleted_pod_is_stopped_and_goes() {
    let mut world = World::app("/app serve");
    world.pass(5);
    world
        .0
        .delete(&key("it"), &DeleteOptions::default())
        .unwrap();
    assert!(world.0.store.get(&key("it")).is_some());
    world.pass(3);
    assert!(world.0.store.get(&key("it")).is_none());
    assert!(
        world
            .events()
            .iter()
            .any(|line| line == "Killing x1: Stopping container main")
    );
    assert!(world.0.machines.pods.is_empty());
}

#[test]
fn whoever_ignores_the_signal_is_killed_after_its_grace() {
    let mut world = world();
    world.pod(
        json!({}),
        json!({"terminationGracePeriodSeconds": 5}),
        "main: {stop: {after: 60}}",
    );
    world.pass(5);
    world
        .0
        .delete(&key("it"), &DeleteOptions::default())
        .unwrap();
    world.pass(4);
    assert!(world.0.store.get(&key("it")).is_some());
    world.pass(3);
    assert!(world.0.store.get(&key("it")).is_none());
}

#[test]
fn a_program_that_is_not_there_is_a_start_error() {
    let mut world = World::app("nope");
    world.pass(6);
    let main = world.main();
    let ended = &main["lastState"]["terminated"];
    assert_eq!(
        (&ended["reason"], &ended["exitCode"]),
        (&json!("StartError"), &json!(128)),
        "{main}"
    );
}

#[test]
fn a_service_that_is_away_shows_in_whoever_needs_it() {
    let mut world = world();
    let service = json!({"metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.1.1"}});
    world
        .0
        .create(ids::SERVICES, Object::from_value(service).unwrap())
        .unwrap();
    let slice = |ready: bool| {
        let slice = json!({"metadata": {"name": "cart-abcde", "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "cart"}},
            "endpoints": [{"addresses": ["10.244.1.9"], "conditions": {"ready": ready}}]});
        Object::from_value(slice).unwrap()
    };
    world.0.create(ids::ENDPOINT_SLICES, slice(true)).unwrap();
    let probe = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1});
    let needs = "main: {needs: [{service: cart, without: unready}]}";
    world.pod(
        json!({"image": "front", "readinessProbe": probe}),
        json!({}),
        needs,
    );
    world.pass(20);
    assert_eq!(world.condition("Ready")["status"], "True");
    world
        .0
        .update(
            ids::ENDPOINT_SLICES,
            slice(false),
            crate::registry::Part::Main,
        )
        .unwrap();
    world.pass(10);
    assert_eq!(world.condition("Ready")["status"], "False");
    let log = world.0.logs(&key("it"), "main", false).unwrap();
    let last = &log.last().unwrap().text;
    assert_eq!(
        last,
        "error: Get \"http://cart:80/\": dial tcp 10.96.1.1:80: connect: connection refused"
    );
    world
        .0
        .update(
            ids::ENDPOINT_SLICES,
            slice(true),
            crate::registry::Part::Main,
        )
        .unwrap();
    world.pass(3);
    assert_eq!(world.condition("Ready")["status"], "True");
    world.0.set_cut("shop", "cart", true);
    world.pass(6);
    assert_eq!(world.condition("Ready")["status"], "False");
}

#[test]
fn a_node_short_of_memory_evicts() {
    let mut world = World::app("/app serve");
    world.pass(5);
    world.0.set_pressure("n1", Pressure::Memory, true);
    world.pass(4);
    let status = world.status();
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("Evicted")),
        "{status}"
    );
    assert_eq!(
        status["message"],
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 74836Ki. \
         Container main was using 12288Ki, request is 0, has larger consumption of memory. "
    );
    let node = world.0.store.get(&Key::new(ids::NODES, "", "n1")).unwrap();
    let status: Value = node.field("status").unwrap();
    let condition = &status["conditions"][0];
    assert_eq!(condition["status"], "True");
    assert_eq!(condition["reason"], "KubeletHasInsufficientMemory");
    world.0.set_pressure("n1", Pressure::Memory, false);
    world.pass(360);
    let node = world.0.store.get(&Key::new(ids::NODES, "", "n1")).unwrap();
    let status: Value = node.field("status").unwrap();
    assert_eq!(
        status["conditions"][0]["reason"],
        "KubeletHasSufficientMemory"
    );
}

#[test]
fn a_stopped_kubelet_reports_nothing_until_it_works_again() {
    let mut world = World::app("/app exit -code 1 -after 30s");
    world.pass(5);
    let before = world.0.last_heartbeat("n1").unwrap();
    world.0.set_kubelet("n1", false);
    // Less than the grace after which its pods have to leave.
    world.pass(40);
    assert_eq!(world.main()["restartCount"], 0);
    assert!(crate::events::passed(before, world.0.last_heartbeat("n1").unwrap()).as_secs() < 10);
    assert!(world.0.logs(&key("it"), "main", false).is_err());
    world.0.set_kubelet("n1", true);
    world.pass(3);
    let ended = &world.main()["lastState"]["terminated"];
    assert_eq!(ended["reason"], "Error", "{}", world.main());
    assert_eq!(world.main()["restartCount"], 1);
}

#[test]
fn a_node_without_room_refuses_a_pod_that_is_given_to_it() {
    let mut world = world();
    let resources = json!({"requests": {"cpu": "64"}});
    world.pod(
        json!({"resources": resources}),
        json!({"nodeName": "n1"}),
        "{}",
    );
    world.pass(2);
    let status = world.status();
    assert_eq!(status["reason"], "OutOfcpu");
    assert_eq!(
        status["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 64000, used: 0, capacity: 4000"
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = || {
        let mut world = World::app("/app exit -code 3 -after 1s");
        world.pass(300);
        let all = world.0.store.everything();
        all.iter().map(|one| one.new.to_json()).collect::<Vec<_>>()
    };
    assert_eq!(history(), history());
}

/// Not a test of speed (which `cargo xtask bench sim` measures) but of what is done: nothing
/// happens to a thousand healthy pods in a day, and little to ten that crash.
#[test]
fn a_day_of_healthy_pods_is_free_and_a_crash_loop_costs_its_transitions() {
    let mut cluster = Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap());
    for n in 0..10 {
        let roomy = NodeSpec::default();
        cluster.add_node(&format!("n{n}"), &roomy).unwrap();
    }
    for n in 0..210 {
        let args = if n < 200 {
            json!([])
        } else {
            json!(["-crash-after", "5s"])
        };
        let probe = json!({"httpGet": {"path": "/readyz", "port": 8080}});
        let pod = json!({"metadata": {"name": format!("p{n}"), "namespace": "shop"}, "spec": {
            "containers": [{"name": "main", "image": "img.test/app:1", "args": args,
                            "readinessProbe": probe, "livenessProbe": probe}]}});
        cluster
            .create(ids::PODS, Object::from_value(pod).unwrap())
            .unwrap();
    }
    cluster.pass(Duration::from_mins(5));
    let settled = cluster.store.revision();
    cluster.pass(Duration::from_hours(24));
    let written = cluster.store.revision() - settled;
    // Ten loops of about six minutes with some fifteen writes each, ten nodes' heartbeats, and
    // the end of the Events.
    assert!(written < 60_000, "{written}");
}

#[test]
fn a_node_s_lease_is_read_with_its_last_heartbeat_and_names_its_owner() {
    let mut world = world();
    let key = Key::new(ids::LEASES, "kube-node-lease", "n1");
    let read = |world: &World| {
        let lease = world.0.store.get(&key).expect("the lease");
        world.0.as_read(ids::LEASES, lease)
    };
    let first = read(&world);
    assert_eq!(first.meta.owner_references[0].kind, "Node");
    world.pass(25);
    assert_ne!(read(&world).fields, first.fields);
}
