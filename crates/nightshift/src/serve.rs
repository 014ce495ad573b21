//! The HTTP listener: takes alerts in and shows what happened. It decides nothing and writes to no
//! cluster; everything it takes goes through [`Handle::submit`], which answers only when durable.

mod alerts;
mod auth;
mod bounds;
mod connections;
pub mod incidents;
mod problem;
mod status;

pub use auth::{Token, Tokens, Unsafe};
pub use connections::serve;
pub use problem::Problem;

use crate::intake::alertmanager::MAX_BODY;
use crate::shell::Handle;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// All paths. Probes and metrics are open: they name no workload.
pub fn router(handle: Handle, tokens: &Tokens) -> Router {
    let intake = guarded(
        Router::new()
            .route("/alertmanager", post(alerts::take))
            .layer(DefaultBodyLimit::max(MAX_BODY)),
        tokens.intake.clone(),
        bounds::INTAKE_AT_ONCE,
    );
    let api = guarded(
        Router::new()
            .route("/api/incidents", get(incidents::get_list))
            .route("/api/incidents/{id}", get(incidents::get_one))
            .route(
                "/api/incidents/{id}/regenerate-analysis",
                post(incidents::regenerate),
            )
            .layer(DefaultBodyLimit::max(bounds::MAX_API_BODY)),
        tokens.api.clone(),
        bounds::API_AT_ONCE,
    );
    let open = Router::new()
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(status::metrics))
        .layer(from_fn_with_state(
            slots(bounds::PROBES_AT_ONCE),
            bounds::bounded,
        ));
    let api = intake.merge(api).merge(open);
    api.fallback(no_such_path)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(handle)
}

/// Who may send comes first: nobody else takes up a slot.
fn guarded(router: Router<Handle>, token: Option<Token>, at_once: usize) -> Router<Handle> {
    router
        .route_layer(from_fn_with_state(slots(at_once), bounds::bounded))
        .route_layer(from_fn_with_state(token.map(Arc::new), auth::require))
}

fn slots(at_once: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(at_once))
}

async fn no_such_path() -> Problem {
    Problem::not_found("there is no such path", "docs/http.md lists every path")
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It would not be safe.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// The address cannot be used.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Takes the address, after a check that this is safe with these tokens.
pub async fn bind(address: SocketAddr, tokens: &Tokens) -> Result<TcpListener, ListenError> {
    tokens.check(address)?;
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ListenError::Bind { address, source })
}

#[cfg(test)]
mod tests;
