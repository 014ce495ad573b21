//! The shell: runs what the core decides, stores it, and shows it to people.
//!
//! ```text
//! intake, eyes -> Handle::submit -> engine task -> Store::append (commit) -> effects -> answers
//! ```
//! One task owns the engine. Nothing is run before the input and all that was decided on it are
//! durable; nothing is acknowledged before that either.

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod intake;
pub mod journal;
pub mod kubeconfig;
pub mod metrics;
pub mod notify;
pub mod outbox;
pub mod output;
pub mod pace;
pub mod replay;
pub mod retention;
mod runbook_files;
pub mod serve;
pub mod shell;
pub mod store;
pub mod telemetry;
