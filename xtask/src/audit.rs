//! The API server's audit log, read by the judge: who wrote what.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One finished request of the audit log.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// A mutating request without `dryRun=All`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// `patch`, `delete`, `create`, ...
    pub verb: String,
    /// `deployments`, `pods/eviction`, ...
    pub resource: String,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
}

impl Write {
    /// Whether the API server carried it out.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the object had moved, so that nothing was changed.
    pub fn is_conflict(&self) -> bool {
        self.code == 409
    }
}

/// Reads that change nothing but are sent with mutating verbs: reviews and the agent's own Lease
/// (invariant 1 names them).
const NO_WRITES: [&str; 5] = [
    "tokenreviews",
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "leases",
];

/// All writes of a user since a byte of the log, in order.
pub fn writes_of(user: &str, log: &Path, since: u64) -> Result<Vec<Write>> {
    Ok(sent_in(user, false, &tail(log, since)?))
}

/// How often a user listed a resource in all namespaces, since a byte of the log.
pub fn lists_of(user: &str, resource: &str, log: &Path, since: u64) -> Result<usize> {
    Ok(lists_in(user, resource, &tail(log, since)?))
}

/// The same requests with `dryRun=All`, in order.
pub fn rehearsals_of(user: &str, log: &Path, since: u64) -> Result<Vec<Write>> {
    Ok(sent_in(user, true, &tail(log, since)?))
}

fn tail(log: &Path, since: u64) -> Result<String> {
    let text = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let tail = text.get(usize::try_from(since)?..).unwrap_or_default();
    Ok(String::from_utf8_lossy(tail).into_owned())
}

/// How long the log is now: a mark for [`writes_of`].
pub fn mark(log: &Path) -> Result<u64> {
    Ok(std::fs::metadata(log)
        .with_context(|| format!("no audit log {}", log.display()))?
        .len())
}

/// What a user asked and was answered in full.
fn asked(user: &str, log: &str) -> impl Iterator<Item = Event> {
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok());
    events.filter(move |e| e.stage == "ResponseComplete" && e.user.username == user)
}

fn lists_in(user: &str, resource: &str, log: &str) -> usize {
    let whole = |e: &Event| {
        let object = &e.object_ref;
        e.verb == "list" && object.resource == resource && object.namespace.is_empty()
    };
    asked(user, log)
        .filter(|e| whole(e) && e.response_status.code == 200)
        .count()
}

fn sent_in(user: &str, dry: bool, log: &str) -> Vec<Write> {
    asked(user, log)
        .filter(|e| !["get", "list", "watch"].contains(&e.verb.as_str()))
        .filter(|e| !NO_WRITES.contains(&e.object_ref.resource.as_str()))
        .filter(|e| e.request_uri.contains("dryRun=All") == dry)
        .map(|e| {
            let ObjectRef {
                resource,
                subresource,
                namespace,
                name,
            } = e.object_ref;
            let resource = if subresource.is_empty() {
                resource
            } else {
                format!("{resource}/{subresource}")
            };
            Write {
                verb: e.verb,
                resource,
                namespace,
                name,
                code: e.response_status.code,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, verb: &str, uri: &str, stage: &str) -> String {
        serde_json::json!({
            "stage": stage, "verb": verb, "requestURI": uri, "user": {"username": user},
            "objectRef": {"resource": "deployments", "namespace": "demo", "name": "a"},
            "responseStatus": {"code": 200},
        })
        .to_string()
    }

    #[test]
    fn only_the_users_finished_writes_count_and_dry_runs_do_not() {
        let log = [
            line(
                "agent",
                "patch",
                "/apis/apps/v1/x?fieldManager=nightshift",
                "RequestReceived",
            ),
            line(
                "agent",
                "patch",
                "/apis/apps/v1/x?fieldManager=nightshift",
                "ResponseComplete",
            ),
            line(
                "agent",
                "patch",
                "/apis/apps/v1/x?dryRun=All",
                "ResponseComplete",
            ),
            line("agent", "get", "/apis/apps/v1/x", "ResponseComplete"),
            line("admin", "patch", "/apis/apps/v1/x", "ResponseComplete"),
        ]
        .join("\n");
        let rehearsals = sent_in("agent", true, &log);
        assert_eq!(rehearsals.len(), 1, "{rehearsals:?}");
        let writes = sent_in("agent", false, &log);
        assert_eq!(writes.len(), 1);
        assert_eq!(
            (writes[0].verb.as_str(), writes[0].resource.as_str()),
            ("patch", "deployments")
        );
        assert!(writes[0].is_done() && !writes[0].is_conflict());
    }

    #[test]
    fn a_list_of_all_namespaces_is_told_from_a_watch_and_from_that_of_one() {
        let list = |verb: &str, namespace: &str, code: u16| {
            serde_json::json!({
                "stage": "ResponseComplete", "verb": verb, "requestURI": "/api/v1/pods?limit=500",
                "user": {"username": "agent"}, "responseStatus": {"code": code},
                "objectRef": {"resource": "pods", "namespace": namespace},
            })
            .to_string()
        };
        let log = [
            list("list", "", 200),
            list("list", "", 410),
            list("list", "demo", 200),
            list("watch", "", 200),
        ]
        .join("\n");
        assert_eq!(lists_in("agent", "pods", &log), 1);
        assert_eq!(lists_in("agent", "nodes", &log), 0);
    }

    /// The simulator's lines have the same fields: `demo::judge` of the agent's crate checks that.
    #[test]
    fn recorded_lines_of_a_real_server_are_read() {
        let log = include_str!("../../docs/recorded/audit.jsonl");
        let writes = sent_in("admin", false, log);
        let read: Vec<_> = writes
            .iter()
            .map(|write| (write.verb.as_str(), write.resource.as_str(), write.code))
            .collect();
        let expected = [
            ("create", "configmaps", 201),
            ("patch", "deployments", 200),
            ("patch", "deployments", 409),
            ("patch", "deployments/scale", 200),
            ("create", "pods/eviction", 201),
            ("delete", "configmaps", 404),
            ("patch", "nodes", 200),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn reviews_are_no_writes() {
        let review = line(
            "agent",
            "create",
            "/apis/authorization.k8s.io/v1/x",
            "ResponseComplete",
        )
        .replace("deployments", "selfsubjectaccessreviews");
        assert_eq!(sent_in("agent", false, &review), []);
    }
}
