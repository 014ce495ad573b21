//! Everything together: the real scheduler and kubelets under the controllers.

use super::*;
use crate::nodes::NodeSpec;

fn cluster(nodes: &[&str]) -> World {
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut world = World {
        cluster: Cluster::new(1, start),
    };
    for node in nodes {
        world.cluster.add_node(node, &NodeSpec::default()).unwrap();
    }
    let namespace = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    world.create(ids::NAMESPACES, namespace);
    world.pass(1);
    world
}

#[test]
fn a_deployment_runs_on_real_nodes() {
    let mut world = cluster(&["n1", "n2"]);
    let key = world.create(ids::DEPLOYMENTS, workload("web", 4, "img.test/app:1"));
    world.pass(120);
    assert_eq!(world.get(&key)["status"]["availableReplicas"], 4);
    world.spec(&key, |spec| set_image(spec, "img.test/app:2"));
    world.pass(120);
    assert_eq!(world.get(&key)["status"]["updatedReplicas"], 4);
    assert_eq!(world.reason(&key, "Progressing"), "NewReplicaSetAvailable");
    let written = world.cluster.store.revision();
    world.pass(1800);
    let mut changes = world.cluster.store.changes_since(written).unwrap();
    let report = changes.all(|change| change.resource == ids::NODES);
    assert!(
        report,
        "in a quiet cluster only kubelets report their nodes"
    );
}

#[test]
fn the_pods_of_a_node_whose_kubelet_stops_are_started_elsewhere() {
    let mut world = cluster(&["n1", "n2"]);
    let mut value = workload("web", 4, "img.test/app:1");
    let for_a_while = |taint: &str| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    value["spec"]["template"]["spec"]["tolerations"] = json!([
        for_a_while("node.kubernetes.io/not-ready"),
        for_a_while("node.kubernetes.io/unreachable")
    ]);
    let key = world.create(ids::DEPLOYMENTS, value);
    world.pass(120);
    world.cluster.set_kubelet("n1", false);
    world.pass(70);
    let node = Key::new(ids::NODES, "", "n1");
    assert_eq!(world.reason(&node, "Ready"), "NodeStatusUnknown");
    assert_ne!(world.get(&key)["status"]["availableReplicas"], 4);
    world.pass(400);
    assert_eq!(world.get(&key)["status"]["availableReplicas"], 4);
    world.cluster.set_kubelet("n1", true);
    world.pass(120);
    assert_eq!(world.reason(&node, "Ready"), "KubeletReady");
    assert_eq!(world.names(ids::PODS).len(), 4);
}

#[test]
fn a_claim_waits_for_the_pod_and_the_pod_for_the_claim() {
    let mut world = cluster(&["n1"]);
    let mut value = workload("db", 1, "img.test/app:1");
    value["spec"]["serviceName"] = json!("db");
    value["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    let key = world.create(ids::STATEFUL_SETS, value);
    world.pass(120);
    assert_eq!(world.get(&key)["status"]["availableReplicas"], 1);
    let claim = world.get(&Key::new(ids::PERSISTENT_VOLUME_CLAIMS, "a", "data-db-0"));
    assert_eq!(claim["status"]["phase"], "Bound");
}
