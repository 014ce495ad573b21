//! The one transition function of an incident.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Opened; the least persistence runs.
    Open,
    /// A fresh look and the rehearsal of a step are under way.
    Preparing,
    /// A write is out (its intent is recorded).
    Acting,
    /// A write without an answer is being read back.
    ReadingBack,
    /// Checking on fresh reads whether it helped.
    Verifying,
    /// A person has to decide.
    Waiting,
    /// Ended.
    Closed,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Preparing,
        Self::Acting,
        Self::ReadingBack,
        Self::Verifying,
        Self::Waiting,
        Self::Closed,
    ];
}

/// What happens to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The fault lasted long enough: a plan is made.
    Persisted,
    /// The plan has to be made again on a newer look.
    Replanned,
    /// Every gate passed.
    Permitted,
    /// The write is done.
    Acted,
    /// The write got no answer.
    Unanswered,
    /// The read-back says that the write did not happen, or it was stale, blocked or expired.
    NotDone,
    /// The check found it healthy for long enough.
    Verified,
    /// A next step of the runbook follows, or the inverse of the last one.
    NextStep,
    /// Better evidence changed the class: the plan begins anew.
    Reclassified,
    /// The mode kept a step back, and the agent was started with one that does not.
    Resumed,
    /// Handed over to a person.
    HandedOver,
    /// A fresh look finds it healthy without us, or the object gone, or another incident has it.
    Ended,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 12] = [
        Self::Persisted,
        Self::Replanned,
        Self::Permitted,
        Self::Acted,
        Self::Unanswered,
        Self::NotDone,
        Self::Verified,
        Self::NextStep,
        Self::Reclassified,
        Self::Resumed,
        Self::HandedOver,
        Self::Ended,
    ];
}

/// An event that is not possible in a phase: a defect of the engine, never ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event:?} is not possible in phase {phase:?}")]
pub struct Illegal {
    /// Phase.
    pub phase: Phase,
    /// Event.
    pub event: Event,
}

impl Phase {
    /// The phase after `event`. A closed incident is never reopened, and nothing closes one while
    /// a write is out.
    pub fn next(self, event: Event) -> Result<Self, Illegal> {
        use Event as E;
        Ok(match (self, event) {
            (Self::Open | Self::Preparing | Self::Waiting, E::Reclassified)
            | (Self::Waiting, E::Resumed) => Self::Open,
            (Self::Open, E::Persisted)
            | (Self::Preparing, E::Replanned)
            | (Self::Verifying, E::NextStep)
            | (Self::Acting | Self::ReadingBack, E::NotDone) => Self::Preparing,
            (Self::Preparing, E::Permitted) => Self::Acting,
            (Self::Acting | Self::ReadingBack, E::Acted) => Self::Verifying,
            (Self::Acting | Self::ReadingBack, E::Unanswered) => Self::ReadingBack,
            (
                Self::Open
                | Self::Preparing
                | Self::Acting
                | Self::ReadingBack
                | Self::Verifying
                | Self::Waiting,
                E::HandedOver,
            ) => Self::Waiting,
            (Self::Verifying, E::Verified)
            | (Self::Open | Self::Preparing | Self::Verifying | Self::Waiting, E::Ended) => {
                Self::Closed
            }
            _ => return Err(Illegal { phase: self, event }),
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Preparing => "preparing",
            Self::Acting => "acting",
            Self::ReadingBack => "reading back",
            Self::Verifying => "verifying",
            Self::Waiting => "waiting for a person",
            Self::Closed => "closed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// Any change to the table shows in this snapshot and is reviewed there.
    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for phase in Phase::ALL {
            for event in Event::ALL {
                let next = phase
                    .next(event)
                    .map_or_else(|_| "-".to_owned(), |p| format!("{p:?}"));
                writeln!(
                    table,
                    "{:<12} {:<12} {next}",
                    format!("{phase:?}"),
                    format!("{event:?}")
                )
                .expect("writing to a String");
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_closed_incident_stays_closed() {
        assert!(
            Event::ALL
                .iter()
                .all(|event| Phase::Closed.next(*event).is_err())
        );
    }

    #[test]
    fn nothing_ends_while_a_write_is_out() {
        for phase in [Phase::Acting, Phase::ReadingBack] {
            assert!(phase.next(Event::Ended).is_err() && phase.next(Event::Verified).is_err());
        }
    }
}
