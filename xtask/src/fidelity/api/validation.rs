//! What objects may not be, and what may not change in them.

use anyhow::Result;
use serde_json::json;

use super::{config_map, idle_deployment, idle_pod};
use crate::fidelity::Check;
use crate::fidelity::room::{MERGE_PATCH, Room, STRATEGIC, same, shaped};

pub(super) const CHECKS: &[Check] = &[
    Check::new("Deployment: all causes are listed", deployment_causes),
    Check::new("Deployment: selector is immutable", selector_is_immutable),
    Check::new("Job: template is immutable", job_is_immutable),
    Check::new("ConfigMap and Secret: immutable", immutable_data),
    Check::new("Pod: containers are validated", pod_is_validated),
    Check::new("Pod: spec is immutable", pod_is_immutable),
    Check::new("Service: ports and clusterIP", service_is_validated),
    Check::new("PDB: one of two fields", pdb_is_validated),
];

fn deployment_causes(room: &Room) -> Result<()> {
    let empty = json!({ "metadata": { "name": "bad" }, "spec": {} });
    let message = "Deployment.apps \"bad\" is invalid: [spec.selector: Required value, \
        spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`, \
        spec.template.spec.containers: Required value]";
    let status = room
        .post("deployments", &empty)?
        .refused(422, "Invalid", message)?;
    let causes = &status["details"]["causes"];
    same!(causes[0]["field"], "spec.selector");
    same!(causes[2]["field"], "spec.template.spec.containers");
    let mut other = idle_deployment("bad");
    other["spec"]["selector"] = json!({ "matchLabels": { "x": "y" } });
    let message = "Deployment.apps \"bad\" is invalid: spec.template.metadata.labels: \
        Invalid value: {\"app\":\"bad\"}: `selector` does not match template `labels`";
    room.post("deployments", &other)?
        .refused(422, "Invalid", message)?;
    room.create("deployments", &idle_deployment("it"))?;
    let message = "Deployment.apps \"it\" is invalid: spec.replicas: Invalid value: -1: \
        must be greater than or equal to 0";
    let patched = room.patch(
        MERGE_PATCH,
        "deployments/it",
        &json!({ "spec": { "replicas": -1 } }),
    )?;
    patched.refused(422, "Invalid", message)?;
    Ok(())
}

fn selector_is_immutable(room: &Room) -> Result<()> {
    room.create("deployments", &idle_deployment("it"))?;
    let labels = json!({ "b": "c" });
    let change = json!({ "spec": {
        "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels } },
    } });
    let message = "Deployment.apps \"it\" is invalid: spec.selector: Invalid value: \
        {\"matchLabels\":{\"app\":\"it\",\"b\":\"c\"}}: field is immutable";
    let status = room
        .patch(STRATEGIC, "deployments/it", &change)?
        .refused(422, "Invalid", message)?;
    same!(
        status["details"]["causes"][0]["reason"],
        "FieldValueInvalid"
    );
    Ok(())
}

fn job_is_immutable(room: &Room) -> Result<()> {
    let container = json!({ "name": "main", "image": "img.test/app:1" });
    let job = |policy: &str| {
        json!({
            "metadata": { "name": "it" },
            "spec": { "suspend": true, "template": {
                "spec": { "restartPolicy": policy, "containers": [container] },
            } },
        })
    };
    let message = "Job.batch \"it\" is invalid: spec.template.spec.restartPolicy: \
        Required value: valid values: \"OnFailure\", \"Never\"";
    room.post("jobs", &job("Always"))?
        .refused(422, "Invalid", message)?;
    room.create("jobs", &job("Never"))?;
    let change = json!({ "spec": { "template": { "spec": {
        "containers": [{ "name": "main", "image": "b" }],
    } } } });
    let status = room
        .patch(STRATEGIC, "jobs/it", &change)?
        .status(422, "Invalid")?;
    same!(
        status["details"]["causes"][0]["field"],
        "spec.template.spec"
    );
    shaped(
        &status["message"],
        "Job.batch \"it\" is invalid: ",
        ": field is immutable",
    )
}

fn immutable_data(room: &Room) -> Result<()> {
    let mut fixed = config_map("fixed");
    fixed["immutable"] = json!(true);
    room.create("configmaps", &fixed)?;
    let change = json!({ "data": { "a": "Mg==" } });
    for (path, body, kind) in [
        ("configmaps", fixed, "ConfigMap"),
        (
            "secrets",
            json!({ "metadata": { "name": "fixed" }, "immutable": true }),
            "Secret",
        ),
    ] {
        let made = room.post(path, &body)?.code;
        same!([201, 409].contains(&made), true);
        let message = format!(
            "{kind} \"fixed\" is invalid: data: Forbidden: field is immutable when `immutable` is set"
        );
        let answer = room.patch(MERGE_PATCH, &format!("{path}/fixed"), &change)?;
        answer.refused(422, "Invalid", &message)?;
    }
    // Metadata may still change, and it can be deleted.
    room.merge(
        "configmaps/fixed",
        &json!({ "metadata": { "labels": { "a": "b" } } }),
    )?;
    room.delete("configmaps/fixed")?.is(200)?;
    Ok(())
}

