//! kubectl, from `get` to `drain`.

use anyhow::Result;
use serde_json::json;

use super::contains;
use crate::fidelity::Check;
use crate::fidelity::pods::{Does, pod, workload};
use crate::fidelity::room::{Room, condition, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("kubectl get", get),
    Check::new("kubectl describe", describe),
    Check::new("kubectl apply", apply),
    Check::new("kubectl apply --server-side", apply_server_side),
    Check::new("kubectl diff", diff),
    Check::new(
        "kubectl create, run, set, label, annotate, patch, expose",
        small_writes,
    ),
    Check::new("kubectl auth can-i, whoami", auth),
    Check::new("kubectl delete", delete),
    Check::new("kubectl api-resources, explain, version", resources),
    Check::new("kubectl exec is answered", exec),
];

/// A manifest of a Deployment that is soon ready.
pub(super) fn manifest(replicas: u32) -> String {
    let mut wanted = workload("it", replicas);
    wanted["apiVersion"] = json!("apps/v1");
    wanted["kind"] = json!("Deployment");
    wanted.to_string()
}

/// Applies a manifest.
pub(super) fn applied(room: &Room, manifest: &str) -> Result<String> {
    room.kubectl_with(&["apply", "-f", "-"], manifest)?.ok()
}

fn get(room: &Room) -> Result<()> {
    contains(
        &room.kubectl(&["get", "pods"])?.err,
        &["No resources found in f"],
    )?;
    room.create("pods", &pod("it", &Does::Serve))?;
    room.see("pods/it", "running", |pod| {
        pod["status"]["phase"] == "Running"
    })?;
    room.event("Pod", "it", "Started")?;
    let table = room.kubectl(&["get", "pods"])?.ok()?;
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    same!(
        lines.next().unwrap_or_default(),
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    );
    same!(
        lines.next().unwrap_or_default()[..4],
        ["it", "1/1", "Running", "0"]
    );
    contains(
        &room.kubectl(&["get", "pods", "-o", "wide"])?.ok()?,
        &["IP", "NODE", "READINESS GATES", "node"],
    )?;
    same!(
        room.kubectl(&["get", "pod", "it", "-o", "name"])?.ok()?,
        "pod/it\n"
    );
    same!(
        room.kubectl(&["get", "po", "it", "-o", "jsonpath={.status.phase}"])?
            .ok()?,
        "Running"
    );
    let yaml = room.kubectl(&["get", "pod", "it", "-o", "yaml"])?.ok()?;
    contains(&yaml, &["apiVersion: v1\nkind: Pod\n", "phase: Running"])?;
    contains(
        &room.kubectl(&["get", "pods", "--show-labels"])?.ok()?,
        &["app=it"],
    )?;
    let nodes = room.kubectl(&["get", "nodes"])?.ok()?;
    contains(&nodes, &["ROLES", "VERSION", "Ready", "v1."])?;
    let all = room
        .kubectl(&["get", "all,configmaps,events,serviceaccounts"])?
        .ok()?;
    contains(
        &all,
        &[
            "pod/it",
            "configmap/kube-root-ca.crt",
            "Started",
            "serviceaccount/default",
        ],
    )?;
    let missing = room.kubectl(&["get", "pod", "none"])?;
    same!(
        missing.err,
        "Error from server (NotFound): pods \"none\" not found\n"
    );
    same!(missing.code, 1);
    Ok(())
}

fn describe(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    room.see("deployments/it", "available", |it| {
        it["status"]["availableReplicas"] == 1
    })?;
    // Who writes what is described does so apart.
    let pod = room.names("pods")?.swap_remove(0);
    room.event("Pod", &pod, "Scheduled")?;
    room.event("Pod", &pod, "Started")?;
    room.event("Deployment", "it", "ScalingReplicaSet")?;
    let said = room.kubectl(&["describe", "deployment", "it"])?.ok()?;
    contains(
        &said,
        &[
            "1 desired | 1 updated | 1 total | 1 available",
            "MinimumReplicasAvailable",
            "ScalingReplicaSet",
        ],
    )?;
    let said = room.kubectl(&["describe", "pods", "-l", "app=it"])?.ok()?;
    contains(
        &said,
        &[
            "Controlled By:  ReplicaSet/it-",
            "State:          Running",
            "QoS Class:",
            "Readiness:",
            "Successfully assigned ",
            "Container started",
            "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
        ],
    )?;
    let node = room.names("/api/v1/nodes")?.swap_remove(0);
    let said = room.kubectl(&["describe", "node", &node])?.ok()?;
    contains(
        &said,
        &[
            "KubeletReady",
            "Allocatable:",
            "Allocated resources:",
            "Lease:",
        ],
    )
}

