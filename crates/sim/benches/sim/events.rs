//! Virtual time under load: 10,000 pods come, are rolled to a new revision, and rest.

use crate::world::{self, Tally};
use crate::{machine, row, whole};
use serde_json::json;
use std::time::Duration;

const DEPLOYMENTS: usize = 1_000;

pub(crate) fn run() {
    let mut cluster = world::nodes(110);
    let mut tally = Tally::default();
    let begun = machine::cpu();
    world::deployments_with(&mut cluster, DEPLOYMENTS, |cluster| {
        tally.pass(cluster, Duration::from_secs(1));
    });
    tally.pass(&mut cluster, Duration::from_mins(10));
    let started = machine::cpu();
    rate("10,000 pods start on 110 nodes", "", tally, started - begun);
    let mut rolled = Tally::default();
    for number in 0..DEPLOYMENTS {
        let container = json!([{"name": "main", "image": "shop.test/app:2.0"}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": container}}}});
        world::send(&mut cluster, "PATCH", &world::path(number), &patch);
    }
    rolled.pass(&mut cluster, Duration::from_mins(10));
    let took = machine::cpu() - started;
    rate("all of them are rolled to a new image", "", rolled, took);
    let goal = "50,000 pod events a second";
    tally.add(rolled);
    rate("both together", goal, tally, machine::cpu() - begun);
    let start = machine::cpu();
    cluster.pass(Duration::from_hours(2));
    let took = machine::cpu() - start;
    let measured = format!("{} virtual seconds a second of CPU", whole(7200.0 / took));
    row("the 10,000 pods rest for two hours", &measured, "");
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
