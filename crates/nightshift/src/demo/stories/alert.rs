//! An alert, as Alertmanager's webhook delivers it to the agent's listener.

use super::super::faults::SHOP;
use super::stage::{RECOMMEND, Stage, WAITING, fault};
use nightshift_core::incident::Phase;
use nightshift_core::record::EntryKind;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn alert_and_watch_of_the_same_workload_end_in_one_incident() {
    let stage = Stage::start(RECOMMEND).await;
    stage.carry_out(&fault("image_not_found").deeds);
    let pod = stage
        .until("the pod that cannot pull", async || stuck_pod(&stage))
        .await;
    let taken = stage.ask("POST", "/alertmanager", &webhook(&pod)).await;
    assert_eq!(taken, json!({"accepted": 1, "rejected": 0}));

    let waiting = stage.await_incident("catalog", WAITING).await;
    stage
        .until("the alert to be on its record", async || {
            let detail = stage.detail(&waiting).await;
            let mut kinds = detail.events.iter().map(|row| row.entry.kind);
            kinds
                .any(|kind| matches!(kind, EntryKind::WebhookReceived | EntryKind::Merged))
                .then_some(())
                .ok_or_else(|| format!("{} rows", detail.events.len()))
        })
        .await;
    let mut open = stage.incidents().await;
    open.retain(|incident| incident.phase != Phase::Closed);
    assert_eq!(open.len(), 1, "{open:?}");
    stage.end().await;
}

fn stuck_pod(stage: &Stage) -> Result<String, String> {
    let path = format!("/api/v1/namespaces/{SHOP}/pods?labelSelector=app%3Dcatalog");
    let list = stage.world.request("GET", &path, None);
    let list = list.map_err(|error| format!("{error:?}"))?;
    let waits = |pod: &&Value| !pod["status"]["containerStatuses"][0]["state"]["waiting"].is_null();
    let found = list["items"].as_array().into_iter().flatten().find(waits);
    let name = found.and_then(|pod| pod["metadata"]["name"].as_str());
    name.map(str::to_owned).ok_or_else(|| "none".to_owned())
}

/// Version 4 of Alertmanager's webhook body (`notify/webhook`, `template.Data`).
fn webhook(pod: &str) -> Value {
    let labels = json!({
        "alertname": "KubePodNotReady", "namespace": SHOP, "pod": pod, "severity": "warning",
    });
    let annotations = json!({"summary": "a pod is not ready"});
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"KubePodNotReady\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "nightshift",
        "groupLabels": {"alertname": "KubePodNotReady"},
        "commonLabels": labels, "commonAnnotations": annotations,
        "externalURL": "http://alertmanager.test",
        "alerts": [{
            "status": "firing", "labels": labels, "annotations": annotations,
            "startsAt": "2026-01-05T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.test/graph", "fingerprint": "1f2e3d4c5b6a7988",
        }],
    })
}
