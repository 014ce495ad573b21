//! Fan-out: a hundred clients watch all pods over HTTP while pods change.

use crate::{client, machine, row, whole, world};
use nightshift_sim::resources::ids;
use nightshift_sim::{Key, Server};
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WATCHERS: u32 = 100;
/// Changes that come at a steady pace, and the pace.
const STEADY: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);
/// Changes that come as fast as they can be written.
const FLAT_OUT: u32 = 2_000;

/// When each change was written, in nanoseconds since the start.
type Written = Arc<Vec<AtomicU64>>;

pub(crate) fn run() {
    let mut cluster = world::nodes(10);
    world::deployments(&mut cluster, 50);
    cluster.pass(Duration::from_mins(2));
    let pods: Vec<Key> = cluster
        .store
        .list(ids::PODS, None)
        .map(|pod| pod.key(ids::PODS))
        .collect();
    let (server, address) = client::serve(cluster);
    let (_, mut delays, _) = fan_out(&server, address, &pods, STEADY, PAUSE);
    delays.sort_unstable();
    let at = |percent: usize| delays[(delays.len() * percent).div_ceil(100) - 1];
    let measured = format!(
        "p50 {:.1} ms, p99 {:.1} ms",
        at(50).as_secs_f64() * 1000.0,
        at(99).as_secs_f64() * 1000.0
    );
    let rate = f64::from(WATCHERS) / PAUSE.as_secs_f64();
    let what = format!(
        "from a write to {WATCHERS} watchers, {} events a second",
        whole(rate)
    );
    row(&what, &measured, "");
    let (took, delays, cpu) = fan_out(&server, address, &pods, FLAT_OUT, Duration::ZERO);
    let events = f64::from(u32::try_from(delays.len()).unwrap());
    let measured = format!(
        "{} events a second, {} a second of CPU (both ends)",
        whole(events / took),
        whole(events / cpu)
    );
    row(
        &format!("{WATCHERS} watchers, writes flat out"),
        &measured,
        "",
    );
}

/// Seconds from the first write to the last event read, the delay of each event, seconds of CPU.
fn fan_out(
    server: &Server,
    address: SocketAddr,
    pods: &[Key],
    count: u32,
    pause: Duration,
) -> (f64, Vec<Duration>, f64) {
    let revision = server.with(|cluster| cluster.store.revision());
    let written: Written = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
    let start = Instant::now();
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let written = Arc::clone(&written);
            std::thread::spawn(move || follow(address, revision, &written, start))
        })
        .collect();
    // All have begun long before the first write.
    std::thread::sleep(Duration::from_secs(1));
    let cpu = machine::cpu();
    let first = Instant::now();
    for number in 0..count {
        let pod = &pods[number as usize % pods.len()];
        let now = u64::try_from(start.elapsed().as_nanos()).unwrap();
        written[number as usize].store(now, Ordering::Release);
        server.with(|cluster| {
            cluster.modify(pod, |pod| {
                let text = number.to_string();
                pod.meta.annotations.insert("bench/number".to_owned(), text);
            })
        });
        std::thread::sleep(pause);
    }
    let delays = watchers.into_iter().flat_map(|one| one.join().unwrap());
    let delays = delays.collect();
    (first.elapsed().as_secs_f64(), delays, machine::cpu() - cpu)
}

/// Reads until the last change was heard: the delay of each.
fn follow(address: SocketAddr, revision: u64, written: &Written, start: Instant) -> Vec<Duration> {
    let path = format!("/api/v1/pods?watch=1&resourceVersion={revision}");
    let mut answer = client::get(address, &path, "application/json");
    let mut delays = Vec::with_capacity(written.len());
    let mut line = String::new();
    while delays.len() < written.len() {
        line.clear();
        assert!(
            answer.read_line(&mut line).unwrap() > 0,
            "the watch has ended"
        );
        let Some((_, rest)) = line.split_once("\"bench/number\":\"") else {
            continue;
        };
        let number: usize = rest.split('"').next().unwrap().parse().unwrap();
        let at = Duration::from_nanos(written[number].load(Ordering::Acquire));
        delays.push(start.elapsed().saturating_sub(at));
    }
    delays
}
