//! Pods that start, and those that cannot: images, configuration, init containers.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{in_order, main, waiting};
use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container, container_with, pod, pod_of};
use crate::fidelity::room::{Room, condition, same, shaped, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("start: from pending to ready", healthy),
    Check::new("image: a tag that is not there", no_tag),
    Check::new("image: a registry that is not there", no_registry),
    Check::new("image: never pulled", never_pulled),
    Check::new("config: a ConfigMap that is not there", no_config_map),
    Check::new("config: a Secret or key that is not there", no_secret),
    Check::new("config: a volume that is not there", no_volume),
    Check::new("init: one after the other, then the main one", init_order),
    Check::new("init: one that fails", init_fails),
];

fn healthy(room: &Room) -> Result<()> {
    room.create("pods", &pod("it", &Does::Serve))?;
    let ready = room.see("pods/it", "ready", |pod| {
        condition(pod, "Ready")["status"] == "True"
    })?;
    for kind in [
        "PodScheduled",
        "PodReadyToStartContainers",
        "Initialized",
        "ContainersReady",
    ] {
        same!(condition(&ready, kind)["status"], "True");
    }
    let status = &ready["status"];
    same!(status["phase"], "Running");
    same!(status["podIPs"][0]["ip"], status["podIP"]);
    ensure!(
        status["hostIP"].is_string() && status["startTime"].is_string(),
        "{status}"
    );
    same!(main(&ready)["ready"], true);
    same!(main(&ready)["started"], true);
    same!(main(&ready)["restartCount"], 0);
    same!(main(&ready)["image"], "img.test/app:1");
    shaped(&main(&ready)["containerID"], "containerd://", "")?;
    ensure!(
        main(&ready)["state"]["running"]["startedAt"].is_string(),
        "{}",
        main(&ready)
    );
    let node = text(&ready["spec"]["nodeName"]);
    let event = room.event("Pod", "it", "Scheduled")?;
    same!(
        event["message"],
        format!("Successfully assigned {}/it to {node}", room.namespace)
    );
    same!(event["reportingComponent"], "default-scheduler");
    for (reason, message) in [
        (
            "Pulled",
            "Container image \"img.test/app:1\" already present on machine and can be accessed by the pod",
        ),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ] {
        let event = room.event("Pod", "it", reason)?;
        same!(event["message"], message);
        same!(event["type"], "Normal");
        same!(event["count"], 1);
        same!(
            event["source"],
            json!({ "component": "kubelet", "host": node })
        );
        same!(event["reportingComponent"], "kubelet");
        same!(
            event["involvedObject"]["fieldPath"],
            "spec.containers{main}"
        );
    }
    in_order(room, &["Scheduled", "Pulled", "Created", "Started"])
}

/// A pod with another image.
fn with_image(image: &str, policy: &str) -> Value {
    let container = json!({ "name": "main", "image": image, "imagePullPolicy": policy });
    pod_of("it", &json!({ "containers": [container] }))
}

