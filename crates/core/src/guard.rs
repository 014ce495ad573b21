//! May we: every gate rules, every ruling is kept, the strictest wins, nothing passes by default.

pub mod gates;
pub mod permit;
pub mod ruling;

pub use permit::{Permit, judge};
pub use ruling::{Ruling, Verdict, strictest};

use crate::diagnose::Diagnosis;
use crate::history::History;
use crate::plan::Step;
use crate::policy::Policy;
use crate::world::Snapshot;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// All that gates may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// A fresh snapshot of the step's scope.
    pub snapshot: &'a Snapshot,
    /// Now.
    pub now: Timestamp,
    /// What was done before, and what is being done: permits out are in it.
    pub history: &'a History,
    /// The diagnosis made from `snapshot`; `None` when the fault is no longer there.
    pub diagnosis: Option<&'a Diagnosis>,
    /// The rehearsal of exactly this step.
    pub rehearsal: &'a Rehearsal,
    /// The step.
    pub step: &'a Step,
}

/// What the API server said to the same request with `dryRun=All`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rehearsal {
    /// It would be taken.
    Accepted {
        /// What would change, as lines `path: old -> new`.
        diff: Vec<String>,
    },
    /// The server could not rehearse it (no right, a webhook without dry run): the diff was
    /// computed here, which in `auto` is an ask.
    Local {
        /// As above.
        diff: Vec<String>,
        /// Why the server did not.
        why: String,
    },
    /// It would be refused.
    Refused {
        /// The server's reason.
        why: String,
    },
    /// The target is gone or its basis changed.
    Stale {
        /// What changed.
        why: String,
    },
    /// No answer.
    Failed {
        /// The error.
        why: String,
    },
}
