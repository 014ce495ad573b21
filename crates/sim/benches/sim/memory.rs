//! Memory at 10,000 pods: what the process has more of in RAM than before it had them.

use crate::{machine, row, whole, world};
use nightshift_sim::resources::ids;
use nightshift_sim::{Cluster, Object};
use std::time::Duration;

/// Events are kept for an hour, and what their recorders remember of them for two: a part of what a
/// pod costs that has just come, and over by then.
const LATER: Duration = Duration::from_hours(3);

/// Longer than mimalloc keeps what is free (`mi_option_purge_delay`: a second).
const GIVES_BACK: Duration = Duration::from_secs(2);

/// Pods that are only kept, as those of a picture that was loaded: the text of pods that ran.
pub(crate) fn store() {
    let mut cluster = world::nodes(1);
    world::deployments(&mut cluster, 1);
    cluster.pass(Duration::from_mins(5));
    let pods = cluster.store.list(ids::PODS, None);
    let texts: Vec<String> = pods.map(|pod| pod.to_json()).collect();
    drop(cluster);
    let mut picture = Cluster::empty(1, world::start());
    let before = machine::memory();
    for number in 0..1_000 {
        for text in &texts {
            // Other names and owners for each ten.
            let text = text.replace("app-0", &format!("app-{number}"));
            let text = text.replace("\"uid\":\"", &format!("\"uid\":\"{number}-"));
            picture
                .store
                .put(ids::PODS, Object::parse(text.as_bytes()).unwrap());
        }
    }
    let what = "memory a pod, 10,000 kept as they are (a loaded picture)";
    say(what, "<= 10 kB", machine::memory() - before);
}

/// Pods that run: what their kubelets, controllers and scheduler know of them too.
pub(crate) fn run() {
    let mut cluster = world::nodes(100);
    let before = machine::memory();
    world::deployments(&mut cluster, 1_000);
    cluster.pass(Duration::from_mins(5));
    let what = "memory a pod, 10,000 just started, all that came with them";
    say(what, "", machine::memory() - before);
    cluster.pass(LATER);
    // Three hours have passed in seconds: the allocator gives back only after a while, and when it
    // is asked for something.
    std::thread::sleep(GIVES_BACK);
    cluster.pass(Duration::from_mins(10));
    let what = "memory a pod, 10,000 running for three hours";
    say(what, "<= 10 kB", machine::memory() - before);
    let text: usize = cluster
        .store
        .list(ids::PODS, None)
        .map(|pod| pod.to_json().len())
        .sum();
    let text = f64::from(u32::try_from(text).unwrap());
    say("for comparison: a pod's JSON text", "", text);
}

fn say(what: &str, goal: &str, bytes: f64) {
    let each = bytes / 10_000.0 / 1000.0;
    let measured = format!("{each:.1} kB ({} MB)", whole(bytes / 1e6));
    row(what, &measured, goal);
}
