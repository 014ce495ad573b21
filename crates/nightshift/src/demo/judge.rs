//! Says whether a fault ended as it should. It is told what was broken and what is right, and reads
//! the cluster's objects and the API server's audit lines. It never asks the agent: an oracle must
//! not share the blindness of what it judges, so nothing of the agent is used in this file.

use serde_json::Value;
use std::fmt;

/// What is right at the end of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// The workload's template is again what it was before the fault, and all of it is available;
    /// one write did that.
    BackAsItWas,
    /// The container may use at least so many MiB, nothing else of the template was changed, and all
    /// of it is available; one write did that.
    MoreMemory(u64),
    /// A repair was tried, did not help and was taken back: two writes, and the template is as the
    /// fault left it.
    TakenBack,
    /// The node takes no new pods: one write, and not one pod was touched.
    Cordoned,
    /// The node was cordoned and, once it was back, takes pods again: two writes.
    Uncordoned,
    /// Nothing was written, and the object is as the fault left it.
    LeftAlone,
}

impl Right {
    /// For people.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::BackAsItWas => "repaired: the template is what it was, with one write",
            Self::MoreMemory(_) => "repaired: more memory and nothing else, with one write",
            Self::TakenBack => "tried, did not help, taken back: a person has it",
            Self::Cordoned => "contained: the node is cordoned, no pod was touched",
            Self::Uncordoned => "the agent's own cordon is taken back",
            Self::LeftAlone => "nothing was written",
        }
    }
}

/// What the judge looks at.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// The object before the fault.
    pub(super) before: Value,
    /// The object as the fault left it.
    pub(super) broken: Value,
    /// The object now.
    pub(super) now: Value,
    /// Every write of the agent since the fault, to whatever object.
    pub(super) writes: Vec<Write>,
    /// A visitor with kubectl has written to the cluster too. What the agent did about that is no part
    /// of this fault: only its writes to the object are judged.
    pub(super) is_visited: bool,
}

/// A finished mutating request without `dryRun=All`, from the audit lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    verb: String,
    resource: String,
    name: String,
    code: u64,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            resource,
            name,
            code,
        } = self;
        write!(f, "{verb} {resource}/{name} (answered {code})")
    }
}

impl Write {
    /// Whether it was to that object.
    #[cfg(test)]
    pub(super) fn is_to(&self, resource: &str, name: &str) -> bool {
        self.resource == resource && self.name == name
    }

    /// Whether it was, and was answered so.
    #[cfg(test)]
    pub(super) fn is_answered(&self, resource: &str, code: u64) -> bool {
        self.resource == resource && self.code == code
    }

    /// One that was carried out.
    #[cfg(test)]
    pub(super) fn done(verb: &str, resource: &str, name: &str) -> Self {
        Self {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            code: 200,
        }
    }
}

/// Mutating verbs that change nothing of the cluster: reviews, and the agent's own Lease.
const NO_WRITES: [&str; 5] = [
    "tokenreviews",
    "subjectaccessreviews",
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "leases",
];

/// The writes of a user among audit lines, in order.
pub(super) fn writes_of<'l>(user: &str, lines: impl Iterator<Item = &'l str>) -> Vec<Write> {
    sent_by(user, false, lines)
}

/// The same requests with `dryRun=All`, in order.
#[cfg(test)]
pub(super) fn rehearsals_of<'l>(user: &str, lines: impl Iterator<Item = &'l str>) -> Vec<Write> {
    sent_by(user, true, lines)
}

fn sent_by<'l>(user: &str, dry: bool, lines: impl Iterator<Item = &'l str>) -> Vec<Write> {
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| sent(user, dry, &event)).collect()
}

fn sent(user: &str, dry: bool, event: &Value) -> Option<Write> {
    let text = |path: &str| {
        event
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let verb = text("/verb");
    let resource = text("/objectRef/resource");
    let is_meant = text("/stage") == "ResponseComplete"
        && text("/user/username") == user
        && !["get", "list", "watch"].contains(&verb)
        && !NO_WRITES.contains(&resource)
        && text("/requestURI").contains("dryRun=All") == dry;
    let resource = match text("/objectRef/subresource") {
        "" => resource.to_owned(),
        sub => format!("{resource}/{sub}"),
    };
    is_meant.then(|| Write {
        verb: verb.to_owned(),
        resource,
        name: text("/objectRef/name").to_owned(),
        code: event
            .pointer("/responseStatus/code")
            .and_then(Value::as_u64)
            .unwrap_or(0),
    })
}

/// How often a user listed a resource in all namespaces and was answered.
#[cfg(test)]
pub(super) fn lists_of<'l>(
    user: &str,
    resource: &str,
    lines: impl Iterator<Item = &'l str>,
) -> usize {
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_whole = |event: &Value| {
        text(event, "/stage") == "ResponseComplete"
            && text(event, "/user/username") == user
            && text(event, "/verb") == "list"
            && text(event, "/objectRef/resource") == resource
            && text(event, "/objectRef/namespace").is_empty()
            && event.pointer("/responseStatus/code") == Some(&200.into())
    };
    events.filter(is_whole).count()
}

