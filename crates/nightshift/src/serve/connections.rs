//! Connections of the listener: so many at once, and none is held by a client that sends nothing.

use super::bounds::{CONNECTION_LIFE, CONNECTIONS, HEAD_TIMEOUT, REQUEST_TIMEOUT};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    at_once: usize,
    /// For the head of a request.
    head: Duration,
    /// Until no new request is taken.
    life: Duration,
    /// For the request that runs then.
    last: Duration,
}

const BOUNDS: Bounds = Bounds {
    at_once: CONNECTIONS,
    head: HEAD_TIMEOUT,
    life: CONNECTION_LIFE,
    last: REQUEST_TIMEOUT,
};

/// Answers until `stop` completes, and then finishes the requests that are running.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()> + Send) {
    serve_within(BOUNDS, listener, router, stop).await;
}

async fn serve_within(
    bounds: Bounds,
    mut listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) {
    let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
    let slots = Arc::new(Semaphore::new(bounds.at_once));
    let mut stop = pin!(stop);
    loop {
        let (stream, slot) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&mut listener, &slots) => accepted,
        };
        let (router, stopping) = (router.clone(), stopping.clone());
        tasks.spawn(async move {
            answer(bounds, stream, router, stopping).await;
            drop(slot);
        });
    }
    drop(listener);
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &mut TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await;
    let slot = slot.expect("nobody closes the semaphore");
    // axum's own: waits a little after an error that is not the connection's.
    let (stream, _from) = axum::serve::Listener::accept(listener).await;
    (stream, slot)
}

/// Answers the requests of one connection.
async fn answer(bounds: Bounds, stream: TcpStream, router: Router, stopping: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return note(ended),
        () = stopping.cancelled() => {}
        () = tokio::time::sleep(bounds.life) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = tokio::time::timeout(bounds.last, connection).await {
        note(ended);
    }
}

/// A client that goes away, or sends what is no request, is no news.
fn note(ended: Result<(), impl std::fmt::Display>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LONG: Duration = Duration::from_mins(10);

    /// A listener with room for one connection.
    async fn listener(head: Duration, life: Duration) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "ok"));
        let bounds = Bounds {
            at_once: 1,
            head,
            life,
            last: LONG,
        };
        let never = std::future::pending();
        TaskTracker::new().spawn(serve_within(bounds, listener, router, never));
        address
    }

    async fn sent(address: std::net::SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn all(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    const WHOLE: &str = "GET /healthz HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn half_a_request_and_none_at_all_are_dropped_and_make_room() {
        let address = listener(Duration::from_millis(20), LONG).await;
        let half = sent(address, "GET /healthz HTTP/1.1\r\nHost: ").await;
        let none = sent(address, "").await;
        let probe = sent(address, WHOLE).await;
        assert!(all(probe).await.ends_with("ok"));
        assert_eq!(all(half).await, "");
        assert_eq!(all(none).await, "");
    }

    #[tokio::test]
    async fn a_connection_that_is_kept_open_ends_at_the_end_of_its_life() {
        let address = listener(LONG, Duration::from_millis(20)).await;
        let kept = sent(address, &WHOLE.replace("Connection: close\r\n", "")).await;
        assert!(all(kept).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn a_stop_waits_for_no_idle_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _idle = sent(listener.local_addr().unwrap(), "").await;
        let stop = CancellationToken::new();
        let server = serve(listener, Router::new(), stop.clone().cancelled_owned());
        stop.cancel();
        server.await;
    }
}
