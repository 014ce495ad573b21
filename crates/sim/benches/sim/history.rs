//! The big history: two days of 50 nodes and 2,000 pods, in which 200 things break and are mended.

use crate::world::{self, REPLICAS, Tally};
use crate::{machine, row, whole};
use nightshift_sim::kubelet::Pressure;
use nightshift_sim::{Cluster, cluster::later};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const NODES: usize = 50;
const PODS: usize = 2_000;
const INCIDENTS: usize = 200;
const TWO_DAYS: Duration = Duration::from_hours(48);
/// What breaks is mended after so many minutes, at least and at most.
const LASTS: std::ops::Range<u64> = 20..60;

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Break {
    /// An image that nobody pushed.
    Image,
    /// A revision that takes more memory than it may.
    Memory,
    /// A revision that ends soon after its start.
    Crash,
    /// A revision that wants a ConfigMap that is not there.
    Config,
    /// A revision that is never ready.
    Unready,
    /// A revision that no node has room for.
    Greedy,
    /// A node that is not heard any more.
    Node,
    /// A node that is short of memory.
    Pressure,
    /// A service that its callers cannot reach.
    Cut,
}

const BREAKS: [Break; 9] = [
    Break::Image,
    Break::Memory,
    Break::Crash,
    Break::Config,
    Break::Unready,
    Break::Greedy,
    Break::Node,
    Break::Pressure,
    Break::Cut,
];

/// Something that is broken (`true`) or mended.
type Deed = (Duration, Break, usize, bool);

pub(crate) fn run() {
    let mut cluster = build();
    let pods = world::pods(&cluster);
    let mut tally = Tally::default();
    let (begin, start) = (machine::cpu(), cluster.now());
    let mut kinds: BTreeMap<Break, usize> = BTreeMap::new();
    let mut deeds = plan();
    while let Some((at, what, number, breaks)) = deeds.pop_front() {
        let wait = later(start, at).duration_since(cluster.now());
        tally.pass(&mut cluster, Duration::try_from(wait).unwrap_or_default());
        act(&mut cluster, what, number, breaks);
        *kinds.entry(what).or_default() += usize::from(breaks);
    }
    let wait = later(start, TWO_DAYS).duration_since(cluster.now());
    tally.pass(&mut cluster, Duration::try_from(wait).unwrap_or_default());
    let took = machine::cpu() - begin;
    let what = format!("two days of {NODES} nodes, {pods} pods, {INCIDENTS} incidents");
    row(&what, &format!("{took:.1} s of CPU"), "<= 60 s");
    let speed = format!("{} virtual seconds", whole(TWO_DAYS.as_secs_f64() / took));
    row("in that history, a second of CPU", &speed, "");
    let changes = format!(
        "{} changes of pods, {} Events, {} changes in all",
        tally.pods, tally.events, tally.all
    );
    row("in that history happened", &changes, "");
    row("what broke in it", &format!("{kinds:?}"), "");
}

/// The cluster before: everything runs. Four fifths of the pods are Deployments', the rest
/// StatefulSets' and a DaemonSet's; all have Services, some a budget; a job runs every ten minutes.
fn build() -> Cluster {
    let mut cluster = world::nodes(NODES);
    let deployments = PODS * 4 / 5 / REPLICAS;
    world::deployments(&mut cluster, deployments);
    for number in 0..deployments {
        let (namespace, name) = world::place(number);
        let service = json!({"metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]}});
        let url = format!("/api/v1/namespaces/{namespace}/services");
        world::send(&mut cluster, "POST", &url, &service);
        if number.is_multiple_of(4) {
            let budget = json!({"metadata": {"name": name}, "spec": {"maxUnavailable": 2,
                "selector": {"matchLabels": {"app": name}}}});
            let url = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
            world::send(&mut cluster, "POST", &url, &budget);
        }
    }
    world::namespace(&mut cluster, "data");
    let apps = "/apis/apps/v1/namespaces/data";
    for number in 0..(PODS / 5 - NODES) / REPLICAS {
        let name = format!("db-{number}");
        let body = json!({"metadata": {"name": name}, "spec": {"replicas": REPLICAS,
            "serviceName": name, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}}, "template": caller(&name, number)}});
        world::send(&mut cluster, "POST", &format!("{apps}/statefulsets"), &body);
    }
    let body = json!({"metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}}, "template": world::template("agent")}});
    world::send(&mut cluster, "POST", &format!("{apps}/daemonsets"), &body);
    let job = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [
        {"name": "main", "image": "busybox", "command": ["sh", "-c", "sleep 20"]}]}}});
    let body = json!({"metadata": {"name": "tidy"},
        "spec": {"schedule": "*/10 * * * *", "jobTemplate": {"spec": job}}});
    world::send(
        &mut cluster,
        "POST",
        "/apis/batch/v1/namespaces/data/cronjobs",
        &body,
    );
    cluster.pass(Duration::from_mins(10));
    cluster
}

