//! The road from the agent to the API server, which can be cut, and on which answers can be changed.

use super::super::door::Door;
use axum::body::{Body, Bytes, HttpBody};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::header::DATE;
use http::{HeaderValue, Method, Request, Response};
use jiff::SignedDuration;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use std::error::Error;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tower::{BoxError, Service};

/// How requests of the agent fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Connections are refused, and those that are open break off.
    Away,
    /// Nothing is answered, and nothing more is said on what is open.
    Silent,
    /// The same for one resource.
    Mute(&'static str),
    /// Writes to that resource arrive, and their answers wait for another way.
    Held(&'static str),
    /// The `Date` header of every answer is so far ahead of the server's clock.
    Ahead(SignedDuration),
}

impl Way {
    fn silences(self, resource: &str) -> bool {
        match self {
            Self::Silent => true,
            Self::Mute(muted) => muted == resource,
            Self::Open | Self::Away | Self::Held(_) | Self::Ahead(_) => false,
        }
    }
}

/// What an answer on the road is to.
#[derive(Clone, Debug)]
struct Asked {
    resource: String,
    /// Neither a read nor a rehearsal.
    is_write: bool,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        let is_rehearsal = request.uri().query().unwrap_or("").contains("dryRun");
        Self {
            resource: resource(request.uri().path()).to_owned(),
            is_write: request.method() != Method::GET && !is_rehearsal,
        }
    }

    fn is_held_on(&self, way: Way) -> bool {
        self.is_write && matches!(way, Way::Held(held) if held == self.resource)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Road {
    pub(super) door: Door,
    pub(super) way: watch::Receiver<Way>,
}

impl<B> Service<Request<B>> for Road
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asked = Asked::of(&request);
        let way = *self.way.borrow();
        let mut road = self.clone();
        Box::pin(async move {
            if way == Way::Away {
                return Err("connection refused".into());
            }
            if way.silences(&asked.resource) {
                std::future::pending::<()>().await;
            }
            let mut answer = road.door.call(request).await?;
            let mut held = road.way.clone();
            // No error comes that matters: without its sender nobody waits for the answer either.
            drop(held.wait_for(|way| !asked.is_held_on(*way)).await);
            if let Way::Ahead(by) = way {
                put_ahead(&mut answer, by);
            }
            Ok(answer.map(|body| road.until_cut(body, asked.resource)))
        })
    }
}

/// A clock of the server's that is wrong.
fn put_ahead(answer: &mut Response<Body>, by: SignedDuration) {
    let date = answer.headers().get(DATE).unwrap();
    let date = DateTimeParser::new().parse_timestamp(date).unwrap() + by;
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&date);
    let date = HeaderValue::try_from(date.unwrap()).unwrap();
    answer.headers_mut().insert(DATE, date);
}

impl Road {
    /// A body that breaks off when the server goes away, and stops when it falls silent.
    fn until_cut(self, body: Body, resource: String) -> Body {
        let state = (body.into_data_stream(), self.way, resource);
        let stream = futures::stream::unfold(state, |(mut body, mut way, resource)| async {
            let cut = way.clone();
            let next = tokio::select! {
                _ = way.wait_for(|way| *way == Way::Away) => Some(Err("connection reset".into())),
                next = async {
                    // What is said while all is silent is lost with its connection.
                    let next = body.next().await;
                    if cut.borrow().silences(&resource) {
                        std::future::pending::<()>().await;
                    }
                    next
                } => next.map(|next| next.map_err(BoxError::from)),
            };
            next.map(|next| (next, (body, way, resource)))
        });
        Body::from_stream(stream)
    }
}

/// The resource that a path is about; empty for a path of none.
fn resource(path: &str) -> &str {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    match rest {
        ["namespaces", _, plural, ..] | [plural, ..] => plural,
        [] => "",
    }
}

#[test]
fn a_path_is_about_one_resource() {
    assert_eq!(resource("/api/v1/pods"), "pods");
    assert_eq!(resource("/api/v1/namespaces/shop/pods/cart-x/log"), "pods");
    assert_eq!(resource("/api/v1/namespaces"), "namespaces");
    assert_eq!(resource("/api/v1/namespaces/shop"), "namespaces");
    assert_eq!(
        resource("/apis/apps/v1/namespaces/shop/deployments/cart"),
        "deployments"
    );
    assert_eq!(resource("/version"), "");
}

#[test]
fn only_a_real_write_to_the_held_resource_waits() {
    let held = |method: &str, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        Asked::of(&request).is_held_on(Way::Held("pods"))
    };
    let pod = "/api/v1/namespaces/shop/pods/cart-x";
    assert!(held("DELETE", pod));
    assert!(held("POST", &format!("{pod}/eviction")));
    assert!(!held("GET", pod));
    assert!(!held("DELETE", &format!("{pod}?dryRun=All")));
    assert!(!held("DELETE", "/api/v1/namespaces/shop/services/cart"));
}
