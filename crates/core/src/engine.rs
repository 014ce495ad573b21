//! Joins the rooms: inputs in, effects out. The only place that knows all of them.
//!
//! [`Engine::handle`] is a function of the engine's state, the input and the time; the shell stores
//! what it decides and only then runs the effects. `hear` takes signals, `open` opens incidents,
//! `see` takes snapshots,
//! `consider` moves an incident along, `act` carries one step through rehearsal and guard, `answer`
//! takes what became of its write and `check` whether it helped.

mod act;
mod answer;
mod check;
mod consider;
mod hear;
pub mod input;
mod limits;
mod open;
mod see;
mod timers;
mod turn;

pub use input::{Checkpoint, Effect, Input, LookId};
pub use limits::{ALERT_INCIDENTS, FAULT_INCIDENTS};

use crate::diagnose::Diagnosis;
use crate::history::History;
use crate::ids::{ClusterUid, IncidentId, StepId};
use crate::incident::Incident;
use crate::plan::Step;
use crate::policy::Policy;
use crate::record::Batch;
use crate::runbook::Library;
use crate::world::{ObjectRef, Snapshot};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use timers::Timers;
use turn::Turn;

/// The engine of one cluster. It knows nothing until its first input, [`Input::Start`].
#[derive(Debug, Default)]
pub struct Engine {
    version: String,
    cluster: ClusterUid,
    leader_epoch: u64,
    policy: Policy,
    library: Library,
    history: History,
    open: BTreeMap<IncidentId, Incident>,
    closed: VecDeque<Incident>,
    run: Running,
}

/// What only a running engine knows: a restart begins without it, and loses nothing but time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    looks: BTreeMap<LookId, Looking>,
    /// Last looks at incidents: from the watch, and afresh.
    looked_at: [BTreeMap<IncidentId, Timestamp>; 2],
    /// Subjects and incidents that a signal spoke of while a look at them was in flight.
    again: BTreeSet<LookId>,
    /// Subjects that could not be looked at when they were heard of.
    owed: BTreeSet<ObjectRef>,
    prepared: BTreeMap<IncidentId, Prepared>,
    /// Steps whose rehearsal was sent and not answered yet.
    #[serde(default)]
    rehearsing: Vec<StepId>,
    /// Incidents whose next step waits for the answers to those that are out.
    queued: BTreeSet<IncidentId>,
    /// Since when the diagnosis of an incident has been too unsure to act on.
    #[serde(default)]
    unsure: BTreeMap<IncidentId, Timestamp>,
    timers: Timers,
    next_look: u64,
    stopping: bool,
    #[serde(default)]
    full_told: FullTold,
}

/// When people were last told that no more incidents are opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FullTold {
    alerts: Option<Timestamp>,
    faults: Option<Timestamp>,
}

/// What a look in flight is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Looking {
    /// Something that no incident speaks of yet.
    Subject(ObjectRef),
    /// An open incident.
    Incident { id: IncidentId, fresh: bool },
}

impl Looking {
    fn is_at(&self, incident: &IncidentId) -> bool {
        match self {
            Self::Incident { id, .. } => id == incident,
            Self::Subject(_) => false,
        }
    }
}

/// A step between its fresh look and the answer to its rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Prepared {
    step: Step,
    snapshot: Snapshot,
    diagnosis: Option<Diagnosis>,
}

/// What [`Engine::handle`] wants done: first store the batch durably, then run the effects in order.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Decision {
    /// Goes to the store in one transaction with the input itself.
    pub batch: Batch,
    /// Run only after the batch is durable.
    pub effects: Vec<Effect>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Open incidents.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// What was done before.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Everything that the engine knows. Told to any engine as [`Input::Start`], it goes on from here:
    /// a journal that begins with it replays to the same decisions, so that what came before may be
    /// forgotten. Told to this engine itself, it changes nothing.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            engine_version: self.version.clone(),
            cluster: self.cluster.clone(),
            leader_epoch: self.leader_epoch,
            policy: self.policy.clone(),
            runbooks: self.library.texts().clone(),
            open: self.open.values().cloned().collect(),
            closed: self.closed.iter().cloned().collect(),
            history: self.history.clone(),
            running: Some(Box::new(self.run.clone())),
        }
    }

    /// Decides. Same state, same input, same time: same decision.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Decision {
        let mut turn = Turn::new(self, now);
        match input {
            Input::Start(checkpoint) => turn.start(*checkpoint),
            Input::Signal(signal) => turn.signal(signal),
            Input::Rejected { why, alert } => turn.rejected(&why, &alert),
            Input::Observed { look, snapshot } => turn.observed(look, &snapshot),
            Input::NotObserved { look, why } => turn.not_observed(look, &why),
            Input::Rehearsed { step, rehearsal } => turn.rehearsed(&step, &rehearsal),
            Input::Acted { permit, outcome } => turn.acted(&permit, outcome),
            Input::KnownGood {
                workload,
                revision,
                after,
            } => turn.known_good(&workload, &revision, after),
            Input::Stopping => turn.stop(),
            Input::Tick => turn.tick(),
        }
        turn.finish()
    }
}

#[cfg(test)]
mod tests;
