//! An API server in a closure, on virtual time: empty lists and silent watches, but where a test
//! says otherwise.

use crate::client::Clients;
use crate::clock::Clock;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::bytes::Bytes;
use tower::BoxError;

/// Virtual time: `tokio::test(start_paused = true)` moves it on when everybody waits.
#[derive(Debug)]
pub(super) struct TestClock(Instant);

pub(super) fn clock() -> Arc<TestClock> {
    Arc::new(TestClock(Instant::now()))
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        begin + SignedDuration::try_from(self.0.elapsed()).unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// An answer.
pub(super) enum Reply {
    Json(u16, Value),
    /// A watch: lines, each so many seconds after the last.
    Lines(Vec<(u64, Value)>, After),
    Text(String),
    /// No answer, ever: a connection that was dropped silently.
    Nothing,
    /// The connection is refused.
    Refused,
}

/// What a watch does after its last line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    End,
}

type Rule = Box<dyn FnMut(&str) -> Option<Reply> + Send>;
type Answer = Response<StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

/// The server.
#[derive(Clone)]
pub(super) struct Fake {
    clock: Arc<TestClock>,
    /// How far its clock is ahead, in seconds.
    ahead: Arc<Mutex<i64>>,
    rules: Arc<Mutex<Vec<(String, Rule)>>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(super) fn new(clock: &Arc<TestClock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            ahead: Arc::default(),
            rules: Arc::default(),
            log: Arc::default(),
        }
    }

    /// Answers for a path; the rule is given the query, and a later rule comes first.
    pub(super) fn on(
        &self,
        path: &str,
        rule: impl FnMut(&str) -> Option<Reply> + Send + 'static,
    ) -> &Self {
        let mut rules = self.rules.lock().unwrap();
        rules.insert(0, (path.to_owned(), Box::new(rule)));
        self
    }

    /// The same list for ever.
    pub(super) fn has(&self, path: &str, items: &[Value]) -> &Self {
        let list = list("1", "", items);
        self.on(path, move |query| {
            (!query.contains("watch=true")).then(|| Reply::Json(200, list.clone()))
        })
    }

    pub(super) fn run_ahead(&self, seconds: i64) {
        *self.ahead.lock().unwrap() = seconds;
    }

    /// Requests so far, `METHOD path?query [accept]`.
    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Requests for that path so far.
    pub(super) fn asked(&self, path: &str) -> Vec<String> {
        let path = format!("GET {path}?");
        let log = self.log().into_iter();
        log.filter_map(|line| line.strip_prefix(&path).map(str::to_owned))
            .collect()
    }

    pub(super) fn clients(&self) -> Clients {
        let fake = self.clone();
        let service = move |request: Request<Body>| {
            let reply = fake.reply(&request);
            let date = fake.date();
            async move { answer(reply, &date).await }
        };
        Clients::from_service(tower::service_fn(service))
    }

    fn reply(&self, request: &Request<Body>) -> Reply {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.map_or("", |accept| accept.to_str().unwrap());
        let line = format!("{} {}?{query} [{accept}]", request.method(), uri.path());
        self.log.lock().unwrap().push(line);
        let mut rules = self.rules.lock().unwrap();
        let replies = rules.iter_mut().filter(|(path, _)| path == uri.path());
        for (_, rule) in replies {
            if let Some(reply) = rule(query) {
                return reply;
            }
        }
        if query.contains("watch=true") {
            Reply::Lines(Vec::new(), After::Stay)
        } else {
            Reply::Json(200, list("1", "", &[]))
        }
    }

    fn date(&self) -> String {
        let ahead = SignedDuration::from_secs(*self.ahead.lock().unwrap());
        let now = self.clock.now() + ahead;
        DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&now)
            .unwrap()
    }
}

async fn answer(reply: Reply, date: &str) -> Result<Answer, BoxError> {
    let chunk = |text: String| Ok(Frame::data(Bytes::from(text)));
    let (status, body) = match reply {
        Reply::Nothing => return std::future::pending().await,
        Reply::Refused => return Err("connection refused".into()),
        Reply::Json(status, value) => {
            let chunk = chunk(value.to_string());
            (status, futures::stream::iter([chunk]).boxed())
        }
        Reply::Text(text) => (200, futures::stream::iter([chunk(text)]).boxed()),
        Reply::Lines(lines, after) => {
            let lines = futures::stream::iter(lines).then(move |(seconds, line)| async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                chunk(format!("{line}\n"))
            });
            let body = match after {
                After::Stay => lines.chain(futures::stream::pending()).boxed(),
                After::End => lines.boxed(),
            };
            (200, body)
        }
    };
    let answer = Response::builder()
        .status(status)
        .header(header::DATE, date);
    Ok(answer.body(StreamBody::new(body))?)
}

pub(super) fn list(version: &str, token: &str, items: &[Value]) -> Value {
    json!({"metadata": {"resourceVersion": version, "continue": token}, "items": items})
}

pub(super) fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "message": message})
}

pub(super) fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

pub(super) fn bookmark(version: &str) -> Value {
    let metadata = json!({"resourceVersion": version});
    event(
        "BOOKMARK",
        &json!({"apiVersion": "v1", "kind": "X", "metadata": metadata}),
    )
}

/// An object of namespace `demo`; `owner` is `Kind/name`.
pub(super) fn object(name: &str, version: &str, owner: &str) -> Value {
    let owners: Vec<Value> = owner
        .split_once('/')
        .into_iter()
        .map(|(kind, name)| {
            json!({"kind": kind, "name": name, "uid": format!("{name}-uid"), "controller": true})
        })
        .collect();
    json!({
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": format!("{name}-uid"),
            "resourceVersion": version,
            "ownerReferences": owners,
        },
        "spec": {},
        "status": {},
    })
}

/// A pod of ReplicaSet `cart-1` whose image cannot be pulled, or which is healthy.
pub(super) fn pod(name: &str, version: &str, sick: bool) -> Value {
    let mut pod = object(name, version, "ReplicaSet/cart-1");
    let state = if sick {
        json!({"waiting": {"reason": "ImagePullBackOff"}})
    } else {
        json!({"running": {}})
    };
    let container = json!({"name": "app", "ready": !sick, "state": state});
    pod["status"] = json!({"phase": "Running", "containerStatuses": [container]});
    pod
}
