//! StatefulSets, DaemonSets, Jobs.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::pods::{Does, container, workload};
use crate::fidelity::room::{Room, condition, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("statefulset: names and order", ordered),
    Check::new(
        "statefulset: update from the last to the first",
        ordered_update,
    ),
    Check::new("daemonset: one on each node", one_a_node),
    Check::new("job: completes", job_completes),
    Check::new("job: fails after its retries", job_fails),
    Check::new("job: has no more time", job_deadline),
];

/// A StatefulSet and its Service.
fn stateful(room: &Room, replicas: u32) -> Result<()> {
    let service = json!({ "metadata": { "name": "it" }, "spec": {
        "clusterIP": "None", "selector": { "app": "it" }, "ports": [{ "port": 80 }],
    } });
    room.create("services", &service)?;
    let mut wanted = workload("it", replicas);
    wanted["spec"]["serviceName"] = json!("it");
    room.create("statefulsets", &wanted)?;
    room.see("statefulsets/it", "ready", |it| {
        it["status"]["readyReplicas"] == replicas
    })
    .map(drop)
}

fn ordered(room: &Room) -> Result<()> {
    stateful(room, 2)?;
    same!(room.names("pods")?, ["it-0", "it-1"]);
    let (first, second) = (room.get("pods/it-0")?, room.get("pods/it-1")?);
    // The second begins when the first is ready.
    let ready = text(&condition(&first, "Ready")["lastTransitionTime"]);
    let begun = text(&second["metadata"]["creationTimestamp"]);
    ensure!(
        begun >= ready,
        "it-1 was made at {begun}, it-0 ready at {ready}"
    );
    same!(first["spec"]["hostname"], "it-0");
    same!(first["spec"]["subdomain"], "it");
    same!(
        first["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"],
        "it-0"
    );
    same!(
        first["metadata"]["labels"]["apps.kubernetes.io/pod-index"],
        "0"
    );
    let event = room.event("StatefulSet", "it", "SuccessfulCreate")?;
    same!(
        event["message"],
        "Create Pod it-0 in StatefulSet it successful"
    );
    room.delete("pods/it-0")?.is(200)?;
    let old = first["metadata"]["uid"].clone();
    room.see("pods/it-0", "made anew", |it| it["metadata"]["uid"] != old)?;
    room.merge(
        "statefulsets/it/scale",
        &json!({ "spec": { "replicas": 1 } }),
    )?;
    room.gone("pods/it-1")?;
    same!(room.names("pods")?, ["it-0"]);
    Ok(())
}

fn ordered_update(room: &Room) -> Result<()> {
    stateful(room, 2)?;
    let set = room.get("statefulsets/it")?;
    let old = text(&set["status"]["currentRevision"]);
    same!(
        room.get("pods/it-0")?["metadata"]["labels"]["controller-revision-hash"],
        old.as_str()
    );
    let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "img.test/app:2" }] } } } });
    room.strategic("statefulsets/it", &image)?;
    room.wait("it-1 to be changed first", |room| {
        let image = |name: &str| -> Result<String> {
            let answer = room.read(&format!("pods/{name}"))?;
            Ok(text(&answer.body["spec"]["containers"][0]["image"]))
        };
        // In this order: what is not yet changed when it is asked second was not changed first.
        let first = image("it-0")?;
        let last = image("it-1")?;
        ensure!(
            last == "img.test/app:2" || first != "img.test/app:2",
            "it-0 was changed before it-1"
        );
        Ok(last == "img.test/app:2")
    })?;
    let done = room.see("statefulsets/it", "updated", |it| {
        let status = &it["status"];
        status["observedGeneration"] == it["metadata"]["generation"]
            && status["updatedReplicas"] == 2
            && status["readyReplicas"] == 2
            && status["currentRevision"] == status["updateRevision"]
    })?;
    ensure!(
        done["status"]["currentRevision"] != old.as_str(),
        "{}",
        done["status"]
    );
    same!(
        room.get("pods/it-0")?["spec"]["containers"][0]["image"],
        "img.test/app:2"
    );
    Ok(())
}

