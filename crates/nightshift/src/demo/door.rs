//! The way from the agent to the simulated API server: with the agent's own token, and so its own
//! name and rights.

use http::{HeaderValue, Request};
use nightshift_sim::Server;
use std::task::{Context, Poll};
use tower::Service;

/// The API server, for the holder of a token. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) server: Server,
    pub(super) authorization: HeaderValue,
}

impl<B> Service<Request<B>> for Door
where
    Server: Service<Request<B>>,
{
    type Response = <Server as Service<Request<B>>>::Response;
    type Error = <Server as Service<Request<B>>>::Error;
    type Future = <Server as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.server.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let headers = request.headers_mut();
        headers.insert(http::header::AUTHORIZATION, self.authorization.clone());
        self.server.call(request)
    }
}
