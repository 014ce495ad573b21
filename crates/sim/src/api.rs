//! The API: a request in, an answer out, by the rules of a Kubernetes API server.
//!
//! Pure and synchronous: [`crate::server`] brings the requests and carries the answers.

pub mod accept;
mod body;
mod call;
mod discovery;
mod list;
mod openapi;
mod other;
mod remove;
mod render;
pub mod request;
pub mod route;
mod select;
mod table;
mod view;
pub mod watch;
mod write;

use crate::cluster::Cluster;
use crate::registry::Part;
use crate::status::Status;
use axum::body::Bytes;
use call::Call;
use http::Method;
use route::{Route, Target, not_allowed};

pub use request::Request;
pub use watch::{Cache, Next, Watch};

/// An answer that is all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// HTTP status code.
    pub code: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The body.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// All there.
    Whole(Whole),
    /// Goes on for a while.
    Watch(Box<Watch>),
}

impl Answer {
    /// JSON text.
    pub fn json(code: u16, body: impl Into<Bytes>) -> Self {
        Self::of(code, "application/json", body)
    }

    /// Plain text.
    pub fn text(code: u16, body: impl Into<Bytes>) -> Self {
        Self::of(code, "text/plain; charset=utf-8", body)
    }

    fn of(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::Whole(Whole {
            code,
            content_type,
            retry_after: None,
            body: body.into(),
        })
    }

    /// A refusal.
    pub fn refused(status: &Status) -> Self {
        let body = serde_json::to_vec(status).unwrap_or_default();
        let details = status.details.as_deref();
        Self::Whole(Whole {
            code: status.code,
            content_type: "application/json",
            retry_after: details.and_then(|details| details.retry_after_seconds),
            body: body.into(),
        })
    }
}

/// Serves one request. The cluster's time is whoever calls's business.
pub fn handle(cluster: &mut Cluster, request: &Request) -> Answer {
    serve(cluster, request).unwrap_or_else(|status| Answer::refused(&status))
}

fn serve(cluster: &mut Cluster, request: &Request) -> Result<Answer, Status> {
    match route::parse(&cluster.resources, &request.path)? {
        Route::Objects(target) => objects(cluster, request, target),
        Route::Review { .. } => Err(not_allowed()),
        Route::Other(parts) => Ok(other::serve(cluster, request, &parts)),
    }
}

fn objects(cluster: &mut Cluster, request: &Request, target: Target) -> Result<Answer, Status> {
    let call = Call::new(cluster, request, target)?;
    let part = match call.target.subresource.as_deref() {
        None => Part::Main,
        Some("status") if call.row.has("status") => Part::Status,
        Some(_) => return Err(route::unknown_resource()),
    };
    let named = call.target.name.is_some();
    match (&request.method, named) {
        (&Method::GET, false) if request.query.flag("watch") => {
            Ok(Answer::Watch(Box::new(Watch::new(cluster, &call)?)))
        }
        (&Method::GET, true) if request.query.flag("watch") => {
            Ok(Answer::Watch(Box::new(Watch::new(cluster, &call)?)))
        }
        (&Method::GET, false) => {
            let page = list::page(cluster, &call)?;
            let shown: Vec<_> = page.objects.iter().map(|one| call.view.show(one)).collect();
            Ok(Answer::json(
                200,
                call.renderer(cluster).list(&shown, &page.meta),
            ))
        }
        (&Method::GET, true) => {
            let object = call.current(cluster)?;
            Ok(call.object(cluster, 200, &object))
        }
        (&Method::POST, false) => write::create(cluster, &call),
        (&Method::PUT, true) => write::update(cluster, &call, part),
        (&Method::DELETE, true) if part == Part::Main => remove::delete(cluster, &call),
        (&Method::DELETE, false) => remove::delete_collection(cluster, &call),
        _ => Err(not_allowed()),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Requests for tests.

    use super::*;

    /// A request without a body.
    pub(crate) fn request(method: Method, url: &str, body: &str) -> Request {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        Request {
            method,
            path: path.to_owned(),
            query: request::Query::parse(query),
            accept: String::new(),
            content_type: "application/json".to_owned(),
            user_agent: "test/1".to_owned(),
            token: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    /// A GET.
    pub(crate) fn get(url: &str) -> Request {
        request(Method::GET, url, "")
    }

    /// A POST.
    pub(crate) fn post(url: &str, body: &str) -> Request {
        request(Method::POST, url, body)
    }
}
