//! What is told, as programs get it: one document a line with `-o json`. docs/demo.md says it too.

use crate::store::Recorded;
use jiff::Timestamp;
use nightshift_core::ids::IncidentId;
use serde::Serialize;

/// One document of `-o json`.
#[derive(Debug, Serialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    /// The first.
    Begin {
        /// Gives the same order of faults again.
        seed: u64,
        /// Their names in order.
        faults: Vec<&'a str>,
        /// How many times as fast as the wall the cluster's time goes.
        speed: f64,
    },
    /// Something was broken.
    Broken {
        /// The fault.
        fault: &'a str,
        /// What is wrong, for people.
        about: &'a str,
        /// The cluster's time.
        at: Timestamp,
    },
    /// A row of the agent's record.
    Record {
        /// The fault that it came after.
        fault: &'a str,
        /// Its incident.
        incident: &'a IncidentId,
        /// Seconds of the cluster's time since the fault.
        after_s: f64,
        /// `opened`: milliseconds of real time from hearing to having it on record. `intent`: from
        /// the plan to the recorded intent, rehearsal and gates included.
        #[serde(skip_serializing_if = "Option::is_none")]
        agent_ms: Option<f64>,
        /// The row.
        #[serde(flatten)]
        row: &'a Recorded,
    },
    /// The judge has spoken.
    Judged {
        /// The fault.
        fault: &'a str,
        /// What is right.
        expected: &'a str,
        /// Whether it is so.
        right: bool,
        /// What is wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<&'a str>,
    },
    /// The last.
    End {
        /// Endings that are right.
        right: usize,
        /// Endings.
        of: usize,
        /// Repaired without a person.
        alone: usize,
        /// Real seconds.
        seconds: f64,
        /// Seconds of the cluster's time.
        cluster_seconds: f64,
    },
}