fn pod_is_validated(room: &Room) -> Result<()> {
    let pod = |containers: serde_json::Value| json!({ "metadata": { "name": "bad" }, "spec": { "containers": containers } });
    let message = "Pod \"bad\" is invalid: spec.containers: Required value";
    room.post("pods", &pod(json!([])))?
        .refused(422, "Invalid", message)?;
    let twice = json!([
        { "name": "a", "image": "x" },
        { "name": "a", "image": "", "ports": [{ "containerPort": 70000 }] },
    ]);
    let message = "Pod \"bad\" is invalid: [spec.containers[1].image: Required value, \
        spec.containers[1].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive, \
        spec.containers[1].name: Duplicate value: \"a\"]";
    room.post("pods", &pod(twice))?
        .refused(422, "Invalid", message)?;
    let resources = json!({ "limits": { "memory": "1Mi" }, "requests": { "memory": "2Mi" } });
    let greedy = json!([{ "name": "main", "image": "x", "resources": resources }]);
    let message = "Pod \"bad\" is invalid: spec.containers[0].resources.requests: \
        Invalid value: \"2Mi\": must be less than or equal to memory limit of 1Mi";
    room.post("pods", &pod(greedy))?
        .refused(422, "Invalid", message)?;
    let odd =
        json!([{ "name": "main", "image": "x", "resources": { "limits": { "memory": "lots" } } }]);
    room.post("pods", &pod(odd))?.status(400, "BadRequest")?;
    let mut lost = idle_pod("bad");
    lost["spec"]["serviceAccountName"] = json!("nobody");
    let message = format!(
        "pods \"bad\" is forbidden: error looking up service account {}/nobody: serviceaccount \"nobody\" not found",
        room.namespace
    );
    room.post("pods", &lost)?
        .refused(403, "Forbidden", &message)?;
    Ok(())
}

fn pod_is_immutable(room: &Room) -> Result<()> {
    room.create("pods", &idle_pod("it"))?;
    let change = json!({ "spec": { "containers": [{ "name": "main", "command": ["x"] }] } });
    let status = room
        .patch(STRATEGIC, "pods/it", &change)?
        .status(422, "Invalid")?;
    let begin = "Pod \"it\" is invalid: spec: Forbidden: pod updates may not change fields other than \
        `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
        `spec.tolerations` (only additions to existing tolerations)";
    shaped(&status["message"], begin, "")?;
    same!(status["details"]["causes"][0]["field"], "spec");
    let change =
        json!({ "spec": { "containers": [{ "name": "main", "image": "img.test/app:2" }] } });
    room.strategic("pods/it", &change)?;
    Ok(())
}

fn service_is_validated(room: &Room) -> Result<()> {
    let none = json!({ "metadata": { "name": "none" }, "spec": {} });
    let message = "Service \"none\" is invalid: spec.ports: Required value";
    room.post("services", &none)?
        .refused(422, "Invalid", message)?;
    let service = json!({ "metadata": { "name": "it" }, "spec": { "ports": [{ "port": 80 }] } });
    let made = room.create("services", &service)?;
    same!(made["spec"]["type"], "ClusterIP");
    same!(made["spec"]["ports"][0]["targetPort"], 80);
    same!(made["spec"]["clusterIPs"][0], made["spec"]["clusterIP"]);
    let change = json!({ "spec": { "clusterIP": "10.96.99.99" } });
    let message = "Service \"it\" is invalid: spec.clusterIPs[0]: \
        Invalid value: [\"10.96.99.99\"]: may not change once set";
    room.patch(MERGE_PATCH, "services/it", &change)?
        .refused(422, "Invalid", message)?;
    Ok(())
}

fn pdb_is_validated(room: &Room) -> Result<()> {
    let both = json!({
        "metadata": { "name": "it" },
        "spec": { "minAvailable": 1, "maxUnavailable": 1, "selector": {} },
    });
    let status = room
        .post("poddisruptionbudgets", &both)?
        .status(422, "Invalid")?;
    let end = ": minAvailable and maxUnavailable cannot be both set";
    shaped(
        &status["message"],
        "PodDisruptionBudget.policy \"it\" is invalid: spec: Invalid value: ",
        end,
    )
}
