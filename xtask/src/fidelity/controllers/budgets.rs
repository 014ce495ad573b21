//! Endpoints, disruption budgets, garbage, volumes.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container_with, pod_of, readiness, workload};
use crate::fidelity::room::{Room, condition, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("endpoints: follow readiness", endpoints),
    Check::new("pdb: counts what it guards", budget),
    Check::new("garbage: a tree goes with its root", cascade),
    Check::new("garbage: an owner that never was", dangling),
    Check::new("volumes: a claim finds a volume", claim_bound),
    Check::new("volumes: a claim that nothing fits", claim_waits),
];

fn endpoints(room: &Room) -> Result<()> {
    let service = json!({ "metadata": { "name": "it" }, "spec": {
        "selector": { "app": "it" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
    } });
    room.create("services", &service)?;
    let unready = container_with(
        &Does::ServeUnready,
        &json!({ "readinessProbe": readiness() }),
    );
    let ready = container_with(&Does::Serve, &json!({ "readinessProbe": readiness() }));
    for (name, container) in [("good", ready), ("bad", unready)] {
        let mut pod = pod_of("it", &json!({ "containers": [container] }));
        pod["metadata"]["name"] = json!(name);
        room.create("pods", &pod)?;
    }
    let path = "endpointslices?labelSelector=kubernetes.io/service-name%3Dit";
    let by_pod = |list: &Value, pod: &str| {
        let slices = list["items"].as_array().into_iter().flatten();
        let mut ends = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        ends.find(|end| end["targetRef"]["name"] == pod)
            .cloned()
            .unwrap_or_default()
    };
    let slices = room.see(path, "one ready, one not", |list| {
        by_pod(list, "good")["conditions"]["ready"] == true
            && by_pod(list, "bad")["conditions"]["ready"] == false
    })?;
    let good = room.get("pods/good")?;
    same!(
        by_pod(&slices, "good")["addresses"],
        json!([good["status"]["podIP"]])
    );
    same!(
        by_pod(&slices, "good")["nodeName"],
        good["spec"]["nodeName"]
    );
    same!(
        slices["items"][0]["ports"],
        json!([{ "name": "http", "port": 8080, "protocol": "TCP" }])
    );
    same!(slices["items"][0]["addressType"], "IPv4");
    // Another controller writes these.
    room.see("endpoints/it", "the same", |old| {
        let subset = &old["subsets"][0];
        subset["addresses"][0]["ip"] == good["status"]["podIP"]
            && subset["notReadyAddresses"][0]["targetRef"]["name"] == "bad"
    })?;
    room.delete("pods/good")?.is(200)?;
    room.see(path, "without the one that went", |list| {
        by_pod(list, "good").is_null()
    })
    .map(drop)
}

fn budget(room: &Room) -> Result<()> {
    room.create("deployments", &workload("it", 2))?;
    let budget = json!({ "metadata": { "name": "it" }, "spec": {
        "minAvailable": "50%", "selector": { "matchLabels": { "app": "it" } },
    } });
    room.create("poddisruptionbudgets", &budget)?;
    let found = room.see("poddisruptionbudgets/it", "two healthy", |it| {
        it["status"]["currentHealthy"] == 2
    })?;
    same!(found["status"]["desiredHealthy"], 1);
    same!(found["status"]["expectedPods"], 2);
    same!(found["status"]["disruptionsAllowed"], 1);
    same!(found["status"]["observedGeneration"], 1);
    same!(
        condition(&found, "DisruptionAllowed")["reason"],
        "SufficientPods"
    );
    room.merge(
        "poddisruptionbudgets/it",
        &json!({ "spec": { "minAvailable": null, "maxUnavailable": 0 } }),
    )?;
    let found = room.see("poddisruptionbudgets/it", "none allowed", |it| {
        it["status"]["disruptionsAllowed"] == 0
    })?;
    same!(found["status"]["desiredHealthy"], 2);
    same!(condition(&found, "DisruptionAllowed")["status"], "False");
    same!(
        condition(&found, "DisruptionAllowed")["reason"],
        "InsufficientPods"
    );
    Ok(())
}

fn cascade(room: &Room) -> Result<()> {
    room.create("deployments", &workload("it", 2))?;
    room.wait("two pods", |room| Ok(room.names("pods")?.len() == 2))?;
    room.delete("deployments/it")?.is(200)?;
    room.wait("nothing to be left", |room| {
        Ok(room.names("replicasets")?.is_empty() && room.names("pods")?.is_empty())
    })
}

fn dangling(room: &Room) -> Result<()> {
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "b3b9b7c0-0000-4000-8000-000000000000" }]);
    let lost = json!({ "metadata": { "name": "it", "ownerReferences": owner } });
    room.create("configmaps", &lost)?;
    room.gone("configmaps/it")
}

/// A claim of one GiB.
fn claim(class: &str) -> Value {
    json!({ "metadata": { "name": "it" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "resources": { "requests": { "storage": "1Gi" } },
    } })
}

fn claim_bound(room: &Room) -> Result<()> {
    let class = room.namespace.as_str();
    let volume = json!({ "metadata": { "name": class }, "spec": {
        "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "hostPath": { "path": "/tmp" }, "persistentVolumeReclaimPolicy": "Retain",
    } });
    room.create("/api/v1/persistentvolumes", &volume)?;
    let path = format!("/api/v1/persistentvolumes/{class}");
    let bound = bind(room, class, &path).and_then(|()| {
        room.delete("persistentvolumeclaims/it")?;
        room.see(&path, "released", |it| it["status"]["phase"] == "Released")
    });
    // It is in no namespace: nothing else takes it away.
    let removed = room.delete(&path)?.is(200);
    bound.and(removed).map(drop)
}

fn bind(room: &Room, class: &str, path: &str) -> Result<()> {
    room.create("persistentvolumeclaims", &claim(class))?;
    let found = room.see("persistentvolumeclaims/it", "bound", |it| {
        it["status"]["phase"] == "Bound"
    })?;
    same!(found["spec"]["volumeName"], class);
    same!(found["status"]["capacity"]["storage"], "2Gi");
    same!(
        found["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"],
        "yes"
    );
    let volume = room.get(path)?;
    same!(volume["status"]["phase"], "Bound");
    same!(volume["spec"]["claimRef"]["name"], "it");
    same!(volume["spec"]["claimRef"]["uid"], found["metadata"]["uid"]);
    Ok(())
}

fn claim_waits(room: &Room) -> Result<()> {
    room.create("persistentvolumeclaims", &claim("nothing"))?;
    let event = room.event("PersistentVolumeClaim", "it", "ProvisioningFailed")?;
    same!(
        event["message"],
        "storageclass.storage.k8s.io \"nothing\" not found"
    );
    same!(
        room.get("persistentvolumeclaims/it")?["status"]["phase"],
        "Pending"
    );
    let volumes = json!([{ "name": "d", "persistentVolumeClaim": { "claimName": "it" } }]);
    let container = container_with(&Does::Serve, &json!({}));
    room.create(
        "pods",
        &pod_of(
            "it",
            &json!({ "containers": [container], "volumes": volumes }),
        ),
    )?;
    room.event("Pod", "it", "FailedScheduling")?;
    // A scheduler hears of pods and of claims apart. Its event keeps the first words, the condition
    // has the last.
    let why = "pod has unbound immediate PersistentVolumeClaims";
    room.see("pods/it", why, |pod| {
        text(&condition(pod, "PodScheduled")["message"]).contains(why)
    })
    .map(drop)
}