fn apply(room: &Room) -> Result<()> {
    same!(applied(room, &manifest(1))?, "deployment.apps/it created\n");
    same!(
        applied(room, &manifest(1))?,
        "deployment.apps/it unchanged\n"
    );
    let made = room.get("deployments/it")?;
    let kept =
        text(&made["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]);
    contains(&kept, &["\"kind\":\"Deployment\""])?;
    let mut wanted = workload("it", 2);
    wanted["apiVersion"] = json!("apps/v1");
    wanted["kind"] = json!("Deployment");
    wanted["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{ "name": "A", "value": "1" }]);
    same!(
        applied(room, &wanted.to_string())?,
        "deployment.apps/it configured\n"
    );
    let env = |room: &Room| -> Result<serde_json::Value> {
        Ok(room.get("deployments/it")?["spec"]["template"]["spec"]["containers"][0]["env"].take())
    };
    same!(env(room)?, json!([{ "name": "A", "value": "1" }]));
    // What is no longer in the manifest goes.
    applied(room, &manifest(2))?;
    same!(env(room)?, json!(null));
    same!(room.get("deployments/it")?["spec"]["replicas"], 2);
    Ok(())
}

fn apply_server_side(room: &Room) -> Result<()> {
    let apply = |manager: &str, text: &str, more: &[&str]| {
        let manager = format!("--field-manager={manager}");
        let args = [&["apply", "--server-side", &manager, "-f", "-"], more].concat();
        room.kubectl_with(&args, text)
    };
    same!(
        apply("alice", &manifest(1), &[])?.ok()?,
        "deployment.apps/it serverside-applied\n"
    );
    let refused = apply("bob", &manifest(2), &[])?;
    same!(refused.code, 1);
    contains(
        &refused.err,
        &[
            "error: Apply failed with 1 conflict: conflict with \"alice\": .spec.replicas",
            "Please review the fields above",
        ],
    )?;
    apply("bob", &manifest(2), &["--force-conflicts"])?.ok()?;
    same!(room.get("deployments/it")?["spec"]["replicas"], 2);
    Ok(())
}

fn diff(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    // Its controller writes no more: kubectl reads it twice, and shows what came in between.
    room.see("deployments/it", "complete", |it| {
        condition(it, "Progressing")["reason"] == "NewReplicaSetAvailable"
    })?;
    let same = room.kubectl_with(&["diff", "-f", "-"], &manifest(1))?;
    same!(same.code(0)?, "");
    let other = room
        .kubectl_with(&["diff", "-f", "-"], &manifest(2))?
        .code(1)?;
    contains(&other, &["-  replicas: 1\n", "+  replicas: 2\n"])?;
    same!(room.get("deployments/it")?["spec"]["replicas"], 1);
    let other = room
        .kubectl_with(
            &["diff", "--server-side", "--force-conflicts", "-f", "-"],
            &manifest(3),
        )?
        .code(1)?;
    contains(&other, &["+  replicas: 3\n"])
}

fn small_writes(room: &Room) -> Result<()> {
    let ok = |args: &[&str]| room.kubectl(args)?.ok();
    same!(
        ok(&["create", "configmap", "settings", "--from-literal=a=1"])?,
        "configmap/settings created\n"
    );
    same!(
        ok(&[
            "create",
            "deployment",
            "web",
            "--image=img.test/app:1",
            "--replicas=0"
        ])?,
        "deployment.apps/web created\n"
    );
    same!(
        ok(&["run", "once", "--image=img.test/app:1", "--restart=Never"])?,
        "pod/once created\n"
    );
    same!(
        ok(&["set", "image", "deployment/web", "app=img.test/app:2"])?,
        "deployment.apps/web image updated\n"
    );
    same!(
        ok(&["set", "env", "deployment/web", "A=1"])?,
        "deployment.apps/web env updated\n"
    );
    same!(
        ok(&["set", "resources", "deployment/web", "--limits=memory=64Mi"])?,
        "deployment.apps/web resource requirements updated\n"
    );
    same!(
        ok(&["label", "deployment", "web", "team=red"])?,
        "deployment.apps/web labeled\n"
    );
    same!(
        ok(&["annotate", "deployment", "web", "note=x"])?,
        "deployment.apps/web annotated\n"
    );
    let patch = "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"app\",\"args\":[\"x\"]}]}}}}";
    same!(
        ok(&["patch", "deployment", "web", "-p", patch])?,
        "deployment.apps/web patched\n"
    );
    same!(
        ok(&["expose", "deployment", "web", "--port=80"])?,
        "service/web exposed\n"
    );
    let found = room.get("deployments/web")?;
    let main = &found["spec"]["template"]["spec"]["containers"][0];
    same!(main["image"], "img.test/app:2");
    same!(main["env"], json!([{ "name": "A", "value": "1" }]));
    same!(main["resources"]["limits"]["memory"], "64Mi");
    same!(main["args"], json!(["x"]));
    same!(found["metadata"]["labels"]["team"], "red");
    Ok(())
}

fn auth(room: &Room) -> Result<()> {
    same!(
        room.kubectl(&["auth", "can-i", "delete", "pods"])?.ok()?,
        "yes\n"
    );
    let account = format!("system:serviceaccount:{}:default", room.namespace);
    let refused = room.kubectl(&["auth", "can-i", "delete", "pods", "--as", &account])?;
    same!(refused.out, "no\n");
    same!(refused.code, 1);
    let denied = room.kubectl(&["get", "pods", "--as", &account])?;
    let message = format!(
        "Error from server (Forbidden): pods is forbidden: User \"{account}\" cannot list resource \"pods\" \
         in API group \"\" in the namespace \"{}\"\n",
        room.namespace
    );
    same!(denied.err, message);
    contains(
        &room.kubectl(&["auth", "whoami"])?.ok()?,
        &["Username", "system:authenticated"],
    )
}

fn delete(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    same!(
        room.kubectl(&["delete", "deployment", "it"])?.ok()?,
        format!(
            "deployment.apps \"it\" deleted from {} namespace\n",
            room.namespace
        )
    );
    same!(room.read("deployments/it")?.code, 404);
    applied(room, &manifest(1))?;
    let said = room
        .kubectl_with(&["delete", "--wait", "-f", "-"], &manifest(1))?
        .ok()?;
    contains(&said, &["deployment.apps \"it\" deleted"])?;
    room.create("pods", &pod("one", &Does::Serve))?;
    let said = room.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"])?;
    contains(&said.out, &["pod \"one\" force deleted"])?;
    let none = room.kubectl(&["delete", "configmap", "none"])?;
    same!(
        none.err,
        "Error from server (NotFound): configmaps \"none\" not found\n"
    );
    same!(
        room.kubectl(&["delete", "configmap", "none", "--ignore-not-found"])?
            .code,
        0
    );
    Ok(())
}

fn resources(room: &Room) -> Result<()> {
    let ok = |args: &[&str]| room.kubectl(args)?.ok();
    let kinds = ok(&["api-resources", "--no-headers"])?;
    contains(
        &kinds,
        &[
            "deployments",
            "poddisruptionbudgets",
            "customresourcedefinitions",
            "horizontalpodautoscalers",
        ],
    )?;
    contains(
        &ok(&["api-versions"])?,
        &["apps/v1\n", "policy/v1\n", "v1\n"],
    )?;
    contains(&ok(&["version"])?, &["Server Version: v1."])?;
    contains(
        &ok(&["explain", "pod.spec.containers.image"])?,
        &["KIND:       Pod", "FIELD: image <string>"],
    )
}

fn exec(room: &Room) -> Result<()> {
    let said = room.kubectl(&["exec", "none", "--", "true"])?;
    same!(said.code, 1);
    same!(
        said.err,
        "Error from server (NotFound): pods \"none\" not found\n"
    );
    Ok(())
}
