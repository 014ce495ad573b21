//! May we: every gate rules, every ruling is kept, the strictest wins, nothing passes by default.

pub mod circuit;
mod gates;
pub mod permit;
pub mod ruling;
pub mod scene;
#[cfg(test)]
pub(crate) mod stage;

pub(crate) use gates::is_about_mode;
pub(crate) use permit::may_rehearse;
pub use permit::{Permit, judge};
pub use ruling::{Ruling, Verdict, strictest};
pub use scene::{Rehearsal, Scene};
