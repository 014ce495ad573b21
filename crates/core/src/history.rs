//! What was done before: the facts that counts, budgets, breaker and "cordoned by us" rest on.
//! Rebuilt from the record at start.

use crate::ids::{IncidentId, PermitId, Uid};
use crate::plan::{Action, Step};
use crate::policy::Policy;
use crate::world::ObjectRef;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The field manager of every write of ours, as `managedFields` shows it.
pub const FIELD_MANAGER: &str = "nightshift";

/// Acts kept. Past it counts could miss something, so the guard asks before every step.
pub const MAX_ACTS: usize = 20_000;

/// The newest acts are kept whatever their age: the circuit breaker counts failures in a row.
pub const ALWAYS_KEPT: usize = 100;

/// Known good revisions kept, newest first: a forgotten one only means that nothing is rolled back
/// to it.
pub const MAX_KNOWN_GOOD: usize = 50_000;

/// Everything that was intended, with its result where one is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Acts, oldest first.
    pub acts: Vec<Act>,
    /// Revisions (ReplicaSet or ControllerRevision) that were seen fully available for 10 minutes.
    pub known_good: BTreeMap<Uid, Timestamp>,
}

impl History {
    /// Remembers a write that is about to be sent.
    pub fn record_intent(
        &mut self,
        permit: PermitId,
        incident: IncidentId,
        owner: ObjectRef,
        step: Step,
        at: Timestamp,
    ) {
        self.acts.push(Act {
            permit,
            incident,
            owner,
            step,
            at,
            outcome: None,
        });
    }

    /// Remembers what became of a write. A final answer is never replaced by a later one.
    pub fn record_outcome(&mut self, permit: &PermitId, outcome: ActOutcome) {
        let out = self.acts.iter_mut().find(|act| act.permit == *permit);
        if let Some(act) = out.filter(|act| act.is_out()) {
            act.outcome = Some(outcome);
        }
    }

    /// Permits that are out: the write may be under way, or nobody knows whether it happened.
    pub fn open_permits(&self) -> impl Iterator<Item = &Act> {
        self.acts.iter().filter(|act| act.is_out())
    }

    /// Acts that happened, or may have, since `since`: without the taking back of earlier ones,
    /// which no cool-down counts.
    pub fn happened_since(&self, since: Timestamp) -> impl Iterator<Item = &Act> {
        self.acts
            .iter()
            .filter(move |act| act.at >= since && act.may_have_happened() && !act.step.is_undo)
    }

    /// How often the action of that word was carried out on the owner since `since`.
    pub fn attempts(&self, owner: &ObjectRef, word: &str, since: Timestamp) -> usize {
        self.happened_since(since)
            .filter(|act| act.step.action.word() == word && same(&act.owner, owner))
            .count()
    }

    /// Whether we changed a memory limit of the owner (they are only ever raised) since `since`.
    pub fn memory_raised_since(&self, owner: &ObjectRef, since: Timestamp) -> bool {
        self.happened_since(since).any(|act| {
            let raised = matches!(act.step.action, Action::SetMemory { .. });
            raised && (same(&act.owner, owner) || same(&act.step.target, owner))
        })
    }

    /// Our cordon of the node, if the last thing that we did to its schedulability was a cordon
    /// that is done.
    pub fn our_cordon(&self, node: &Uid) -> Option<&Act> {
        let last = self.acts.iter().rev().find(|act| {
            let turns = matches!(act.step.action, Action::Cordon | Action::Uncordon);
            turns && act.step.target.uid == *node && act.is_done()
        });
        last.filter(|act| act.step.action == Action::Cordon)
    }

    /// Whether our own record says that the node is cordoned by us.
    pub fn cordoned_by_us(&self, node: &Uid) -> bool {
        self.our_cordon(node).is_some()
    }

    /// The done act that `undo` takes back. Its budget was reserved with that act's permit: no
    /// cool-down counts or stops an undo that has one.
    pub fn taken_back_by(&self, undo: &Step) -> Option<&Act> {
        self.acts.iter().rev().find(|act| {
            act.is_done()
                && !act.step.is_undo
                && act.incident == undo.incident
                && act.step.target.uid == undo.target.uid
                && act.step.undo.as_ref() == Some(&undo.action)
        })
    }

    /// Forgets what no rule looks at any more: everything but open permits, standing cordons, the
    /// newest acts and what lies within the longest window of the policy.
    pub fn prune(&mut self, policy: &Policy, now: Timestamp) {
        let window = policy
            .oom_again_window
            .max(policy.same_action_window)
            .max(policy.breaker_open_for);
        let oldest = before(now, window);
        let newest = self.acts.len().saturating_sub(ALWAYS_KEPT);
        let cordons: BTreeSet<PermitId> = self
            .acts
            .iter()
            .filter(|act| act.step.action == Action::Cordon)
            .filter_map(|act| self.our_cordon(&act.step.target.uid))
            .map(|act| act.permit.clone())
            .collect();
        let mut index = 0;
        self.acts.retain(|act| {
            index += 1;
            index > newest || act.at >= oldest || act.is_out() || cordons.contains(&act.permit)
        });
        self.prune_known_good();
    }

    fn prune_known_good(&mut self) {
        while self.known_good.len() > MAX_KNOWN_GOOD {
            let oldest = self.known_good.iter().min_by_key(|(_, at)| **at);
            let Some(uid) = oldest.map(|(uid, _)| uid.clone()) else {
                return;
            };
            self.known_good.remove(&uid);
        }
    }
}

/// `now - window`; the beginning of time where that is not representable.
pub(crate) fn before(now: Timestamp, window: SignedDuration) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// Same object, or another incarnation of it under the same name: deleting and creating a workload
/// anew does not wipe what was tried on it.
fn same(a: &ObjectRef, b: &ObjectRef) -> bool {
    a.uid == b.uid || a.same_name(b)
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

impl Act {
    /// Whether it has no final answer yet.
    pub fn is_out(&self) -> bool {
        matches!(self.outcome, None | Some(ActOutcome::Unknown { .. }))
    }

    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Some(ActOutcome::Done { .. }))
    }

    /// Whether it was done or may have been.
    pub fn may_have_happened(&self) -> bool {
        self.is_done() || self.is_out()
    }
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

impl std::fmt::Display for ActOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done { .. } => f.write_str("done"),
            Self::Refused { why } => write!(f, "refused: {why}"),
            Self::Blocked { why } => write!(f, "blocked: {why}"),
            Self::Stale { why } => write!(f, "stale: {why}"),
            Self::Expired => f.write_str("the permit had expired"),
            Self::Unknown { why } => write!(f, "no answer: {why}"),
            Self::NotDone { why } => write!(f, "not done: {why}"),
        }
    }
}
