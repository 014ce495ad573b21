//! The API: a request in, an answer out, by the rules of a Kubernetes API server.
//!
//! Pure and synchronous: [`crate::server`] brings the requests and carries the answers.

pub mod accept;
mod bind;
mod body;
mod call;
mod discovery;
mod evict;
mod list;
mod log;
mod openapi;
mod other;
mod patch;
mod remove;
mod render;
pub mod request;
mod review;
pub mod route;
mod scale;
mod select;
mod session;
mod table;
mod trail;
mod view;
pub mod watch;
mod write;

use crate::auth::{MASTERS, User};
use crate::cluster::Cluster;
use crate::registry::Part;
use crate::resources::ResourceId;
use crate::status::Status;
use axum::body::Bytes;
use call::Call;
use http::Method;
use route::{Route, Target, not_allowed};
use serde_json::Value;
use std::time::Duration;

use session::{Session, Wish};

pub use log::Follow;
pub use render::List;
pub use request::Request;
pub use trail::Trail;
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
    /// `Warning`: each for a person.
    pub warnings: Vec<String>,
    /// The body.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// All there.
    Whole(Whole),
    /// A long list, in pieces.
    List(Box<List>),
    /// Goes on for a while.
    Watch(Box<Watch>),
    /// A log that is followed.
    Log(Box<Follow>),
    /// Allowed to let so much time pass; whether time can be told is for the server to say.
    Advance(Duration),
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
            warnings: Vec::new(),
            body: body.into(),
        })
    }

    /// The same, with warnings.
    #[must_use]
    pub(crate) fn warning(mut self, warnings: Vec<String>) -> Self {
        if let Self::Whole(whole) = &mut self {
            whole.warnings = warnings;
        }
        self
    }

    /// A refusal.
    pub fn refused(status: &Status) -> Self {
        let body = serde_json::to_vec(status).unwrap_or_default();
        let details = status.details.as_deref();
        Self::Whole(Whole {
            code: status.code,
            content_type: "application/json",
            retry_after: details.and_then(|details| details.retry_after_seconds),
            warnings: Vec::new(),
            body: body.into(),
        })
    }
}

/// A `Status` that says that it is done.
pub fn success() -> Answer {
    let done = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
    });
    Answer::json(200, done.to_string())
}

/// Where an object goes that names no namespace, as kubectl has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Creates an object as `kubectl create` of an administrator does: with unknown fields refused. No
/// line of the audit tells of it.
pub fn create(
    cluster: &mut Cluster,
    resource: ResourceId,
    namespace: &str,
    manifest: &Value,
) -> Result<(), Status> {
    let namespaced = cluster.resources.get(resource).namespaced;
    let namespace = match namespace {
        "" if namespaced => DEFAULT_NAMESPACE,
        namespace => namespace,
    };
    let target = Target {
        shown: resource,
        stored: cluster.resources.stored(resource),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: None,
        subresource: None,
    };
    let request = Request {
        body: manifest.to_string().into(),
        ..Request::to(
            Method::POST,
            "?fieldManager=kubectl-create&fieldValidation=Strict",
        )
    };
    let administrator = User::new("kubernetes-admin", &[MASTERS]);
    let call = Call::new(cluster, &request, target, administrator)?;
    write::create(cluster, &call).map(drop)
}

/// Serves one request, and notes it in the audit. The cluster's time is the caller's business.
pub fn handle(cluster: &mut Cluster, request: &Request) -> Answer {
    let old = request.of_old_watch();
    let request = old.as_ref().unwrap_or(request);
    let route = route::parse(&cluster.resources, &request.path);
    let wish = match &route {
        Ok(route) => Wish::of(cluster, request, route),
        Err(_) => Wish::of(cluster, request, &Route::Other(Vec::new())),
    };
    let mut session = Session::new(cluster, wish);
    let translated = body::translated(request);
    let request = translated.as_deref().unwrap_or(request);
    let result = session.enter(cluster, request).and_then(|user| {
        translated.as_ref().map_err(Status::clone)?;
        serve(cluster, request, route?, user)
    });
    let (answer, refusal) = match result {
        Ok(answer) => (answer, None),
        Err(status) => (Answer::refused(&status), Some(status)),
    };
    session.audit(cluster, request, &answer, refusal.as_ref());
    answer
}

