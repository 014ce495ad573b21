//! The listener in process, over a real engine and a real store, without a cluster.

use super::*;
use crate::serve::incidents::{IncidentReply, ListReply};
use crate::shell::{Port, Shell};
use crate::store::Store;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use nightshift_cluster::Clock;
use nightshift_core::engine::Checkpoint;
use nightshift_core::guard::{Permit, Rehearsal};
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::{ClusterUid, PermitId};
use nightshift_core::plan::Step;
use nightshift_core::record::EntryKind;
use nightshift_core::world::{Coverage, ObjectRef, Scope, Snapshot, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A time that stands still.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        "2026-11-22T08:01:42Z".parse().unwrap()
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A cluster that cannot be seen at all.
#[derive(Debug)]
struct Fog;

impl Port for Fog {
    fn observe(&self, _: Scope, _: bool, _: bool) -> BoxFuture<'_, Snapshot> {
        Box::pin(std::future::pending())
    }
    fn rehearse(&self, _: Step) -> BoxFuture<'_, Rehearsal> {
        unreachable!("nothing can be planned in the fog")
    }
    fn act(&self, _: Permit) -> BoxFuture<'_, ActOutcome> {
        unreachable!("nothing can be permitted in the fog")
    }
    fn read_back(&self, _: PermitId, _: Step) -> BoxFuture<'_, ActOutcome> {
        unreachable!("nothing was written in the fog")
    }
    fn watch(&self, _: &ObjectRef) {}
    fn unwatch(&self, _: &ObjectRef) {}
    fn coverage(&self) -> BTreeMap<Source, Coverage> {
        BTreeMap::from([
            (
                Source::Pods,
                Coverage::Blind {
                    why: "fog".to_owned(),
                },
            ),
            (Source::Nodes, Coverage::Seen { age_ms: 3 }),
        ])
    }
}

