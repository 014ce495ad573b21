//! Reviews, which are answered and not kept, and tokens of service accounts.

use super::call::Call;
use super::request::Request;
use super::route::{REVIEWS, not_allowed};
use super::{Answer, body};
use crate::auth::{self, Reviewer, User};
use crate::cluster::{Cluster, later};
use crate::status::{Cause, Details, Reason, Status};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Answers a review.
pub(super) fn create(
    cluster: &Cluster,
    request: &Request,
    user: &User,
    (plural, namespace): (&str, &str),
) -> Result<Answer, Status> {
    let known = REVIEWS.iter().find(|(_, name, ..)| *name == plural);
    let kind = known.map_or("", |(_, _, kind, _)| kind);
    if request.method != Method::POST {
        return Err(not_allowed());
    }
    let question = body::value(request, kind)?;
    let reviewer = Reviewer {
        store: &cluster.store,
        tokens: &cluster.tokens,
        user,
        now: cluster.now(),
    };
    let answer = auth::review(&reviewer, kind, namespace, &question);
    let answer = answer.ok_or_else(not_allowed)??;
    Ok(Answer::json(201, answer.to_string()))
}

/// A token lasts at least so long (`k8s.io/kubernetes/pkg/apis/authentication/validation`).
const LEAST: u64 = 600;
/// And so long where nothing is said.
const USUAL: u64 = 3600;

/// `serviceaccounts/token`.
pub(super) fn token(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let dry_run = call.request.dry_run("CreateOptions")?;
    let account = call.current(cluster)?;
    let mut sent = body::value(call.request, "TokenRequest")?;
    let seconds = sent
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64);
    let seconds = seconds.map_or(Some(USUAL), |seconds| u64::try_from(seconds).ok());
    let Some(seconds) = seconds.filter(|seconds| *seconds >= LEAST) else {
        return Err(too_short(&sent));
    };
    let expires = later(cluster.now_seconds(), Duration::from_secs(seconds));
    let token = format!("{}{}", cluster.uid(), cluster.uid()).replace('-', "");
    if !dry_run {
        let meta = &account.meta;
        let user = User::service_account(&meta.namespace, &meta.name, &meta.uid);
        cluster.tokens.add(&token, user, Some(expires));
    }
    let audiences = sent.pointer_mut("/spec/audiences").map(Value::take);
    let audiences = audiences.filter(|one| one.as_array().is_some_and(|list| !list.is_empty()));
    let answer = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": account.meta.name,
            "namespace": account.meta.namespace,
            "creationTimestamp": cluster.now_seconds(),
        },
        "spec": {
            "audiences": audiences.unwrap_or_else(|| json!(["https://kubernetes.default.svc"])),
            "expirationSeconds": seconds,
            "boundObjectRef": null,
        },
        "status": {"token": token, "expirationTimestamp": expires},
    });
    Ok(Answer::json(201, answer.to_string()))
}

fn too_short(sent: &Value) -> Status {
    let seconds = sent
        .pointer("/spec/expirationSeconds")
        .cloned()
        .unwrap_or_default();
    let message =
        format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes");
    let field = "spec.expirationSeconds";
    let whole = format!("TokenRequest.authentication.k8s.io \"\" is invalid: {field}: {message}");
    Status::new(Reason::Invalid, whole).with_details(Details {
        group: "authentication.k8s.io".to_owned(),
        kind: "TokenRequest".to_owned(),
        causes: vec![Cause {
            reason: "FieldValueInvalid".to_owned(),
            message,
            field: field.to_owned(),
        }],
        ..Details::default()
    })
}