/// What every failing pull looks like; `why` is part of the runtime's words.
fn pull_fails(room: &Room, image: &str, why: &str) -> Result<()> {
    room.create("pods", &with_image(image, "IfNotPresent"))?;
    let failed = room.see("pods/it", &format!("ErrImagePull: {why}"), |pod| {
        let state = &main(pod)["state"]["waiting"];
        state["reason"] == "ErrImagePull" && text(&state["message"]).contains(why)
    })?;
    same!(failed["status"]["phase"], "Pending");
    same!(main(&failed)["restartCount"], 0);
    same!(main(&failed)["imageID"], "");
    same!(condition(&failed, "Ready")["reason"], "ContainersNotReady");
    same!(
        condition(&failed, "Ready")["message"],
        "containers with unready status: [main]"
    );
    let late = waiting(room, "ImagePullBackOff")?;
    let message = &main(&late)["state"]["waiting"]["message"];
    shaped(
        message,
        &format!("Back-off pulling image \"{image}\": ErrImagePull: "),
        "",
    )?;
    same!(
        room.event("Pod", "it", "Pulling")?["message"],
        format!("Pulling image \"{image}\"")
    );
    let event = room.event("Pod", "it", "BackOff")?;
    same!(
        event["message"],
        format!("Back-off pulling image \"{image}\"")
    );
    same!(event["type"], "Normal");
    let begin = format!("Failed to pull image \"{image}\": ");
    room.wait("all three words of a failed pull", |room| {
        let events = room.events("Pod", "it")?;
        let failures = events.iter().filter(|event| event["reason"] == "Failed");
        let said = |wanted: &dyn Fn(&str) -> bool| {
            failures.clone().any(|event| {
                event["type"] == "Warning" && wanted(event["message"].as_str().unwrap_or_default())
            })
        };
        Ok(
            said(&|message| message.starts_with(&begin) && message.contains(why))
                && said(&|message| message == "Error: ErrImagePull")
                && said(&|message| message == "Error: ImagePullBackOff"),
        )
    })?;
    in_order(room, &["Scheduled", "Pulling", "Failed", "BackOff"])
}

fn no_tag(room: &Room) -> Result<()> {
    pull_fails(
        room,
        "img.test/app:nowhere",
        "failed to resolve image: img.test/app:nowhere: not found",
    )?;
    // Asked again after ten seconds and what a busy kubelet takes; the event has whole seconds.
    room.wait("another try", |room| {
        let pulling = room.event("Pod", "it", "Pulling")?;
        let parsed = |field: &str| text(&pulling[field]).parse::<jiff::Timestamp>();
        let apart = parsed("lastTimestamp")?.duration_since(parsed("firstTimestamp")?);
        let again = pulling["count"].as_u64().unwrap_or(0) >= 2;
        ensure!(
            !again || (9..=90).contains(&apart.as_secs()),
            "{} s between the tries",
            apart.as_secs()
        );
        Ok(again)
    })
}

fn no_registry(room: &Room) -> Result<()> {
    pull_fails(room, "registry.invalid/shop/cart:7", "no such host")
}

fn never_pulled(room: &Room) -> Result<()> {
    room.create("pods", &with_image("img.test/app:nowhere", "Never"))?;
    let pod = waiting(room, "ErrImageNeverPull")?;
    let message =
        "Container image \"img.test/app:nowhere\" is not present with pull policy of Never";
    same!(main(&pod)["state"]["waiting"]["message"], message);
    same!(
        room.event("Pod", "it", "ErrImageNeverPull")?["message"],
        message
    );
    Ok(())
}

/// Waits until the container waits for this part of its configuration. A kubelet that has not yet read
/// an object says first that it "failed to sync" it (`watch_based_manager.go`: after one second).
fn config_error(room: &Room, message: &str) -> Result<Value> {
    room.see("pods/it", message, |pod| {
        let state = &main(pod)["state"]["waiting"];
        state["reason"] == "CreateContainerConfigError" && state["message"] == message
    })
}

fn no_config_map(room: &Room) -> Result<()> {
    let from = json!({ "envFrom": [{ "configMapRef": { "name": "settings" } }] });
    room.create(
        "pods",
        &pod_of(
            "it",
            &json!({ "containers": [container_with(&Does::Serve, &from)] }),
        ),
    )?;
    let pod = config_error(room, "configmap \"settings\" not found")?;
    same!(pod["status"]["phase"], "Pending");
    let message = "Error: configmap \"settings\" not found";
    same!(
        room.said("Pod", "it", "Failed", message)?["type"],
        "Warning"
    );
    in_order(room, &["Scheduled", "Pulled", "Failed"])?;
    // Nothing has to be done to the pod once it is there.
    room.create(
        "configmaps",
        &json!({ "metadata": { "name": "settings" }, "data": { "A": "1" } }),
    )?;
    let pod = room.see("pods/it", "running", |pod| {
        pod["status"]["phase"] == "Running"
    })?;
    same!(main(&pod)["restartCount"], 0);
    Ok(())
}

