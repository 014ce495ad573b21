//! What was done before: the facts that counts, budgets, breaker and "cordoned by us" rest on.
//! Rebuilt from the record at start.

use crate::ids::{IncidentId, PermitId, Uid};
use crate::plan::Step;
use crate::world::ObjectRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that was intended, with its result where one is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Acts, oldest first.
    pub acts: Vec<Act>,
    /// Revisions (ReplicaSet or ControllerRevision) that were seen fully available for 10 minutes.
    pub known_good: BTreeMap<Uid, Timestamp>,
}

/// One intended write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The permit that allowed it.
    pub permit: PermitId,
    /// The incident.
    pub incident: IncidentId,
    /// The incident's owner (workload or node).
    pub owner: ObjectRef,
    /// The step.
    pub step: Step,
    /// When the intent was recorded.
    pub at: Timestamp,
    /// What became of it; `None` while it is out.
    pub outcome: Option<ActOutcome>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActOutcome {
    /// Done.
    Done {
        /// Generation of the target after the write (0 where it has none).
        generation: i64,
        /// `resourceVersion` after the write, to relate it to the audit log.
        resource_version: String,
    },
    /// The server refused it: a failure for the breaker (403 too).
    Refused {
        /// Reason.
        why: String,
    },
    /// A budget refused an eviction for now (429, or 201 with `status: Failure`): no failure.
    Blocked {
        /// Reason.
        why: String,
    },
    /// The basis changed, or 409 three times: plan again; no failure.
    Stale {
        /// Reason.
        why: String,
    },
    /// The permit had expired before it was used: plan again; no failure.
    Expired,
    /// No answer: it may have happened. It is read back, never repeated blindly.
    Unknown {
        /// Reason.
        why: String,
    },
    /// Read back: it did not happen.
    NotDone {
        /// Reason.
        why: String,
    },
}
