//! What one gate said.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Mildest first, so that `max` is the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing against it.
    Pass,
    /// A person decides.
    Ask,
    /// Not at all.
    Deny,
}

/// One gate's verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// The gate's name.
    pub gate: String,
    /// What it said.
    pub verdict: Verdict,
    /// Why, in one sentence; also for a pass.
    pub reason: String,
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.gate, self.verdict, self.reason)
    }
}

/// The strictest verdict; without any ruling it is `Deny`.
pub fn strictest(rulings: &[Ruling]) -> Verdict {
    rulings
        .iter()
        .map(|ruling| ruling.verdict)
        .max()
        .unwrap_or(Verdict::Deny)
}
