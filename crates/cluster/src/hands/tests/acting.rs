//! Acting: with permits that the real guard gave.

use super::*;
use jiff::{SignedDuration, Timestamp};
use nightshift_core::diagnose::{Confidence, Diagnosis};
use nightshift_core::guard::{Permit, Rehearsal, Scene, judge};
use nightshift_core::history::{ActOutcome, History};
use nightshift_core::plan;
use nightshift_core::policy::{Autonomy, Policy};
use nightshift_core::testkit::{World, reference, world};
use nightshift_core::world::Snapshot;

const NOW: &str = "2026-01-05T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A permit with the object that it is for, as an API server would send it.
struct Given {
    permit: Permit,
    object: Value,
}

impl Given {
    /// The object in another version, with a change.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut object = self.object.clone();
        object["metadata"]["resourceVersion"] = json!("1001");
        change(&mut object);
        object
    }
}

/// Plans the action on the target and has the guard judge it.
fn given(
    snapshot: &Snapshot,
    action: Action,
    target: &ObjectRef,
    class: FaultClass,
    owner: &ObjectRef,
) -> Given {
    let seen = plan::target(snapshot, target).expect("the target is in the world");
    let step = Step::new(Draft {
        incident: &"inc-1".into(),
        action,
        target: &seen,
        check: Check {
            class,
            owner: owner.clone(),
            time_to_failure_ms: 5_000,
        },
        runbook: &"RB_TEST".into(),
        runbook_step: "repair",
        asks: Vec::new(),
    })
    .expect("the action fits the target");
    let diagnosis = Diagnosis {
        class,
        reason: String::new(),
        owner: owner.clone(),
        subject: target.clone(),
        container: None,
        since: snapshot.taken_at - SignedDuration::from_mins(1),
        persistence: SignedDuration::ZERO,
        path: Vec::new(),
        changes: Vec::new(),
        evidence: Vec::new(),
        confidence: Confidence(90),
        confidence_rows: Vec::new(),
        blind: Vec::new(),
    };
    let policy = Policy {
        autonomy: Autonomy::Auto,
        dry_run: false,
        ..Policy::default()
    };
    let scene = Scene {
        policy: &policy,
        snapshot,
        now: snapshot.taken_at,
        history: &History::default(),
        diagnosis: Some(&diagnosis),
        rehearsal: Some(&Rehearsal::Accepted { diff: Vec::new() }),
        step: &step,
    };
    let (rulings, permit) = judge(&scene, 1);
    let permit = permit.unwrap_or_else(|| panic!("the guard is against it: {rulings:#?}"));
    Given {
        permit,
        object: json_of(&seen),
    }
}

fn json_of(object: &nightshift_core::world::Object) -> Value {
    use nightshift_core::world::Object;
    let mut json = match object {
        Object::Pod(pod) => serde_json::to_value(&**pod),
        Object::Node(node) => serde_json::to_value(&**node),
        Object::Workload(workload) => serde_json::to_value(&**workload),
        other => panic!("hands never write to a {}", other.kind()),
    }
    .unwrap();
    json["metadata"]["resourceVersion"] = json!("1000");
    json
}

fn nodes() -> World {
    world(NOW).node("node1").node("node2")
}

/// More memory for Deployment demo/cart.
fn memory_permit() -> Given {
    let snapshot = nodes()
        .deployment("demo", "cart")
        .revision(1)
        .memory("", "256Mi")
        .pod("cart-1-a")
        .crash_loop(137, "OOMKilled", 10, 3)
        .snapshot();
    let cart = reference(Kind::Deployment, "demo", "cart");
    let action = Action::SetMemory {
        container: "app".into(),
        limit: memory(Some("256Mi"), Some("512Mi")),
        request: memory(None, Some("256Mi")),
    };
    given(&snapshot, action, &cart, FaultClass::OomKilled, &cart)
}

/// Deletion of the unready pod of StatefulSet demo/db.
fn delete_permit() -> Given {
    let snapshot = nodes()
        .stateful_set("demo", "db")
        .revision(1)
        .revision(2)
        .pod("db-0")
        .crash_loop(1, "Error", 10, 3)
        .snapshot();
    let pod = reference(Kind::Pod, "demo", "db-0");
    let owner = reference(Kind::StatefulSet, "demo", "db");
    given(
        &snapshot,
        Action::DeletePod,
        &pod,
        FaultClass::CrashLoop,
        &owner,
    )
}

fn bad_node() -> World {
    let node1 = world(NOW)
        .node("node1")
        .condition("Ready", "Unknown", "NodeStatusUnknown", 120);
    node1.node("node2")
}

