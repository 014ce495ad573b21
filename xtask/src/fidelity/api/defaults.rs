//! What admission adds and refuses: defaults, quotas, limit ranges.

use anyhow::Result;
use serde_json::{Value, json};

use super::{config_map, idle_deployment, idle_pod};
use crate::fidelity::Check;
use crate::fidelity::room::{Room, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("defaults: of a pod", pod_defaults),
    Check::new("defaults: of workloads", workload_defaults),
    Check::new("defaults: what each namespace gets", namespace_defaults),
    Check::new("quota: exceeded, and what must be said", quota),
    Check::new("quota: used follows what is there", quota_used),
    Check::new("limit range: defaults, least and most", limit_range),
];

fn pod_defaults(room: &Room) -> Result<()> {
    let pod = room.create("pods", &idle_pod("it"))?;
    let spec = &pod["spec"];
    same!(spec["restartPolicy"], "Always");
    same!(spec["dnsPolicy"], "ClusterFirst");
    same!(spec["terminationGracePeriodSeconds"], 30);
    same!(spec["serviceAccountName"], "default");
    same!(spec["enableServiceLinks"], true);
    same!(spec["priority"], 0);
    same!(spec["preemptionPolicy"], "PreemptLowerPriority");
    let toleration = |key: &str| {
        json!({
            "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
        })
    };
    same!(
        spec["tolerations"],
        json!([toleration("not-ready"), toleration("unreachable")])
    );
    let main = &spec["containers"][0];
    same!(main["imagePullPolicy"], "IfNotPresent");
    same!(main["terminationMessagePath"], "/dev/termination-log");
    same!(main["terminationMessagePolicy"], "File");
    same!(main["resources"], json!({}));
    same!(
        main["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    same!(pod["status"]["phase"], "Pending");
    same!(pod["status"]["qosClass"], "BestEffort");
    let mut probed = idle_pod("latest");
    probed["spec"]["containers"][0] = json!({
        "name": "main", "image": "img.test/app", "readinessProbe": { "httpGet": { "port": 80 } },
        "resources": { "limits": { "cpu": "1", "memory": "1Gi" } },
    });
    let pod = room.create("pods", &probed)?;
    let main = &pod["spec"]["containers"][0];
    same!(main["imagePullPolicy"], "Always");
    same!(main["resources"]["requests"], main["resources"]["limits"]);
    same!(pod["status"]["qosClass"], "Guaranteed");
    let probe = json!({
        "httpGet": { "path": "/", "port": 80, "scheme": "HTTP" },
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    });
    same!(main["readinessProbe"], probe);
    Ok(())
}

fn workload_defaults(room: &Room) -> Result<()> {
    let mut wanted = idle_deployment("it");
    wanted["spec"]["paused"] = json!(true);
    if let Some(spec) = wanted["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    let spec = room.post("deployments?dryRun=All", &wanted)?.is(201)?["spec"].take();
    same!(spec["replicas"], 1);
    same!(spec["revisionHistoryLimit"], 10);
    same!(spec["progressDeadlineSeconds"], 600);
    same!(spec["strategy"]["type"], "RollingUpdate");
    same!(
        spec["template"]["spec"]["schedulerName"],
        "default-scheduler"
    );
    let template = idle_deployment("it")["spec"]["template"].take();
    let set = json!({ "metadata": { "name": "it" }, "spec": {
        "selector": { "matchLabels": { "app": "it" } }, "template": template,
    } });
    let spec = room.post("statefulsets?dryRun=All", &set)?.is(201)?["spec"].take();
    same!(spec["podManagementPolicy"], "OrderedReady");
    same!(
        spec["updateStrategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } })
    );
    let spec = room.post("daemonsets?dryRun=All", &set)?.is(201)?["spec"].take();
    same!(
        spec["updateStrategy"]["rollingUpdate"],
        json!({ "maxUnavailable": 1, "maxSurge": 0 })
    );
    let job = json!({ "metadata": { "name": "it" }, "spec": { "suspend": true, "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "main", "image": "x" }],
    } } } });
    let made = room.create("jobs", &job)?;
    same!(made["spec"]["backoffLimit"], 6);
    same!(made["spec"]["completions"], 1);
    same!(made["spec"]["parallelism"], 1);
    same!(made["spec"]["completionMode"], "NonIndexed");
    let labels = &made["spec"]["template"]["metadata"]["labels"];
    same!(labels["batch.kubernetes.io/job-name"], "it");
    same!(labels["job-name"], "it");
    same!(labels["controller-uid"], made["metadata"]["uid"]);
    Ok(())
}

fn namespace_defaults(room: &Room) -> Result<()> {
    let found = room.get(&format!("/api/v1/namespaces/{}", room.namespace))?;
    same!(found["status"]["phase"], "Active");
    same!(found["spec"]["finalizers"], json!(["kubernetes"]));
    same!(
        found["metadata"]["labels"]["kubernetes.io/metadata.name"],
        room.namespace.as_str()
    );
    room.wait("the authority's certificate", |room| {
        Ok(room.read("configmaps/kube-root-ca.crt")?.code == 200)
    })?;
    // Both come back.
    room.delete("serviceaccounts/default")?.is(200)?;
    room.wait("a new ServiceAccount", |room| {
        Ok(room.read("serviceaccounts/default")?.code == 200)
    })
}

/// A quota; waits until it counts: for the controller, and then for admission, which hears of it by
/// itself and would let everything through.
fn limited(room: &Room, mut hard: Value) -> Result<()> {
    hard["secrets"] = json!("0");
    room.create(
        "resourcequotas",
        &json!({ "metadata": { "name": "small" }, "spec": { "hard": hard } }),
    )?;
    room.see("resourcequotas/small", "counted", |it| {
        it["status"]["used"].is_object()
    })?;
    let secret = json!({ "metadata": { "name": "it" } });
    room.wait("the quota to be in force", |room| {
        let refused = room.post("secrets?dryRun=All", &secret)?;
        Ok(text(&refused.body["message"]).contains("exceeded quota: small"))
    })
}

/// An idle pod that asks for cpu.
fn asking(name: &str, cpu: &str) -> Value {
    let mut pod = idle_pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu } });
    pod
}

