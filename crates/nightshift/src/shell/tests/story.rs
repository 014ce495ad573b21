//! The whole shell with the real engine and guard, over a made-up cluster: repair, crash, replay.

use super::*;
use crate::store::Filter;
use nightshift_core::incident::Outcome;
use nightshift_core::policy::{Autonomy, Policy};
use nightshift_core::runbook::Library;
use nightshift_core::signal::{Signal, SignalBody};
use nightshift_core::testkit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A Deployment whose newest image does not exist, until something is written.
#[derive(Debug)]
struct Cart {
    clock: Arc<ByHand>,
    healed: AtomicBool,
    writes: AtomicUsize,
    /// The answer to a write gets lost.
    loses_answer: bool,
}

impl Cart {
    fn world(&self) -> Snapshot {
        let world = testkit::world(&self.clock.now().to_string())
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .image("img.test/cart:1")
            .pod("cart-1-a");
        if self.healed.load(Ordering::SeqCst) {
            return world.snapshot();
        }
        world
            .revision(2)
            .image("img.test/cart:nowhere")
            .age(120)
            .pod("cart-2-a")
            .age(120)
            .waiting(
                "ImagePullBackOff",
                "Back-off pulling image \"img.test/cart:nowhere\"",
            )
            .event(
                "Failed",
                "Failed to pull image \"img.test/cart:nowhere\": failed to resolve reference \
                 \"img.test/cart:nowhere\": img.test/cart:nowhere: not found",
            )
            .seen(110, 5, 4)
            .snapshot()
    }

    fn done() -> ActOutcome {
        ActOutcome::Done {
            generation: 1,
            resource_version: "9".to_owned(),
        }
    }
}

impl Port for Cart {
    fn observe(&self, _: Scope, fresh: bool, _: bool) -> BoxFuture<'_, Snapshot> {
        let seen = Snapshot {
            fresh,
            ..self.world()
        };
        Box::pin(std::future::ready(seen))
    }

    fn rehearse(&self, _: Step) -> BoxFuture<'_, Rehearsal> {
        Box::pin(std::future::ready(Rehearsal::Accepted {
            diff: vec!["image: nowhere -> 1".to_owned()],
        }))
    }

    fn act(&self, _: Permit) -> BoxFuture<'_, ActOutcome> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.healed.store(true, Ordering::SeqCst);
        if self.loses_answer {
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(Self::done()))
    }

    fn read_back(&self, _: PermitId, _: Step) -> BoxFuture<'_, ActOutcome> {
        Box::pin(std::future::ready(Self::done()))
    }

    fn watch(&self, _: &ObjectRef) {}

    fn unwatch(&self, _: &ObjectRef) {}

    fn coverage(&self) -> BTreeMap<Source, Coverage> {
        BTreeMap::new()
    }
}

struct Story {
    store: Store,
    cart: Arc<Cart>,
    clock: Arc<ByHand>,
    _folder: TempDir,
}

struct Running {
    handle: Handle,
    engine: JoinHandle<Result<(), Fatal>>,
    stop: CancellationToken,
}

async fn story(loses_answer: bool) -> Story {
    let (store, folder) = store().await;
    let (now, _) = watch::channel(At::minutes(0));
    let clock = Arc::new(ByHand { now });
    let cart = Arc::new(Cart {
        clock: Arc::clone(&clock),
        healed: AtomicBool::new(false),
        writes: AtomicUsize::new(0),
        loses_answer,
    });
    Story {
        store,
        cart,
        clock,
        _folder: folder,
    }
}

impl Story {
    /// Starts the agent as [`crate::app`] does: lead, load, go on.
    async fn start(&self) -> Running {
        let cluster = ClusterUid::from(CLUSTER);
        let leader_epoch = self.store.take_lead(&cluster).await.unwrap();
        let loaded = self.store.checkpoint(&cluster, self.clock.now()).await;
        let checkpoint = Checkpoint {
            leader_epoch,
            policy: Policy {
                autonomy: Autonomy::Auto,
                dry_run: false,
                persistence_percent: 0,
                ..Policy::default()
            },
            runbooks: Library::built_in().texts().clone(),
            ..loaded.unwrap()
        };
        let stop = CancellationToken::new();
        let (shell, handle) = Shell::new(
            cluster,
            self.store.clone(),
            Arc::<Cart>::clone(&self.cart),
            Arc::<ByHand>::clone(&self.clock),
            stop.clone(),
        );
        let engine = TaskTracker::new().spawn(shell.run(checkpoint));
        Running {
            handle,
            engine,
            stop,
        }
    }

