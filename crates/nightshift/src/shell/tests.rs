//! The loop with scripted decisions, a made-up cluster and a clock that is set by hand.

mod story;

use super::*;
use crate::store::tests::{At, CLUSTER, decision, incident, step, store, url};
use futures::future::BoxFuture;
use nightshift_core::engine::LookId;
use nightshift_core::guard::{Permit, Rehearsal};
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::PermitId;
use nightshift_core::plan::Step;
use nightshift_core::world::{Coverage, ObjectRef, Scope, Snapshot, Source};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// A clock that moves only when it is told to.
#[derive(Debug)]
struct ByHand {
    now: watch::Sender<Timestamp>,
}

impl ByHand {
    fn advance(&self, wait: Duration) {
        self.now.send_modify(|now| *now += wait);
    }
}

impl Clock for ByHand {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let mut now = self.now.subscribe();
        let until = *now.borrow() + wait;
        Box::pin(async move {
            now.wait_for(|now| *now >= until)
                .await
                .expect("the clock outlives every sleep");
        })
    }
}

/// A cluster that writes down what it is asked.
#[derive(Debug)]
struct Fake {
    asked: Mutex<Vec<String>>,
    heard: Notify,
    /// Writes wait for one of these.
    may_answer: Semaphore,
    panics: bool,
}

impl Fake {
    fn note(&self, what: String) {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
        self.heard.notify_one();
    }

    fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Port for Fake {
    fn observe(&self, _: Scope, _: bool, _: bool) -> BoxFuture<'_, Snapshot> {
        Box::pin(async {
            self.note("observe".to_owned());
            assert!(!self.panics, "no eyes");
            Snapshot::default()
        })
    }

    fn rehearse(&self, _: Step) -> BoxFuture<'_, Rehearsal> {
        Box::pin(async {
            self.note("rehearse".to_owned());
            Rehearsal::Accepted { diff: Vec::new() }
        })
    }

    fn act(&self, permit: Permit) -> BoxFuture<'_, ActOutcome> {
        self.read_back(permit.id().clone(), permit.step().clone())
    }

    fn read_back(&self, permit: PermitId, _: Step) -> BoxFuture<'_, ActOutcome> {
        Box::pin(async move {
            self.note(format!("write {permit}"));
            self.may_answer.acquire().await.unwrap().forget();
            ActOutcome::Expired
        })
    }

    fn watch(&self, owner: &ObjectRef) {
        self.note(format!("watch {owner}"));
    }

    fn unwatch(&self, owner: &ObjectRef) {
        self.note(format!("unwatch {owner}"));
    }

    fn coverage(&self) -> BTreeMap<Source, Coverage> {
        BTreeMap::new()
    }
}

/// A mind that is only a function.
struct Scripted<F>(F);

impl<F: FnMut(Input, Timestamp) -> Decision + Send + Sync> Mind for Scripted<F> {
    fn handle(&mut self, input: Input, now: Timestamp) -> Decision {
        (self.0)(input, now)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::default()
    }
}

struct Bench {
    handle: Handle,
    store: Store,
    folder: TempDir,
    fake: Arc<Fake>,
    clock: Arc<ByHand>,
    stop: CancellationToken,
    told: Arc<Mutex<Vec<(String, Timestamp)>>>,
    engine: JoinHandle<Result<(), Fatal>>,
}

/// A running shell whose mind is that function.
async fn run(mut mind: impl FnMut(&Input) -> Decision + Send + Sync + 'static) -> Bench {
    run_with(move |input| mind(input), false).await
}

