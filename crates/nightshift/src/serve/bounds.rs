//! Limits of the listener: how many requests at once, and for how long.

use super::problem::Problem;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Requests to the intake at once: a body is 8 MiB at most, so this bounds memory.
pub(super) const INTAKE_AT_ONCE: usize = 8;
/// Other requests at once; a busy API never keeps an alert out.
pub(super) const API_AT_ONCE: usize = 32;
/// Probes and scrapes at once.
pub(super) const PROBES_AT_ONCE: usize = 16;
/// Connections at once: more than all requests at once, less than the open files that any system
/// gives. Who comes later waits in the kernel's queue.
pub(super) const CONNECTIONS: usize = 128;
/// Longest time for the head of a request, the first or the next: half a request or none holds a
/// place no longer.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection takes no new request after this time; clients open another one.
pub(super) const CONNECTION_LIFE: Duration = Duration::from_mins(5);
/// Alerts in one transaction: a thousand take a second, and the engine hears others in between.
pub(super) const ALERTS_AT_ONCE: usize = 100;
/// Largest body of a request to the API in bytes; none that is taken now has one.
pub(super) const MAX_API_BODY: usize = 64 * 1024;
/// Longest time for one request, its body included. Alertmanager sends again after it.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Refuses what is too much or takes too long; both may be tried again.
pub(super) async fn bounded(
    State(slots): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let help = "try again in a few seconds";
    let Ok(_slot) = slots.try_acquire() else {
        return Err(Problem::unavailable("too many requests at once", help));
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_elapsed) => {
            let error = format!("no answer within {} seconds", REQUEST_TIMEOUT.as_secs());
            Err(Problem::unavailable(error, help))
        }
    }
}
