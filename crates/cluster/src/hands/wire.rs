//! The wire: the only file of the product that sends mutating requests. A [`Draft`] says what is
//! to be sent; it leaves through one of two doors, [`Wire::commit`], which wants a permit, and
//! [`Wire::rehearse`], which can send `dryRun=All` only.

use crate::client::WRITE_TIMEOUT;
use crate::failpoint::failpoint;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use json_patch::Patch;
use kube::Client;
use kube::client::Body;
use nightshift_core::guard::Permit;
use nightshift_core::history::FIELD_MANAGER;
use serde_json::{Value, json};
use std::error::Error;
use std::io;
use tokio::time::timeout;

/// The server gives a write up after this long (the `timeout` parameter of the request), which is
/// before we do ([`WRITE_TIMEOUT`]): what has no answer by then is decided when it is read back.
const SERVER_TIMEOUT: &str = "3s";
/// Objects are at most 1.5 MiB in etcd; anything longer is no answer.
const MAX_ANSWER: usize = 4 << 20;
const USER_AGENT: &str = concat!("nightshift/", env!("CARGO_PKG_VERSION"));

/// A write that was not sent. What it may do to the cluster depends on the door it leaves by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Draft {
    /// A JSON Patch on the object at `path`.
    Patch { path: String, patch: Patch },
    /// Deletion of the object at `path`, with its own grace period.
    Delete { path: String, only: Only },
    /// Eviction of the pod at `path`.
    Evict {
        path: String,
        namespace: String,
        name: String,
        only: Only,
    },
}

/// The incarnation and version that a delete or an eviction is good for (`preconditions` of
/// `DeleteOptions`).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Only {
    pub(super) uid: String,
    pub(super) resource_version: String,
}

impl Only {
    fn body(&self) -> Value {
        json!({"uid": self.uid, "resourceVersion": self.resource_version})
    }
}

/// Through which door.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    Commit,
    DryRun,
}

impl Draft {
    /// Whether disruption budgets have a say in it.
    pub(super) const fn evicts(&self) -> bool {
        matches!(self, Self::Evict { .. })
    }

    fn render(&self, door: Door) -> Result<Request<Vec<u8>>, String> {
        let (method, path, content_type, body) = match self {
            Self::Patch { path, patch } => (
                Method::PATCH,
                path.clone(),
                "application/json-patch+json",
                json!(patch),
            ),
            Self::Delete { path, only } => (
                Method::DELETE,
                path.clone(),
                "application/json",
                delete(only, door),
            ),
            Self::Evict {
                path,
                namespace,
                name,
                only,
            } => (
                Method::POST,
                format!("{path}/eviction"),
                "application/json",
                eviction(namespace, name, only),
            ),
        };
        let dry_run = match door {
            Door::Commit => "",
            Door::DryRun => "&dryRun=All",
        };
        let uri = format!(
            "{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&timeout={SERVER_TIMEOUT}{dry_run}"
        );
        Request::builder()
            .method(method)
            .uri(uri)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content_type)
            .body(body.to_string().into_bytes())
            .map_err(|error| error.to_string())
    }
}

/// `DeleteOptions`. A DELETE with a body does not read its query, so `dryRun` must be in here.
fn delete(only: &Only, door: Door) -> Value {
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": only.body(),
    });
    match (door, options) {
        (Door::DryRun, Value::Object(mut options)) => {
            options.insert("dryRun".to_owned(), json!(["All"]));
            Value::Object(options)
        }
        (_, options) => options,
    }
}

/// An `Eviction`; the server carries `dryRun` of the query into its delete options.
fn eviction(namespace: &str, name: &str, only: &Only) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
        "deleteOptions": {"preconditions": only.body()},
    })
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The server's answer; a body that is not JSON is `Null`.
    Said { code: u16, body: Value },
    /// Nothing left this process.
    NotSent { why: String },
    /// It may have arrived.
    Lost { why: String },
}

/// The client of one cluster's hands. It must not retry by itself: see [`super::Hands::new`].
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
}

