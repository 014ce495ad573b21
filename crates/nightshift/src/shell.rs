//! The engine's task: the only owner of the engine, and the only one that runs effects.
//!
//! For each input: ask the engine, make the input and the decision durable in one commit, then
//! acknowledge, then run the effects. Alerts that come in one body share a commit.
//!
//! An engine's decision cannot be taken back, so a commit that fails is tried again before anything
//! else is heard; meanwhile nothing is acknowledged and nothing is run.

mod analysis;
mod effects;
mod handle;
mod limits;
mod port;

pub use handle::{Handle, Health, SubmitError};
pub use port::Port;

use crate::journal::Seq;
use crate::metrics::Metrics;
use crate::store::{Commit, Store, StoreError};
use crate::telemetry::event;
use effects::Effects;
use handle::Submitted;
use jiff::{SignedDuration, Timestamp};
use nightshift_cluster::Clock;
use nightshift_cluster::failpoint::failpoint;
use nightshift_core::engine::{Checkpoint, Decision, Effect, Engine, Input};
use nightshift_core::ids::{ClusterUid, IncidentId};
use nightshift_core::incident::{Incident, Phase};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Why the engine's task ended before it was told to. The process must end too: an agent whose
/// record is not certain never goes on acting.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The store refused for good.
    #[error("the record cannot be written")]
    Store(#[source] StoreError),
    /// The agent was stopped while the store was not available: the newest input is not durable,
    /// was not acknowledged, and nothing was done on it.
    #[error("stopped while the store was not available")]
    NotStored(#[source] StoreError),
    /// The engine broke one of its own invariants.
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

impl From<tokio::task::JoinError> for Fatal {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Panicked(match error.try_into_panic() {
            Ok(panic) => effects::panic_text(&*panic),
            Err(error) => error.to_string(),
        })
    }
}

/// What decides: the engine. A trait, so that tests can script decisions that an engine only takes
/// after a long story.
trait Mind: Send + Sync {
    /// Decides on one input.
    fn handle(&mut self, input: Input, now: Timestamp) -> Decision;
    /// Everything that it knows.
    fn checkpoint(&self) -> Checkpoint;
}

impl Mind for Engine {
    fn handle(&mut self, input: Input, now: Timestamp) -> Decision {
        Self::handle(self, input, now)
    }

    fn checkpoint(&self) -> Checkpoint {
        Self::checkpoint(self)
    }
}

/// An input with what was decided on it.
type Decided = (Input, Decision);

/// The engine with everything that it needs to be heard and obeyed.
#[expect(
    missing_debug_implementations,
    reason = "holds a function, which has no Debug"
)]
pub struct Shell {
    mind: Box<dyn Mind>,
    cluster: ClusterUid,
    leader_epoch: u64,
    store: Store,
    port: Arc<dyn Port>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    inputs: mpsc::Receiver<Submitted>,
    answers: mpsc::Receiver<Input>,
    effects: Effects,
    health: watch::Sender<Health>,
    stop: CancellationToken,
    /// When to give up waiting for writes that are out, once stopping.
    stop_by: Option<Timestamp>,
    /// Times at which the engine wants a tick.
    wakes: BTreeSet<Timestamp>,
    /// The newest time that the engine was told: it never runs backwards.
    told: Timestamp,
    /// When the journal was last told all that the engine knows.
    checkpointed: Timestamp,
    /// Phase of each open incident at the newest commit.
    phases: BTreeMap<IncidentId, Phase>,
}

