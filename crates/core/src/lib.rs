//! Every decision of Nightshift, and nothing else: no I/O, no clock, no randomness.
//!
//! ```text
//! signal -> incident -> snapshot -> diagnosis -> plan -> guard -> hands -> verify -> record
//! ```
//! One room (module) a stage; [`engine`] joins them: inputs in, effects out.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod analysis;
pub mod diagnose;
pub mod engine;
pub mod guard;
pub mod history;
pub mod ids;
pub mod incident;
pub mod plan;
pub mod policy;
pub mod record;
pub mod redact;
pub mod runbook;
pub mod signal;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod world;
