//! Objects in: pods that are created, in process and over HTTP. Nothing else happens meanwhile.

use crate::client::{self, Kept};
use crate::{machine, row, whole, world};
use nightshift_sim::Cluster;
use serde_json::{Value, json};
use std::time::Instant;

/// So many are created.
const COUNT: u32 = 5_000;
/// Clients that create at the same time.
const CLIENTS: u32 = 4;
const PODS: &str = "/api/v1/namespaces/team-0/pods";

pub(crate) fn run() {
    let mut cluster = empty();
    let bodies: Vec<Value> = (0..COUNT).map(body).collect();
    let before = machine::cpu();
    for body in &bodies {
        world::send(&mut cluster, "POST", PODS, body);
    }
    let took = machine::cpu() - before;
    let measured = format!("{} a second of CPU", whole(f64::from(COUNT) / took));
    row("pods created in process", &measured, "");
    for clients in [1, CLIENTS] {
        let what = format!("pods created over HTTP, {clients} kept connection(s)");
        let measured = format!("{} a second", whole(over_http(clients)));
        row(&what, &measured, "");
    }
}

fn empty() -> Cluster {
    let mut cluster = world::nodes(1);
    world::namespace(&mut cluster, "team-0");
    cluster
}

fn body(number: u32) -> Value {
    let mut pod = world::template("app");
    pod["metadata"]["name"] = json!(format!("pod-{number}"));
    pod
}

/// Pods a second.
fn over_http(clients: u32) -> f64 {
    let (_server, address) = client::serve(empty());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || {
                let mut connection = Kept::new(address);
                for number in (client..COUNT).step_by(clients as usize) {
                    assert_eq!(connection.post(PODS, &body(number).to_string()), 201);
                }
            });
        }
    });
    f64::from(COUNT) / start.elapsed().as_secs_f64()
}
