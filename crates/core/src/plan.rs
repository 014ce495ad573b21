//! What to do: immutable steps. An action knows its words, the fields it relies on, its undo and
//! what happens when it does not help; it never touches a cluster.

pub mod action;

pub use action::{Action, MemoryChange, OnNotFixed, RevisionRef};

use crate::diagnose::FaultClass;
use crate::ids::{Digest, IncidentId, RunbookId, StepId};
use crate::world::ObjectRef;
use serde::{Deserialize, Serialize};

/// One step of a plan: exactly one write to exactly one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Derived from the incident and the content: the same step has the same id.
    pub id: StepId,
    /// The incident.
    pub incident: IncidentId,
    /// What to do.
    pub action: Action,
    /// The object that is written, uid included.
    pub target: ObjectRef,
    /// Digest of exactly the fields that the step relied on and will write ([`basis`]).
    pub basis: Digest,
    /// The inverse, captured before the write; `None` where nothing can be taken back.
    pub undo: Option<Action>,
    /// The fault that the step is meant to end, on which workload or node.
    pub check: Check,
    /// Who proposed it.
    pub author: Author,
    /// Which runbook, and which of its steps.
    pub runbook: RunbookId,
    /// Name of the runbook's step.
    pub runbook_step: String,
    /// Whether this is the taking back of an earlier step.
    pub is_undo: bool,
    /// Reasons why the runbook itself wants a person (for example `drain always asks`).
    pub asks: Vec<String>,
}

/// What must be true on fresh reads for the step to have helped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The fault that must be gone.
    pub class: FaultClass,
    /// On the pods of this owner, or on this node.
    pub owner: ObjectRef,
    /// The fault's observed time to failure in milliseconds: stability is watched for twice that.
    pub time_to_failure_ms: u64,
}

/// Who proposed a step. Everything that proposes goes through the same gates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Author {
    /// A runbook chosen by rule.
    Rule,
}
