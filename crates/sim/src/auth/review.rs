//! Reviews: questions about who somebody is and what they may do, answered and not kept.

use super::rbac::{Rule, grants};
use super::{Attributes, MASTERS, Tokens, User, authorize};
use crate::status::{Cause, Details, Reason, Status};
use crate::store::Store;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// For whom tokens are good.
const AUDIENCE: &str = "https://kubernetes.default.svc";

/// What is needed to answer.
#[derive(Clone, Copy, Debug)]
pub struct Reviewer<'a> {
    /// The roles and bindings.
    pub store: &'a Store,
    /// The tokens.
    pub tokens: &'a Tokens,
    /// Who asks.
    pub user: &'a User,
    /// The present moment.
    pub now: Timestamp,
}

/// Answers a review: the request object with its `status`. `kind` is `SubjectAccessReview`,
/// `SelfSubjectAccessReview`, `LocalSubjectAccessReview`, `SelfSubjectRulesReview`, `TokenReview` or
/// `SelfSubjectReview`; `namespace` that of the path. `None` for any other kind.
pub fn review(
    reviewer: &Reviewer<'_>,
    kind: &str,
    namespace: &str,
    request: &Value,
) -> Option<Result<Value, Status>> {
    let spec = request.get("spec").cloned().unwrap_or_else(|| json!({}));
    let group = match kind {
        "TokenReview" | "SelfSubjectReview" => "authentication.k8s.io",
        _ => "authorization.k8s.io",
    };
    let answer = match kind {
        "SelfSubjectAccessReview" => access(reviewer, kind, reviewer.user, &spec),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            subject_access(reviewer, kind, namespace, &spec)
        }
        "SelfSubjectRulesReview" => Ok(rules(reviewer, &spec)),
        "TokenReview" => Ok(token(reviewer, &spec)),
        "SelfSubjectReview" => {
            let now = Timestamp::from_second(reviewer.now.as_second()).unwrap_or(reviewer.now);
            return Some(Ok(json!({
                "kind": kind, "apiVersion": format!("{group}/v1"),
                "metadata": {"creationTimestamp": now},
                "status": {"userInfo": reviewer.user},
            })));
        }
        _ => return None,
    };
    Some(answer.map(|status| {
        let metadata = request.get("metadata").cloned();
        // The question of a rules review is not repeated.
        let spec = if kind == "SelfSubjectRulesReview" {
            json!({})
        } else {
            spec
        };
        json!({
            "kind": kind, "apiVersion": format!("{group}/v1"),
            "metadata": metadata.unwrap_or_else(|| json!({})), "spec": spec, "status": status,
        })
    }))
}

fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// 422 about a review.
fn invalid(kind: &str, field: &str, reason: &str, message: &str) -> Status {
    const GROUP: &str = "authorization.k8s.io";
    let text = format!("{kind}.{GROUP} \"\" is invalid: {field}: {message}");
    let cause = Cause {
        reason: reason.to_owned(),
        message: message.to_owned(),
        field: field.to_owned(),
    };
    Status::new(Reason::Invalid, text).with_details(Details {
        group: GROUP.to_owned(),
        kind: kind.to_owned(),
        causes: vec![cause],
        ..Details::default()
    })
}

fn subject_access(
    reviewer: &Reviewer<'_>,
    kind: &str,
    namespace: &str,
    spec: &Value,
) -> Result<Value, Status> {
    let groups = spec.get("groups").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(Value::as_str);
    let user = User {
        username: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..User::default()
    };
    if user.username.is_empty() && user.groups.is_empty() {
        return Err(invalid(
            kind,
            "spec.user",
            "FieldValueRequired",
            "Required value: at least one of user or group must be specified",
        ));
    }
    let wanted = spec
        .get("resourceAttributes")
        .map(|one| text(one, "namespace"));
    if kind == "LocalSubjectAccessReview" && wanted != Some(namespace) {
        return Err(invalid(
            kind,
            "spec.resourceAttributes.namespace",
            "FieldValueInvalid",
            &format!(
                "Invalid value: {:?}: must match metadata.namespace",
                wanted.unwrap_or_default()
            ),
        ));
    }
    access(reviewer, kind, &user, spec)
}

