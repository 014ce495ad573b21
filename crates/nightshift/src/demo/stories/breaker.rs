//! A right that is taken back, and writes that are rehearsed well and then refused: the circuit breaker
//! opens, and nothing else is tried.

use super::super::faults::{SHOP, Target};
use super::super::judge::Write;
use super::stage::{AUTO, Stage, WAITING, image};
use nightshift_core::guard::circuit::Circuit;
use serde_json::json;
use std::time::Duration;

/// Workloads that break at the same time.
const WORKLOADS: [&str; 5] = ["catalog", "checkout", "frontend", "payments", "search"];
/// Refusals in a row that open the breaker, by default.
const FAILURES: usize = 3;
/// What an incident says that met the open circuit.
const OPEN: &str = "the circuit is open";

/// The API server takes every rehearsal of the agent and refuses every write: no right can say that,
/// an admission policy can.
#[tokio::test(flavor = "multi_thread")]
async fn refused_writes_open_the_breaker_and_the_rest_ask() {
    let stage = Stage::start(AUTO).await;
    refuse_writes(&stage);
    let reasons = all_break_and_wait(&stage).await;
    three_and_no_more(&stage.writes(), &reasons, "refused the write");
    assert_eq!(asks(&reasons, OPEN), WORKLOADS.len() - FAILURES);
    stage.end().await;
}

/// The account may no longer patch: every rehearsal is forbidden, and after three of them not even one
/// is sent.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_right_to_patch_opens_the_breaker_and_everything_asks() {
    let stage = Stage::start(AUTO).await;
    let binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/nightshift-write";
    stage.world.request("DELETE", binding, None).unwrap();
    let reasons = all_break_and_wait(&stage).await;
    assert_eq!(stage.writes(), []);
    three_and_no_more(&stage.rehearsals(), &reasons, "has no right to it");
    let unsent = asks(&reasons, "nothing was sent");
    assert_eq!(unsent, WORKLOADS.len() - FAILURES, "{reasons:?}");
    assert_eq!(asks(&reasons, OPEN), WORKLOADS.len() - FAILURES + 1);
    let circuit = stage.circuit().await;
    assert!(
        matches!(circuit, Circuit::Open { failures: 3, .. }),
        "{circuit:?}"
    );
    stage.end().await;
}

/// Exactly so many requests as open the breaker were sent, each of them refused, and as many incidents
/// wait because of it.
fn three_and_no_more(sent: &[Write], reasons: &[String], refused: &str) {
    // A request that met a conflict is sent again, on a new read.
    let mut answered = sent
        .iter()
        .filter(|one| !one.is_answered("deployments", 409));
    let forbidden = |one: &Write| one.is_answered("deployments", 403);
    assert!(
        answered.clone().count() == FAILURES && answered.all(forbidden),
        "{sent:?}"
    );
    assert_eq!(asks(reasons, refused), FAILURES, "{reasons:?}");
}

/// How many incidents wait for a reason that says this.
fn asks(reasons: &[String], text: &str) -> usize {
    reasons.iter().filter(|why| why.contains(text)).count()
}

/// Breaks every workload; why each of them waits for a person, after time enough for one more try.
async fn all_break_and_wait(stage: &Stage) -> Vec<String> {
    for name in WORKLOADS {
        let nowhere = format!("shop.test/{name}:nowhere");
        stage.carry_out(&[image(Target::Deployment(name), &nowhere)]);
    }
    let mut reasons = Vec::new();
    for name in WORKLOADS {
        let waiting = stage.await_incident(name, WAITING).await;
        reasons.push(waiting.waiting_for.unwrap_or_default());
    }
    stage.pass(Duration::from_mins(3)).await;
    for name in WORKLOADS {
        stage.await_incident(name, WAITING).await;
    }
    reasons
}

/// Refuses the agent's changes of Deployments in the shop, unless they are rehearsals.
fn refuse_writes(stage: &Stage) {
    let api = "admissionregistration.k8s.io/v1";
    let agent = "system:serviceaccount:nightshift:nightshift";
    stage.apply(&json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "rehearsals-only"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                    "resources": ["deployments"],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SHOP}},
            },
            "validations": [{
                "expression": format!("request.userInfo.username != '{agent}' || request.dryRun"),
                "message": "rehearsals only", "reason": "Forbidden",
            }],
        },
    }));
    stage.apply(&json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "rehearsals-only"},
        "spec": {"policyName": "rehearsals-only", "validationActions": ["Deny"]},
    }));
}
