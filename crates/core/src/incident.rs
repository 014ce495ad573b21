//! What is going on: one incident a cause, with every signal it explains.

pub mod phase;

pub use phase::{Event, Illegal, Phase};

use crate::diagnose::{Diagnosis, FaultClass};
use crate::guard::Ruling;
use crate::history::ActOutcome;
use crate::ids::{ClusterUid, IncidentId, PermitId, RunbookId, SignalFingerprint, Uid};
use crate::plan::Step;
use crate::signal::Signal;
use crate::world::ObjectRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Identity of an incident, made of facts, never of text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Cluster.
    pub cluster: ClusterUid,
    /// Topmost owner.
    pub owner: Uid,
    /// What is wrong with it.
    pub class: FaultClass,
}

/// One cause being handled. Stored whole with every change, so that a restart loses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Id; stays when the class is corrected.
    pub id: IncidentId,
    /// Identity.
    pub fingerprint: Fingerprint,
    /// Topmost owner (workload, node or bare pod).
    pub owner: ObjectRef,
    /// The object that shows it.
    pub subject: ObjectRef,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Where it stands.
    pub phase: Phase,
    /// Why it waits for a person, while it does.
    pub waiting_for: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Newest diagnosis.
    pub diagnosis: Option<Diagnosis>,
    /// Alerts that speak of it, newest last, at most [`MAX_ALERTS`].
    pub alerts: Vec<Signal>,
    /// Fingerprints of firing alerts being handled here, with when each was last heard, at most
    /// [`MAX_ALERTS`].
    pub firing: BTreeMap<SignalFingerprint, Timestamp>,
    /// Runbook that was chosen.
    pub runbook: Option<RunbookId>,
    /// Results of the runbook's steps so far, by step name.
    pub results: BTreeMap<String, serde_json::Value>,
    /// Names of the writing steps that are done.
    pub done_steps: Vec<String>,
    /// The step being prepared, carried out or checked.
    pub step: Option<Step>,
    /// Newest rulings about it.
    pub rulings: Vec<Ruling>,
    /// What was tried, oldest first.
    pub attempts: Vec<Attempt>,
    /// Earlier incident of the same owner and class.
    pub previous: Option<IncidentId>,
    /// When the verification that runs now gives up.
    pub verify_until: Option<Timestamp>,
    /// Since when the target has looked healthy in this verification.
    pub healthy_since: Option<Timestamp>,
    /// When the newest write was done.
    pub acted_at: Option<Timestamp>,
    /// Whether `step` takes back an earlier one.
    pub undoing: bool,
    /// What the newest check said.
    pub last_check: Option<String>,
    /// Since when it could not be seen.
    pub blind_since: Option<Timestamp>,
    /// Times the plan had to be made again because the target moved.
    pub replans: u32,
    /// `action_taken`: `patch_memory_limit:demo/my-app/app:256Mi→512Mi`.
    pub action_taken: Option<String>,
    /// `action_recommended`: the same form, when it was not carried out.
    pub action_recommended: Option<String>,
    /// `action_error`: why an action failed.
    pub action_error: Option<String>,
}

impl Incident {
    /// A new incident, without an id yet.
    pub fn open(
        fingerprint: Fingerprint,
        owner: ObjectRef,
        subject: ObjectRef,
        opened_at: Timestamp,
    ) -> Self {
        Self {
            id: IncidentId::default(),
            fingerprint,
            owner,
            subject,
            opened_at,
            closed_at: None,
            phase: Phase::Open,
            waiting_for: None,
            outcome: None,
            diagnosis: None,
            alerts: Vec::new(),
            firing: BTreeMap::new(),
            runbook: None,
            results: BTreeMap::new(),
            done_steps: Vec::new(),
            step: None,
            rulings: Vec::new(),
            attempts: Vec::new(),
            previous: None,
            verify_until: None,
            healthy_since: None,
            acted_at: None,
            undoing: false,
            last_check: None,
            blind_since: None,
            replans: 0,
            action_taken: None,
            action_recommended: None,
            action_error: None,
        }
    }

    /// Whether only alerts speak of it: no detector has.
    pub fn is_alert_only(&self) -> bool {
        self.diagnosis.is_none()
    }

    /// Whether a write of ours was done in it that was not the taking back of another one.
    pub fn was_acted_on(&self) -> bool {
        let done = |attempt: &Attempt| matches!(attempt.outcome, Some(ActOutcome::Done { .. }));
        self.attempts.iter().any(|a| !a.is_undo && done(a))
    }
}

/// Alerts kept with an incident.
pub const MAX_ALERTS: usize = 20;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Permit.
    pub permit: PermitId,
    /// What was done, in the form of `action_taken`.
    pub what: String,
    /// Whether it was the taking back of an earlier one.
    pub is_undo: bool,
    /// When the intent was recorded.
    pub at: Timestamp,
    /// What became of the write.
    pub outcome: Option<ActOutcome>,
    /// Whether it helped; `None` while that is not known.
    pub helped: Option<bool>,
}

/// How an incident ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Our action was verified to have helped.
    Fixed,
    /// Healthy on fresh looks, and no action of ours was verified to have done it.
    Recovered,
    /// The same fault is handled in that incident.
    Merged(IncidentId),
    /// The workload or node is gone.
    Gone,
    /// Nobody says its alerts any more, and what they named was never seen: nothing was repaired.
    Expired,
}
