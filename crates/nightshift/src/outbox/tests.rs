use super::*;
use crate::notify::Webhook;
use crate::store::tests::{At, CLUSTER, append, decision, incident, store};
use futures::future::BoxFuture;
use nightshift_core::engine::Input;
use nightshift_core::incident::Phase;
use std::sync::Mutex;
use wiremock::matchers::{body_partial_json, header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A clock that stands still until it is set.
#[derive(Debug)]
struct Still(Mutex<Timestamp>);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

struct Bench {
    outbox: Outbox,
    store: Store,
    clock: Arc<Still>,
    _folder: tempfile::TempDir,
}

/// An outbox with one notice for that receiver.
async fn bench(url: &str) -> Bench {
    let (store, folder) = store().await;
    let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    let waiting = decision(vec![incident("inc-1", "cart", Phase::Waiting, 0)]);
    append(&store, epoch, &Input::Tick, &waiting).await.unwrap();
    let clock = Arc::new(Still(Mutex::new(At::minutes(0))));
    let notifier = Notifier::Webhook(Webhook::new(url, "prod").unwrap());
    let outbox = Outbox::new(store.clone(), notifier, Arc::<Still>::clone(&clock));
    Bench {
        outbox,
        store,
        clock,
        _folder: folder,
    }
}

impl Bench {
    async fn deliver_at(&self, now: Timestamp) {
        *self.clock.0.lock().unwrap() = now;
        self.outbox.deliver_due().await.unwrap();
    }

    async fn undelivered_and_dead(&self) -> (i64, i64) {
        let counts = self.store.counts(&CLUSTER.into()).await.unwrap();
        (counts.undelivered, counts.dead)
    }
}

async fn receiver(status: u16, times: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("Idempotency-Key", "inc-1-waiting"))
        .and(body_partial_json(serde_json::json!({
            "incident": "inc-1", "cluster": CLUSTER, "cluster_name": "prod",
            "title": "waits for a person", "at": "2026-01-05T10:00:00Z",
        })))
        .respond_with(ResponseTemplate::new(status))
        .expect(times)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_notice_is_delivered_once_when_all_goes_well() {
    let server = receiver(204, 1).await;
    let bench = bench(&server.uri()).await;
    bench.deliver_at(At::minutes(0)).await;
    bench.deliver_at(At::minutes(60)).await;
    assert_eq!(bench.undelivered_and_dead().await, (0, 0));
}

#[tokio::test]
async fn a_refused_notice_is_tried_again_with_longer_waits() {
    let server = receiver(500, 2).await;
    let bench = bench(&server.uri()).await;
    bench.deliver_at(At::minutes(0)).await;
    bench.deliver_at(At::minutes(0)).await;
    assert_eq!(bench.undelivered_and_dead().await, (1, 0));
    bench.deliver_at(At::minutes(1)).await;
    assert_eq!(again_at(At::minutes(0), 1), At::minutes(0) + FIRST_RETRY);
    assert_eq!(again_at(At::minutes(0), 40), At::minutes(0) + LONGEST_RETRY);
}

#[tokio::test]
async fn a_delivery_that_a_crash_cut_short_is_made_again_after_its_claim_ended() {
    let server = receiver(204, 1).await;
    let bench = bench(&server.uri()).await;
    // The crashed worker had claimed it and said nothing more.
    let claimed = bench.store.claim_notices(At::minutes(0), LEASE, 9).await;
    assert_eq!(claimed.unwrap().len(), 1);
    bench.deliver_at(At::minutes(1)).await;
    assert_eq!(bench.undelivered_and_dead().await, (1, 0));
    bench.deliver_at(At::minutes(6)).await;
    assert_eq!(bench.undelivered_and_dead().await, (0, 0));
}

#[tokio::test]
async fn a_notice_that_is_given_up_stays_visible() {
    let server = receiver(410, MAX_ATTEMPTS).await;
    let bench = bench(&server.uri()).await;
    for round in 0..60 {
        bench.deliver_at(At::minutes(round * 11)).await;
    }
    assert_eq!(bench.undelivered_and_dead().await, (0, 1));
    let dead = bench.store.dead_notices(9).await.unwrap();
    assert_eq!(dead[0].attempts, MAX_ATTEMPTS);
    assert_eq!(dead[0].error, "the receiver answered 410 Gone");
}

#[tokio::test]
async fn an_error_never_shows_the_url() {
    // Port 1 of this machine refuses connections.
    let bench = bench("http://127.0.0.1:1/hooks/s3cret").await;
    bench.deliver_at(At::minutes(0)).await;
    let left = bench
        .store
        .claim_notices(At::minutes(9), LEASE, 9)
        .await
        .unwrap();
    let failed = bench.outbox.notifier.deliver(&left[0]).await.unwrap_err();
    assert!(!failed.to_string().contains("s3cret"), "{failed}");
}

#[tokio::test]
async fn without_a_receiver_notices_go_to_the_log() {
    let mut bench = bench("http://127.0.0.1:1").await;
    bench.outbox.notifier = Notifier::Log;
    bench.deliver_at(At::minutes(0)).await;
    assert_eq!(bench.undelivered_and_dead().await, (0, 0));
}