fn quota(room: &Room) -> Result<()> {
    limited(
        room,
        json!({ "pods": "2", "requests.cpu": "1", "configmaps": "2" }),
    )?;
    let message =
        "pods \"bad\" is forbidden: failed quota: small: must specify requests.cpu for: main";
    let status = room
        .post("pods", &idle_pod("bad"))?
        .refused(403, "Forbidden", message)?;
    same!(status["details"], json!({ "name": "bad", "kind": "pods" }));
    room.create("pods", &asking("one", "600m"))?;
    let message = "pods \"two\" is forbidden: exceeded quota: small, requested: requests.cpu=600m, \
        used: requests.cpu=600m, limited: requests.cpu=1";
    room.post("pods", &asking("two", "600m"))?
        .refused(403, "Forbidden", message)?;
    room.create("configmaps", &config_map("one"))?;
    let message = "configmaps \"two\" is forbidden: exceeded quota: small, requested: configmaps=1, \
        used: configmaps=2, limited: configmaps=2";
    room.post("configmaps", &config_map("two"))?
        .refused(403, "Forbidden", message)?;
    Ok(())
}

fn quota_used(room: &Room) -> Result<()> {
    limited(room, json!({ "pods": "1" }))?;
    room.create("pods", &idle_pod("one"))?;
    room.see("resourcequotas/small", "one pod", |it| {
        it["status"]["used"]["pods"] == "1"
    })?;
    let message = "pods \"two\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1";
    room.post("pods", &idle_pod("two"))?
        .refused(403, "Forbidden", message)?;
    room.delete("pods/one")?.is(200)?;
    room.see("resourcequotas/small", "no pod", |it| {
        it["status"]["used"]["pods"] == "0"
    })?;
    // Admission hears of it by itself.
    room.wait("place for another", |room| {
        Ok(room.post("pods", &idle_pod("two"))?.code == 201)
    })
}

fn limit_range(room: &Room) -> Result<()> {
    let limits = json!([{
        "type": "Container", "default": { "memory": "128Mi" },
        "defaultRequest": { "memory": "64Mi", "cpu": "50m" },
        "max": { "memory": "256Mi" }, "min": { "memory": "16Mi" },
    }]);
    room.create(
        "limitranges",
        &json!({ "metadata": { "name": "it" }, "spec": { "limits": limits } }),
    )?;
    let asks = |resources: Value| {
        let mut pod = idle_pod("it");
        pod["spec"]["containers"][0]["resources"] = resources;
        pod
    };
    room.wait("the limits to count", |room| {
        let pod = room.post("pods?dryRun=All", &idle_pod("it"))?.is(201)?;
        Ok(pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi")
    })?;
    let pod = room.post("pods?dryRun=All", &idle_pod("it"))?.is(201)?;
    let given =
        json!({ "limits": { "memory": "128Mi" }, "requests": { "memory": "64Mi", "cpu": "50m" } });
    same!(pod["spec"]["containers"][0]["resources"], given);
    let note = "LimitRanger plugin set: cpu, memory request for container main; memory limit for container main";
    same!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        note
    );
    let message =
        "pods \"it\" is forbidden: maximum memory usage per Container is 256Mi, but limit is 1Gi";
    let answer = room.post("pods", &asks(json!({ "limits": { "memory": "1Gi" } })))?;
    answer.refused(403, "Forbidden", message)?;
    let message =
        "pods \"it\" is forbidden: minimum memory usage per Container is 16Mi, but request is 1Mi";
    let answer = room.post("pods", &asks(json!({ "requests": { "memory": "1Mi" } })))?;
    answer.refused(403, "Forbidden", message)?;
    Ok(())
}
