//! Containers that end: crash loops, memory, restart policies, logs.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{in_order, main, waiting};
use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container, container_with, pod, pod_of, readiness};
use crate::fidelity::room::{Room, condition, same, shaped, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("crash: back-off, last state, restarts", crash_loop),
    Check::new("crash: out of memory", out_of_memory),
    Check::new("crash: restartPolicy Never and OnFailure", policies),
    Check::new("crash: last words", last_words),
    Check::new("end: of a pod that is deleted", deleted),
    Check::new("end: sidecars go last", sidecar),
    Check::new("logs: current, previous, tail", logs),
    Check::new("logs: followed", followed),
    Check::new("logs: refusals", log_refusals),
];

const CRASH: Does = Does::Exit {
    code: 3,
    after: 0,
    message: "fatal: missing setting PORT",
};

fn crash_loop(room: &Room) -> Result<()> {
    room.create("pods", &pod("it", &CRASH))?;
    let pod = waiting(room, "CrashLoopBackOff")?;
    let uid = text(&pod["metadata"]["uid"]);
    let end = format!(
        "restarting failed container=main pod=it_{}({uid})",
        room.namespace
    );
    shaped(
        &main(&pod)["state"]["waiting"]["message"],
        "back-off 10s ",
        &end,
    )?;
    // It stays Running: the pod has not failed.
    same!(pod["status"]["phase"], "Running");
    same!(main(&pod)["ready"], false);
    same!(main(&pod)["started"], false);
    ensure!(
        main(&pod)["restartCount"].as_u64().unwrap_or(0) >= 1,
        "{}",
        main(&pod)
    );
    let last = &main(&pod)["lastState"]["terminated"];
    same!(last["exitCode"], 3);
    same!(last["reason"], "Error");
    same!(
        condition(&pod, "ContainersReady")["message"],
        "containers with unready status: [main]"
    );
    let event = room.event("Pod", "it", "BackOff")?;
    let message = format!(
        "Back-off restarting failed container main in pod it_{}({uid})",
        room.namespace
    );
    same!(event["message"], message);
    same!(event["type"], "Warning");
    in_order(
        room,
        &["Scheduled", "Pulled", "Created", "Started", "BackOff"],
    )?;
    // It restarts after ten seconds and what a busy kubelet takes; a status has whole seconds.
    let before = text(&last["finishedAt"]).parse::<jiff::Timestamp>()?;
    let restarts = main(&pod)["restartCount"].as_u64().unwrap_or(0);
    let next = room.see("pods/it", "the next restart", |pod| {
        main(pod)["restartCount"] == restarts.saturating_add(1)
    })?;
    let state = &main(&next)["state"];
    let begun = [&state["running"], &state["terminated"]].map(|state| text(&state["startedAt"]));
    let begun = begun.into_iter().find(|at| !at.is_empty());
    let begun = begun.unwrap_or_else(|| text(&main(&next)["lastState"]["terminated"]["startedAt"]));
    let pause = begun
        .parse::<jiff::Timestamp>()?
        .duration_since(before)
        .as_secs();
    ensure!((9..=90).contains(&pause), "restarted after {pause} s");
    Ok(())
}

