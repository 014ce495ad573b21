//! The audit log: one `audit.k8s.io/v1` Event a line, as a real API server writes them with the lab's
//! policy (`lab/config/audit-policy.yaml`), so that one checker reads both.

use crate::auth::{Attributes, Decision, User};
use crate::status::Status;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How much of a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Level {
    /// Who, what, when, and how it ended.
    Metadata,
    /// The body of the request too.
    Request,
}

/// When in a request's life a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// A watch has begun.
    ResponseStarted,
    /// The answer is known.
    ResponseComplete,
}

/// How much the policy wants of a request: bodies of writes, but no secret and nothing that is
/// written all the time.
pub fn level(wish: &Attributes<'_>) -> Level {
    let quiet = match (wish.group, wish.resource, wish.subresource) {
        ("", "secrets" | "events", _)
        | ("", "serviceaccounts", "token")
        | ("authentication.k8s.io", "tokenreviews", _)
        | ("coordination.k8s.io", "leases", _)
        | ("events.k8s.io", "events", _) => true,
        _ => wish.path.is_some(),
    };
    let write = matches!(
        wish.verb,
        "create" | "update" | "patch" | "delete" | "deletecollection"
    );
    if write && !quiet {
        Level::Request
    } else {
        Level::Metadata
    }
}

/// One request, as it is written.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Id of the request; the same in the header `Audit-Id`.
    pub id: &'a str,
    /// When in its life.
    pub stage: Stage,
    /// Path and query.
    pub uri: &'a str,
    /// Who asked.
    pub user: &'a User,
    /// As whom, if as somebody else.
    pub impersonated: Option<&'a User>,
    /// From where.
    pub source: &'a str,
    /// `User-Agent`.
    pub user_agent: &'a str,
    /// What was asked for.
    pub wish: Attributes<'a>,
    /// API version of the resource, without its group.
    pub version: &'a str,
    /// uid and resourceVersion in the request's body; empty for none.
    pub precondition: (&'a str, &'a str),
    /// HTTP status of the answer.
    pub code: u16,
    /// The refusal, if it was one.
    pub refusal: Option<&'a Status>,
    /// Body of the request. Written only where the policy wants it.
    pub body: Option<&'a Value>,
    /// When it came.
    pub received: Timestamp,
    /// When this line is written.
    pub now: Timestamp,
    /// What the authorizer said; `None` when it was not asked.
    pub decision: Option<&'a Decision>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: Level,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<&'a User>,
    #[serde(rename = "sourceIPs")]
    source_ips: [&'a str; 1],
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef<'a>>,
    response_status: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<&'a Value>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
}

/// `metav1.MicroTime`.
fn micro(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// The line of a request, without its end.
pub fn line(entry: &Entry<'_>) -> String {
    let level = level(&entry.wish);
    let object_ref = entry.wish.path.is_none().then_some(ObjectRef {
        resource: entry.wish.resource,
        namespace: entry.wish.namespace,
        name: entry.wish.name,
        uid: entry.precondition.0,
        api_group: entry.wish.group,
        api_version: entry.version,
        resource_version: entry.precondition.1,
        subresource: entry.wish.subresource,
    });
    let mut response = json!({"metadata": {}, "code": entry.code});
    if let (Some(refusal), Some(fields)) = (entry.refusal, response.as_object_mut()) {
        fields.insert("status".to_owned(), json!("Failure"));
        fields.insert("message".to_owned(), json!(refusal.message));
        fields.insert("reason".to_owned(), json!(refusal.reason));
        if let Some(details) = &refusal.details {
            fields.insert("details".to_owned(), json!(details));
        }
    }
    let mut annotations = BTreeMap::new();
    if let Some(decision) = entry.decision {
        let word = if decision.allowed { "allow" } else { "forbid" };
        annotations.insert("authorization.k8s.io/decision", word);
        annotations.insert("authorization.k8s.io/reason", decision.reason.as_str());
    }
    let line = Line {
        kind: "Event",
        api_version: "audit.k8s.io/v1",
        level,
        audit_id: entry.id,
        stage: entry.stage,
        request_uri: entry.uri,
        verb: entry.wish.verb,
        user: entry.user,
        impersonated_user: entry.impersonated,
        source_ips: [entry.source],
        user_agent: entry.user_agent,
        object_ref,
        response_status: response,
        request_object: entry.body.filter(|_| level == Level::Request),
        request_received_timestamp: micro(entry.received),
        stage_timestamp: micro(entry.now),
        annotations,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(verb: &str, resource: &str) -> Value {
        let user = User::new("agent", &["ops"]);
        let decision = Decision {
            allowed: true,
            reason: "RBAC: allowed by X".to_owned(),
        };
        let body = json!({"spec": {"replicas": 2}});
        let received: Timestamp = "2026-01-01T00:00:00.25Z".parse().unwrap();
        let text = line(&Entry {
            id: "1",
            stage: Stage::ResponseComplete,
            uri: "/apis/apps/v1/namespaces/demo/deployments/web?dryRun=All",
            user: &user,
            impersonated: None,
            source: "127.0.0.1",
            user_agent: "kubectl/v1.36",
            wish: Attributes {
                verb,
                group: "apps",
                resource,
                namespace: "demo",
                name: "web",
                ..Attributes::default()
            },
            version: "v1",
            precondition: ("u", ""),
            code: 200,
            refusal: None,
            body: Some(&body),
            received,
            now: received,
            decision: Some(&decision),
        });
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_write_has_the_fields_that_a_real_server_writes() {
        assert_eq!(
            written("patch", "deployments"),
            json!({
                "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request", "auditID": "1",
                "stage": "ResponseComplete", "verb": "patch",
                "requestURI": "/apis/apps/v1/namespaces/demo/deployments/web?dryRun=All",
                "user": {"username": "agent", "groups": ["ops", "system:authenticated"]},
                "sourceIPs": ["127.0.0.1"], "userAgent": "kubectl/v1.36",
                "objectRef": {"resource": "deployments", "namespace": "demo", "name": "web", "uid": "u",
                    "apiGroup": "apps", "apiVersion": "v1"},
                "responseStatus": {"metadata": {}, "code": 200},
                "requestObject": {"spec": {"replicas": 2}},
                "requestReceivedTimestamp": "2026-01-01T00:00:00.250000Z",
                "stageTimestamp": "2026-01-01T00:00:00.250000Z",
                "annotations": {"authorization.k8s.io/decision": "allow",
                    "authorization.k8s.io/reason": "RBAC: allowed by X"},
            })
        );
    }

    #[test]
    fn reads_and_secrets_leave_no_body() {
        assert_eq!(written("get", "deployments").get("requestObject"), None);
        let secret = Attributes {
            verb: "create",
            resource: "secrets",
            ..Attributes::default()
        };
        assert_eq!(level(&secret), Level::Metadata);
    }
}