fn no_secret(room: &Room) -> Result<()> {
    let from = |key: &str| json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "login", "key": key } } }] });
    let wanted = pod_of(
        "it",
        &json!({ "containers": [container_with(&Does::Serve, &from("a"))] }),
    );
    room.create("pods", &wanted)?;
    config_error(room, "secret \"login\" not found")?;
    room.create(
        "secrets",
        &json!({ "metadata": { "name": "login" }, "data": { "b": "YQ==" } }),
    )?;
    let message = format!("couldn't find key a in Secret {}/login", room.namespace);
    config_error(room, &message).map(drop)
}

fn no_volume(room: &Room) -> Result<()> {
    let mount = json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] });
    let spec = json!({
        "containers": [container_with(&Does::Serve, &mount)],
        "volumes": [{ "name": "v", "configMap": { "name": "settings" } }],
    });
    room.create("pods", &pod_of("it", &spec))?;
    let message = "MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found";
    let event = room.said("Pod", "it", "FailedMount", message)?;
    same!(event["type"], "Warning");
    let pod = waiting(room, "ContainerCreating")?;
    same!(
        condition(&pod, "PodReadyToStartContainers")["status"],
        "False"
    );
    Ok(())
}

/// An init container.
fn first(name: &str, does: &Does) -> Value {
    let mut container = container(does);
    container["name"] = json!(name);
    container
}

fn init_order(room: &Room) -> Result<()> {
    let ends = |after: u8| Does::Exit {
        code: 0,
        after,
        message: "",
    };
    // The first runs long enough to be seen.
    let spec = json!({
        "initContainers": [first("a", &ends(8)), first("b", &ends(1))], "containers": [container(&Does::Serve)],
    });
    room.create("pods", &pod_of("it", &spec))?;
    let begun = room.see("pods/it", "first one runs", |pod| {
        pod["status"]["initContainerStatuses"][0]["state"]["running"].is_object()
    })?;
    same!(
        begun["status"]["initContainerStatuses"][1]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    same!(
        main(&begun)["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    same!(
        condition(&begun, "Initialized")["reason"],
        "ContainersNotInitialized"
    );
    same!(
        condition(&begun, "Initialized")["message"],
        "containers with incomplete status: [a b]"
    );
    let done = room.see("pods/it", "running", |pod| {
        pod["status"]["phase"] == "Running"
    })?;
    let ended =
        |index: usize| &done["status"]["initContainerStatuses"][index]["state"]["terminated"];
    same!(ended(0)["reason"], "Completed");
    ensure!(
        text(&ended(0)["finishedAt"]) <= text(&ended(1)["startedAt"]),
        "{}",
        done["status"]
    );
    same!(condition(&done, "Initialized")["status"], "True");
    Ok(())
}

fn init_fails(room: &Room) -> Result<()> {
    let ends = Does::Exit {
        code: 1,
        after: 0,
        message: "no database",
    };
    let spec =
        json!({ "initContainers": [first("a", &ends)], "containers": [container(&Does::Serve)] });
    room.create("pods", &pod_of("it", &spec))?;
    let pod = room.see("pods/it", "in back-off", |pod| {
        pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"]
            == "CrashLoopBackOff"
    })?;
    same!(pod["status"]["phase"], "Pending");
    same!(main(&pod)["state"]["waiting"]["reason"], "PodInitializing");
    same!(
        pod["status"]["initContainerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        1
    );
    same!(condition(&pod, "Initialized")["status"], "False");
    let event = room.event("Pod", "it", "BackOff")?;
    same!(
        event["involvedObject"]["fieldPath"],
        "spec.initContainers{a}"
    );
    Ok(())
}
