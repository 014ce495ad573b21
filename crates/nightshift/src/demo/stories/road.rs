//! The road from the agent to the API server, which can be cut.

use super::super::door::Door;
use axum::body::{Body, Bytes, HttpBody};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
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
}

impl Way {
    fn silences(self, resource: &str) -> bool {
        match self {
            Self::Silent => true,
            Self::Mute(muted) => muted == resource,
            Self::Open | Self::Away => false,
        }
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
        let resource = resource(request.uri().path()).to_owned();
        let way = *self.way.borrow();
        let mut road = self.clone();
        Box::pin(async move {
            if way == Way::Away {
                return Err("connection refused".into());
            }
            if way.silences(&resource) {
                std::future::pending::<()>().await;
            }
            let answer = road.door.call(request).await?;
            Ok(answer.map(|body| road.until_cut(body, resource)))
        })
    }
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