async fn run_with(
    mut mind: impl FnMut(&Input) -> Decision + Send + Sync + 'static,
    panics: bool,
) -> Bench {
    let (store, folder) = store().await;
    let cluster = ClusterUid::from(CLUSTER);
    let leader_epoch = store.take_lead(&cluster).await.unwrap();
    let (now, _) = watch::channel(At::minutes(0));
    let clock = Arc::new(ByHand { now });
    let fake = Arc::new(Fake {
        asked: Mutex::default(),
        heard: Notify::new(),
        may_answer: Semaphore::new(0),
        panics,
    });
    let told = Arc::<Mutex<Vec<(String, Timestamp)>>>::default();
    let notes = Arc::clone(&told);
    let stop = CancellationToken::new();
    let (shell, handle) = Shell::with(
        Box::new(Scripted(move |input, now| {
            let kind = serde_json::to_value(&input).unwrap();
            let kind = kind.as_object().and_then(|o| o.keys().next().cloned());
            let word = kind.unwrap_or_else(|| format!("{input:?}"));
            notes.lock().unwrap().push((word, now));
            mind(&input)
        })),
        cluster.clone(),
        store.clone(),
        Arc::<Fake>::clone(&fake),
        Arc::<ByHand>::clone(&clock),
        stop.clone(),
    );
    let checkpoint = Checkpoint {
        cluster,
        leader_epoch,
        ..Checkpoint::default()
    };
    let engine = TaskTracker::new().spawn(shell.run(checkpoint));
    Bench {
        handle,
        store,
        folder,
        fake,
        clock,
        stop,
        told,
        engine,
    }
}

impl Bench {
    fn told(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter().map(|(word, _)| word.clone()).collect()
    }

    /// Waits until the cluster was asked that.
    async fn until_asked(&self, what: &str) {
        while !self.fake.asked().iter().any(|asked| asked == what) {
            self.fake.heard.notified().await;
        }
    }

    /// Waits until an input of that kind is in the journal, and returns it.
    async fn until_recorded(&self, word: &str) -> String {
        loop {
            let lines = self.store.journal(&CLUSTER.into(), Seq(1), 99).await;
            let mut inputs = lines.unwrap().into_iter().map(|line| line.input);
            if let Some(input) = inputs.find(|input| input.get().contains(word)) {
                return input.get().to_owned();
            }
            tokio::task::yield_now().await;
        }
    }

    async fn until_health(&mut self, wanted: Health) {
        let mut health = self.handle.health.clone();
        health.wait_for(|health| *health == wanted).await.unwrap();
    }
}

fn look() -> Decision {
    Decision {
        effects: vec![Effect::Observe {
            look: LookId(1),
            scope: Scope::Cluster,
            fresh: true,
            logs: false,
        }],
        ..Decision::default()
    }
}

fn read_back() -> Decision {
    Decision {
        effects: vec![Effect::ReadBack {
            permit: "p1".into(),
            step: step(),
        }],
        ..Decision::default()
    }
}

fn rejected() -> Input {
    Input::Rejected {
        why: "why".to_owned(),
        alert: "{}".to_owned(),
    }
}

/// Looks at rejected alerts, does nothing else.
fn looks(input: &Input) -> Decision {
    match input {
        Input::Rejected { .. } => look(),
        _ => Decision::default(),
    }
}

#[tokio::test]
async fn an_input_is_acknowledged_when_it_is_durable_and_then_obeyed() {
    let bench = run(looks).await;
    let seq = bench.handle.submit(vec![rejected()]).await.unwrap();
    assert_eq!(seq, Seq(2), "after the start");
    let journal = bench.store.journal(&CLUSTER.into(), Seq(1), 9).await;
    assert!(journal.unwrap().len() >= 2);
    bench.until_asked("observe").await;
    bench.stop.cancel();
    bench.engine.await.unwrap().unwrap();
}

#[tokio::test]
async fn inputs_that_come_together_are_one_transaction() {
    let bench = run(looks).await;
    let seq = bench
        .handle
        .submit(vec![rejected(), rejected()])
        .await
        .unwrap();
    assert_eq!(seq, Seq(3), "each has its line after the start");
    // The second of two cannot be stored: neither is.
    let mut bench = run(|input| match input {
        Input::Stopping => read_back(),
        _ => Decision::default(),
    })
    .await;
    bench.until_health(Health::Recording).await;
    let other = sqlx::SqlitePool::connect(&url(&bench.folder))
        .await
        .unwrap();
    let third = "CREATE TRIGGER third BEFORE INSERT ON journal WHEN new.seq = 3
                     BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(third).execute(&other).await.unwrap();
    assert!(
        bench
            .handle
            .submit(vec![rejected(), rejected()])
            .await
            .is_err()
    );
    let lines = bench
        .store
        .journal(&CLUSTER.into(), Seq(1), 9)
        .await
        .unwrap();
    assert_eq!(lines.len(), 1, "the start alone");
}

