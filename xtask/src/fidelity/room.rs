//! A room: a check's own namespace, and short words for what is done in it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client, Stream};
use crate::lab::until;

/// The longest that anything is waited for. A busy machine stretches every time: how fast a cluster
/// is, is read from the timestamps that it writes, never from how long somebody waited for it.
pub const PATIENCE: Duration = Duration::from_mins(4);
/// JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// JSON Merge Patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// Strategic merge patch.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Server-side apply. JSON is YAML.
pub const APPLY: &str = "application/apply-patch+yaml";

/// Where resources live that are not in the core group.
const GROUPS: [(&str, &[&str]); 9] = [
    (
        "apps/v1",
        &["deployments", "replicasets", "statefulsets", "daemonsets"],
    ),
    ("batch/v1", &["jobs", "cronjobs"]),
    ("policy/v1", &["poddisruptionbudgets"]),
    ("discovery.k8s.io/v1", &["endpointslices"]),
    ("events.k8s.io/v1", &["newevents"]),
    ("coordination.k8s.io/v1", &["leases"]),
    ("rbac.authorization.k8s.io/v1", &["roles", "rolebindings"]),
    ("networking.k8s.io/v1", &["networkpolicies", "ingresses"]),
    ("fidelity.example.com/v1", &["widgets"]),
];

/// The cluster that is tried.
#[derive(Clone)]
pub struct Target {
    /// Who may do everything.
    pub admin: Client,
    /// The same for other programs.
    pub kubeconfig: PathBuf,
    /// Command line of kubectl, without arguments.
    pub kubectl: Vec<String>,
    /// Keeps the names of two runs apart.
    pub tag: String,
}

/// A check's own namespace.
pub struct Room {
    /// The cluster.
    pub target: Target,
    /// The namespace.
    pub namespace: String,
}

impl Room {
    /// Makes a namespace and waits for what each new one gets.
    pub fn new(target: &Target, name: &str) -> Result<Self> {
        let words: String = name
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        let short: String = words.chars().take(40).collect();
        let namespace = format!("f{}-{}", target.tag, short.trim_matches('-'));
        let room = Self {
            target: target.clone(),
            namespace,
        };
        room.post(
            "/api/v1/namespaces",
            &json!({ "metadata": { "name": room.namespace } }),
        )?
        .is(201)?;
        room.wait("what each namespace gets", |room| {
            let both = ["serviceaccounts/default", "configmaps/kube-root-ca.crt"];
            let codes = both.map(|path| room.read(path).map(|answer| answer.code));
            Ok(codes.into_iter().collect::<Result<Vec<_>>>()? == [200, 200])
        })?;
        Ok(room)
    }

    /// Removes the namespace; the rest is the cluster's work.
    pub fn close(&self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        self.call(Method::DELETE, &path).map(drop)
    }

    /// The whole path of `pods/x?query`; one that begins with `/` stays as it is.
    pub fn path(&self, short: &str) -> String {
        if short.starts_with('/') {
            return short.to_owned();
        }
        let resource = short.split(['/', '?']).next().unwrap_or_default();
        let group = GROUPS
            .iter()
            .find(|(_, resources)| resources.contains(&resource));
        let (prefix, short) =
            group.map_or(("/api/v1".to_owned(), short.to_owned()), |(group, _)| {
                (
                    format!("/apis/{group}"),
                    short.replacen("newevents", "events", 1),
                )
            });
        format!("{prefix}/namespaces/{}/{short}", self.namespace)
    }

    /// A request of the admin without a body.
    pub fn call(&self, method: Method, path: &str) -> Result<Answer> {
        self.target.admin.request(method, &self.path(path)).send()
    }

