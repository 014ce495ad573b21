//! What we keep: typed entries, which the shell stores before it runs any effect.

use crate::history::Refusal;
use crate::ids::IncidentId;
use crate::incident::Incident;
use serde::{Deserialize, Serialize};

/// Kind of a row of `incident_events`. Names are fixed: scripts read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// An alert came in.
    WebhookReceived,
    /// A repetition of a signal that is being handled.
    Suppressed,
    /// An alert could not be used; the rest of its group was.
    Rejected,
    /// The incident was opened.
    Opened,
    /// An incident was not opened: as many are open as may be.
    NotOpened,
    /// A new diagnosis.
    Diagnosed,
    /// The class was corrected.
    Reclassified,
    /// Planned anew: the mode had kept the step back, and no longer does.
    Resumed,
    /// Another incident has it.
    Merged,
    /// A step was planned.
    Planned,
    /// The gates ruled.
    Ruled,
    /// A write will be sent: recorded durably before it is.
    Intent,
    /// What became of the write.
    Result,
    /// A check on fresh reads.
    Checked,
    /// Handed over to a person.
    Waiting,
    /// The alert resolved: evidence, not health.
    Resolved,
    /// An alert was not heard again for a day and no longer counts as firing.
    Silent,
    /// The end.
    Final,
    /// The written analysis.
    Analysis,
    /// A revision was seen fully available for long enough.
    KnownGood,
    /// A read or a source failed.
    Blind,
}

/// One row of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The incident; `None` for facts about the cluster.
    pub incident: Option<IncidentId>,
    /// Kind.
    pub kind: EntryKind,
    /// One sentence for people.
    pub text: String,
    /// The facts, by kind.
    pub body: serde_json::Value,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A person has to decide.
    Waiting,
    /// It was repaired.
    Repaired,
}

impl NoticeKind {
    /// The word that people and scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Repaired => "repaired",
        }
    }
}

/// A notice to people, delivered through the durable outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same notice has the same key: it is delivered at least once and shown once.
    pub key: String,
    /// The incident.
    pub incident: IncidentId,
    /// What it is about.
    pub kind: NoticeKind,
    /// What happened, in one line.
    pub title: String,
    /// Details in Markdown.
    pub text: String,
}

/// What goes to the store in one transaction, before any effect is run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Rows to append.
    pub entries: Vec<Entry>,
    /// Incidents to store whole.
    pub incidents: Vec<Incident>,
    /// Notices for the outbox.
    pub notices: Vec<Notice>,
    /// A rehearsal that was a failure for the breaker: a fact that the history is rebuilt from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_rehearsal: Option<Refusal>,
}