#[tokio::test]
async fn nothing_is_acknowledged_or_run_while_the_store_takes_no_commit() {
    let mut bench = run(looks).await;
    bench.until_health(Health::Recording).await;
    // Commits fail until the table is back.
    let other = sqlx::SqlitePool::connect(&url(&bench.folder))
        .await
        .unwrap();
    sqlx::query("ALTER TABLE journal RENAME TO journal_away")
        .execute(&other)
        .await
        .unwrap();
    let refused = bench.handle.submit(vec![rejected()]).await;
    assert_eq!(refused, Err(SubmitError::Unavailable));
    assert_eq!(bench.handle.health(), Health::NotRecording);
    assert!(bench.fake.asked().is_empty(), "no effect without a commit");

    // Once it does, the same decision is committed and obeyed, once.
    sqlx::query("ALTER TABLE journal_away RENAME TO journal")
        .execute(&other)
        .await
        .unwrap();
    bench.clock.advance(limits::RETRY_LONGEST);
    bench.until_asked("observe").await;
    bench.until_health(Health::Recording).await;
    assert_eq!(bench.fake.asked(), ["observe"]);
    let lines = bench.store.journal(&CLUSTER.into(), Seq(1), 9).await;
    let inputs: Vec<_> = lines.unwrap().into_iter().map(|l| l.input).collect();
    let rejections = inputs.iter().filter(|i| i.get().contains("Rejected"));
    assert_eq!(rejections.count(), 1);
}

#[tokio::test]
async fn a_stop_while_the_store_is_away_says_that_the_input_is_lost() {
    let mut bench = run(looks).await;
    bench.until_health(Health::Recording).await;
    bench.store.close().await;
    assert!(bench.handle.submit(vec![rejected()]).await.is_err());
    bench.stop.cancel();
    let ended = bench.engine.await.unwrap();
    assert!(matches!(ended, Err(Fatal::NotStored(_))));
    assert!(bench.fake.asked().is_empty());
}

#[tokio::test]
async fn a_fenced_engine_ends_and_obeys_nothing_more() {
    let mut bench = run(looks).await;
    bench.until_health(Health::Recording).await;
    bench.store.take_lead(&CLUSTER.into()).await.unwrap();
    let refused = bench.handle.submit(vec![rejected()]).await;
    assert_eq!(refused, Err(SubmitError::Stopped));
    let ended = bench.engine.await.unwrap();
    assert!(matches!(
        ended,
        Err(Fatal::Store(StoreError::Fenced { .. }))
    ));
    assert!(bench.fake.asked().is_empty());
    assert_eq!(bench.handle.health(), Health::Stopped);
}

#[tokio::test]
async fn a_panic_of_the_engine_ends_its_task_with_its_text() {
    let bench = run(|input| match input {
        Input::Rejected { .. } => panic!("phase {} is impossible", 7),
        _ => Decision::default(),
    })
    .await;
    let refused = bench.handle.submit(vec![rejected()]).await;
    assert_eq!(refused, Err(SubmitError::Stopped));
    let fatal = Fatal::from(bench.engine.await.unwrap_err());
    assert_eq!(
        fatal.to_string(),
        "the engine panicked: phase 7 is impossible"
    );
    assert_eq!(bench.handle.health(), Health::Stopped);
}

#[tokio::test]
async fn an_effect_that_panics_or_hangs_still_answers() {
    let bench = run_with(looks, true).await;
    bench.handle.submit(vec![rejected()]).await.unwrap();
    bench.until_asked("observe").await;
    let why = bench.until_recorded("NotObserved").await;
    assert!(why.contains("no eyes"), "{why}");

    let bench = run(|input| match input {
        Input::Rejected { .. } => read_back(),
        _ => Decision::default(),
    })
    .await;
    bench.handle.submit(vec![rejected()]).await.unwrap();
    bench.until_asked("write p1").await;
    bench.clock.advance(limits::WRITE);
    let acted = bench.until_recorded("Acted").await;
    assert!(acted.contains("unknown"), "{acted}");
}