fn serve(
    cluster: &mut Cluster,
    request: &Request,
    route: Route,
    user: User,
) -> Result<Answer, Status> {
    match route {
        Route::Objects(target) => objects(cluster, request, target, user),
        Route::Review {
            plural, namespace, ..
        } => {
            let namespace = namespace.unwrap_or_default();
            review::create(cluster, request, &user, (plural, &namespace))
        }
        Route::Other(parts) => other::serve(cluster, request, &parts),
    }
}

fn objects(
    cluster: &mut Cluster,
    request: &Request,
    target: Target,
    user: User,
) -> Result<Answer, Status> {
    let call = Call::new(cluster, request, target, user)?;
    match call.target.subresource.as_deref() {
        None => main(cluster, &call),
        Some(name) if call.row.has(name) => subresource(cluster, &call, name),
        Some(_) => Err(route::unknown_resource()),
    }
}

/// The verbs on objects and collections.
fn main(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let named = call.target.name.is_some();
    match (&call.request.method, named) {
        (&Method::GET, _) if call.request.query.flag("watch") => {
            Ok(Answer::Watch(Box::new(Watch::new(cluster, call)?)))
        }
        (&Method::GET, false) => {
            let page = list::page(cluster, call)?;
            let (renderer, view) = (call.renderer(cluster), call.view.clone());
            Ok(List::new(renderer, view, page.objects, &page.meta).answer())
        }
        (&Method::GET, true) => get(cluster, call),
        (&Method::POST, false) => write::create(cluster, call),
        (&Method::PUT, true) => write::update(cluster, call, Part::Main),
        (&Method::PATCH, true) => patch::serve(cluster, call, Part::Main),
        (&Method::DELETE, true) => remove::delete(cluster, call),
        (&Method::DELETE, false) => remove::delete_collection(cluster, call),
        _ => Err(not_allowed()),
    }
}

/// The verbs on subresources.
fn subresource(cluster: &mut Cluster, call: &Call<'_>, name: &str) -> Result<Answer, Status> {
    match (name, &call.request.method) {
        ("scale", &Method::GET) => scale::get(cluster, call),
        ("scale", &Method::PUT) => scale::update(cluster, call),
        ("scale", &Method::PATCH) => patch::serve_scale(cluster, call),
        ("eviction", &Method::POST) => evict::create(cluster, call),
        ("binding", &Method::POST) => bind::create(cluster, call),
        ("token", &Method::POST) => review::token(cluster, call),
        ("finalize", &Method::PUT) => bind::finalize(cluster, call),
        ("log", &Method::GET) => log::get(cluster, call),
        ("exec" | "attach" | "portforward" | "proxy", _) => Err(refuse_connection(call, name)),
        ("status" | "ephemeralcontainers" | "resize", &Method::GET) => get(cluster, call),
        ("status", &Method::PUT) => write::update(cluster, call, Part::Status),
        ("status", &Method::PATCH) => patch::serve(cluster, call, Part::Status),
        ("ephemeralcontainers" | "resize", &Method::PUT) => {
            write::update(cluster, call, Part::Main)
        }
        ("ephemeralcontainers" | "resize", &Method::PATCH) => {
            patch::serve(cluster, call, Part::Main)
        }
        _ => Err(not_allowed()),
    }
}

fn get(cluster: &Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let object = cluster.as_read(call.target.stored, &call.current(cluster)?);
    Ok(call.object(cluster, 200, &object))
}

/// Nothing runs in a simulated container that one could talk to.
fn refuse_connection(call: &Call<'_>, name: &str) -> Status {
    if call.request.upgrade || name == "proxy" {
        let kind = call.row.kind.to_lowercase();
        return Status::bad_request(format!(
            "{name} is not possible: nothing runs in this simulated {kind}"
        ));
    }
    Status::bad_request("Upgrade request required")
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing {
    //! Requests for tests.

    use super::*;

    /// A request of the administrator.
    pub(crate) fn request(method: Method, url: &str, body: &str) -> Request {
        Request {
            content_type: "application/json".to_owned(),
            user_agent: "test/1".to_owned(),
            token: Some("admin".to_owned()),
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..Request::to(method, url)
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