impl Shell {
    /// A shell for the cluster and the way to talk to it. Nothing happens before [`Self::run`].
    pub fn new(
        cluster: ClusterUid,
        store: Store,
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> (Self, Handle) {
        Self::with(Box::new(Engine::new()), cluster, store, port, clock, stop)
    }

    fn with(
        mind: Box<dyn Mind>,
        cluster: ClusterUid,
        store: Store,
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> (Self, Handle) {
        let (to_inputs, inputs) = mpsc::channel(limits::INPUTS);
        let (to_answers, answers) = mpsc::channel(limits::ANSWERS);
        let (health, seen_health) = watch::channel(Health::Starting);
        let metrics = Arc::<Metrics>::default();
        let handle = Handle {
            cluster: cluster.clone(),
            store: store.clone(),
            port: Arc::clone(&port),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            inputs: to_inputs,
            health: seen_health,
        };
        let shell = Self {
            mind,
            cluster,
            leader_epoch: 0,
            store,
            effects: Effects::new(Arc::clone(&port), Arc::clone(&clock), to_answers),
            port,
            clock,
            metrics,
            inputs,
            answers,
            health,
            stop,
            stop_by: None,
            wakes: BTreeSet::new(),
            told: Timestamp::MIN,
            checkpointed: Timestamp::MIN,
            phases: BTreeMap::new(),
        };
        (shell, handle)
    }

    /// Takes up the work where `checkpoint` left it, until told to stop.
    pub async fn run(mut self, checkpoint: Checkpoint) -> Result<(), Fatal> {
        self.leader_epoch = checkpoint.leader_epoch;
        for incident in &checkpoint.open {
            self.port.watch(&incident.owner);
            self.phases.insert(incident.id.clone(), incident.phase);
        }
        let start = Input::Start(Box::new(checkpoint));
        self.turn(start.into()).await?;
        self.checkpointed = self.told;
        self.listen().await
    }

    /// Hears one thing after another.
    async fn listen(&mut self) -> Result<(), Fatal> {
        while !self.is_done() {
            if let Some(heard) = self.next().await {
                self.turn(heard).await?;
            }
        }
        Ok(())
    }

    /// What is heard next. Answers come first: they are what running work waits for.
    async fn next(&mut self) -> Option<Submitted> {
        if let Some(checkpoint) = self.checkpoint() {
            return Some(checkpoint.into());
        }
        let pause = self.pause();
        let stopping = self.stop_by.is_some();
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if !stopping => {
                self.stop_by = Some(after(self.clock.now(), limits::STOP));
                Some(Input::Stopping.into())
            }
            Some(answer) = self.answers.recv() => Some(answer.into()),
            () = self.clock.sleep(pause) => self.due().map(Submitted::from),
            Some(heard) = self.inputs.recv(), if !stopping => Some(heard),
        }
    }

    /// From time to time the journal is told all that the engine knows, so that retention may drop
    /// what came before: a replay begins at a start.
    fn checkpoint(&mut self) -> Option<Input> {
        let is_due = self.told >= after(self.checkpointed, limits::CHECKPOINT_EVERY);
        if !is_due || self.stop_by.is_some() {
            return None;
        }
        self.checkpointed = self.told;
        Some(Input::Start(Box::new(self.mind.checkpoint())))
    }

    /// Stopped, and no write is out any more (or none that is worth waiting for).
    fn is_done(&self) -> bool {
        self.stop_by
            .is_some_and(|by| self.effects.no_write_is_out() || self.clock.now() >= by)
    }

    /// How long to wait when nothing is heard. Bounded from above because the clock may be set, and
    /// from below so that no mistake elsewhere makes this a busy loop.
    fn pause(&self) -> Duration {
        let next = self.wakes.first().copied().into_iter().chain(self.stop_by);
        let wait = next.min().map_or(limits::LONGEST_PAUSE, |at| {
            Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default()
        });
        wait.clamp(limits::SHORTEST_PAUSE, limits::LONGEST_PAUSE)
    }

    /// A tick, when its time has come.
    fn due(&mut self) -> Option<Input> {
        let now = self.clock.now();
        let later = self
            .wakes
            .split_off(&after(now, SignedDuration::from_nanos(1)));
        let due = std::mem::replace(&mut self.wakes, later);
        (!due.is_empty()).then_some(Input::Tick)
    }

    /// Decides on each input, makes all durable, acknowledges them, runs what they led to.
    async fn turn(&mut self, heard: Submitted) -> Result<(), Fatal> {
        let Submitted { inputs, mut reply } = heard;
        self.told = self.told.max(self.clock.now());
        let mut decided: Vec<Decided> = Vec::new();
        for input in inputs {
            let decision = self.mind.handle(input.clone(), self.told);
            decided.push((input, decision));
        }
        let writes = decided.iter().any(|(_, decision)| {
            let mut effects = decision.effects.iter();
            effects.any(|effect| matches!(effect, Effect::Act(_)))
        });
        if writes {
            failpoint("before_intent");
        }
        let seq = self.commit(&decided, &mut reply).await?;
        for (input, decision) in &decided {
            self.metrics.observe(input, decision, self.told);
            decision.batch.entries.iter().for_each(event::recorded);
        }
        if let Some(reply) = reply {
            reply.ok(seq);
        }
        if writes {
            failpoint("after_intent");
        }
        for (input, decision) in decided {
            self.obey(&input, decision);
        }
        Ok(())
    }

    /// Runs what was decided, which is durable.
    fn obey(&mut self, input: &Input, decision: Decision) {
        if let Input::Acted { permit, .. } = input {
            self.effects.answered(permit);
        }
        self.follow(&decision.batch.incidents);
        for effect in decision.effects {
            match effect {
                Effect::WakeAt(at) => {
                    self.wakes.insert(at);
                }
                work @ (Effect::Observe { .. }
                | Effect::Rehearse(_)
                | Effect::Act(_)
                | Effect::ReadBack { .. }) => self.effects.run(work),
            }
        }
    }

    /// Commits until it is done. The first failure is told to whoever waits for this input.
    async fn commit(
        &self,
        decided: &[Decided],
        reply: &mut Option<handle::Reply>,
    ) -> Result<Seq, Fatal> {
        let mut wait = limits::RETRY_FIRST;
        loop {
            let error = match self.try_commit(decided).await {
                Ok(seq) => {
                    self.health.send_replace(Health::Recording);
                    return Ok(seq);
                }
                Err(error @ StoreError::Unavailable(_)) => error,
                Err(error) => return Err(Fatal::Store(error)),
            };
            tracing::error!(
                error = &error as &dyn std::error::Error,
                retry_in = ?wait,
                "the record cannot be written: nothing is acknowledged and nothing is done"
            );
            if let Some(reply) = reply.take() {
                reply.unavailable();
            }
            self.health.send_replace(Health::NotRecording);
            tokio::select! {
                () = self.clock.sleep(wait) => wait = (wait * 2).min(limits::RETRY_LONGEST),
                () = self.stop.cancelled() => return Err(Fatal::NotStored(error)),
            }
        }
    }

    async fn try_commit(&self, decided: &[Decided]) -> Result<Seq, StoreError> {
        let mut analyses = Vec::new();
        for newest in 0..decided.len() {
            let so_far = decided.get(..=newest).unwrap_or_default();
            analyses.push(self.analyses(so_far).await?);
        }
        let commits = decided.iter().zip(&analyses);
        let commits = commits.map(|((input, decision), analyses)| Commit {
            cluster: &self.cluster,
            leader_epoch: self.leader_epoch,
            at: self.told,
            input,
            decision,
            analyses,
        });
        self.store.append(&commits.collect::<Vec<_>>()).await
    }

    /// People read the analysis when they are asked, and when it is over: it is written when an
    /// incident begins to wait or ends, from its record with the rows that are not stored yet.
    async fn analyses(
        &self,
        decided: &[Decided],
    ) -> Result<BTreeMap<IncidentId, String>, StoreError> {
        let mut analyses = BTreeMap::new();
        let changed = decided.last().into_iter();
        for incident in changed.flat_map(|(_, decision)| &decision.batch.incidents) {
            let is_read = matches!(incident.phase, Phase::Waiting | Phase::Closed);
            if is_read && self.phases.get(&incident.id) != Some(&incident.phase) {
                let rows = decided.iter().flat_map(|(_, d)| &d.batch.entries);
                let rows = rows.filter(|row| row.incident.as_ref() == Some(&incident.id));
                let new: Vec<_> = rows.map(|row| (self.told, row.clone())).collect();
                let text = analysis::write(&self.store, incident, new).await?;
                analyses.insert(incident.id.clone(), text);
            }
        }
        Ok(analyses)
    }

    /// Has the eyes follow the owners of open incidents, so that recovery is heard of.
    fn follow(&mut self, changed: &[Incident]) {
        for incident in changed {
            if incident.phase == Phase::Closed {
                self.phases.remove(&incident.id);
                self.port.unwatch(&incident.owner);
            } else {
                self.phases.insert(incident.id.clone(), incident.phase);
                self.port.watch(&incident.owner);
            }
        }
    }
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
