//! The clusters that are measured, made the way of any request.

use jiff::Timestamp;
use nightshift_sim::api::{self, Answer, Request};
use nightshift_sim::nodes::NodeSpec;
use nightshift_sim::store::ChangeKind;
use nightshift_sim::{Cluster, resources::ids};
use serde_json::{Value, json};
use std::time::Duration;

/// The administrator's.
pub(crate) const TOKEN: &str = "admin";

/// Deployments of so many pods each.
pub(crate) const REPLICAS: usize = 10;
/// So many Deployments share a namespace.
const TOGETHER: usize = 50;

/// When each history begins.
pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A cluster of so many nodes, which are ready.
pub(crate) fn nodes(count: usize) -> Cluster {
    let mut cluster = Cluster::new(1, start());
    cluster.add_administrator(TOKEN);
    let spec = NodeSpec {
        cpu: "32".to_owned(),
        memory: "128Gi".to_owned(),
        ..NodeSpec::default()
    };
    for number in 0..count {
        cluster.add_node(&format!("node-{number}"), &spec).unwrap();
    }
    cluster.pass(Duration::from_mins(2));
    cluster
}

/// Sends one request; whatever is refused ends the bench.
pub(crate) fn send(cluster: &mut Cluster, method: &str, url: &str, body: &Value) -> Value {
    let request = Request {
        content_type: if method == "PATCH" {
            "application/strategic-merge-patch+json".to_owned()
        } else {
            "application/json".to_owned()
        },
        user_agent: "bench".to_owned(),
        token: Some(TOKEN.to_owned()),
        body: body.to_string().into(),
        ..Request::to(method.parse().unwrap(), url)
    };
    let Answer::Whole(whole) = api::handle(cluster, &request) else {
        unreachable!("nothing that goes on was asked for");
    };
    let text = String::from_utf8_lossy(&whole.body);
    assert!(whole.code < 300, "{method} {url}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Makes a namespace.
pub(crate) fn namespace(cluster: &mut Cluster, name: &str) {
    let body = json!({"metadata": {"name": name}});
    send(cluster, "POST", "/api/v1/namespaces", &body);
    // Its service account comes by itself.
    cluster.pass(Duration::from_secs(1));
}

/// Namespace and name of a Deployment by its number.
pub(crate) fn place(number: usize) -> (String, String) {
    (
        format!("team-{}", number / TOGETHER),
        format!("app-{number}"),
    )
}

/// Path of a Deployment by its number.
pub(crate) fn path(number: usize) -> String {
    let (namespace, name) = place(number);
    format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
}

/// Makes Deployments of [`REPLICAS`] pods each, as teams write them: with requests, a limit, probes
/// and a little environment. A second passes after each team's, in which its pods begin to start.
pub(crate) fn deployments(cluster: &mut Cluster, count: usize) {
    deployments_with(cluster, count, |cluster| {
        cluster.pass(Duration::from_secs(1));
    });
}

/// The same, with what happens after each team's.
pub(crate) fn deployments_with(
    cluster: &mut Cluster,
    count: usize,
    mut after: impl FnMut(&mut Cluster),
) {
    for number in (0..count).step_by(TOGETHER) {
        namespace(cluster, &place(number).0);
    }
    for number in 0..count {
        let (team, name) = place(number);
        let body = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": {"app": name}},
                "template": template(&name),
            },
        });
        let url = format!("/apis/apps/v1/namespaces/{team}/deployments");
        send(cluster, "POST", &url, &body);
        if (number + 1) % TOGETHER == 0 {
            after(cluster);
        }
    }
}

/// The pods of a team's workload.
pub(crate) fn template(name: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{
            "name": "main",
            "image": format!("shop.test/{name}:1.0"),
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "LOG_LEVEL", "value": "info"}],
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"memory": "128Mi"},
            },
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
        }]},
    })
}

/// A cluster of 100 nodes in which 10,000 pods run.
pub(crate) fn ten_thousand() -> Cluster {
    let mut cluster = nodes(100);
    deployments(&mut cluster, 1_000);
    cluster.pass(Duration::from_mins(5));
    cluster
}

/// How many pods there are.
pub(crate) fn pods(cluster: &Cluster) -> usize {
    cluster.store.list(ids::PODS, None).count()
}

/// Changes that were seen go by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Of pods.
    pub(crate) pods: u64,
    /// New Events, and Events that came again.
    pub(crate) events: u64,
    /// Of anything.
    pub(crate) all: u64,
}

impl Tally {
    /// Lets time pass, and counts what changes.
    pub(crate) fn pass(&mut self, cluster: &mut Cluster, duration: Duration) {
        let end = nightshift_sim::cluster::later(cluster.now(), duration);
        while let Some(at) = cluster.next_due().filter(|at| *at <= end) {
            let before = cluster.store.revision();
            cluster.advance(at);
            self.count(cluster, before);
        }
        cluster.advance(end);
    }

    /// Counts another's too.
    pub(crate) fn add(&mut self, other: Self) {
        self.pods += other.pods;
        self.events += other.events;
        self.all += other.all;
    }

    fn count(&mut self, cluster: &Cluster, before: u64) {
        self.all += cluster.store.revision() - before;
        // What is written at one moment is less than what the store keeps.
        for change in cluster.store.changes_since(before).unwrap() {
            match change.resource {
                ids::PODS => self.pods += 1,
                ids::EVENTS if change.kind != ChangeKind::Deleted => self.events += 1,
                _ => {}
            }
        }
    }
}
