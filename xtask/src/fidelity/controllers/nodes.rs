//! Nodes: cordon, taints, heartbeats. These change a node: they run alone.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container, pod_of};
use crate::fidelity::room::{Room, condition, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("node: conditions and lease", healthy),
    Check::alone("node: cordoned nodes take no pods", cordon),
    Check::alone("node: NoExecute sends pods away", no_execute),
];

fn healthy(room: &Room) -> Result<()> {
    let name = room.names("/api/v1/nodes")?.swap_remove(0);
    let node = room.get(&format!("/api/v1/nodes/{name}"))?;
    for (kind, status, reason, message) in [
        (
            "Ready",
            "True",
            "KubeletReady",
            "kubelet is posting ready status",
        ),
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
    ] {
        let found = condition(&node, kind);
        same!(found["status"], status);
        same!(found["reason"], reason);
        same!(found["message"], message);
    }
    same!(
        node["metadata"]["labels"]["kubernetes.io/hostname"],
        name.as_str()
    );
    for resource in ["cpu", "memory", "pods", "ephemeral-storage"] {
        ensure!(
            node["status"]["allocatable"][resource].is_string(),
            "no {resource}"
        );
    }
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let lease = room.get(&path)?;
    same!(lease["spec"]["holderIdentity"], name.as_str());
    same!(lease["spec"]["leaseDurationSeconds"], 40);
    same!(lease["metadata"]["ownerReferences"][0]["kind"], "Node");
    let before = lease["spec"]["renewTime"].clone();
    room.see(&path, "renewed", |it| it["spec"]["renewTime"] != before)
        .map(drop)
}

/// A pod that may run on this node only.
fn on(node: &str, name: &str, more: &Value) -> Value {
    let mut spec = json!({
        "containers": [container(&Does::Serve)], "nodeSelector": { "kubernetes.io/hostname": node },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    pod_of(name, &spec)
}

fn cordon(room: &Room) -> Result<()> {
    let name = room.names("/api/v1/nodes")?.swap_remove(1);
    let path = format!("/api/v1/nodes/{name}");
    let mark = |value: Value| json!({ "labels": { CORDONED: value } });
    // A scheduler hears of nodes and of pods apart: it knows the node by this label only together with
    // the cordon.
    room.merge(
        &path,
        &json!({ "metadata": mark(json!("yes")), "spec": { "unschedulable": true } }),
    )?;
    let asked = cordoned(room, &path);
    let back = room.merge(&path, &json!({ "spec": { "unschedulable": null } }));
    let placed = asked.and(back).and_then(|_| {
        room.see(&path, "without taints", |it| {
            it["spec"].get("taints").is_none()
        })?;
        room.see("pods/it", "placed at last", |it| {
            it["spec"]["nodeName"] == name.as_str()
        })
    });
    let unmarked = room.merge(&path, &json!({ "metadata": mark(Value::Null) }));
    placed.and(unmarked).map(drop)
}

/// A label of the cordoned node.
const CORDONED: &str = "fidelity.example.com/cordoned";

fn cordoned(room: &Room, path: &str) -> Result<()> {
    let node = room.see(path, "tainted", |it| it["spec"]["taints"].is_array())?;
    same!(
        node["spec"]["taints"][0]["key"],
        "node.kubernetes.io/unschedulable"
    );
    same!(node["spec"]["taints"][0]["effect"], "NoSchedule");
    let pod = json!({
        "containers": [container(&Does::Serve)], "nodeSelector": { CORDONED: "yes" },
    });
    room.create("pods", &pod_of("it", &pod))?;
    room.event("Pod", "it", "FailedScheduling")?;
    let wanted = "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
        1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/2 nodes are available: \
        2 Preemption is not helpful for scheduling.";
    // The event keeps the first words, the condition has the last.
    room.see("pods/it", wanted, |pod| {
        condition(pod, "PodScheduled")["message"] == wanted
    })
    .map(drop)
}

fn no_execute(room: &Room) -> Result<()> {
    let name = room.names("/api/v1/nodes")?.swap_remove(1);
    let path = format!("/api/v1/nodes/{name}");
    let tolerates = json!({ "tolerations": [{ "key": "fidelity", "operator": "Exists", "effect": "NoExecute" }] });
    room.create("pods", &on(&name, "goes", &json!({})))?;
    room.create("pods", &on(&name, "stays", &tolerates))?;
    for pod in ["goes", "stays"] {
        room.see(&format!("pods/{pod}"), "running", |it| {
            it["status"]["phase"] == "Running"
        })?;
    }
    let taint = json!({ "key": "fidelity", "value": "now", "effect": "NoExecute" });
    room.strategic(&path, &json!({ "spec": { "taints": [taint] } }))?;
    let asked = evicted(room);
    // The list of taints is one value to a strategic merge.
    let left = room.strategic(&path, &json!({ "spec": { "taints": null } }));
    asked?;
    same!(left?["spec"].get("taints"), None);
    Ok(())
}

fn evicted(room: &Room) -> Result<()> {
    let event = room.event("Pod", "goes", "TaintManagerEviction")?;
    same!(
        event["message"],
        format!("Marking for deletion Pod {}/goes", room.namespace)
    );
    same!(event["source"]["component"], "taint-eviction-controller");
    room.gone("pods/goes")?;
    same!(
        room.get("pods/stays")?["metadata"].get("deletionTimestamp"),
        None
    );
    Ok(())
}
