//! Garbage, namespaces, endpoints, budgets, nodes.

use super::*;
use proptest::prelude::*;

fn web(world: &mut World, replicas: u32) -> Key {
    let key = world.create(ids::DEPLOYMENTS, workload("web", replicas, "good"));
    world.pass(5);
    key
}

#[test]
fn what_a_deleted_object_owns_goes_too() {
    for policy in [Propagation::Background, Propagation::Foreground] {
        let mut world = World::new();
        let key = web(&mut world, 3);
        world.delete(&key, policy);
        world.pass(10);
        assert_eq!(world.get(&key), Value::Null, "{policy:?}");
        assert!(world.names(ids::REPLICA_SETS).is_empty());
        assert!(world.names(ids::PODS).is_empty());
    }
}

#[test]
fn foreground_deletion_keeps_the_owner_until_its_dependents_are_gone() {
    let mut world = World::new();
    let key = web(&mut world, 1);
    world.delete(&key, Propagation::Foreground);
    world.cluster.pass(Duration::from_millis(500));
    assert_eq!(world.names(ids::PODS).len(), 1, "the pod has its grace");
    assert_ne!(world.get(&key), Value::Null);
    world.pass(3);
    assert_eq!(world.get(&key), Value::Null);
}

#[test]
fn orphaned_dependents_live_on_and_are_taken_in_again() {
    let mut world = World::new();
    let key = web(&mut world, 2);
    let pods = world.names(ids::PODS);
    world.delete(&key, Propagation::Orphan);
    world.pass(10);
    assert_eq!(world.get(&key), Value::Null);
    assert_eq!(world.names(ids::PODS), pods);
    let again = web(&mut world, 2);
    assert_eq!(world.names(ids::PODS), pods);
    assert_eq!(world.names(ids::REPLICA_SETS).len(), 1);
    assert_eq!(world.get(&again)["status"]["availableReplicas"], 2);
}

#[test]
fn an_object_whose_owner_was_never_there_is_removed() {
    let mut world = World::new();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "0"}]);
    let value = json!({"metadata": {"name": "lost", "namespace": "a", "ownerReferences": owner}});
    let lost = world.create(ids::CONFIGMAPS, value);
    let owner =
        json!([{"apiVersion": "example.com/v1", "kind": "Widget", "name": "x", "uid": "0"}]);
    let value = json!({"metadata": {"name": "kept", "namespace": "a", "ownerReferences": owner}});
    let kept = world.create(ids::CONFIGMAPS, value);
    world.pass(1);
    assert_eq!(world.get(&lost), Value::Null);
    assert_ne!(
        world.get(&kept),
        Value::Null,
        "a kind that nobody knows proves nothing"
    );
}

#[test]
fn a_namespace_is_furnished() {
    let mut world = World::new();
    world.pass(1);
    let key = Key::new(ids::SERVICE_ACCOUNTS, "a", "default");
    assert_ne!(world.get(&key), Value::Null);
    assert_ne!(
        world.get(&Key::new(ids::CONFIGMAPS, "a", "kube-root-ca.crt")),
        Value::Null
    );
    world.delete(&key, Propagation::Background);
    world.pass(1);
    assert_ne!(world.get(&key), Value::Null);
}

#[test]
fn a_deleted_namespace_takes_all_its_content_along() {
    let mut world = World::new();
    web(&mut world, 2);
    let held =
        json!({"metadata": {"name": "held", "namespace": "a", "finalizers": ["example.com/wait"]}});
    let held = world.create(ids::CONFIGMAPS, held);
    let namespace = Key::new(ids::NAMESPACES, "", "a");
    world.delete(&namespace, Propagation::Background);
    world.pass(10);
    assert!(world.names(ids::PODS).is_empty());
    assert!(world.names(ids::DEPLOYMENTS).is_empty());
    assert_eq!(world.get(&namespace)["status"]["phase"], "Terminating");
    assert_eq!(
        world.reason(&namespace, "NamespaceFinalizersRemaining"),
        "SomeFinalizersRemain"
    );
    assert_eq!(
        world.reason(&namespace, "NamespaceContentRemaining"),
        "SomeResourcesRemain"
    );
    world
        .cluster
        .modify(&held, |object| object.meta.finalizers.clear());
    world.pass(1);
    assert_eq!(world.get(&namespace), Value::Null);
    assert!(world.names(ids::EVENTS).is_empty());
}

