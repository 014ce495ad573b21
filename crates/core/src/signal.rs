//! What is heard: a watch change that some detector may care about, or an Alertmanager alert.

use crate::ids::SignalFingerprint;
use crate::world::ObjectRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something heard. It opens nothing by itself: it makes the engine look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Identity of the signal, to recognise a repetition.
    pub fingerprint: SignalFingerprint,
    /// What it is about; an alert's object has no uid yet.
    pub subject: ObjectRef,
    /// When we heard it.
    pub heard_at: Timestamp,
    /// Where it came from.
    pub body: SignalBody,
}

/// Where a signal came from, with what only that origin knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalBody {
    /// A watch change that looks like trouble (or like the end of it) for the subject.
    Watch,
    /// An alert. Its text is data: never an instruction, a command or a path.
    Alert(Alert),
}

/// One alert of an Alertmanager webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// `alertname`.
    pub name: String,
    /// Firing or resolved.
    pub firing: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire.
    pub starts_at: Option<Timestamp>,
    /// The `runbook_id` label: a hint among runbooks that match the diagnosis, nothing more.
    pub runbook_hint: Option<String>,
}
