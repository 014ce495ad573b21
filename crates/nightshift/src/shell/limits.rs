//! Every queue and wait of the shell has a limit, and its reason.

use jiff::SignedDuration;
use std::time::Duration;

/// Inputs from outside that wait for the engine. A flood beyond it is told to come back later.
pub(super) const INPUTS: usize = 1024;
/// Answers of running effects that wait for the engine. When full, the tasks wait, not the engine.
pub(super) const ANSWERS: usize = 256;
/// Effects that talk to the API server at once; the rest wait for their turn.
pub(super) const EFFECTS_AT_ONCE: usize = 16;
/// A commit takes milliseconds; after this, whoever submitted is told to try again.
pub(super) const SUBMIT: Duration = Duration::from_secs(5);
/// One look: some dozens of requests of the eyes, each with a limit of its own.
pub(super) const LOOK: Duration = Duration::from_mins(1);
/// One write with its reads before and after, at most three rounds. A write without an answer by
/// then is unknown, and read back.
pub(super) const WRITE: Duration = Duration::from_secs(45);
/// After SIGTERM, writes that are out may finish for so long: within the 30 s that Kubernetes gives
/// a pod by default, with room for closing the store.
pub(super) const STOP: SignedDuration = SignedDuration::from_secs(20);
/// First wait before a failed commit is tried again, doubled each time.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait before a failed commit is tried again.
pub(super) const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// Between two ticks.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The clock is read again at least this often, in case it was set.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two checkpoints in the journal: retention drops whole stretches between them.
pub(super) const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_hours(24);
