//! Places where a crash test may kill the agent. Without the feature `failpoints` they are nothing.
//!
//! In order of a write: `before_intent`, `after_intent` (the shell's), `before_send`,
//! `after_commit_answer_lost`, `before_result` (the hands').

/// Aborts the process when the environment variable `NIGHTSHIFT_FAILPOINT` holds this name: no
/// destructor runs, as with a kill.
#[cfg(feature = "failpoints")]
pub fn failpoint(name: &str) {
    if std::env::var("NIGHTSHIFT_FAILPOINT").is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
pub const fn failpoint(_name: &str) {}