#[tokio::test]
async fn stopping_waits_for_a_write_that_is_out() {
    let bench = run(|input| match input {
        Input::Rejected { .. } => read_back(),
        _ => Decision::default(),
    })
    .await;
    bench.handle.submit(vec![rejected()]).await.unwrap();
    bench.until_asked("write p1").await;
    bench.stop.cancel();
    while !bench.told().contains(&"Stopping".to_owned()) {
        tokio::task::yield_now().await;
    }
    assert!(!bench.engine.is_finished());
    let refused = bench.handle.submit(vec![rejected()]);
    bench.fake.may_answer.add_permits(1);
    bench.engine.await.unwrap().unwrap();
    assert_eq!(refused.await, Err(SubmitError::Stopped));
    let told: Vec<_> = bench.told.lock().unwrap().clone();
    let words: Vec<_> = told.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["Start", "Rejected", "Stopping", "Acted"]);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let bench = run(|input| match input {
        Input::Rejected { .. } => read_back(),
        _ => Decision::default(),
    })
    .await;
    bench.handle.submit(vec![rejected()]).await.unwrap();
    bench.until_asked("write p1").await;
    bench.stop.cancel();
    while !bench.told().contains(&"Stopping".to_owned()) {
        tokio::task::yield_now().await;
    }
    bench.clock.advance(Duration::from_secs(20));
    bench.engine.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tick_comes_at_its_time_and_time_never_runs_backwards() {
    let bench = run(|input| match input {
        Input::Rejected { .. } => Decision {
            effects: vec![
                Effect::WakeAt(At::minutes(2)),
                Effect::WakeAt(At::minutes(1)),
                Effect::WakeAt(At::minutes(1)),
            ],
            ..Decision::default()
        },
        _ => Decision::default(),
    })
    .await;
    bench.handle.submit(vec![rejected()]).await.unwrap();
    let ticks = |bench: &Bench| {
        let told = bench.told.lock().unwrap();
        let ticks = told.iter().filter(|(word, _)| word == "Tick");
        ticks.map(|(_, at)| *at).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        bench.clock.advance(Duration::from_secs(30));
        tokio::task::yield_now().await;
    }
    while ticks(&bench).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ticks(&bench), [At::minutes(1)], "one tick for both");

    bench.clock.now.send_replace(At::minutes(0));
    bench.handle.submit(vec![rejected()]).await.unwrap();
    let newest = bench.told.lock().unwrap().last().cloned();
    assert_eq!(newest, Some(("Rejected".to_owned(), At::minutes(1))));
}

#[tokio::test]
async fn owners_of_open_incidents_are_watched_until_they_close() {
    let mut phase = Phase::Open;
    let bench = run(move |input| match input {
        Input::Rejected { .. } => {
            let done = decision(vec![incident("inc-1", "cart", phase, 0)]);
            phase = Phase::Closed;
            done
        }
        _ => Decision::default(),
    })
    .await;
    bench.handle.submit(vec![rejected()]).await.unwrap();
    bench.handle.submit(vec![rejected()]).await.unwrap();
    bench.until_asked("unwatch Deployment demo/cart").await;
    assert_eq!(
        bench.fake.asked(),
        ["watch Deployment demo/cart", "unwatch Deployment demo/cart"]
    );
}

#[tokio::test]
async fn a_flood_is_told_to_come_back_later() {
    let mut bench = run(looks).await;
    bench.until_health(Health::Recording).await;
    // The engine is stuck with this one.
    bench.store.close().await;
    assert_eq!(
        bench.handle.submit(vec![rejected()]).await,
        Err(SubmitError::Unavailable)
    );
    for _ in 0..limits::INPUTS {
        bench.handle.inputs.try_send(Input::Tick.into()).unwrap();
    }
    let refused = bench.handle.submit(vec![Input::Tick]).await;
    assert_eq!(refused, Err(SubmitError::Busy));
}
