//! Objects out: a list of 10,000 running pods over HTTP, the whole body read.

use crate::{client, row, whole, world};
use std::net::SocketAddr;
use std::time::Instant;

/// Lists before the first that counts.
const WARM_UP: usize = 3;
/// Lists that count.
const TIMES: usize = 15;

pub(crate) fn run() {
    let cluster = world::ten_thousand();
    let pods = world::pods(&cluster);
    let (_server, address) = client::serve(cluster);
    let what = format!("list of {} pods over HTTP, JSON", whole(count(pods)));
    measure(address, "application/json", &what, "<= 150 ms", pods);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    measure(address, table, "the same as kubectl's Table", "", pods);
}

fn measure(address: SocketAddr, accept: &str, what: &str, goal: &str, pods: usize) {
    let mut millis: Vec<f64> = Vec::new();
    let mut bytes = 0;
    for _ in 0..WARM_UP + TIMES {
        let start = Instant::now();
        bytes = client::length(address, "/api/v1/pods", accept);
        millis.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    millis.drain(..WARM_UP);
    millis.sort_by(f64::total_cmp);
    let (least, median, most) = (millis[0], millis[TIMES / 2], millis[TIMES - 1]);
    let measured = format!(
        "{median:.0} ms ({least:.0} to {most:.0}), {} MB, {} pods a second",
        whole(count(bytes) / 1e6),
        whole(count(pods) * 1000.0 / median),
    );
    row(what, &measured, goal);
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
