//! kubectl for those who run things: roll out, scale, logs, drain.

use anyhow::{Result, ensure};
use serde_json::json;

use super::contains;
use super::kubectl::{applied, manifest};
use crate::fidelity::Check;
use crate::fidelity::room::{Room, condition, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("kubectl rollout status, history, undo", rollout),
    Check::new("kubectl rollout restart, pause, resume", rollout_restart),
    Check::new("kubectl scale and wait", scale),
    Check::new("kubectl logs", logs),
    Check::alone("kubectl cordon, drain, uncordon", drain),
];

fn rollout(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    let done = "deployment \"it\" successfully rolled out\n";
    let status = ["rollout", "status", "deployment/it", "--timeout=220s"];
    contains(&room.kubectl(&status)?.ok()?, &[done])?;
    // Long enough that it is still going on when it is asked for.
    room.merge(
        "deployments/it",
        &json!({ "spec": { "minReadySeconds": 10 } }),
    )?;
    room.kubectl(&["set", "image", "deployment/it", "main=img.test/app:2"])?
        .ok()?;
    contains(
        &room.kubectl(&status)?.ok()?,
        &["Waiting for deployment \"it\" rollout to finish", done],
    )?;
    let history = room
        .kubectl(&["rollout", "history", "deployment/it"])?
        .ok()?;
    same!(
        history.split_whitespace().collect::<Vec<_>>().join(" "),
        "deployment.apps/it REVISION CHANGE-CAUSE 1 <none> 2 <none>"
    );
    same!(
        room.kubectl(&["rollout", "undo", "deployment/it"])?.ok()?,
        "deployment.apps/it rolled back\n"
    );
    contains(&room.kubectl(&status)?.ok()?, &[done])?;
    let found = room.get("deployments/it")?;
    same!(
        found["spec"]["template"]["spec"]["containers"][0]["image"],
        "img.test/app:1"
    );
    Ok(())
}

fn rollout_restart(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    let ok = |args: &[&str]| room.kubectl(args)?.ok();
    same!(
        ok(&["rollout", "restart", "deployment/it"])?,
        "deployment.apps/it restarted\n"
    );
    let found = room.get("deployments/it")?;
    let at =
        &found["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    ensure!(at.is_string(), "{}", found["spec"]["template"]["metadata"]);
    same!(
        ok(&["rollout", "pause", "deployment/it"])?,
        "deployment.apps/it paused\n"
    );
    room.see("deployments/it", "paused", |it| {
        condition(it, "Progressing")["reason"] == "DeploymentPaused"
    })?;
    let again = room.kubectl(&["rollout", "pause", "deployment/it"])?;
    contains(&again.err, &["is already paused"])?;
    same!(
        ok(&["rollout", "resume", "deployment/it"])?,
        "deployment.apps/it resumed\n"
    );
    contains(
        &ok(&["rollout", "status", "deployment/it", "--timeout=220s"])?,
        &["successfully rolled out"],
    )
}

fn scale(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    let ok = |args: &[&str]| room.kubectl(args)?.ok();
    same!(
        ok(&["scale", "deployment", "it", "--replicas=2"])?,
        "deployment.apps/it scaled\n"
    );
    let wait = [
        "wait",
        "--for=condition=Available",
        "deployment/it",
        "--timeout=220s",
    ];
    same!(ok(&wait)?, "deployment.apps/it condition met\n");
    let wait = [
        "wait",
        "--for=jsonpath={.status.readyReplicas}=2",
        "deployment/it",
        "--timeout=220s",
    ];
    same!(ok(&wait)?, "deployment.apps/it condition met\n");
    let refused = room.kubectl(&[
        "scale",
        "deployment",
        "it",
        "--replicas=1",
        "--current-replicas=5",
    ])?;
    contains(&refused.err, &["Expected replicas to be 5, was 2"])?;
    let late = room.kubectl(&[
        "wait",
        "--for=condition=Never",
        "deployment/it",
        "--timeout=1s",
    ])?;
    contains(&late.err, &["timed out waiting for the condition"])
}

fn logs(room: &Room) -> Result<()> {
    applied(room, &manifest(1))?;
    room.see("deployments/it", "available", |it| {
        it["status"]["availableReplicas"] == 1
    })?;
    let line = "version 1 listens on :8080\n";
    // What a container prints is written down by its runtime, in its own time.
    room.wait("the first line", |room| {
        Ok(room
            .kubectl(&["logs", "deployment/it"])?
            .ok()?
            .contains(line))
    })?;
    contains(
        &room.kubectl(&["logs", "-l", "app=it", "--prefix"])?.ok()?,
        &["[pod/it-", line],
    )?;
    let refused = room.kubectl(&["logs", "deployment/it", "--previous"])?;
    contains(
        &refused.err,
        &["previous terminated container \"main\" in pod \"it-"],
    )
}

fn drain(room: &Room) -> Result<()> {
    let node = room.names("/api/v1/nodes")?.swap_remove(1);
    let result = drained(room, &node);
    let back = room.kubectl(&["uncordon", &node])?;
    result?;
    same!(back.ok()?, format!("node/{node} uncordoned\n"));
    same!(
        room.get(&format!("/api/v1/nodes/{node}"))?["spec"].get("unschedulable"),
        None
    );
    Ok(())
}

fn drained(room: &Room, node: &str) -> Result<()> {
    applied(room, &manifest(2))?;
    room.see("deployments/it", "available", |it| {
        it["status"]["availableReplicas"] == 2
    })?;
    same!(
        room.kubectl(&["cordon", node])?.ok()?,
        format!("node/{node} cordoned\n")
    );
    let table = room.kubectl(&["get", "node", node])?.ok()?;
    contains(&table, &["Ready,SchedulingDisabled"])?;
    let selector = "--pod-selector=app=it,pod-template-hash";
    let args = [
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        selector,
        "--timeout=220s",
    ];
    let said = room.kubectl(&args)?.ok()?;
    contains(&said, &[&format!("node/{node} drained")])?;
    let left = format!(
        "/api/v1/pods?fieldSelector=spec.nodeName%3D{node}&labelSelector=app%3Dit,pod-template-hash"
    );
    same!(room.names(&left)?, Vec::<String>::new());
    let moved = room.see("deployments/it", "available elsewhere", |it| {
        it["status"]["availableReplicas"] == 2
    })?;
    same!(moved["status"]["replicas"], 2);
    Ok(())
}