    /// Lets time pass second by second; each ends when the engine has said all it had to say.
    async fn pass(&self, running: &Running, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            for _ in 0..3 {
                running.handle.submit(vec![Input::Tick]).await.unwrap();
            }
        }
    }

    async fn hear(&self, running: &Running) {
        let subject = testkit::reference(nightshift_core::world::Kind::Pod, "demo", "cart-2-a");
        let signal = Signal {
            fingerprint: format!("watch:{subject}").into(),
            subject,
            heard_at: self.clock.now(),
            body: SignalBody::Watch,
        };
        running
            .handle
            .submit(vec![Input::Signal(signal)])
            .await
            .unwrap();
    }

    async fn incident(&self) -> Incident {
        let page = self.store.incidents(&Filter::default(), 9, 0).await;
        page.unwrap().incidents.remove(0)
    }

    async fn handle_analysis(&self, running: &Running, incident: &Incident) -> String {
        let written = running.handle.regenerate_analysis(&incident.id).await;
        written.unwrap().expect("the incident is stored")
    }

    async fn replays(&self) {
        let mut file = Vec::new();
        crate::journal::export(&self.store, &CLUSTER.into(), &mut file)
            .await
            .unwrap();
        let replayed = crate::replay::replay(&*file).unwrap();
        assert!(replayed.same(), "{:#?}", replayed.rows.last());
        self.store.verify(&CLUSTER.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_fault_is_repaired_recorded_and_replayed() {
    let story = story(false).await;
    let running = story.start().await;
    story.hear(&running).await;
    story.pass(&running, 90).await;

    let incident = story.incident().await;
    assert_eq!(incident.outcome, Some(Outcome::Fixed), "{incident:#?}");
    assert_eq!(story.cart.writes.load(Ordering::SeqCst), 1);
    let detail = story.store.incident(&incident.id).await.unwrap().unwrap();
    let analysis = detail.analysis.expect("written at the end");
    assert!(analysis.contains("## Action taken"), "{analysis}");
    assert_eq!(
        story.handle_analysis(&running, &incident).await,
        analysis,
        "the same record gives the same text"
    );
    let loaded = story
        .store
        .checkpoint(&CLUSTER.into(), story.clock.now())
        .await
        .unwrap();
    assert!(loaded.open.is_empty());
    assert_eq!(loaded.history.acts.len(), 1);
    assert_eq!(loaded.history.acts[0].outcome, Some(Cart::done()));
    story.replays().await;
}

#[tokio::test]
async fn killed_with_a_write_out_the_next_start_reads_back_and_writes_nothing_twice() {
    let story = story(true).await;
    let running = story.start().await;
    story.hear(&running).await;
    while story.cart.writes.load(Ordering::SeqCst) == 0 {
        story.pass(&running, 1).await;
    }
    // Killed: nothing is told, nothing is finished.
    running.engine.abort();
    let loaded = story
        .store
        .checkpoint(&CLUSTER.into(), story.clock.now())
        .await
        .unwrap();
    assert_eq!(loaded.open.len(), 1);
    assert_eq!(loaded.history.acts[0].outcome, None, "intended, not known");

    let running = story.start().await;
    story.pass(&running, 90).await;
    let incident = story.incident().await;
    assert_eq!(incident.outcome, Some(Outcome::Fixed), "{incident:#?}");
    assert_eq!(story.cart.writes.load(Ordering::SeqCst), 1);
    running.stop.cancel();
    running.engine.await.unwrap().unwrap();
    story.replays().await;
}

#[tokio::test]
async fn what_is_left_of_the_journal_after_a_day_replays_without_the_day() {
    let story = story(false).await;
    let running = story.start().await;
    story.hear(&running).await;
    story.pass(&running, 5).await;
    assert_eq!(story.incident().await.closed_at, None, "in mid-action");
    story.clock.advance(Duration::from_hours(24));
    story.pass(&running, 90).await;
    assert_eq!(story.incident().await.outcome, Some(Outcome::Fixed));

    let old = crate::store::Horizon {
        incidents: At::minutes(0),
        journal: story.clock.now(),
    };
    let cluster = ClusterUid::from(CLUSTER);
    let dropped = story.store.drop_old(&cluster, &old).await.unwrap();
    assert!(dropped.inputs > 0);
    let left = story.store.journal(&cluster, Seq(0), 1).await.unwrap();
    assert_eq!(left[0].seq, Seq(dropped.inputs + 1));
    assert!(left[0].input.get().starts_with("{\"Start\""));
    story.replays().await;
}
