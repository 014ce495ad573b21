//! Virtual time under load: 10,000 pods come, are rolled to a new revision, and rest.

use crate::world::{self, Tally};
use crate::{machine, row, whole};
use nightshift_sim::Cluster;
use serde_json::json;
use std::time::Duration;

const DEPLOYMENTS: usize = 1_000;

pub(crate) fn run() {
    let mut cluster = world::nodes(110);
    world::deployments(&mut cluster, DEPLOYMENTS);
    let mut total = Tally::default();
    let start = machine::cpu();
    say(&mut cluster, "10,000 pods start on 110 nodes", &mut total);
    for number in 0..DEPLOYMENTS {
        let container = json!([{"name": "main", "image": "shop.test/app:2.0"}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": container}}}});
        world::send(&mut cluster, "PATCH", &world::path(number), &patch);
    }
    say(
        &mut cluster,
        "all of them are rolled to a new image",
        &mut total,
    );
    let took = machine::cpu() - start;
    rate("both together", "50,000 pod events a second", total, took);
    let start = machine::cpu();
    cluster.pass(Duration::from_hours(2));
    let took = machine::cpu() - start;
    let measured = format!("{} virtual seconds a second of CPU", whole(7200.0 / took));
    row("the 10,000 pods rest for two hours", &measured, "");
}

fn say(cluster: &mut Cluster, what: &str, total: &mut Tally) {
    let mut tally = Tally::default();
    let start = machine::cpu();
    tally.pass(cluster, Duration::from_mins(10));
    rate(what, "", tally, machine::cpu() - start);
    total.pods += tally.pods;
    total.events += tally.events;
    total.all += tally.all;
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(what: &str, goal: &str, tally: Tally, took: f64) {
    let measured = format!(
        "{} pod events ({} with their Events, {} changes in all) a second of CPU",
        whole(tally.pods as f64 / took),
        whole((tally.pods + tally.events) as f64 / took),
        whole(tally.all as f64 / took),
    );
    row(what, &measured, goal);
}
