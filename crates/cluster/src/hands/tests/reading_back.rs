//! What a read-back says of a write without an answer.

use super::*;
use nightshift_core::history::ActOutcome;

async fn read_back(step: &Step, reply: Reply) -> ActOutcome {
    let server = Server::new([reply]);
    let outcome = server.hands().read_back(&"permit-1".into(), step).await;
    assert!(server.sent().is_empty(), "a read-back writes nothing");
    outcome
}

fn kind(outcome: &ActOutcome) -> &'static str {
    match outcome {
        ActOutcome::Done { .. } => "done",
        ActOutcome::NotDone { .. } => "not done",
        ActOutcome::Stale { .. } => "stale",
        ActOutcome::Unknown { .. } => "unknown",
        ActOutcome::Refused { .. } => "refused",
        ActOutcome::Blocked { .. } => "blocked",
        ActOutcome::Expired => "expired",
    }
}

/// The deployment with a change to its container `app`.
fn with_app(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = deployment();
    change(&mut object["spec"]["template"]["spec"]["containers"][1]);
    object["metadata"]["resourceVersion"] = json!("43");
    object["metadata"]["generation"] = json!(4);
    object
}

#[tokio::test]
async fn what_we_would_have_written_is_done() {
    let image = with_app(|app| app["image"] = json!("shop:1"));
    let outcome = read_back(&step(set_image(), &deployment()), says(&image)).await;
    let resource_version = "43".to_owned();
    assert_eq!(
        outcome,
        ActOutcome::Done {
            generation: 4,
            resource_version
        }
    );
    let resources =
        json!({"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"memory": "256Mi"}});
    let more = with_app(|app| app["resources"] = resources);
    let rolled = with_app(|app| app["image"] = json!("shop:1"));
    let table = [
        (set_memory(), deployment(), more),
        (roll_back(), deployment(), rolled),
        (Action::Cordon, node(None), node(Some(true))),
        (Action::Uncordon, node(Some(true)), node(None)),
    ];
    for (action, before, after) in table {
        let step = step(action, &before);
        assert_eq!(
            kind(&read_back(&step, says(&after)).await),
            "done",
            "{}",
            step.action.word()
        );
    }
}

#[tokio::test]
async fn what_is_as_it_was_is_not_done_whatever_its_version() {
    let table = [
        (set_image(), deployment()),
        (set_memory(), deployment()),
        (roll_back(), deployment()),
        (Action::DeletePod, pod()),
        (Action::Evict, pod()),
        (Action::Cordon, node(None)),
        (Action::Uncordon, node(Some(true))),
    ];
    for (action, mut object) in table {
        let step = step(action, &object);
        object["metadata"]["resourceVersion"] = json!("1000");
        assert_eq!(
            kind(&read_back(&step, says(&object)).await),
            "not done",
            "{}",
            step.action.word()
        );
    }
}

#[tokio::test]
async fn a_pod_that_is_gone_going_or_replaced_is_done() {
    let mut leaving = pod();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-05T10:00:00Z");
    let mut other = pod();
    other["metadata"]["uid"] = json!("uid-new");
    for action in [Action::DeletePod, Action::Evict] {
        let step = step(action, &pod());
        for reply in [says(&leaving), says(&other), status(404, "not found")] {
            assert_eq!(kind(&read_back(&step, reply).await), "done");
        }
    }
}

#[tokio::test]
async fn anything_else_is_stale() {
    let step = step(set_image(), &deployment());
    let edited = with_app(|app| app["image"] = json!("shop:3"));
    let mut other = deployment();
    other["metadata"]["uid"] = json!("uid-new");
    for reply in [says(&edited), says(&other), status(404, "not found")] {
        assert_eq!(kind(&read_back(&step, reply).await), "stale");
    }
}

#[tokio::test]
async fn what_cannot_be_read_stays_unknown() {
    let step = step(Action::DeletePod, &pod());
    for reply in [
        Reply::HangsUp,
        Reply::Refuses,
        status(403, "no"),
        status(503, "later"),
        says(&json!({"metadata": 7})),
    ] {
        assert_eq!(kind(&read_back(&step, reply).await), "unknown");
    }
}
