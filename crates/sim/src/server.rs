//! The cluster behind a lock, on a time of its own: a tower service for use without a socket, and a
//! listener for HTTP and HTTPS.

mod body;
mod listen;

use crate::api::{self, Answer, Cache, Request};
use crate::cluster::{Cluster, later};
use crate::pace::Pace;
use crate::status::{Reason, Status};
use axum::body::{Body, Bytes};
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use listen::{ListenError, Listening, kubeconfig};

/// The largest body of a request (`--max-resource-write-bytes` of the real one).
pub const MAX_BODY: usize = 3 * 1024 * 1024;

/// The longest warning, in characters, and the most of them: 4 kB, as the real one keeps to
/// (`k8s.io/apiserver/pkg/endpoints/filters/warning.go`).
const WARNING_LENGTH: usize = 256;
const MAX_WARNINGS: usize = 16;

/// Between two looks of the driver there is at most so long a sleep, in the cluster's time.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// How the cluster's time goes.
#[derive(Clone, Debug)]
pub enum Time {
    /// By itself.
    Paced(Arc<Pace>),
    /// Only when told: [`Server::advance`], or `POST /sim/advance?seconds=N`.
    Virtual,
}

/// A served cluster. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    time: Time,
    /// The store's revision: who waits for changes waits for this.
    revision: watch::Sender<u64>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct World {
    cluster: Cluster,
    cache: Cache,
}

impl Server {
    /// Serves a cluster. Unless its time is virtual, [`Server::drive`] has to run as well.
    pub fn new(cluster: Cluster, time: Time) -> Self {
        let (revision, _) = watch::channel(cluster.store.revision());
        Self {
            shared: Arc::new(Shared {
                world: Mutex::new(World {
                    cluster,
                    cache: Cache::default(),
                }),
                time,
                revision,
                stop: CancellationToken::new(),
            }),
        }
    }

    /// Brings the cluster to the present, does something with it, and tells everybody who waits.
    pub fn with<T>(&self, action: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut world = self.lock();
        if let Time::Paced(pace) = &self.shared.time {
            world.cluster.advance(pace.now());
        }
        let result = action(&mut world.cluster);
        let revision = world.cluster.store.revision();
        drop(world);
        self.shared
            .revision
            .send_if_modified(|known| std::mem::replace(known, revision) != revision);
        result
    }

    /// Lets time pass at once, where it is virtual. `false`: it is not, and goes by itself.
    pub fn advance(&self, duration: Duration) -> bool {
        let told = matches!(self.shared.time, Time::Virtual);
        if told {
            self.with(|cluster| cluster.pass(duration));
        }
        told
    }

    /// Lets the cluster's time run until [`Server::stop`]. Virtual time needs no driver: this ends
    /// at once.
    pub async fn drive(self) {
        let Time::Paced(pace) = &self.shared.time else {
            return;
        };
        let mut changed = self.shared.revision.subscribe();
        loop {
            changed.borrow_and_update();
            let (now, due) = self.with(|cluster| (cluster.now(), cluster.next_due()));
            let longest = later(now, LONGEST_SLEEP);
            let until = due.map_or(longest, |due| due.min(longest));
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = pace.sleep_until(until) => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// Ends the driver, the watches and the listeners.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        let guard = self.shared.world.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    async fn respond<B>(self, request: http::Request<B>) -> Response<Body>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, sent) = request.into_parts();
        let answer = match Limited::new(sent, MAX_BODY).collect().await {
            Ok(body) => {
                let request = Request::new(&head, body.to_bytes());
                self.with(|cluster| api::handle(cluster, &request))
            }
            Err(why) => Answer::refused(&unreadable(why.as_ref())),
        };
        let date = http_date(self.with(|cluster| cluster.now()));
        let mut response = self.carry(answer);
        // The cluster's own time: clients measure how far theirs is from it.
        response.headers_mut().extend(date.map(|date| (DATE, date)));
        response
    }

    fn carry(self, answer: Answer) -> Response<Body> {
        match answer {
            Answer::Whole(whole) => {
                let mut response = response(whole.code, whole.content_type, whole.body.into());
                if let Some(seconds) = whole.retry_after {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                let warnings = whole
                    .warnings
                    .iter()
                    .take(MAX_WARNINGS)
                    .map(|text| warning(text));
                for value in warnings.flatten() {
                    response.headers_mut().append(WARNING, value);
                }
                response
            }
            Answer::List(list) => response(200, "application/json", body::list(*list)),
            Answer::Advance(duration) => {
                let done = self.advance(duration);
                self.carry(if done {
                    api::success()
                } else {
                    Answer::refused(&goes_by_itself())
                })
            }
            Answer::Log(follow) => response(
                200,
                "text/plain; charset=utf-8",
                body::follow(self, *follow),
            ),
            Answer::Watch(watch) => response(200, "application/json", body::watch(self, *watch)),
        }
    }
}

fn response(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `299 - "unknown field \"spec.size\""`; `None` for what a header cannot say.
fn warning(text: &str) -> Option<HeaderValue> {
    let text: String = text.chars().take(WARNING_LENGTH).collect();
    HeaderValue::from_bytes(format!("299 - {text:?}").as_bytes()).ok()
}

/// A moment as HTTP writes it (RFC 9110, 5.6.7).
fn http_date(at: Timestamp) -> Option<HeaderValue> {
    let text = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).ok()
}

fn goes_by_itself() -> Status {
    Status::new(
        Reason::Conflict,
        "the time of this cluster goes by itself: only virtual time can be told",
    )
}

fn unreadable(why: &(dyn Error + Send + Sync + 'static)) -> Status {
    if why.is::<LengthLimitError>() {
        return Status::new(
            Reason::RequestEntityTooLarge,
            format!("Request entity too large: limit is {MAX_BODY}"),
        );
    }
    Status::bad_request(format!("unable to read the body: {why}"))
}

impl<B> tower::Service<http::Request<B>> for Server
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.respond(request).await) })
    }
}

#[cfg(test)]
mod tests;