/// `Err` says what is not as it should be.
pub(super) fn judge(right: Right, scene: &Scene) -> Result<(), String> {
    let name = text(&scene.now, "/metadata/name");
    match right {
        Right::BackAsItWas => {
            same(scene, &scene.before, TEMPLATE)?;
            available(&scene.now)?;
            written(scene, &["patch"; 1], name)
        }
        Right::MoreMemory(least) => {
            only_memory(scene)?;
            let limit = memory(&scene.now)?;
            if limit < least {
                return Err(format!("the limit is {limit} MiB, and {least} are needed"));
            }
            available(&scene.now)?;
            written(scene, &["patch"; 1], name)
        }
        Right::TakenBack => {
            same(scene, &scene.broken, TEMPLATE)?;
            written(scene, &["patch"; 2], name)
        }
        Right::Cordoned => {
            cordoned(&scene.now, true)?;
            written(scene, &["patch"; 1], name)
        }
        Right::Uncordoned => {
            cordoned(&scene.now, false)?;
            written(scene, &["patch"; 2], name)
        }
        Right::LeftAlone => {
            // (A controller adds taints to a cordoned node: they are nobody's write.)
            for path in ["/spec/template", "/spec/replicas", "/spec/unschedulable"] {
                same(scene, &scene.broken, path)?;
            }
            written(scene, &[], name)
        }
    }
}

const TEMPLATE: &str = "/spec/template/spec";
const MEMORY: &str = "/spec/template/spec/containers/0/resources/limits/memory";

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn same(scene: &Scene, expected: &Value, path: &str) -> Result<(), String> {
    let (expected, found) = (expected.pointer(path), scene.now.pointer(path));
    if expected == found {
        return Ok(());
    }
    let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    Err(format!(
        "{path} is {}, and should be {}",
        show(found),
        show(expected)
    ))
}

/// The writes are exactly these, all to that object, and all were carried out. A conflict (409) on that
/// object changed nothing: somebody wrote between the read and the write, and it is read again.
fn written(scene: &Scene, verbs: &[&str], name: &str) -> Result<(), String> {
    let to_it = |write: &Write| write.name == name && !write.resource.contains('/');
    let mut done = Vec::new();
    let mut as_told = true;
    for write in &scene.writes {
        let is_no_part = scene.is_visited && write.name != name;
        if is_no_part || (to_it(write) && write.code == 409) {
            continue;
        }
        done.push(write.verb.as_str());
        as_told &= to_it(write) && (200..300).contains(&write.code);
    }
    if done == verbs && as_told {
        return Ok(());
    }
    let found: Vec<String> = scene.writes.iter().map(Write::to_string).collect();
    Err(format!(
        "the writes to {name} should be: {}; the audit log has: {}",
        listed(verbs.iter().copied()),
        listed(found.iter().map(String::as_str))
    ))
}

fn listed<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let texts: Vec<&str> = texts.collect();
    if texts.is_empty() {
        return "none".to_owned();
    }
    texts.join(", ")
}

/// A Deployment or StatefulSet runs its newest template only, and all of it is ready.
fn available(workload: &Value) -> Result<(), String> {
    let number = |path: &str| workload.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let wanted = workload
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let all = [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ]
    .iter()
    .all(|key| number(&format!("/status/{key}")) == wanted);
    let seen = number("/status/observedGeneration") == number("/metadata/generation");
    if all && seen {
        return Ok(());
    }
    let status = workload.get("status").unwrap_or(&Value::Null);
    Err(format!("not all of it is available: {status}"))
}

/// The template differs from the broken one in the first container's memory limit alone. The
/// request may have been written down where none was: it would else follow the limit.
fn only_memory(scene: &Scene) -> Result<(), String> {
    let bare = |value: &Value| {
        let mut template = value.pointer(TEMPLATE).cloned().unwrap_or_default();
        if let Some(container) = template
            .pointer_mut("/containers/0")
            .and_then(Value::as_object_mut)
        {
            container.remove("resources");
        }
        template
    };
    if bare(&scene.broken) == bare(&scene.now) {
        Ok(())
    } else {
        Err("more than the memory of the template was changed".to_owned())
    }
}

/// The memory limit of the first container in MiB.
fn memory(workload: &Value) -> Result<u64, String> {
    let limit = text(workload, MEMORY);
    let (digits, factor) = match (limit.strip_suffix("Mi"), limit.strip_suffix("Gi")) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 1024),
        _ => (limit, 0),
    };
    match digits.parse::<u64>() {
        Ok(number) if factor > 0 => Ok(number.saturating_mul(factor)),
        _ => Err(format!("the memory limit is `{limit}`")),
    }
}

