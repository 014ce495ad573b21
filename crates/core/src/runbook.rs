//! Runbooks: Markdown with YAML front matter, its steps interpreted over one snapshot.
//!
//! A runbook is chosen by what the diagnosis says ([`choose()`]); [`advance()`] runs its steps in order:
//! reading tools look at the snapshot, gates in CEL decide, and the first writing tool whose gates
//! are open gives one [`crate::plan::Step`]. Nothing here touches a cluster.

mod advance;
mod choose;
mod format;
mod gate;
mod library;
mod lint;
mod problem;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod stories;
mod tools;
mod types;

pub use advance::{Advance, Context, Next, advance};
pub use choose::{Choice, choose};
pub use format::{Applies, Runbook, RunbookStep};
pub use library::Library;
pub use problem::Problem;
