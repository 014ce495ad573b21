//! Evidence, findings and the diagnosis that they join into.

use super::FaultClass;
use crate::ids::EvidenceId;
use crate::world::{ObjectRef, Source};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a fact comes from. Sources are independent of each other; agreement between them is what
/// raises confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EvidenceSource {
    /// `status` of an object.
    Status,
    /// An Event.
    Event,
    /// A log line.
    Log,
    /// What changed last: a new revision, an edited ConfigMap.
    Change,
    /// An alert that fires.
    Alert,
}

/// One observed fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Id that later claims cite; given when findings are joined (`E1`, ...), empty before.
    #[serde(default)]
    pub id: EvidenceId,
    /// Where it comes from.
    pub source: EvidenceSource,
    /// The object that it was seen on.
    pub object: ObjectRef,
    /// The fact, in one line.
    pub fact: String,
    /// When the fact was true, as the cluster says.
    pub at: Option<Timestamp>,
    /// `true`: speaks for the finding; `false`: against it.
    pub supports: bool,
}

/// What one detector concludes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The detector's name.
    pub detector: String,
    /// What is wrong.
    pub class: FaultClass,
    /// The pod, workload or node it was seen on.
    pub subject: ObjectRef,
    /// The topmost owner of the subject (the subject itself for nodes and bare pods).
    pub owner: ObjectRef,
    /// The container concerned, where there is one.
    pub container: Option<String>,
    /// A finer reason within the class, for example `not_found`, `auth`, `unreachable`, `taint`.
    pub reason: String,
    /// Since when, as the cluster says; else when the snapshot was taken.
    pub since: Timestamp,
    /// How long the fault must have lasted before a plan is made.
    pub persistence: SignedDuration,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// Certainty in percent, 0 to 100. See docs/diagnosis.md for the table it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(pub u8);

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// What changed last before the fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What kind of change.
    pub kind: ChangeKind,
    /// The object that changed.
    pub object: ObjectRef,
    /// When.
    pub at: Timestamp,
    /// The field manager that did it, where known.
    pub by: Option<String>,
    /// Whether the change came shortly before the fault and so may have caused it.
    pub explains_fault: bool,
}

/// Kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// A new revision of the owner's template.
    Revision,
    /// A ConfigMap that the pods use was edited in place.
    ConfigMap,
}

/// A cause, as far as the evidence carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What is wrong.
    pub class: FaultClass,
    /// Finer reason of the strongest finding.
    pub reason: String,
    /// Whose fault it is: the topmost owner.
    pub owner: ObjectRef,
    /// The object that shows it best (the pod, or the node).
    pub subject: ObjectRef,
    /// The container concerned.
    pub container: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Least time before a plan.
    pub persistence: SignedDuration,
    /// Symptom to cause, one short sentence each.
    pub path: Vec<String>,
    /// What changed last.
    pub changes: Vec<Change>,
    /// All evidence, with ids.
    pub evidence: Vec<Evidence>,
    /// Confidence.
    pub confidence: Confidence,
    /// How the confidence came about: the rows of the table that applied.
    pub confidence_rows: Vec<String>,
    /// Sources that could not be seen while diagnosing.
    pub blind: Vec<(Source, String)>,
}
