//! What is told, as programs get it: one document a line with `-o json`. docs/demo.md says it too.

use crate::store::Recorded;
use jiff::Timestamp;
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
        /// Seconds of the cluster's time since the fault.
        after_s: f64,
        /// `opened`: milliseconds of real time from hearing to having it on record. `intent`: from
        /// the plan to the recorded intent, rehearsal and gates included.
        #[serde(skip_serializing_if = "Option::is_none")]
        agent_ms: Option<f64>,
        /// The row, its incident with it.
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
    /// The last; where new faults keep coming, also once the story is over.
    End {
        /// Faults that ended as they should.
        right: usize,
        /// Faults that came to their end: not all where somebody interrupted.
        of: usize,
        /// Repaired without a person.
        alone: usize,
        /// Real seconds.
        seconds: f64,
        /// Seconds of the cluster's time.
        cluster_seconds: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_core::ids::Digest;
    use nightshift_core::record::{Entry, EntryKind};
    use serde_json::Value;

    #[test]
    fn no_document_has_a_key_twice() {
        let row = Recorded {
            seq: crate::journal::Seq(1),
            at: Timestamp::UNIX_EPOCH,
            entry: Entry {
                incident: Some("inc-1".into()),
                kind: EntryKind::Opened,
                text: "seen".to_owned(),
                body: Value::Null,
            },
            hash: Digest::default(),
        };
        let told = Told::Record {
            fault: "leak",
            after_s: 1.5,
            agent_ms: Some(1.4),
            row: &row,
        };
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(json.matches("\"incident\"").count(), 1, "{json}");
        let yaml = serde_saphyr::to_string(&told).unwrap();
        let read: Value = serde_saphyr::from_str(&yaml).expect("a reader takes no key twice");
        assert_eq!(read["incident"], "inc-1");
    }
}