#[test]
fn a_cron_job_starts_a_job_at_each_time_and_keeps_a_few() {
    let mut world = World::new();
    let template = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "succeeds"}]}}}});
    let cron = json!({"metadata": {"name": "tick", "namespace": "a"}, "spec": {"schedule": "*/10 * * * *", "jobTemplate": template}});
    let key = world.create(ids::CRON_JOBS, cron);
    world.pass(599);
    assert!(world.names(ids::JOBS).is_empty());
    world.pass(11);
    assert_eq!(world.names(ids::JOBS).len(), 1);
    assert!(world.said("SawCompletedJob")[0].ends_with("condition: Complete"));
    world.pass(6 * 600);
    assert_eq!(world.names(ids::JOBS).len(), 3);
    assert_eq!(world.names(ids::PODS).len(), 3);
    assert!(world.get(&key)["status"].get("active").is_none());
}

#[test]
fn a_claim_is_bound_to_the_smallest_volume_that_suits() {
    let mut world = World::new();
    let volume = |name: &str, size: &str| {
        json!({"metadata": {"name": name}, "spec": {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
        "persistentVolumeReclaimPolicy": "Retain"}})
    };
    for (name, size) in [("small", "512Mi"), ("right", "2Gi"), ("large", "10Gi")] {
        world.create(ids::PERSISTENT_VOLUMES, volume(name, size));
    }
    let claim = world.create(
        ids::PERSISTENT_VOLUME_CLAIMS,
        claim("data", &json!("by-hand")),
    );
    world.pass(1);
    let bound = world.get(&claim);
    assert_eq!(bound["spec"]["volumeName"], "right");
    assert_eq!(
        bound["status"],
        json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}})
    );
    let volume = Key::new(ids::PERSISTENT_VOLUMES, "", "right");
    assert_eq!(world.get(&volume)["status"]["phase"], "Bound");
    world.delete(&claim, Propagation::Background);
    world.pass(1);
    assert_eq!(world.get(&volume)["status"]["phase"], "Released");
    assert_eq!(
        world.get(&Key::new(ids::PERSISTENT_VOLUMES, "", "small"))["status"]["phase"],
        "Available"
    );
}

fn claim(name: &str, class: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "a"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "resources": {"requests": {"storage": "1Gi"}}}})
}