/// Eviction of one of two pods from the node that is not ready.
fn evict_permit() -> Given {
    let snapshot = bad_node()
        .deployment("demo", "cart")
        .revision(1)
        .replicas(2)
        .pod("cart-1-a")
        .on("node1")
        .pod("cart-1-b")
        .on("node2")
        .snapshot();
    let pod = reference(Kind::Pod, "demo", "cart-1-a");
    let node = reference(Kind::Node, "", "node1");
    given(
        &snapshot,
        Action::Evict,
        &pod,
        FaultClass::NodeNotReady,
        &node,
    )
}

fn cordon_permit() -> Given {
    let node = reference(Kind::Node, "", "node1");
    given(
        &bad_node().snapshot(),
        Action::Cordon,
        &node,
        FaultClass::NodeNotReady,
        &node,
    )
}

async fn act(permit: Permit, script: impl IntoIterator<Item = Reply>) -> (ActOutcome, Vec<Asked>) {
    let server = Server::new(script);
    let outcome = server.hands().act(permit, now()).await;
    (outcome, server.sent())
}

#[tokio::test]
async fn a_permit_becomes_one_write() {
    let given = memory_permit();
    let after = given.changed(|object| object["metadata"]["generation"] = json!(2));
    let (outcome, sent) = act(given.permit, [says(&given.object), says(&after)]).await;
    let resource_version = "1001".to_owned();
    assert_eq!(
        outcome,
        ActOutcome::Done {
            generation: 2,
            resource_version
        }
    );
    let [asked] = sent.try_into().expect("one write");
    assert_eq!(
        asked.line,
        "PATCH /apis/apps/v1/namespaces/demo/deployments/cart\
         ?fieldManager=nightshift&fieldValidation=Strict&timeout=3s"
    );
    let text = asked.body.to_string();
    assert!(
        text.contains("512Mi") && text.contains("\"1000\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_pod_is_deleted_a_node_cordoned() {
    let given = delete_permit();
    let gone = json!({"kind": "Status", "status": "Success", "metadata": {}});
    let (outcome, sent) = act(given.permit, [says(&given.object), says(&gone)]).await;
    let resource_version = String::new();
    assert_eq!(
        outcome,
        ActOutcome::Done {
            generation: 0,
            resource_version
        }
    );
    assert!(
        sent[0]
            .line
            .starts_with("DELETE /api/v1/namespaces/demo/pods/db-0?"),
        "{sent:?}"
    );
    assert_eq!(sent[0].body.get("dryRun"), None);

    let given = cordon_permit();
    let after = given.changed(|node| node["spec"]["unschedulable"] = json!(true));
    let (outcome, sent) = act(given.permit, [says(&given.object), says(&after)]).await;
    assert!(matches!(outcome, ActOutcome::Done { .. }), "{outcome:?}");
    assert!(
        sent[0].line.starts_with("PATCH /api/v1/nodes/node1?"),
        "{sent:?}"
    );
}

#[tokio::test]
async fn an_eviction_that_is_taken_is_done() {
    let given = evict_permit();
    let taken = Reply::Says(
        201,
        json!({"kind": "Status", "status": "Success", "metadata": {}}),
    );
    let (outcome, sent) = act(given.permit, [says(&given.object), taken]).await;
    assert!(matches!(outcome, ActOutcome::Done { .. }), "{outcome:?}");
    assert_eq!(sent.len(), 1);
}

#[tokio::test]
async fn an_expired_permit_sends_nothing() {
    let permit = memory_permit().permit;
    let late = permit.expires_at();
    let server = Server::new([]);
    assert_eq!(server.hands().act(permit, late).await, ActOutcome::Expired);
    assert!(server.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_expires_while_the_target_is_read_sends_nothing() {
    let given = memory_permit();
    let nearly = given.permit.expires_at() - SignedDuration::from_secs(2);
    let (code, body) = (200, given.object.clone());
    let server = Server::new([Reply::SaysLate(3, code, body)]);
    assert_eq!(
        server.hands().act(given.permit, nearly).await,
        ActOutcome::Expired
    );
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_permit_of_another_cluster_sends_nothing() {
    let permit = memory_permit().permit;
    let server = Server::new([]);
    let service = {
        let server = server.clone();
        tower::service_fn(move |request| server.clone().answer(request))
    };
    let hands = Hands::new(Client::new(service, "default"), "another".into());
    assert!(matches!(
        hands.act(permit, now()).await,
        ActOutcome::Refused { .. }
    ));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_changed_basis_sends_nothing() {
    let given = memory_permit();
    let changes: [fn(&mut Value); 3] = [
        |object| object["metadata"]["uid"] = json!("uid-new"),
        |object| object["metadata"]["deletionTimestamp"] = json!(NOW),
        |object| {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["resources"]["limits"]["memory"] = json!("300Mi");
        },
    ];
    for change in changes {
        let changed = given.changed(change);
        let (outcome, sent) = act(memory_permit().permit, [says(&changed)]).await;
        assert!(matches!(outcome, ActOutcome::Stale { .. }), "{outcome:?}");
        assert!(sent.is_empty());
    }
    let (outcome, sent) = act(given.permit, [status(404, "not found")]).await;
    assert!(matches!(outcome, ActOutcome::Stale { .. }), "{outcome:?}");
    assert!(sent.is_empty());
}

#[tokio::test]
async fn a_conflict_reads_and_compares_again() {
    let given = memory_permit();
    let busy = given.changed(|object| object["status"]["unavailableReplicas"] = json!(1));
    for conflict in [status(409, "modified"), status(422, "test failed")] {
        let script = [says(&given.object), conflict, says(&busy), says(&busy)];
        let (outcome, sent) = act(memory_permit().permit, script).await;
        assert!(matches!(outcome, ActOutcome::Done { .. }), "{outcome:?}");
        let version = |asked: &Asked| {
            let mut operations = asked.body.as_array().unwrap().iter();
            let found = operations.find(|o| o["path"] == "/metadata/resourceVersion");
            found.unwrap()["value"].clone()
        };
        assert_eq!(
            sent.iter().map(version).collect::<Vec<_>>(),
            ["1000", "1001"]
        );
    }
}

#[tokio::test]
async fn a_conflict_over_a_changed_basis_is_stale() {
    let given = memory_permit();
    let paused = given.changed(|object| object["spec"]["paused"] = json!(true));
    let script = [says(&given.object), status(409, "modified"), says(&paused)];
    let (outcome, sent) = act(given.permit, script).await;
    assert!(matches!(outcome, ActOutcome::Stale { .. }), "{outcome:?}");
    assert_eq!(sent.len(), 1);
}

#[tokio::test]
async fn three_conflicts_are_stale_and_no_failure() {
    let given = memory_permit();
    let round = [says(&given.object), status(409, "modified")];
    let script = std::iter::repeat_n(round, 3).flatten();
    let (outcome, sent) = act(given.permit, script).await;
    let why = "the target changed under the request 3 times, at last: 409: modified".to_owned();
    assert_eq!(outcome, ActOutcome::Stale { why });
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let invalid = Reply::Says(
        422,
        json!({"message": "invalid", "details": {"causes": [{"field": "spec"}]}}),
    );
    for reply in [status(403, "forbidden"), status(400, "bad"), invalid] {
        let given = memory_permit();
        let (outcome, sent) = act(given.permit, [says(&given.object), reply]).await;
        assert!(matches!(outcome, ActOutcome::Refused { .. }), "{outcome:?}");
        assert_eq!(sent.len(), 1);
    }
    let (outcome, _) = act(memory_permit().permit, [status(403, "forbidden")]).await;
    assert!(matches!(outcome, ActOutcome::Refused { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_unknown_and_never_repeated() {
    let nonsense = Reply::Says(200, Value::Null);
    for reply in [
        Reply::HangsUp,
        Reply::Sleeps,
        status(500, "etcd"),
        status(504, "timeout"),
        nonsense,
    ] {
        let given = memory_permit();
        let (outcome, sent) = act(given.permit, [says(&given.object), reply]).await;
        assert!(matches!(outcome, ActOutcome::Unknown { .. }), "{outcome:?}");
        assert_eq!(sent.len(), 1);
    }
}

#[tokio::test]
async fn what_never_left_is_not_done() {
    let given = memory_permit();
    let (outcome, _) = act(given.permit, [says(&given.object), Reply::Refuses]).await;
    assert!(matches!(outcome, ActOutcome::NotDone { .. }), "{outcome:?}");
    for reply in [Reply::HangsUp, status(503, "starting")] {
        let (outcome, sent) = act(memory_permit().permit, [reply]).await;
        assert!(matches!(outcome, ActOutcome::NotDone { .. }), "{outcome:?}");
        assert!(sent.is_empty());
    }
}

#[tokio::test]
async fn a_budget_blocks_an_eviction_once() {
    for (code, message) in [
        (429, "would violate the budget"),
        (201, "more than one budget"),
    ] {
        let given = evict_permit();
        let script = [says(&given.object), status(code, message)];
        let (outcome, sent) = act(given.permit, script).await;
        let why = format!("{code}: {message}");
        assert_eq!(outcome, ActOutcome::Blocked { why });
        assert_eq!(sent.len(), 1);
        assert!(
            sent[0]
                .line
                .starts_with("POST /api/v1/namespaces/demo/pods/cart-1-a/eviction?")
        );
    }
}
