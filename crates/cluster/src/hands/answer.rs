//! What an answer of the API server means, the same for writes and rehearsals.

use super::wire::Answer;
use nightshift_core::redact;
use serde_json::Value;

/// Longest reason that is kept, in characters: it goes to records and notices.
const MAX_REASON: usize = 500;

/// The meaning of an answer to a mutating request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// Taken; the object as it is (or, for a rehearsal, would be).
    Taken(Value),
    /// The object is not the one that was read: 409, a failed `test`, or 404. Read it again.
    Conflict(String),
    /// A disruption budget is against the eviction, for now.
    Blocked(String),
    /// Refused by our rights.
    NoRight(String),
    /// Refused for who we are or by a rule of admission.
    Forbidden(String),
    /// A webhook cannot rehearse.
    NoDryRun(String),
    /// Refused for what is in it.
    Refused(String),
    /// Certainly not done, and nobody is against it: overload, or it never left.
    NotDone(String),
    /// Nobody knows.
    Unknown(String),
}

/// What the eviction subresource says of a pod with two budgets, as 201 or as 500.
const TWO_BUDGETS: &str = "more than one PodDisruptionBudget";

/// Reads an answer. `evicting`: 429, 201 with a failure in its body, and one certain 500 speak of
/// budgets.
pub(super) fn meaning(answer: Answer, evicting: bool) -> Meaning {
    let (code, body) = match answer {
        Answer::Said { code, body } => (code, body),
        Answer::NotSent { why } => return Meaning::NotDone(why),
        Answer::Lost { why } => return Meaning::Unknown(why),
    };
    let why = reason(code, &body);
    match code {
        200..=299 if is_failure(&body) && evicting => Meaning::Blocked(why),
        200..=299 if is_failure(&body) => Meaning::Refused(why),
        200..=299 if body.is_object() => Meaning::Taken(body),
        400 if why.contains("does not support dry run") => Meaning::NoDryRun(why),
        403 if why.contains("User \"") && why.contains("\" cannot ") => Meaning::NoRight(why),
        401 | 403 => Meaning::Forbidden(why),
        404 | 409 => Meaning::Conflict(why),
        422 if !has_causes(&body) => Meaning::Conflict(why),
        429 if evicting => Meaning::Blocked(why),
        500 if evicting && why.contains(TWO_BUDGETS) => Meaning::Blocked(why),
        429 => Meaning::NotDone(why),
        400..=499 => Meaning::Refused(why),
        _ => Meaning::Unknown(why),
    }
}

/// An answer of the 200s may still be a `Status` that says `Failure`: for an eviction it does.
fn is_failure(body: &Value) -> bool {
    body["kind"] == "Status" && body["status"] == "Failure"
}

/// A validation error names its causes; a failed `test` of a JSON Patch has none.
fn has_causes(body: &Value) -> bool {
    body.pointer("/details/causes")
        .and_then(Value::as_array)
        .is_some_and(|causes| !causes.is_empty())
}

/// The server's own words with the code, redacted and cut to a bearable length.
pub(super) fn reason(code: u16, body: &Value) -> String {
    let message = body["message"].as_str().unwrap_or("no reason given");
    let text: String = redact::text(message).chars().take(MAX_REASON).collect();
    format!("{code}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(code: u16, message: &str) -> Answer {
        Answer::Said {
            code,
            body: json!({"kind": "Status", "status": "Failure", "message": message, "code": code}),
        }
    }

    fn name(meaning: &Meaning) -> &'static str {
        match meaning {
            Meaning::Taken(_) => "taken",
            Meaning::Conflict(_) => "conflict",
            Meaning::Blocked(_) => "blocked",
            Meaning::NoRight(_) => "no right",
            Meaning::Forbidden(_) => "forbidden",
            Meaning::NoDryRun(_) => "no dry run",
            Meaning::Refused(_) => "refused",
            Meaning::NotDone(_) => "not done",
            Meaning::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn every_code_has_one_meaning() {
        let rbac = r#"deployments.apps "shop" is forbidden: User "system:serviceaccount:nightshift:nightshift" cannot patch resource "deployments" in API group "apps" in the namespace "demo""#;
        let table = [
            (400, "bad request", "refused"),
            (
                400,
                "admission webhook \"w\" does not support dry run",
                "no dry run",
            ),
            (401, "Unauthorized", "forbidden"),
            (403, rbac, "no right"),
            (
                403,
                "admission webhook \"w\" denied the request: no",
                "forbidden",
            ),
            (
                403,
                "pods \"x\" is forbidden: exceeded quota: q",
                "forbidden",
            ),
            (404, "deployments.apps \"shop\" not found", "conflict"),
            (409, "the object has been modified", "conflict"),
            (413, "too large", "refused"),
            (
                422,
                "the server rejected our request due to an error in our request",
                "conflict",
            ),
            (429, "too many requests", "not done"),
            (500, "failed calling webhook", "unknown"),
            (504, "timed out", "unknown"),
            (302, "elsewhere", "unknown"),
        ];
        for (code, message, wanted) in table {
            assert_eq!(
                name(&meaning(status(code, message), false)),
                wanted,
                "{code} {message}"
            );
        }
    }

    #[test]
    fn a_validation_error_is_a_refusal_and_a_failed_test_is_not() {
        let body = json!({
            "kind": "Status", "status": "Failure", "message": "Deployment is invalid",
            "details": {"causes": [{"reason": "FieldValueInvalid", "field": "spec"}]},
        });
        let invalid = Answer::Said { code: 422, body };
        assert_eq!(name(&meaning(invalid, false)), "refused");
        assert_eq!(
            name(&meaning(status(422, "testing value failed"), false)),
            "conflict"
        );
    }

    #[test]
    fn budgets_block_an_eviction_with_429_with_201_and_with_500() {
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        for code in [201, 429, 500] {
            let said = meaning(status(code, two), true);
            assert_eq!(said, Meaning::Blocked(format!("{code}: {two}")));
        }
        assert_eq!(name(&meaning(status(201, "no"), false)), "refused");
        assert_eq!(name(&meaning(status(500, two), false)), "unknown");
        assert_eq!(name(&meaning(status(500, "etcd"), true)), "unknown");
    }

    #[test]
    fn an_answer_that_is_no_object_is_no_answer() {
        let body = Value::Null;
        assert_eq!(
            name(&meaning(Answer::Said { code: 200, body }, false)),
            "unknown"
        );
        let lost = Answer::Lost {
            why: "connection closed".into(),
        };
        assert_eq!(
            meaning(lost, false),
            Meaning::Unknown("connection closed".into())
        );
        let unsent = Answer::NotSent {
            why: "connection refused".into(),
        };
        assert_eq!(
            meaning(unsent, false),
            Meaning::NotDone("connection refused".into())
        );
    }

    #[test]
    fn a_long_reason_is_cut() {
        let said = meaning(status(400, &"x".repeat(10_000)), false);
        assert_eq!(
            said,
            Meaning::Refused(format!("400: {}", "x".repeat(MAX_REASON)))
        );
    }
}