fn out_of_memory(room: &Room) -> Result<()> {
    let limit = json!({ "resources": { "limits": { "memory": "96Mi" } } });
    let hungry = container_with(&Does::Allocate(150), &limit);
    room.create("pods", &pod_of("it", &json!({ "containers": [hungry] })))?;
    let pod = room.see("pods/it", "killed", |pod| {
        let state = main(pod);
        [&state["state"], &state["lastState"]]
            .into_iter()
            .any(|state| state["terminated"]["reason"] == "OOMKilled")
    })?;
    let state = main(&pod);
    let ended = [
        &state["state"]["terminated"],
        &state["lastState"]["terminated"],
    ];
    let ended = ended
        .into_iter()
        .find(|ended| ended["reason"] == "OOMKilled")
        .unwrap_or(&Value::Null);
    same!(ended["exitCode"], 137);
    same!(pod["status"]["qosClass"], "Burstable");
    // A runtime hears of the end and of what the memory did to it apart.
    room.see("pods/it", "CrashLoopBackOff after OOMKilled", |pod| {
        main(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            && main(pod)["lastState"]["terminated"]["reason"] == "OOMKilled"
    })?;
    room.event("Pod", "it", "BackOff")?;
    Ok(())
}

fn policies(room: &Room) -> Result<()> {
    for (name, policy, code, phase) in [
        ("a", "Never", 0, "Succeeded"),
        ("b", "Never", 3, "Failed"),
        ("c", "OnFailure", 0, "Succeeded"),
    ] {
        let ends = Does::Exit {
            code,
            after: 1,
            message: "",
        };
        let spec = json!({ "restartPolicy": policy, "containers": [container(&ends)] });
        room.create("pods", &pod_of(name, &spec))?;
        let done = room.see(&format!("pods/{name}"), phase, |pod| {
            pod["status"]["phase"] == phase
        })?;
        same!(main(&done)["restartCount"], 0);
        same!(main(&done)["state"]["terminated"]["exitCode"], code);
        same!(main(&done)["ready"], false);
        let reason = if code == 0 {
            "PodCompleted"
        } else {
            "PodFailed"
        };
        same!(condition(&done, "Ready")["reason"], reason);
    }
    Ok(())
}

fn last_words(room: &Room) -> Result<()> {
    let policy = json!({ "terminationMessagePolicy": "FallbackToLogsOnError" });
    let spec = json!({ "restartPolicy": "Never", "containers": [container_with(&CRASH, &policy)] });
    room.create("pods", &pod_of("it", &spec))?;
    let done = room.see("pods/it", "failed", |pod| {
        pod["status"]["phase"] == "Failed"
    })?;
    let ended = &main(&done)["state"]["terminated"];
    same!(ended["message"], "fatal: missing setting PORT\n");
    same!(ended["reason"], "Error");
    ensure!(
        text(&ended["startedAt"]) <= text(&ended["finishedAt"]),
        "{ended}"
    );
    Ok(())
}

fn deleted(room: &Room) -> Result<()> {
    // It serves before it is told to end: else it could not yet listen to that.
    let serves = container_with(&Does::Serve, &json!({ "readinessProbe": readiness() }));
    let spec = json!({ "containers": [serves], "terminationGracePeriodSeconds": 60 });
    room.create("pods", &pod_of("it", &spec))?;
    let made = room.see("pods/it", "ready", |pod| {
        condition(pod, "Ready")["status"] == "True"
    })?;
    let from = super::super::room::text(&made["metadata"]["resourceVersion"]);
    let mut watch = room.watch(&format!("pods?resourceVersion={from}"))?;
    room.delete("pods/it")?.is(200)?;
    let mut last = Value::Null;
    let gone = loop {
        let mut event = watch.next()?;
        if event["type"] == "DELETED" {
            break event["object"].take();
        }
        last = event["object"].take();
        ensure!(last["metadata"]["name"] == "it", "{last}");
    };
    // SIGTERM is enough for it: it is gone long before its grace is over, and ended well.
    same!(gone["metadata"]["deletionGracePeriodSeconds"], 0);
    same!(main(&last)["state"]["terminated"]["exitCode"], 0);
    same!(
        room.event("Pod", "it", "Killing")?["message"],
        "Stopping container main"
    );
    Ok(())
}

fn sidecar(room: &Room) -> Result<()> {
    let mut side = container(&Does::Serve);
    side["name"] = json!("side");
    side["restartPolicy"] = json!("Always");
    let ends = Does::Exit {
        code: 0,
        // Long enough to be seen.
        after: 8,
        message: "",
    };
    let spec = json!({
        "restartPolicy": "Never", "initContainers": [side], "containers": [container(&ends)],
    });
    room.create("pods", &pod_of("it", &spec))?;
    let both = room.see("pods/it", "both run", |pod| {
        main(pod)["state"]["running"].is_object()
    })?;
    let side = &both["status"]["initContainerStatuses"][0];
    ensure!(
        side["state"]["running"].is_object() && side["started"] == true,
        "{side}"
    );
    let done = room.see("pods/it", "done", |pod| {
        pod["status"]["phase"] == "Succeeded"
    })?;
    let side = &done["status"]["initContainerStatuses"][0]["state"]["terminated"];
    ensure!(
        text(&side["finishedAt"]) >= text(&main(&done)["state"]["terminated"]["finishedAt"]),
        "{side}"
    );
    Ok(())
}

fn logs(room: &Room) -> Result<()> {
    room.create("pods", &pod("it", &CRASH))?;
    room.see("pods/it", "restarted", |pod| {
        main(pod)["restartCount"].as_u64() >= Some(1)
    })?;
    waiting(room, "CrashLoopBackOff")?;
    // Each restart begins an empty log, and the one before the last is thrown away.
    let says = |query: &str, wanted: &dyn Fn(&str) -> bool| {
        let path = format!("pods/it/log{query}");
        room.wait(&path, |room| Ok(wanted(&room.read(&path)?.text)))
    };
    let words = "fatal: missing setting PORT\n";
    says("", &|text| text == words)?;
    says("?previous=true", &|text| text == words)?;
    says("?timestamps=true&tailLines=1", &|text| {
        let (at, line) = text.split_once(' ').unwrap_or_default();
        at.parse::<jiff::Timestamp>().is_ok() && line == words
    })?;
    says("?limitBytes=5", &|text| text == "fatal")
}

fn followed(room: &Room) -> Result<()> {
    room.create("pods", &pod("it", &Does::Print("tick")))?;
    room.see("pods/it", "running", |pod| {
        pod["status"]["phase"] == "Running"
    })?;
    let path = room.path("pods/it/log?follow=true&container=main");
    let mut stream = room.target.admin.request(Method::GET, &path).stream()?;
    for _ in 0..3 {
        same!(stream.line()?.as_deref(), Some("tick"));
    }
    let all = room.read("pods/it/log")?.text.lines().count();
    same!(room.read("pods/it/log?tailLines=2")?.text, "tick\ntick\n");
    ensure!(all >= 3, "{all} lines");
    Ok(())
}

fn log_refusals(room: &Room) -> Result<()> {
    let image = json!([{ "name": "main", "image": "img.test/app:nowhere" }]);
    room.create("pods", &pod_of("it", &json!({ "containers": image })))?;
    // It changes between this and "image can't be pulled".
    let message =
        "container \"main\" in pod \"it\" is waiting to start: trying and failing to pull image";
    room.wait(message, |room| {
        Ok(room.read("pods/it/log")?.body["message"] == message)
    })?;
    room.read("pods/it/log")?.status(400, "BadRequest")?;
    let message = "previous terminated container \"main\" in pod \"it\" not found";
    room.read("pods/it/log?previous=true")?
        .refused(400, "BadRequest", message)?;
    let message = "container other is not valid for pod it";
    room.read("pods/it/log?container=other")?
        .refused(400, "BadRequest", message)?;
    room.read("pods/none/log")?
        .refused(404, "NotFound", "pods \"none\" not found")?;
    Ok(())
}