fn access(reviewer: &Reviewer<'_>, kind: &str, user: &User, spec: &Value) -> Result<Value, Status> {
    let part = |name: &str| spec.get(name).filter(|one| !one.is_null());
    let wish = match (part("resourceAttributes"), part("nonResourceAttributes")) {
        (Some(one), None) => Attributes {
            verb: text(one, "verb"),
            group: text(one, "group"),
            resource: text(one, "resource"),
            subresource: text(one, "subresource"),
            namespace: text(one, "namespace"),
            name: text(one, "name"),
            path: None,
        },
        (None, Some(one)) => Attributes {
            verb: text(one, "verb"),
            path: Some(text(one, "path")),
            ..Attributes::default()
        },
        (Some(_), Some(_)) => {
            return Err(invalid(
                kind,
                "spec.nonResourceAttributes",
                "FieldValueInvalid",
                "Invalid value: cannot be specified in combination with resourceAttributes",
            ));
        }
        (None, None) => {
            return Err(invalid(
                kind,
                "spec.resourceAttributes",
                "FieldValueInvalid",
                "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
    };
    let decision = authorize(reviewer.store, user, &wish);
    let mut status = Map::new();
    status.insert("allowed".to_owned(), json!(decision.allowed));
    if !decision.reason.is_empty() {
        status.insert("reason".to_owned(), json!(decision.reason));
    }
    Ok(Value::Object(status))
}

fn rules(reviewer: &Reviewer<'_>, spec: &Value) -> Value {
    let (mut resources, mut paths): (Vec<Rule>, Vec<Rule>) = (Vec::new(), Vec::new());
    if reviewer.user.is_in(MASTERS) {
        let all = || vec!["*".to_owned()];
        resources.push(Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        });
        paths.push(Rule {
            verbs: all(),
            urls: all(),
            ..Rule::default()
        });
    }
    let (grants, _) = grants(reviewer.store, reviewer.user, text(spec, "namespace"));
    for rule in grants.into_iter().flat_map(|grant| grant.rules) {
        let list = if rule.urls.is_empty() {
            &mut resources
        } else {
            &mut paths
        };
        if !list.contains(&rule) {
            list.push(rule);
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

fn token(reviewer: &Reviewer<'_>, spec: &Value) -> Value {
    match reviewer
        .tokens
        .user(reviewer.store, text(spec, "token"), reviewer.now)
    {
        Some(user) => json!({"authenticated": true, "user": user, "audiences": [AUDIENCE]}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::{cluster, start};

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test hands in what it has just written"
    )]
    fn ask(kind: &str, user: &User, spec: Value) -> Result<Value, Status> {
        let cluster = cluster(Vec::new());
        let mut tokens = Tokens::default();
        tokens.add("good", User::new("jane", &["devs"]), None);
        let reviewer = Reviewer {
            store: &cluster.store,
            tokens: &tokens,
            user,
            now: start(),
        };
        review(&reviewer, kind, "n", &json!({"spec": spec})).unwrap()
    }

    #[test]
    fn tokens_are_told() {
        let anybody = User::anonymous();
        let good = ask("TokenReview", &anybody, json!({"token": "good"})).unwrap();
        assert_eq!(
            good["status"],
            json!({"authenticated": true, "audiences": [AUDIENCE],
            "user": {"username": "jane", "groups": ["devs", "system:authenticated"]}})
        );
        let bad = ask("TokenReview", &anybody, json!({"token": "wrong"})).unwrap();
        assert_eq!(
            bad["status"],
            json!({"user": {}, "error": "invalid bearer token"})
        );
    }

    #[test]
    fn rights_are_told() {
        let pods = json!({"verb": "list", "resource": "pods", "namespace": "n"});
        let admin = User::new("admin", &[MASTERS]);
        let own = json!({"resourceAttributes": pods});
        let yes = ask("SelfSubjectAccessReview", &admin, own.clone()).unwrap();
        assert_eq!(
            (&yes["status"], &yes["spec"]),
            (&json!({"allowed": true}), &own)
        );
        let jane = json!({"user": "jane", "resourceAttributes": pods});
        let no = ask("SubjectAccessReview", &admin, jane.clone()).unwrap();
        assert_eq!(no["status"], json!({"allowed": false}));
        assert_eq!(
            ask("LocalSubjectAccessReview", &admin, jane).unwrap()["status"],
            json!({"allowed": false})
        );
        assert!(
            ask(
                "SubjectAccessReview",
                &admin,
                json!({"resourceAttributes": pods})
            )
            .is_err()
        );
        assert!(ask("SelfSubjectAccessReview", &admin, json!({})).is_err());
    }

    #[test]
    fn rules_are_listed() {
        let jane = User::new("jane", &[]);
        let listed = ask("SelfSubjectRulesReview", &jane, json!({"namespace": "n"})).unwrap();
        let status = &listed["status"];
        assert_eq!(
            status["resourceRules"][0]["resources"],
            json!(["selfsubjectaccessreviews", "selfsubjectrulesreviews"])
        );
        assert_eq!(status["incomplete"], json!(false));
    }
}