/// Pods that need a Deployment's service.
fn caller(name: &str, of: usize) -> Value {
    let (namespace, service) = world::place(of);
    let need =
        json!({"service": format!("{service}.{namespace}"), "port": 80, "without": "unready"});
    let behaviour = json!({"main": {"needs": [need]}}).to_string();
    let mut template = world::template(name);
    template["metadata"]["annotations"] = json!({"sim.nightshift.dev/behaviour": behaviour});
    template
}

/// When what breaks and is mended, the same in each run.
fn plan() -> VecDeque<Deed> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut deeds: Vec<Deed> = Vec::new();
    let last = TWO_DAYS.as_secs() - LASTS.end * 60;
    for index in 0..INCIDENTS {
        let what = BREAKS[index % BREAKS.len()];
        let targets = match what {
            Break::Node | Break::Pressure => NODES,
            Break::Cut => (PODS / 5 - NODES) / REPLICAS,
            _ => PODS * 4 / 5 / REPLICAS,
        };
        let number = rng.random_range(0..targets);
        let at = Duration::from_secs(rng.random_range(0..last));
        let lasts = Duration::from_mins(rng.random_range(LASTS));
        deeds.push((at, what, number, true));
        deeds.push((at + lasts, what, number, false));
    }
    deeds.sort();
    deeds.into()
}

fn act(cluster: &mut Cluster, what: Break, number: usize, breaks: bool) {
    let node = format!("node-{number}");
    match what {
        Break::Node => cluster.set_kubelet(&node, !breaks),
        Break::Pressure => cluster.set_pressure(&node, Pressure::Memory, breaks),
        Break::Cut => {
            let (namespace, service) = world::place(number);
            cluster.set_cut(&namespace, &service, breaks);
        }
        _ => {
            let template = revision(what, number, breaks);
            let patch = json!({"spec": {"template": template}});
            world::send(cluster, "PATCH", &world::path(number), &patch);
        }
    }
}

/// The change of a Deployment's template that breaks it, or takes that back.
fn revision(what: Break, number: usize, breaks: bool) -> Value {
    let behaviour = |text: &str| {
        let text = if breaks { json!(text) } else { Value::Null };
        json!({"metadata": {"annotations": {"sim.nightshift.dev/behaviour": text}}})
    };
    let container = |mut change: Value| {
        change["name"] = json!("main");
        json!({"spec": {"containers": [change]}})
    };
    match what {
        Break::Memory => behaviour("main: {memory: {start: 32Mi, perSecond: 4Mi}}"),
        Break::Crash => behaviour("main: {exit: {after: 5, code: 1, message: boom}}"),
        Break::Unready => behaviour("main: {probes: {readiness: {message: no}}}"),
        Break::Config => {
            let from = json!([{"configMapRef": {"name": "not-there"}}]);
            container(json!({"envFrom": if breaks { from } else { Value::Null }}))
        }
        Break::Greedy => {
            let cpu = if breaks { "64" } else { "100m" };
            container(json!({"resources": {"requests": {"cpu": cpu}}}))
        }
        _ => {
            let (_, name) = world::place(number);
            // Of this registry the simulator knows what it holds.
            let image = if breaks {
                "img.test/nobody:pushed".to_owned()
            } else {
                format!("shop.test/{name}:1.0")
            };
            container(json!({ "image": image }))
        }
    }
}