fn one_a_node(room: &Room) -> Result<()> {
    let mut wanted = workload("it", 1);
    if let Some(spec) = wanted["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    room.create("daemonsets", &wanted)?;
    let nodes = room.names("/api/v1/nodes")?;
    let set = room.see("daemonsets/it", "ready everywhere", |it| {
        it["status"]["numberReady"] == nodes.len()
    })?;
    same!(set["status"]["desiredNumberScheduled"], nodes.len());
    same!(set["status"]["currentNumberScheduled"], nodes.len());
    same!(set["status"]["numberMisscheduled"], 0);
    let pods = room.get("pods")?;
    let mut on: Vec<_> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| text(&pod["spec"]["nodeName"]))
        .collect();
    on.sort();
    same!(on, nodes);
    let tolerated: Vec<_> = pods["items"][0]["spec"]["tolerations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|toleration| text(&toleration["key"]).replace("node.kubernetes.io/", ""))
        .collect();
    for key in [
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
    ] {
        ensure!(
            tolerated.iter().any(|found| found == key),
            "no toleration of {key}: {tolerated:?}"
        );
    }
    Ok(())
}

/// A Job whose pods do this.
fn job(does: &Does, more: &Value) -> Value {
    let mut job = json!({ "metadata": { "name": "it" }, "spec": { "template": { "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container(does)],
    } } } });
    for (key, value) in more.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    job
}

fn job_completes(room: &Room) -> Result<()> {
    let ends = Does::Exit {
        code: 0,
        after: 1,
        message: "",
    };
    room.create(
        "jobs",
        &job(&ends, &json!({ "completions": 2, "parallelism": 1 })),
    )?;
    let done = room.see("jobs/it", "complete", |it| {
        condition(it, "Complete")["status"] == "True"
    })?;
    same!(done["status"]["succeeded"], 2);
    same!(condition(&done, "Complete")["reason"], "CompletionsReached");
    same!(
        condition(&done, "Complete")["message"],
        "Reached expected number of succeeded pods"
    );
    same!(condition(&done, "SuccessCriteriaMet")["status"], "True");
    ensure!(
        done["status"]["completionTime"].is_string(),
        "{}",
        done["status"]
    );
    same!(done["status"].get("active"), None);
    room.event("Job", "it", "SuccessfulCreate")?;
    same!(
        room.event("Job", "it", "Completed")?["message"],
        "Job completed"
    );
    let pod = room.get("pods")?["items"][0].take();
    same!(pod["status"]["phase"], "Succeeded");
    same!(
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"],
        "Completed"
    );
    same!(condition(&pod, "Ready")["reason"], "PodCompleted");
    same!(
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"],
        "it"
    );
    Ok(())
}

fn job_fails(room: &Room) -> Result<()> {
    let ends = Does::Exit {
        code: 1,
        after: 0,
        message: "no",
    };
    room.create("jobs", &job(&ends, &json!({ "backoffLimit": 1 })))?;
    let failed = room.see("jobs/it", "failed", |it| {
        condition(it, "Failed")["status"] == "True"
    })?;
    let why = condition(&failed, "Failed");
    same!(why["reason"], "BackoffLimitExceeded");
    same!(
        why["message"],
        "Job has reached the specified backoff limit"
    );
    same!(
        condition(&failed, "FailureTarget")["reason"],
        "BackoffLimitExceeded"
    );
    same!(failed["status"]["failed"], 2);
    same!(room.names("pods")?.len(), 2);
    let event = room.event("Job", "it", "BackoffLimitExceeded")?;
    same!(event["type"], "Warning");
    same!(room.get("pods")?["items"][0]["status"]["phase"], "Failed");
    Ok(())
}

fn job_deadline(room: &Room) -> Result<()> {
    room.create(
        "jobs",
        &job(&Does::Serve, &json!({ "activeDeadlineSeconds": 3 })),
    )?;
    let failed = room.see("jobs/it", "failed", |it| {
        condition(it, "Failed")["status"] == "True"
    })?;
    same!(condition(&failed, "Failed")["reason"], "DeadlineExceeded");
    same!(
        condition(&failed, "Failed")["message"],
        "Job was active longer than specified deadline"
    );
    room.wait("its pod to go", |room| Ok(room.names("pods")?.is_empty()))
}