fn cordoned(node: &Value, expected: bool) -> Result<(), String> {
    let found = node.pointer("/spec/unschedulable").and_then(Value::as_bool);
    let found = found.unwrap_or(false);
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "unschedulable is {found}, and should be {expected}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(image: &str, memory: &str, ready: u32) -> Value {
        json!({
            "metadata": {"name": "cart", "generation": 3},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "cart", "image": image, "resources": {"limits": {"memory": memory}}},
            ]}}},
            "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2,
                       "readyReplicas": ready, "availableReplicas": ready},
        })
    }

    fn scene(before: &Value, broken: &Value, now: &Value, writes: usize) -> Scene {
        Scene {
            before: before.clone(),
            broken: broken.clone(),
            now: now.clone(),
            writes: vec![Write::done("patch", "deployments", "cart"); writes],
            is_visited: false,
        }
    }

    #[test]
    fn a_repair_is_one_write_that_leaves_the_workload_as_it_was_and_available() {
        let (good, bad) = (deployment("a:1", "64Mi", 2), deployment("a:2", "64Mi", 0));
        let right = Right::BackAsItWas;
        assert_eq!(judge(right, &scene(&good, &bad, &good, 1)), Ok(()));
        assert!(
            judge(right, &scene(&good, &bad, &bad, 0)).is_err(),
            "nobody repaired it"
        );
        assert!(
            judge(right, &scene(&good, &bad, &good, 0)).is_err(),
            "it went away by itself"
        );
        assert!(
            judge(right, &scene(&good, &bad, &good, 2)).is_err(),
            "written twice"
        );
        let limping = deployment("a:1", "64Mi", 1);
        assert!(
            judge(right, &scene(&good, &bad, &limping, 1)).is_err(),
            "one replica is missing"
        );
    }

    #[test]
    fn a_write_to_anything_else_is_wrong() {
        let (good, bad) = (deployment("a:1", "64Mi", 2), deployment("a:2", "64Mi", 0));
        let mut other = scene(&good, &bad, &good, 0);
        other.writes = vec![Write::done("delete", "pods", "cart-x")];
        assert!(judge(Right::BackAsItWas, &other).is_err());
        let mut refused = scene(&good, &bad, &good, 1);
        refused.writes[0].code = 403;
        assert!(judge(Right::BackAsItWas, &refused).is_err());
        let mut again = scene(&good, &bad, &good, 2);
        again.writes[0].code = 409;
        assert_eq!(judge(Right::BackAsItWas, &again), Ok(()));
        again.writes[0].name = "another".to_owned();
        assert!(judge(Right::BackAsItWas, &again).is_err());
    }

    #[test]
    fn what_the_agent_does_about_a_visitor_s_change_is_left_out() {
        let (good, bad) = (deployment("a:1", "64Mi", 2), deployment("a:2", "64Mi", 0));
        let right = Right::BackAsItWas;
        let mut scene = scene(&good, &bad, &good, 1);
        let elsewhere = Write::done("patch", "deployments", "shipping");
        scene.writes.push(elsewhere);
        assert_eq!(
            judge(right, &scene).unwrap_err(),
            "the writes to cart should be: patch; the audit log has: patch deployments/cart \
             (answered 200), patch deployments/shipping (answered 200)"
        );
        scene.is_visited = true;
        assert_eq!(judge(right, &scene), Ok(()));
        scene
            .writes
            .push(Write::done("patch", "deployments", "cart"));
        assert!(judge(right, &scene).is_err(), "written twice");
    }

    #[test]
    fn more_memory_changes_nothing_else() {
        let broken = deployment("a:1", "64Mi", 0);
        let right = Right::MoreMemory(100);
        let enough = deployment("a:1", "128Mi", 2);
        assert_eq!(judge(right, &scene(&broken, &broken, &enough, 1)), Ok(()));
        let little = deployment("a:1", "96Mi", 2);
        assert!(judge(right, &scene(&broken, &broken, &little, 1)).is_err());
        let other = deployment("a:2", "128Mi", 2);
        assert!(judge(right, &scene(&broken, &broken, &other, 1)).is_err());
    }

    #[test]
    fn what_did_not_help_is_taken_back_with_a_second_write() {
        let broken = deployment("a:1", "64Mi", 0);
        let raised = deployment("a:1", "128Mi", 0);
        assert_eq!(
            judge(Right::TakenBack, &scene(&broken, &broken, &broken, 2)),
            Ok(())
        );
        assert!(judge(Right::TakenBack, &scene(&broken, &broken, &raised, 1)).is_err());
        assert!(judge(Right::TakenBack, &scene(&broken, &broken, &broken, 0)).is_err());
    }

    #[test]
    fn left_alone_means_no_write_and_no_change() {
        let (good, bad) = (deployment("a:1", "64Mi", 2), deployment("a:2", "64Mi", 0));
        assert_eq!(
            judge(Right::LeftAlone, &scene(&good, &good, &good, 0)),
            Ok(())
        );
        assert!(judge(Right::LeftAlone, &scene(&good, &good, &good, 1)).is_err());
        assert!(judge(Right::LeftAlone, &scene(&good, &good, &bad, 0)).is_err());
    }

    #[test]
    fn a_node_is_judged_by_what_it_takes() {
        let node = |cordoned: bool| {
            let spec = if cordoned {
                json!({"unschedulable": true})
            } else {
                json!({})
            };
            json!({"metadata": {"name": "cart"}, "spec": spec})
        };
        let (open, shut) = (node(false), node(true));
        assert_eq!(
            judge(Right::Cordoned, &scene(&open, &open, &shut, 1)),
            Ok(())
        );
        assert!(judge(Right::Cordoned, &scene(&open, &open, &open, 0)).is_err());
        assert_eq!(
            judge(Right::Uncordoned, &scene(&open, &open, &open, 2)),
            Ok(())
        );
        assert!(judge(Right::Uncordoned, &scene(&open, &open, &shut, 1)).is_err());
    }

    /// The same requests as on the lab, asked of the simulator by the same user.
    fn asked_of_the_simulator(recorded: &[Value]) -> Vec<Value> {
        use nightshift_sim::api::{Request, handle};
        use nightshift_sim::auth::{MASTERS, User};
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut cluster = nightshift_sim::Cluster::new(1, start);
        cluster
            .tokens
            .add("token", User::new("admin", &[MASTERS]), None);
        for line in recorded {
            let method = match text(line, "/verb") {
                "get" => http::Method::GET,
                "create" => http::Method::POST,
                "delete" => http::Method::DELETE,
                _ => http::Method::PATCH,
            };
            let content_type = if method == http::Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            let body = line.get("requestObject").map(Value::to_string);
            let request = Request {
                token: Some("token".to_owned()),
                user_agent: text(line, "/userAgent").to_owned(),
                content_type: content_type.to_owned(),
                body: body.unwrap_or_default().into(),
                ..Request::to(method, text(line, "/requestURI"))
            };
            drop(handle(&mut cluster, &request));
        }
        let lines = cluster.audit.since(0);
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn fields(line: &Value, path: &str) -> Vec<String> {
        let map = line.pointer(path).and_then(Value::as_object);
        map.into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect()
    }

    #[test]
    fn the_lines_of_the_lab_and_of_the_simulator_are_read_by_the_same_reader() {
        let lab = include_str!("../../../../docs/recorded/audit.jsonl");
        let recorded: Vec<Value> = lab
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let simulated = asked_of_the_simulator(&recorded);
        assert_eq!(simulated.len(), recorded.len());
        for (real, ours) in recorded.iter().zip(&simulated) {
            for path in ["", "/objectRef", "/annotations"] {
                assert_eq!(fields(real, path), fields(ours, path), "{real}\n{ours}");
            }
            for path in ["/level", "/verb", "/requestURI", "/objectRef"] {
                assert_eq!(real.pointer(path), ours.pointer(path), "{real}\n{ours}");
            }
        }
        let read = |lines: &[Value]| -> Vec<(String, String, String)> {
            let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
            let writes = writes_of("admin", lines.iter().map(String::as_str));
            let each = writes.into_iter();
            each.map(|one| (one.verb, one.resource, one.name)).collect()
        };
        let writes = read(&recorded);
        assert_eq!(writes, read(&simulated));
        assert_eq!(writes.len(), 7, "{writes:?}");
    }

    #[test]
    fn dry_runs_reads_reviews_and_other_users_are_no_writes() {
        let line = |user: &str, verb: &str, uri: &str, resource: &str| {
            json!({
                "stage": "ResponseComplete", "verb": verb, "requestURI": uri,
                "user": {"username": user}, "responseStatus": {"code": 200},
                "objectRef": {"resource": resource, "name": "cart"},
            })
            .to_string()
        };
        let lines = [
            line(
                "agent",
                "patch",
                "/apis/x?fieldManager=nightshift",
                "deployments",
            ),
            line("agent", "patch", "/apis/x?dryRun=All", "deployments"),
            line("agent", "get", "/apis/x", "deployments"),
            line("agent", "create", "/apis/x", "selfsubjectaccessreviews"),
            line("somebody", "patch", "/apis/x", "deployments"),
        ];
        assert_eq!(
            writes_of("agent", lines.iter().map(String::as_str)),
            [Write::done("patch", "deployments", "cart")]
        );
    }
}