    /// A request of the admin with a body of JSON.
    pub fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        self.target
            .admin
            .request(method, &self.path(path))
            .json(body)
            .send()
    }

    /// GET, whatever the answer.
    pub fn read(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path)
    }

    /// GET of something that is there.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.read(path)?
            .is(200)
            .with_context(|| format!("GET {path}"))
    }

    /// GET in another form.
    pub fn get_as(&self, path: &str, media_type: &str) -> Result<Value> {
        let request = self.target.admin.request(Method::GET, &self.path(path));
        request.accept(media_type).send()?.is(200)
    }

    /// POST, whatever the answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, body)
    }

    /// POST that makes something.
    pub fn create(&self, path: &str, body: &Value) -> Result<Value> {
        self.post(path, body)?
            .is(201)
            .with_context(|| format!("POST {path}"))
    }

    /// PUT, whatever the answer.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::PUT, path, body)
    }

    /// PATCH of a type, whatever the answer.
    pub fn patch(&self, media_type: &str, path: &str, body: &Value) -> Result<Answer> {
        let request = self.target.admin.request(Method::PATCH, &self.path(path));
        request.body(media_type, body.to_string()).send()
    }

    /// A merge patch that must succeed.
    pub fn merge(&self, path: &str, body: &Value) -> Result<Value> {
        self.patch(MERGE_PATCH, path, body)?
            .is(200)
            .with_context(|| format!("PATCH {path}"))
    }

    /// A strategic merge patch that must succeed.
    pub fn strategic(&self, path: &str, body: &Value) -> Result<Value> {
        self.patch(STRATEGIC, path, body)?
            .is(200)
            .with_context(|| format!("PATCH {path}"))
    }

    /// Server-side apply by a manager, whatever the answer.
    pub fn apply(&self, path: &str, manager: &str, body: &Value) -> Result<Answer> {
        self.patch(APPLY, &format!("{path}?fieldManager={manager}"), body)
    }

    /// DELETE, whatever the answer.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.call(Method::DELETE, path)
    }

    /// DELETE with options, whatever the answer.
    pub fn delete_with(&self, path: &str, options: &Value) -> Result<Answer> {
        self.send(Method::DELETE, path, options)
    }

    /// A watch: `configmaps?resourceVersion=5`.
    pub fn watch(&self, path: &str) -> Result<Stream> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{}{joint}watch=true", self.path(path));
        self.target.admin.request(Method::GET, &path).stream()
    }

    /// The names in a list, in its order.
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        let list = self.get(path)?;
        let items = list["items"].as_array().context("no items")?;
        Ok(items
            .iter()
            .map(|item| text(&item["metadata"]["name"]))
            .collect())
    }

    /// Waits until `look` says yes.
    pub fn wait(&self, what: &str, look: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        until(what, PATIENCE, || {
            Ok(if look(self)? {
                Ok(())
            } else {
                Err("not yet".to_owned())
            })
        })
    }

    /// Waits until an object looks as wanted; returns it. The error shows its status.
    pub fn see(&self, path: &str, what: &str, look: impl Fn(&Value) -> bool) -> Result<Value> {
        until(&format!("{path}: {what}"), PATIENCE, || {
            let answer = self.read(path)?;
            let fits = answer.code == 200 && look(&answer.body);
            Ok(if fits {
                Ok(answer.body)
            } else {
                Err(shown(&answer.body))
            })
        })
    }

    /// Waits until an object is gone.
    pub fn gone(&self, path: &str) -> Result<()> {
        self.wait(&format!("{path} to be gone"), |room| {
            Ok(room.read(path)?.code == 404)
        })
    }

    /// Events about an object, oldest first: those of core/v1.
    pub fn events(&self, kind: &str, name: &str) -> Result<Vec<Value>> {
        let selector = format!("involvedObject.kind%3D{kind},involvedObject.name%3D{name}");
        let mut list = self.get(&format!("events?fieldSelector={selector}"))?;
        let mut events = std::mem::take(list["items"].as_array_mut().context("no items")?);
        let age = |event: &Value| {
            text(&event["metadata"]["resourceVersion"])
                .parse::<u64>()
                .unwrap_or(0)
        };
        events.sort_by_key(age);
        Ok(events)
    }

    /// Waits for an event with this reason about an object; returns the first.
    pub fn event(&self, kind: &str, name: &str, reason: &str) -> Result<Value> {
        self.find_event(kind, name, reason, |_| true)
    }

    /// Waits for an event with this reason and message about an object: for a kubelet that may have
    /// said something else before, as when it had not yet read what it was asked for.
    pub fn said(&self, kind: &str, name: &str, reason: &str, message: &str) -> Result<Value> {
        self.find_event(kind, name, reason, |event| event["message"] == message)
    }

    fn find_event(
        &self,
        kind: &str,
        name: &str,
        reason: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let what = format!("event {reason} of {kind} {name}");
        until(&what, PATIENCE, || {
            let events = self.events(kind, name)?;
            let said = |event: &Value| format!("{}: {}", event["reason"], event["message"]);
            let all: Vec<_> = events.iter().map(said).collect();
            let mut events = events.into_iter();
            let found = events.find(|event| event["reason"] == reason && fits(event));
            Ok(found.ok_or_else(|| all.join("; ")))
        })
    }
}

/// A string, or nothing.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The status of an object, or all of it, in one line.
fn shown(object: &Value) -> String {
    let part = object
        .get("status")
        .filter(|status| status.is_object())
        .unwrap_or(object);
    part.to_string().chars().take(1500).collect()
}

/// The condition of a type in a status; null if there is none.
pub fn condition<'o>(object: &'o Value, kind: &str) -> &'o Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.unwrap_or(&Value::Null)
}

/// Fails unless a text begins and ends like this.
pub fn shaped(found: &Value, begin: &str, end: &str) -> Result<()> {
    let said = found.as_str().unwrap_or_default();
    ensure!(
        said.starts_with(begin) && said.ends_with(end),
        "not {begin}...{end}: {said}"
    );
    Ok(())
}

/// Fails unless two values are the same, and says which are not.
macro_rules! same {
    ($found:expr, $wanted:expr) => {
        // A match keeps what both sides borrow from alive.
        match (&$found, &$wanted) {
            (found, wanted) => anyhow::ensure!(
                *found == *wanted,
                "{} is {found:?}, not {wanted:?}",
                stringify!($found)
            ),
        }
    };
}
pub(crate) use same;
