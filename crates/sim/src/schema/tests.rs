//! What the simulator itself writes is of the types that it serves.

use super::Type;
use super::read::{self, Found};
use crate::api::{Answer, handle, testing::post};
use crate::cluster::Cluster;
use crate::nodes::NodeSpec;
use serde_json::{Value, json};
use std::time::Duration;

fn send(cluster: &mut Cluster, url: &str, body: &Value) {
    let request = post(&format!("{url}?fieldValidation=Strict"), &body.to_string());
    let Answer::Whole(whole) = handle(cluster, &request) else {
        panic!("{url}");
    };
    assert_eq!(whole.code, 201, "{url}: {:?}", whole.body);
}

/// A null is nothing to a reader; the real server writes some, too (`lastProbeTime`).
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let some = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                some.map(|(name, value)| (name, without_nulls(value)))
                    .collect(),
            )
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

fn workloads(cluster: &mut Cluster) {
    let template = |image: &str, policy: &str| {
        json!({
            "metadata": {"labels": {"app": "it"}},
            "spec": {"restartPolicy": policy, "containers": [{
                "name": "main", "image": image, "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": 1, "memory": "64Mi"}},
                "livenessProbe": {"httpGet": {"port": 80}},
            }]},
        })
    };
    let selector = json!({"matchLabels": {"app": "it"}});
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let all = json!([
        ["apps/v1", "deployments", {"replicas": 2, "selector": selector, "template": template("img.test/app:1", "Always")}],
        ["apps/v1", "statefulsets", {"selector": selector, "serviceName": "it",
            "template": template("img.test/app:1", "Always"), "volumeClaimTemplates": [claim]}],
        ["apps/v1", "daemonsets", {"selector": selector, "template": template("broken.test/app:1", "Always")}],
        ["batch/v1", "jobs", {"template": template("img.test/app:1", "Never")}],
        ["batch/v1", "cronjobs", {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template("img.test/app:1", "Never")}}}],
        ["policy/v1", "poddisruptionbudgets", {"minAvailable": 1, "selector": selector}],
        ["v1", "services", {"selector": {"app": "it"}, "ports": [{"port": 80, "targetPort": "http"}]}],
        ["v1", "resourcequotas", {"hard": {"pods": "20"}}],
    ]);
    for one in all.as_array().unwrap() {
        let (version, plural) = (one[0].as_str().unwrap(), one[1].as_str().unwrap());
        let group = if version == "v1" { "api" } else { "apis" };
        let url = format!("/{group}/{version}/namespaces/shop/{plural}");
        send(
            cluster,
            &url,
            &json!({"metadata": {"name": "it"}, "spec": one[2]}),
        );
    }
}

#[test]
fn what_controllers_and_kubelets_write_is_of_its_type() {
    let mut cluster = Cluster::new(3, "2026-01-01T00:00:00Z".parse().unwrap());
    cluster.add_administrator("admin");
    cluster.add_node("n1", &NodeSpec::default()).unwrap();
    send(
        &mut cluster,
        "/api/v1/namespaces",
        &json!({"metadata": {"name": "shop"}}),
    );
    cluster.pass(Duration::from_secs(5));
    workloads(&mut cluster);
    cluster.pass(Duration::from_mins(3));
    let mut seen = 0;
    for (id, row) in cluster.resources.iter() {
        for object in cluster.store.list(id, None) {
            let value = object.to_value();
            let (read, found) = read::value(&Type::of_row(row), &value);
            assert_eq!(found, Found::default(), "{value:#}");
            assert_eq!(read, without_nulls(value));
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}
