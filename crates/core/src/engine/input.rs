//! What goes into the engine and what comes out.

use super::Running;
use crate::guard::{Permit, Rehearsal};
use crate::history::{ActOutcome, History};
use crate::ids::{ClusterUid, PermitId, StepId};
use crate::incident::Incident;
use crate::plan::Step;
use crate::signal::Signal;
use crate::world::{ObjectRef, Scope, Snapshot};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Number of a look; its answer carries the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LookId(pub u64);

/// All that the engine needs to go on after a restart. Loaded from the store alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// Version of the engine that writes this journal.
    pub engine_version: String,
    /// The cluster.
    pub cluster: ClusterUid,
    /// Epoch of the leader that runs the engine; grows with every start.
    pub leader_epoch: u64,
    /// The policy in force.
    pub policy: crate::policy::Policy,
    /// The runbooks in force, as text by file name: a changed rule is noticed by a replay.
    pub runbooks: std::collections::BTreeMap<String, String>,
    /// Incidents that are not closed.
    pub open: Vec<Incident>,
    /// Closed incidents of the last days, newest last, to link recurrences.
    pub closed: Vec<Incident>,
    /// What was done before.
    pub history: History,
    /// What is under way; absent after a restart.
    pub running: Option<Box<Running>>,
}

/// What the engine is told. Every input is journaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// First input of every start, and from time to time what a running engine knows, so that the
    /// journal before it may be forgotten.
    Start(Box<Checkpoint>),
    /// Something was heard.
    Signal(Signal),
    /// An alert that could not be used, recorded as such.
    Rejected {
        /// What was wrong with it.
        why: String,
        /// The alert as received, cut and redacted.
        alert: String,
    },
    /// Answer to [`Effect::Observe`].
    Observed {
        /// Which look.
        look: LookId,
        /// What was seen.
        snapshot: Box<Snapshot>,
    },
    /// The look failed altogether.
    NotObserved {
        /// Which look.
        look: LookId,
        /// Why.
        why: String,
    },
    /// Answer to [`Effect::Rehearse`].
    Rehearsed {
        /// Which step.
        step: StepId,
        /// What the server said.
        rehearsal: Rehearsal,
    },
    /// Answer to [`Effect::Act`] and [`Effect::ReadBack`].
    Acted {
        /// Which permit.
        permit: PermitId,
        /// What became of it.
        outcome: ActOutcome,
    },
    /// A workload's current revision was fully available for long enough.
    KnownGood {
        /// The workload.
        workload: ObjectRef,
        /// The ReplicaSet or ControllerRevision.
        revision: ObjectRef,
        /// For how long.
        #[serde(default)]
        after: SignedDuration,
    },
    /// The agent is stopping: no new step begins.
    Stopping,
    /// A time that was asked for by [`Effect::WakeAt`] has come.
    Tick,
}

/// What the engine wants done.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// Take a snapshot; the answer is [`Input::Observed`] or [`Input::NotObserved`].
    Observe {
        /// Number to answer with.
        look: LookId,
        /// Of what.
        scope: Scope,
        /// Read the scope's own objects (owner, revisions, pods, node, budgets, quotas, ...) from
        /// the API server instead of from the watch.
        fresh: bool,
        /// Fetch the logs of the subject's failing containers too.
        logs: bool,
    },
    /// Send the step's request with `dryRun=All`; the answer is [`Input::Rehearsed`].
    Rehearse(Step),
    /// Write; the answer is [`Input::Acted`].
    Act(Permit),
    /// Find out whether a write without an answer happened; the answer is [`Input::Acted`] with
    /// `Done` or `NotDone` (or `Unknown` again: ask later).
    ReadBack {
        /// Permit of the write.
        permit: PermitId,
        /// Its step.
        step: Step,
    },
    /// Wake the engine with a [`Input::Tick`] at that time.
    WakeAt(Timestamp),
}
