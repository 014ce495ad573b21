use crate::cluster::Cluster;
use crate::nodes::NodeSpec;
use crate::object::{Key, Object};
use crate::resources::ids;
use serde_json::{Value, json};
use std::time::Duration;

fn cluster(nodes: u32) -> Cluster {
    let mut cluster = Cluster::new(3, "2026-01-01T00:00:00Z".parse().unwrap());
    for n in 1..=nodes {
        let spec = NodeSpec {
            cpu: "2".to_owned(),
            ..NodeSpec::default()
        };
        cluster.add_node(&format!("n{n}"), &spec).unwrap();
    }
    cluster
}

fn pod(cluster: &mut Cluster, name: &str, spec: Value) {
    let mut whole = json!({"containers": [{"name": "main", "image": "img.test/app:1"}]});
    let Value::Object(spec) = spec else { panic!() };
    for (field, value) in spec {
        whole[field] = value;
    }
    let pod = json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": whole, "status": {"phase": "Pending"}});
    cluster
        .create(ids::PODS, Object::from_value(pod).unwrap())
        .unwrap();
    cluster.pass(Duration::from_millis(100));
}

fn asks(cpu: &str) -> Value {
    json!([{"name": "main", "image": "img.test/app:1", "resources": {"requests": {"cpu": cpu}}}])
}

/// The name of its node; empty when it has none.
fn node(cluster: &Cluster, name: &str) -> String {
    let pod = cluster
        .store
        .get(&Key::new(ids::PODS, "shop", name))
        .unwrap();
    let spec: Value = pod.field("spec").unwrap();
    spec["nodeName"].as_str().unwrap_or("").to_owned()
}

fn why(cluster: &Cluster, name: &str) -> String {
    let pod = cluster
        .store
        .get(&Key::new(ids::PODS, "shop", name))
        .unwrap();
    let status: Value = pod.field("status").unwrap();
    status["conditions"][0]["message"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}

const HOPELESS: &str = "no new claims to deallocate, preemption: 0/2 nodes are available: \
                        2 Preemption is not helpful for scheduling.";

#[test]
fn the_words_are_those_that_were_recorded() {
    let mut cluster = cluster(2);
    let table = [
        (json!({"containers": asks("64")}), "2 Insufficient cpu"),
        (
            json!({"nodeSelector": {"disk": "ssd"}}),
            "2 node(s) didn't match Pod's node affinity/selector",
        ),
        (
            json!({"nodeSelector": {"kubernetes.io/hostname": "n1"}, "containers": asks("64")}),
            "1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector",
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": "nobody"}}, "topologyKey": "kubernetes.io/hostname"}]}}}),
            "2 node(s) didn't match pod affinity rules",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "nowhere",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}]}),
            "2 node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ];
    for (index, (spec, words)) in table.into_iter().enumerate() {
        let name = format!("p{index}");
        pod(&mut cluster, &name, spec);
        let expected = format!("0/2 nodes are available: {words}. {HOPELESS}");
        assert_eq!(why(&cluster, &name), expected);
        assert_eq!(node(&cluster, &name), "");
    }
}

#[test]
fn claims_come_before_nodes() {
    let mut cluster = cluster(2);
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "nowhere"}}]);
    pod(&mut cluster, "p", json!({"volumes": volumes}));
    let expected =
        "0/2 nodes are available: persistentvolumeclaim \"nowhere\" not found. not found";
    assert_eq!(why(&cluster, "p"), expected);
}

#[test]
fn what_is_full_is_full_until_something_goes() {
    let mut cluster = cluster(1);
    pod(&mut cluster, "a", json!({"containers": asks("1500m")}));
    pod(&mut cluster, "b", json!({"containers": asks("1500m")}));
    assert_eq!(node(&cluster, "a"), "n1");
    assert_eq!(
        why(&cluster, "b"),
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: \
         0/1 nodes are available: 1 No preemption victims found for incoming pod."
    );
    cluster.store.remove(&Key::new(ids::PODS, "shop", "a"));
    cluster.pass(Duration::from_secs(2));
    assert_eq!(node(&cluster, "b"), "n1");
}

#[test]
fn pods_are_spread_and_anti_affinity_is_kept_both_ways() {
    let mut cluster = cluster(2);
    let shy = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
         "topologyKey": "kubernetes.io/hostname"}]}}});
    pod(&mut cluster, "a", shy.clone());
    pod(&mut cluster, "b", shy);
    assert_ne!(node(&cluster, "a"), node(&cluster, "b"));
    pod(&mut cluster, "c", json!({}));
    assert!(
        why(&cluster, "c").contains("2 node(s) didn't satisfy existing pods anti-affinity rules")
    );
}

#[test]
fn a_gate_blocks() {
    let mut cluster = cluster(1);
    pod(
        &mut cluster,
        "p",
        json!({"schedulingGates": [{"name": "example.com/wait"}]}),
    );
    assert_eq!(
        why(&cluster, "p"),
        "Scheduling is blocked due to non-empty scheduling gates"
    );
    assert_eq!(node(&cluster, "p"), "");
}
