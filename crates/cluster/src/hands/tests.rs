//! Conversations with an API server that answers from a script and writes down what it was asked.

mod acting;
mod reading_back;
mod rehearsing;
mod requests;

use super::Hands;
use super::live::Live;
use crate::template::template_digest;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use nightshift_core::diagnose::FaultClass;
use nightshift_core::plan::{Action, Check, Draft, MemoryChange, RevisionRef, Step};
use nightshift_core::world::{Kind, ObjectRef, Quantity};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with the next request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Answers.
    Says(u16, Value),
    /// Answers after so many seconds.
    SaysLate(u64, u16, Value),
    /// Takes the request and closes the connection.
    HangsUp,
    /// Does not take the connection.
    Refuses,
    /// Takes the request and never answers.
    Sleeps,
}

/// A request as it was asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// Method, path and query.
    pub(super) line: String,
    pub(super) agent: String,
    pub(super) content_type: String,
    pub(super) body: Value,
}

/// The server.
#[derive(Clone, Default)]
pub(super) struct Server {
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        let server = Self::default();
        server.script.lock().unwrap().extend(script);
        server
    }

    pub(super) fn hands(&self) -> Hands {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Hands::new(Client::new(service, "default"), "cluster-uid".into())
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (parts, body) = request.into_parts();
        let header = |name| {
            let value = parts.headers.get(name).map(|value| value.to_str().unwrap());
            value.unwrap_or_default().to_owned()
        };
        let asked = Asked {
            line: format!("{} {}", parts.method, parts.uri),
            agent: header("user-agent"),
            content_type: header("content-type"),
            body: serde_json::from_slice(&body.collect_bytes().await?).unwrap_or_default(),
        };
        self.asked.lock().unwrap().push(asked);
        let reply = self.script.lock().unwrap().pop_front();
        match reply.expect("a request that the script does not know") {
            Reply::Says(code, body) => {
                let body = Body::from(body.to_string().into_bytes());
                Ok(Response::builder().status(code).body(body)?)
            }
            Reply::SaysLate(seconds, code, body) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let body = Body::from(body.to_string().into_bytes());
                Ok(Response::builder().status(code).body(body)?)
            }
            Reply::HangsUp => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            Reply::Refuses => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            Reply::Sleeps => std::future::pending().await,
        }
    }

    /// All requests; the script must be at its end.
    pub(super) fn asked(&self) -> Vec<Asked> {
        assert!(
            self.script.lock().unwrap().is_empty(),
            "the script was not played to its end"
        );
        self.asked.lock().unwrap().clone()
    }

    /// The requests that would change something were it not for `dryRun=All`.
    pub(super) fn sent(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| !asked.line.starts_with("GET "));
        asked
    }
}

/// A `Status` of the API server.
pub(super) fn status(code: u16, message: &str) -> Reply {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "code": code,
    });
    Reply::Says(code, body)
}

pub(super) fn says(body: &Value) -> Reply {
    Reply::Says(200, body.clone())
}

/// A Deployment as an API server sends it, with an injected container before the one that is meant.
pub(super) fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "shop", "namespace": "demo", "uid": "uid-shop",
            "resourceVersion": "41", "generation": 3,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"template": template("shop:2")},
        "status": {"observedGeneration": 3},
    })
}

pub(super) fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "shop"}},
        "spec": {
            "containers": [
                {"name": "proxy", "image": "proxy:1", "resources": {}},
                {
                    "name": "app",
                    "image": image,
                    "env": [{"name": "KEY", "value": "hunter2"}],
                    "resources": {"limits": {"cpu": "1", "memory": "256Mi"}},
                },
            ],
            "initContainers": [{"name": "setup", "image": "setup:1"}],
        },
    })
}

/// A ReplicaSet of the Deployment.
pub(super) fn replica_set(revision: i64) -> Value {
    let mut template = template(&format!("shop:{revision}"));
    template["metadata"]["labels"]["pod-template-hash"] = json!("5d9c");
    json!({
        "metadata": {
            "name": format!("shop-{revision}"), "namespace": "demo", "uid": format!("uid-shop-{revision}"),
            "resourceVersion": "30",
            "ownerReferences": [{"kind": "Deployment", "name": "shop", "uid": "uid-shop", "controller": true}],
        },
        "spec": {"template": template},
    })
}

pub(super) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "shop-x", "namespace": "demo", "uid": "uid-pod", "resourceVersion": "77",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "shop-2", "uid": "uid-shop-2", "controller": true}],
        },
        "spec": {"nodeName": "node1", "containers": [{"name": "app", "image": "shop:2"}]},
        "status": {"phase": "Running"},
    })
}

pub(super) fn node(unschedulable: Option<bool>) -> Value {
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node1", "uid": "uid-node", "resourceVersion": "900"},
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {},
    });
    if let Some(flag) = unschedulable {
        node["spec"]["unschedulable"] = json!(flag);
    }
    node
}

pub(super) fn set_image() -> Action {
    Action::SetImage {
        container: "app".into(),
        from: "shop:2".into(),
        to: "shop:1".into(),
    }
}

pub(super) fn memory(from: Option<&str>, to: Option<&str>) -> MemoryChange {
    MemoryChange {
        from: from.map(Quantity::from),
        to: to.map(Quantity::from),
    }
}

pub(super) fn set_memory() -> Action {
    Action::SetMemory {
        container: "app".into(),
        limit: memory(Some("256Mi"), Some("512Mi")),
        request: memory(None, Some("256Mi")),
    }
}

pub(super) fn revision(kind: Kind, number: i64) -> RevisionRef {
    RevisionRef {
        kind,
        name: format!("shop-{number}"),
        uid: format!("uid-shop-{number}").into(),
        revision: number,
        template: template_digest(&template(&format!("shop:{number}"))),
    }
}

pub(super) fn roll_back() -> Action {
    Action::RollBack {
        from: revision(Kind::ReplicaSet, 2),
        to: revision(Kind::ReplicaSet, 1),
    }
}

/// A step on an object as it is now.
pub(super) fn step(action: Action, object: &Value) -> Step {
    let kind = serde_json::from_value(object["kind"].clone()).unwrap();
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let reference = ObjectRef {
        kind,
        namespace: text("/metadata/namespace").into(),
        name: text("/metadata/name").into(),
        uid: text("/metadata/uid").into(),
    };
    let live = Live::decode(String::new(), &reference, object.clone()).unwrap();
    Step::new(Draft {
        incident: &"inc-1".into(),
        action,
        target: &live.object,
        check: Check {
            class: FaultClass::CrashLoop,
            owner: reference,
            time_to_failure_ms: 0,
        },
        runbook: &"RB_TEST".into(),
        runbook_step: "repair",
        asks: Vec::new(),
    })
    .expect("the action fits the object")
}
