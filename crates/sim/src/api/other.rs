//! Paths that name no object: health, version, discovery, OpenAPI.

use super::request::Request;
use super::route::not_allowed;
use super::{Answer, discovery, openapi};
use crate::cluster::Cluster;
use crate::status::Status;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The Kubernetes that is followed.
pub(super) const VERSION: &str = "v1.36.3";

/// A request lets at most so much time pass: a week.
const MAX_SECONDS: u64 = 7 * 24 * 3600;

/// Serves such a path.
pub(super) fn serve(
    cluster: &Cluster,
    request: &Request,
    parts: &[String],
) -> Result<Answer, Status> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if request.method == Method::POST && parts == ["sim", "advance"] {
        return advance(request);
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Err(not_allowed());
    }
    Ok(read(cluster, request, &parts))
}

/// `POST /sim/advance?seconds=N`.
fn advance(request: &Request) -> Result<Answer, Status> {
    let seconds = request.query.number("seconds")?.unwrap_or(0);
    let seconds = u64::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        Status::bad_request(format!("seconds: must be between 1 and {MAX_SECONDS}"))
    })?;
    Ok(Answer::Advance(Duration::from_secs(seconds)))
}

fn read(cluster: &Cluster, request: &Request, parts: &[&str]) -> Answer {
    let found = match parts {
        [name @ ("healthz" | "livez" | "readyz"), ..] => return health(request, name),
        ["version"] => Some(version()),
        [] => Some(json!({"paths": paths(cluster)})),
        ["openapi", rest @ ..] => openapi::serve(cluster, rest),
        rest => discovery::serve(&cluster.resources, request, rest),
    };
    match found {
        Some(value) if value.get("kind") == Some(&json!("APIGroupDiscoveryList")) => Answer::of(
            200,
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            value.to_string(),
        ),
        Some(value) => Answer::json(200, value.to_string()),
        None => Answer::text(404, "404 page not found\n"),
    }
}

/// It serves, so it is well. `?verbose` names what was looked at.
fn health(request: &Request, name: &str) -> Answer {
    if request.query.get("verbose").is_none() {
        return Answer::text(200, "ok");
    }
    Answer::text(200, format!("[+]ping ok\n{name} check passed\n"))
}

fn version() -> Value {
    let mut parts = VERSION.trim_start_matches('v').split('.');
    let major = parts.next();
    let minor = parts.next();
    json!({
        "major": major, "minor": minor,
        "emulationMajor": major, "emulationMinor": minor,
        "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "",
        "platform": "linux/amd64",
    })
}

fn paths(cluster: &Cluster) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for (group, versions) in discovery::groups(&cluster.resources) {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
        }
        for version in versions {
            paths.push(if group.is_empty() {
                format!("/api/{version}")
            } else {
                format!("/apis/{group}/{version}")
            });
        }
    }
    paths.sort();
    paths
}
