//! What a check-up asks of the API server: does it answer, do the clocks agree, and may this account
//! do what its role says. It changes nothing in the cluster.

use crate::client::Clients;
use crate::clock::{Clock, within};
use crate::eyes::fetch::{FetchError, chain, fetch};
use crate::rbac::{Right, Rights, needed};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, header};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Questions at once.
const AT_ONCE: usize = 8;

/// What the API server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// For example `v1.34.1`.
    pub version: String,
    /// Its clock minus ours, where its `Date` header tells.
    pub skew: Option<SignedDuration>,
}

/// Asks for the server's version, and compares the clocks on the way.
pub async fn server(clients: &Clients, clock: &dyn Clock) -> Result<Server, FetchError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    let answer = fetch(&clients.read, clock, TIMEOUT, "/version").await?;
    let Version { git_version } = answer.json()?;
    Ok(Server {
        version: git_version,
        skew: answer.skew,
    })
}

/// The rights, of those that reading or writing needs, that this account does not have.
pub async fn missing(
    clients: &Clients,
    clock: &dyn Clock,
    rights: Rights,
) -> Result<Vec<Right>, FetchError> {
    let answers = stream::iter(needed(rights)).map(|right| async move {
        let allowed = is_allowed(clients, clock, &right).await?;
        Ok::<_, FetchError>((!allowed).then_some(right))
    });
    let missing: Vec<Option<Right>> = answers.buffered(AT_ONCE).try_collect().await?;
    Ok(missing.into_iter().flatten().collect())
}

/// A `SelfSubjectAccessReview` (authorization.k8s.io/v1) over all namespaces.
#[expect(
    clippy::disallowed_methods,
    reason = "an access review stores nothing: invariant 1 names it as an exception"
)]
async fn is_allowed(
    clients: &Clients,
    clock: &dyn Clock,
    right: &Right,
) -> Result<bool, FetchError> {
    let (resource, subresource) = right
        .resource
        .split_once('/')
        .unwrap_or((right.resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "verb": right.verb,
        }},
    });
    let failed = |why: String| FetchError::Transport(why);
    let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|error| failed(error.to_string()))?;
    let answer: Value = within(clock, TIMEOUT, clients.write.request(request))
        .await
        .ok_or(FetchError::NoAnswer(TIMEOUT))?
        .map_err(|error| failed(chain(&error)))?;
    Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use http::{Method, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use std::convert::Infallible;
    use tower::service_fn;

    /// An API server where everything is allowed but one verb, and nothing but reviews is posted.
    fn without(verb: &'static str) -> Clients {
        Clients::from_service(service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.method(), Method::POST);
            assert_eq!(
                request.uri().path(),
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            );
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let review: Value = serde_json::from_slice(&body).unwrap();
            let asked = &review["spec"]["resourceAttributes"];
            let allowed = asked["verb"] != verb;
            let answer = json!({"status": {"allowed": allowed}});
            Ok::<_, Infallible>(Response::new(Body::from(answer.to_string().into_bytes())))
        }))
    }

    #[tokio::test]
    async fn what_the_account_may_not_is_named() {
        let missing = missing(&without("create"), &SystemClock::default(), Rights::Write).await;
        let missing: Vec<String> = missing.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(missing, ["create pods/eviction"]);
    }

    #[tokio::test]
    async fn nothing_is_missing_where_all_is_allowed() {
        for rights in [Rights::Read, Rights::Write] {
            let missing = missing(&without("dance"), &SystemClock::default(), rights).await;
            assert_eq!(missing.unwrap(), []);
        }
    }

    #[tokio::test]
    async fn version_and_clock_come_with_one_answer() {
        let clients = Clients::from_service(service_fn(|request: Request<Body>| async move {
            assert_eq!(request.uri().path(), "/version");
            let answer = Response::builder()
                .header("Date", "Sun, 22 Nov 2020 08:00:10 GMT")
                .body(Body::from(br#"{"gitVersion": "v1.34.1"}"#.to_vec()));
            Ok::<_, Infallible>(answer.unwrap())
        }));
        let server = server(&clients, &SystemClock::default()).await.unwrap();
        assert_eq!(server.version, "v1.34.1");
        assert!(server.skew.unwrap() < SignedDuration::from_hours(-24));
    }
}