impl Wire {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads one object.
    pub(super) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "application/json")
            .body(Vec::new());
        match request {
            Ok(request) => self.send(request).await,
            Err(error) => Answer::NotSent {
                why: error.to_string(),
            },
        }
    }

    /// Sends a draft for real. The permit is the caller's proof; the draft was made from its step.
    pub(super) async fn commit(&self, permit: &Permit, draft: &Draft) -> Answer {
        let request = match draft.render(Door::Commit) {
            Ok(request) => request,
            Err(why) => return Answer::NotSent { why },
        };
        tracing::info!(permit = %permit.id(), step = %permit.step().id, target = %permit.step().target,
            action = permit.step().action.word(), "write");
        failpoint("before_send");
        let answer = self.send(request).await;
        failpoint("after_commit_answer_lost");
        answer
    }

    /// Sends a draft with `dryRun=All`: the server says what it would do and changes nothing.
    pub(super) async fn rehearse(&self, draft: &Draft) -> Answer {
        match draft.render(Door::DryRun) {
            Ok(request) => self.send(request).await,
            Err(why) => Answer::NotSent { why },
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the hands' wire; requests come from the three doors above only"
    )]
    async fn send(&self, request: Request<Vec<u8>>) -> Answer {
        let exchange = async {
            let response = match self.client.send(request.map(Body::from)).await {
                Ok(response) => response,
                Err(error) => return unanswered(&error),
            };
            let code = response.status().as_u16();
            match Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await
            {
                Ok(body) => Answer::Said {
                    code,
                    body: serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
                },
                Err(error) => Answer::Lost {
                    why: format!("the answer broke off: {error}"),
                },
            }
        };
        let late = || Answer::Lost {
            why: format!("no answer within {} s", WRITE_TIMEOUT.as_secs()),
        };
        timeout(WRITE_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| late())
    }
}

/// Only what certainly did not leave is `NotSent`: no credentials, or nobody took the connection.
fn unanswered(error: &kube::Error) -> Answer {
    let why = chain(error);
    let mut source: Option<&dyn Error> = Some(error);
    let mut refused = false;
    while let Some(cause) = source {
        refused |= cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        source = cause.source();
    }
    if refused || matches!(error, kube::Error::Auth(_)) {
        Answer::NotSent { why }
    } else {
        Answer::Lost { why }
    }
}

/// The error with its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn drafts() -> Vec<Draft> {
        let path = "/api/v1/namespaces/demo/pods/shop-x".to_owned();
        let only = Only {
            uid: "u".into(),
            resource_version: "7".into(),
        };
        let patch = Patch::default();
        vec![
            Draft::Patch {
                path: path.clone(),
                patch,
            },
            Draft::Delete {
                path: path.clone(),
                only: only.clone(),
            },
            Draft::Evict {
                path,
                namespace: "demo".into(),
                name: "shop-x".into(),
                only,
            },
        ]
    }

    #[test]
    fn a_rehearsal_is_the_same_request_with_dry_run_all() {
        for draft in drafts() {
            let real = draft.render(Door::Commit).unwrap();
            let dry = draft.render(Door::DryRun).unwrap();
            assert_eq!(dry.uri().to_string(), format!("{}&dryRun=All", real.uri()));
            assert!(!real.uri().to_string().contains("dryRun"));
            assert_eq!(
                (dry.method(), dry.headers()),
                (real.method(), real.headers())
            );
            let body = |request: &Request<Vec<u8>>| -> Value {
                serde_json::from_slice(request.body()).unwrap()
            };
            let (mut dry_body, real_body) = (body(&dry), body(&real));
            if real.method() == Method::DELETE {
                let flag = dry_body.as_object_mut().unwrap().remove("dryRun");
                assert_eq!(flag, Some(json!(["All"])), "a DELETE reads its body only");
            }
            assert_eq!(dry_body, real_body);
        }
    }

    #[test]
    fn every_write_names_its_manager_and_its_time_limit() {
        for draft in drafts() {
            let request = draft.render(Door::Commit).unwrap();
            let query = request.uri().query().unwrap();
            assert!(query.contains("fieldManager=nightshift"), "{query}");
            let limit = query
                .split('&')
                .find_map(|part| part.strip_prefix("timeout="))
                .unwrap();
            let seconds: u64 = limit.trim_end_matches('s').parse().unwrap();
            assert!(
                Duration::from_secs(seconds) < WRITE_TIMEOUT,
                "the server gives up first"
            );
            let agent = request.headers()[header::USER_AGENT].to_str().unwrap();
            assert!(agent.starts_with("nightshift/"));
        }
    }
}