/// A running agent with its listener.
struct Agent {
    router: Router,
    store: Store,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Agent {
    async fn start(tokens: Tokens) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("n.db").display());
        let store = Store::open(&url).await.unwrap();
        let cluster = ClusterUid::from("c-1");
        let checkpoint = Checkpoint {
            cluster: cluster.clone(),
            leader_epoch: store.take_lead(&cluster).await.unwrap(),
            ..Checkpoint::default()
        };
        let stop = CancellationToken::new();
        let (shell, handle) = Shell::new(
            cluster,
            store.clone(),
            Arc::new(Fog),
            Arc::new(Standing),
            stop.clone(),
        );
        let router = router(handle, &tokens);
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(shell.run(checkpoint));
        let agent = Self {
            router,
            store,
            stop,
            _folder: folder,
        };
        // The first commit is what makes it ready; it is answered after the start's.
        agent.post("/alertmanager", r#"{"alerts": []}"#).await;
        agent
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response: Response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let (status, body) = self
            .send(Request::post(path).body(body.into()).unwrap())
            .await;
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    async fn incidents(&self, query: &str) -> ListReply {
        let (status, body) = self.get(&format!("/api/incidents{query}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn firing(name: &str, deployment: &str) -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": name, "namespace": "demo", "deployment": deployment},
        "annotations": {"summary": "it is down"},
        "startsAt": "2026-11-22T08:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": format!("{name}-{deployment}"),
    })
}

fn webhook(alerts: &[Value]) -> String {
    json!({"version": "4", "status": "firing", "receiver": "nightshift", "groupKey": "{}",
           "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "truncatedAlerts": 0,
           "externalURL": "http://alertmanager.example", "alerts": alerts})
    .to_string()
}

#[tokio::test]
async fn an_alert_is_durable_when_it_is_acknowledged() {
    let agent = Agent::start(Tokens::default()).await;
    let body = webhook(&[firing("KubeDeploymentReplicasMismatch", "my-app")]);
    let (status, taken) = agent.post("/alertmanager", body).await;
    assert_eq!(
        (status, taken),
        (StatusCode::OK, json!({"accepted": 1, "rejected": 0}))
    );

    let list = agent.incidents("").await;
    assert_eq!(list.total, 1);
    let id = &list.incidents[0].id;
    let (status, body) = agent.get(&format!("/api/incidents/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    let keys: Vec<String> = serde_json::from_str::<BTreeMap<String, Value>>(&body)
        .unwrap()
        .into_keys()
        .collect();
    assert_eq!(
        keys,
        ["analysis_markdown", "events", "incident", "past_incidents"]
    );
    let reply: IncidentReply = serde_json::from_str(&body).unwrap();
    assert_eq!(reply.incident.owner.to_string(), "Deployment demo/my-app");
    let kinds: Vec<EntryKind> = reply.events.iter().map(|event| event.entry.kind).collect();
    assert!(kinds.contains(&EntryKind::WebhookReceived), "{kinds:?}");
}

#[tokio::test]
async fn the_same_alert_twice_at_one_instant_is_one_incident() {
    let agent = Agent::start(Tokens::default()).await;
    let alert = firing("KubePodCrashLooping", "my-app");
    let body = webhook(&[alert.clone(), alert]);
    let (one, two) = tokio::join!(
        agent.post("/alertmanager", body.clone()),
        agent.post("/alertmanager", body)
    );
    assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK));
    let list = agent.incidents("").await;
    assert_eq!(list.total, 1);
    let id = &list.incidents[0].id;
    let (_, body) = agent.get(&format!("/api/incidents/{id}")).await;
    let reply: IncidentReply = serde_json::from_str(&body).unwrap();
    let count = |kind| {
        reply
            .events
            .iter()
            .filter(|event| event.entry.kind == kind)
            .count()
    };
    assert_eq!(count(EntryKind::WebhookReceived), 1);
    assert_eq!(count(EntryKind::Suppressed), 3);
}

#[tokio::test]
async fn one_bad_alert_does_not_spoil_its_group() {
    let agent = Agent::start(Tokens::default()).await;
    let body = webhook(&[json!({"labels": {"alertname": 7}}), firing("A", "my-app")]);
    let (status, taken) = agent.post("/alertmanager", body).await;
    assert_eq!(
        (status, taken),
        (StatusCode::OK, json!({"accepted": 1, "rejected": 1}))
    );
    assert_eq!(agent.incidents("").await.total, 1);
    let (_, metrics) = agent.get("/metrics").await;
    assert!(
        metrics.contains("nightshift_alerts_rejected_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_alert_without_a_subject_is_taken_and_opens_nothing() {
    let agent = Agent::start(Tokens::default()).await;
    let watchdog = json!({"status": "firing", "labels": {"alertname": "Watchdog"}});
    let (status, taken) = agent.post("/alertmanager", webhook(&[watchdog])).await;
    assert_eq!(
        (status, taken),
        (StatusCode::OK, json!({"accepted": 1, "rejected": 0}))
    );
    assert_eq!(agent.incidents("").await.total, 0);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_its_place() {
    let agent = Agent::start(Tokens::default()).await;
    let (status, problem) = agent
        .post("/alertmanager", "{\n  \"alerts\": oops\n}")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = problem["error"].as_str().unwrap();
    assert!(error.starts_with("line 2, column 13: expected"), "{error}");
    assert!(problem["help"].as_str().unwrap().contains("webhook_config"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let agent = Agent::start(Tokens::default()).await;
    let (status, problem) = agent.post("/alertmanager", vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(problem["help"].as_str().unwrap().contains("max_alerts"));
    let (status, _) = agent.post("/alertmanager", vec![b' '; MAX_BODY]).await;
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "read, and then found not to be JSON"
    );
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_store_is_down() {
    let agent = Agent::start(Tokens::default()).await;
    agent.store.close().await;
    let (status, problem) = agent
        .post("/alertmanager", webhook(&[firing("A", "x")]))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    let (status, body) = agent.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("the store"), "{body}");
    assert_eq!(
        agent.get("/healthz").await.0,
        StatusCode::OK,
        "alive: a restart would not help"
    );
    assert_eq!(agent.get("/metrics").await.0, StatusCode::OK);
    assert_eq!(
        agent.get("/api/incidents").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn blindness_shows_and_does_not_make_it_unready() {
    let agent = Agent::start(Tokens::default()).await;
    agent
        .post("/alertmanager", webhook(&[firing("A", "x")]))
        .await;
    let (status, body) = agent.get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({"ready": true, "blind": {"Pods": "fog"}}));
    let (_, metrics) = agent.get("/metrics").await;
    for line in [
        "nightshift_source_blind{source=\"Pods\"} 1",
        "nightshift_source_blind{source=\"Nodes\"} 0",
        "nightshift_incidents_open 1",
        "nightshift_incidents_waiting_for_person 0",
        "nightshift_signals_total{source=\"alertmanager\"} 1",
        "nightshift_recording 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn lists_are_filtered_and_bounded() {
    let agent = Agent::start(Tokens::default()).await;
    agent
        .post(
            "/alertmanager",
            webhook(&[firing("A", "x"), firing("B", "y")]),
        )
        .await;
    for (query, total, shown) in [
        ("", 2, 2),
        ("?limit=1", 2, 1),
        ("?offset=1", 2, 1),
        ("?status=open", 2, 2),
        ("?status=closed", 0, 0),
        ("?phase=waiting", 0, 0),
        ("?class=Unexplained&namespace=demo", 2, 2),
        ("?namespace=other", 0, 0),
        ("?alertname=A", 1, 1),
    ] {
        let list = agent.incidents(query).await;
        assert_eq!(
            (list.total, list.incidents.len()),
            (total, shown),
            "{query}"
        );
    }
    for query in [
        "?limit=501",
        "?limit=0",
        "?limit=x",
        "?phase=asleep",
        "?class=Bad",
        "?colour=1",
    ] {
        let (status, body) = agent.get(&format!("/api/incidents{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body.contains("\"help\""), "{body}");
    }
}

#[tokio::test]
async fn errors_are_json_with_a_next_step() {
    let agent = Agent::start(Tokens::default()).await;
    for (request, expected) in [
        (
            Request::get("/api/incidents/inc-none"),
            StatusCode::NOT_FOUND,
        ),
        (Request::get("/nowhere"), StatusCode::NOT_FOUND),
        (
            Request::delete("/api/incidents"),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (
            Request::get("/alertmanager"),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let (status, body) = agent.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, expected, "{body}");
        let problem: BTreeMap<String, String> = serde_json::from_str(&body).unwrap();
        assert_eq!(problem.keys().collect::<Vec<_>>(), ["error", "help"]);
    }
}

#[tokio::test]
async fn each_token_opens_its_own_paths_only() {
    let tokens = Tokens {
        intake: Token::new("in"),
        api: Token::new("api"),
    };
    let agent = Agent::start(tokens).await;
    let status = async |request: axum::http::request::Builder, token: Option<&str>| {
        let request = match token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        agent
            .send(request.body(Body::from(webhook(&[]))).unwrap())
            .await
            .0
    };
    for (token, intake, api) in [
        (Some("in"), StatusCode::OK, StatusCode::UNAUTHORIZED),
        (Some("api"), StatusCode::UNAUTHORIZED, StatusCode::OK),
        (Some(""), StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED),
        (None, StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(
            status(Request::post("/alertmanager"), token).await,
            intake,
            "{token:?}"
        );
        assert_eq!(
            status(Request::get("/api/incidents"), token).await,
            api,
            "{token:?}"
        );
    }
    for open in ["/healthz", "/metrics"] {
        assert_eq!(
            status(Request::get(open), None).await,
            StatusCode::OK,
            "{open}"
        );
    }
}

#[tokio::test]
async fn without_a_token_pages_of_a_browser_are_refused() {
    let agent = Agent::start(Tokens::default()).await;
    for (header, value, expected) in [
        ("Host", "localhost:8080", StatusCode::OK),
        ("Host", "rebound.example:8080", StatusCode::FORBIDDEN),
        ("Origin", "https://evil.example", StatusCode::FORBIDDEN),
    ] {
        let request = Request::post("/alertmanager").header(header, value);
        let (status, _) = agent
            .send(request.body(Body::from(webhook(&[]))).unwrap())
            .await;
        assert_eq!(status, expected, "{header}: {value}");
    }
}

#[tokio::test]
async fn an_analysis_is_written_when_asked_for() {
    let agent = Agent::start(Tokens::default()).await;
    agent
        .post("/alertmanager", webhook(&[firing("A", "my-app")]))
        .await;
    let id = agent.incidents("").await.incidents[0].id.clone();
    let path = format!("/api/incidents/{id}/regenerate-analysis");
    let (status, reply) = agent.post(&path, Body::empty()).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    let text = reply["analysis_markdown"].as_str().unwrap();
    assert!(
        text.contains("Summary") && text.contains("demo/my-app"),
        "{text}"
    );
    let kinds: Vec<&str> = reply["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.last(), Some(&"analysis"), "{kinds:?}");
    let (status, _) = agent
        .post("/api/incidents/none/regenerate-analysis", Body::empty())
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_flood_of_alerts_is_recorded_and_shows_where_it_opens_nothing_more() {
    let agent = Agent::start(Tokens::default()).await;
    let alerts: Vec<Value> = (0..1_000)
        .map(|n| firing("Flood", &format!("ghost-{n}")))
        .collect();
    let (status, taken) = agent.post("/alertmanager", webhook(&alerts)).await;
    assert_eq!(
        (status, taken),
        (StatusCode::OK, json!({"accepted": 1000, "rejected": 0}))
    );
    let late = webhook(&[firing("Flood", "late")]);
    assert_eq!(agent.post("/alertmanager", late).await.0, StatusCode::OK);
    assert_eq!(agent.incidents("").await.total, 1_000);
    let (status, body) = agent.get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "what resolves them comes in here");
    let body: Value = serde_json::from_str(&body).unwrap();
    let why = "1000 incidents are open: no more are opened";
    assert_eq!(body["full"], json!({ "alerts": why }));
    let (_, metrics) = agent.get("/metrics").await;
    for line in [
        "nightshift_incidents_full{of=\"alerts\"} 1",
        "nightshift_incidents_full{of=\"faults\"} 0",
        "nightshift_incidents_not_opened_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