#[test]
fn a_claim_of_a_class_that_waits_is_made_a_volume_when_a_pod_is_placed() {
    let mut world = World::new();
    let class = json!({"metadata": {"name": "standard"}, "provisioner": "example.com/disk", "volumeBindingMode": "WaitForFirstConsumer"});
    world.create(ids::STORAGE_CLASSES, class);
    let key = world.create(
        ids::PERSISTENT_VOLUME_CLAIMS,
        claim("data", &json!("standard")),
    );
    let lost = world.create(ids::PERSISTENT_VOLUME_CLAIMS, claim("lost", &json!("none")));
    world.pass(60);
    assert_eq!(
        world.said("WaitForFirstConsumer"),
        ["waiting for first consumer to be created before binding"]
    );
    assert_eq!(
        world.said("ProvisioningFailed"),
        ["storageclass.storage.k8s.io \"none\" not found"]
    );
    assert_eq!(world.get(&lost)["spec"].get("volumeName"), None);
    let pod = json!({"metadata": {"name": "user", "namespace": "a"}, "spec": {"containers": [{"name": "main", "image": "good"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}, "status": {"phase": "Pending"}});
    let pod = world.create(ids::PODS, pod);
    world.pass(5);
    assert_eq!(world.get(&key)["status"]["phase"], "Bound");
    world.delete(&key, Propagation::Background);
    world.pass(5);
    assert_ne!(world.get(&key), Value::Null, "a claim in use stays");
    world.delete(&pod, Propagation::Background);
    world.pass(5);
    assert_eq!(world.get(&key), Value::Null);
    assert!(
        world.names(ids::PERSISTENT_VOLUMES).is_empty(),
        "the class reclaims by deleting"
    );
}

#[test]
fn a_quota_says_what_is_used_and_what_is_refused_is_told_and_tried_again() {
    let mut world = World::new();
    world.pass(1);
    let quota =
        json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": {"pods": "2"}}});
    let quota = world.create(ids::RESOURCE_QUOTAS, quota);
    let set = world.create(ids::REPLICA_SETS, workload("web", 3, "good"));
    world.pass(5);
    assert_eq!(
        world.get(&quota)["status"],
        json!({"hard": {"pods": "2"}, "used": {"pods": "2"}})
    );
    assert_eq!(world.get(&set)["status"]["availableReplicas"], 2);
    assert_eq!(world.reason(&set, "ReplicaFailure"), "FailedCreate");
    let refused = world.said("FailedCreate");
    assert!(
        refused[0].starts_with("Error creating: pods \"web-"),
        "{refused:?}"
    );
    assert!(refused[0].ends_with(
        "is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    ));
    world.spec(&quota, |spec| spec["hard"]["pods"] = json!("3"));
    world.pass(60);
    assert_eq!(world.get(&set)["status"]["availableReplicas"], 3);
    assert_eq!(world.reason(&set, "ReplicaFailure"), "");
}

fn service(more: &Value) -> Value {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "a"},
        "spec": {"clusterIP": "10.1.0.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    for (name, field) in more.as_object().unwrap() {
        value["spec"][name] = field.clone();
    }
    value
}

#[test]
fn a_service_knows_who_is_ready_behind_it() {
    let mut world = World::new();
    let key = world.create(ids::SERVICES, service(&json!({})));
    web(&mut world, 2);
    let slices = world.list(ids::ENDPOINT_SLICES);
    assert_eq!(slices.len(), 1);
    assert_eq!(
        slices[0]["metadata"]["labels"]["kubernetes.io/service-name"],
        "web"
    );
    assert_eq!(slices[0]["ports"][0]["port"], 8080);
    assert_eq!(slices[0]["endpoints"].as_array().unwrap().len(), 2);
    assert_eq!(slices[0]["endpoints"][0]["conditions"]["ready"], true);
    let endpoints = world.get(&Key::new(ids::ENDPOINTS, "a", "web"));
    assert_eq!(
        endpoints["subsets"][0]["addresses"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let pod = Key::new(ids::PODS, "a", &world.names(ids::PODS)[0]);
    let mut status = world.get(&pod)["status"].clone();
    status["conditions"][0]["status"] = json!("False");
    world.cluster.set_status(&pod, &status);
    world.pass(1);
    let endpoints = world.get(&Key::new(ids::ENDPOINTS, "a", "web"));
    assert_eq!(
        endpoints["subsets"][0]["notReadyAddresses"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    world.delete(&key, Propagation::Background);
    world.pass(1);
    assert!(world.names(ids::ENDPOINTS).is_empty());
    assert!(world.names(ids::ENDPOINT_SLICES).is_empty());
}

#[test]
fn a_terminating_pod_serves_but_is_not_ready() {
    let mut world = World::new();
    world.create(ids::SERVICES, service(&json!({})));
    let key = web(&mut world, 1);
    world.spec(&key, |spec| spec["replicas"] = json!(0));
    world.cluster.pass(Duration::from_millis(500));
    let slice = world.list(ids::ENDPOINT_SLICES).remove(0);
    let conditions = &slice["endpoints"][0]["conditions"];
    assert_eq!(
        *conditions,
        json!({"ready": false, "serving": true, "terminating": true})
    );
    let endpoints = world.get(&Key::new(ids::ENDPOINTS, "a", "web"));
    assert!(endpoints.get("subsets").is_none());
}

#[test]
fn a_budget_counts_what_may_go() {
    let mut world = World::new();
    let budget = |field: &str, value: Value| {
        let mut spec = json!({"selector": {"matchLabels": {"app": "web"}}});
        spec[field] = value;
        json!({"metadata": {"name": field.to_lowercase(), "namespace": "a"}, "spec": spec})
    };
    let least = world.create(
        ids::POD_DISRUPTION_BUDGETS,
        budget("minAvailable", json!(2)),
    );
    let most = world.create(
        ids::POD_DISRUPTION_BUDGETS,
        budget("maxUnavailable", json!("50%")),
    );
    world.pass(1);
    assert_eq!(world.said("NoPods"), ["No matching pods found"; 2]);
    assert_eq!(world.get(&least)["status"]["disruptionsAllowed"], 0);
    web(&mut world, 3);
    let status = world.get(&least)["status"].clone();
    assert_eq!(status["disruptionsAllowed"], 1);
    assert_eq!(status["expectedPods"], 3);
    assert_eq!(world.reason(&least, "DisruptionAllowed"), "SufficientPods");
    let status = world.get(&most)["status"].clone();
    assert_eq!(
        [&status["desiredHealthy"], &status["disruptionsAllowed"]],
        [1, 2]
    );
    // An eviction notes its pod; it counts until the pod goes, or for two minutes.
    let mut status = world.get(&least)["status"].clone();
    status["disruptedPods"] =
        json!({world.names(ids::PODS)[0].clone(): world.cluster.now_seconds()});
    status["disruptionsAllowed"] = json!(0);
    world.cluster.set_status(&least, &status);
    world.pass(60);
    assert_eq!(world.get(&least)["status"]["currentHealthy"], 2);
    world.pass(70);
    assert_eq!(world.get(&least)["status"]["currentHealthy"], 3);
}

fn beat(world: &mut World, node: &str) {
    let key = Key::new(ids::LEASES, "kube-node-lease", node);
    let spec = json!({"renewTime": world.cluster.now()});
    if world.cluster.store.get(&key).is_some() {
        world.cluster.modify(&key, |lease| lease.set("spec", &spec));
    } else {
        world.create(
            ids::LEASES,
            json!({"metadata": {"name": node, "namespace": "kube-node-lease"}, "spec": spec}),
        );
    }
}

fn ready() -> Value {
    json!({"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]})
}

fn taints(world: &World, node: &str) -> Vec<String> {
    let node = world.get(&Key::new(ids::NODES, "", node));
    let list = node["spec"]["taints"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    list.iter()
        .map(|one| {
            format!(
                "{}:{}",
                one["key"].as_str().unwrap(),
                one["effect"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn a_silent_node_is_unknown_and_its_pods_leave_after_their_time() {
    let mut world = World::new();
    let node = Key::new(ids::NODES, "", "n1");
    world.cluster.set_status(&node, &ready());
    let mut value = workload("web", 1, "good");
    let seconds = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
    value["spec"]["template"]["spec"]["tolerations"] = seconds;
    let key = world.create(ids::DEPLOYMENTS, value);
    for _ in 0..10 {
        beat(&mut world, "n1");
        world.pass(10);
    }
    assert_eq!(world.get(&key)["status"]["availableReplicas"], 1);
    let pod = world.names(ids::PODS).remove(0);
    world.pass(40);
    assert_eq!(world.reason(&node, "Ready"), "KubeletReady");
    world.pass(10);
    assert_eq!(world.reason(&node, "Ready"), "NodeStatusUnknown");
    let unreachable = "node.kubernetes.io/unreachable";
    let wanted = [
        format!("{unreachable}:NoSchedule"),
        format!("{unreachable}:NoExecute"),
    ];
    assert_eq!(taints(&world, "n1"), wanted);
    let said = world.said("NodeNotReady");
    assert_eq!(
        said,
        ["Node n1 status is now: NodeNotReady", "Node is not ready"]
    );
    assert!(world.get(&key)["status"].get("availableReplicas").is_none());
    world.pass(280);
    assert_eq!(world.names(ids::PODS), std::slice::from_ref(&pod));
    world.pass(30);
    assert_ne!(world.names(ids::PODS), std::slice::from_ref(&pod));
    assert_eq!(
        world.said("TaintManagerEviction")[0],
        format!("Marking for deletion Pod a/{pod}")
    );
}

#[test]
fn a_node_that_comes_back_in_time_keeps_its_pods() {
    let mut world = World::new();
    let node = Key::new(ids::NODES, "", "n1");
    let mut value = workload("web", 1, "good");
    let seconds = json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
    value["spec"]["template"]["spec"]["tolerations"] = seconds;
    world.create(ids::DEPLOYMENTS, value);
    beat(&mut world, "n1");
    world.pass(100);
    assert_eq!(taints(&world, "n1").len(), 2);
    beat(&mut world, "n1");
    world.cluster.set_status(&node, &ready());
    world.pass(10);
    assert!(taints(&world, "n1").is_empty());
    assert!(world.said("TaintManagerEviction")[0].starts_with("Cancelling deletion of Pod a/web-"));
}

#[test]
fn a_cordoned_node_is_tainted_and_a_taint_that_is_not_tolerated_empties_it() {
    let mut world = World::new();
    let node = Key::new(ids::NODES, "", "n1");
    web(&mut world, 1);
    let pod = world.names(ids::PODS);
    world.spec(&node, |spec| *spec = json!({"unschedulable": true}));
    world.pass(1);
    assert_eq!(
        taints(&world, "n1"),
        ["node.kubernetes.io/unschedulable:NoSchedule"]
    );
    assert_eq!(world.names(ids::PODS), pod);
    world.spec(&node, |spec| {
        *spec = json!({"taints": [{"key": "x", "effect": "NoExecute"}]});
    });
    world.pass(3);
    assert_ne!(world.names(ids::PODS), pod);
}

#[test]
fn the_pods_of_a_node_that_is_gone_go_after_a_while() {
    let mut world = World::new();
    web(&mut world, 1);
    let pods = world.names(ids::PODS);
    world.delete(&Key::new(ids::NODES, "", "n1"), Propagation::Background);
    world.pass(35);
    assert_eq!(world.names(ids::PODS), pods);
    world.pass(10);
    assert!(!world.names(ids::PODS).contains(&pods[0]));
}

/// Something a user does.
#[derive(Clone, Debug)]
enum Deed {
    Scale(u32),
    Roll(u32),
    DeletePod(usize),
    DeleteSet(usize),
    Pass(u64),
    Pause(bool),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        (0..8_u32).prop_map(Deed::Scale),
        (1..4_u32).prop_map(Deed::Roll),
        (0..8_usize).prop_map(Deed::DeletePod),
        (0..3_usize).prop_map(Deed::DeleteSet),
        (0..4_u64).prop_map(Deed::Pass),
        any::<bool>().prop_map(Deed::Pause),
    ];
    proptest::collection::vec(one, 1..12)
}

fn act(world: &mut World, key: &Key, deed: &Deed) {
    let pick = |world: &World, resource, index: usize| {
        let names = world.names(resource);
        let name = names.get(index % names.len().max(1))?;
        Some(Key::new(resource, "a", name))
    };
    match *deed {
        Deed::Scale(replicas) => world.spec(key, |spec| spec["replicas"] = json!(replicas)),
        Deed::Roll(version) => world.spec(key, |spec| set_image(spec, &format!("good:{version}"))),
        Deed::Pause(paused) => world.spec(key, |spec| spec["paused"] = json!(paused)),
        Deed::Pass(seconds) => world.pass(seconds),
        Deed::DeletePod(index) => {
            if let Some(pod) = pick(world, ids::PODS, index) {
                world.delete(&pod, Propagation::Background);
            }
        }
        Deed::DeleteSet(index) => {
            if let Some(set) = pick(world, ids::REPLICA_SETS, index) {
                world.delete(&set, Propagation::Background);
            }
        }
    }
}

fn history(seed: u64, deeds: &[Deed]) -> String {
    let mut world = World::seeded(seed);
    let key = web(&mut world, 2);
    for deed in deeds {
        act(&mut world, &key, deed);
    }
    world.pass(60);
    let all = world.cluster.store.everything();
    all.iter()
        .map(|change| change.new.to_json())
        .collect::<Vec<_>>()
        .join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_done_the_wanted_replicas_come_to_be_and_nothing_is_orphaned(deeds in deeds()) {
        let mut world = World::new();
        let key = web(&mut world, 2);
        for deed in &deeds {
            act(&mut world, &key, deed);
        }
        act(&mut world, &key, &Deed::Pause(false));
        world.pass(120);
        let deployment = world.get(&key);
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap();
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        let pods = world.list(ids::PODS);
        prop_assert_eq!(pods.len() as u64, wanted);
        for pod in &pods {
            prop_assert_eq!(&pod["spec"]["containers"][0]["image"], image);
        }
        let uids: Vec<_> = world.list(ids::REPLICA_SETS).iter().map(|set| set["metadata"]["uid"].clone()).collect();
        for pod in &pods {
            prop_assert!(uids.contains(&pod["metadata"]["ownerReferences"][0]["uid"]));
        }
        world.delete(&key, Propagation::Background);
        world.pass(10);
        prop_assert!(world.names(ids::PODS).is_empty());
        prop_assert!(world.names(ids::REPLICA_SETS).is_empty());
    }

    #[test]
    fn the_same_seed_gives_the_same_history(deeds in deeds(), seed in 0..100_u64) {
        prop_assert_eq!(history(seed, &deeds), history(seed, &deeds));
    }
}
