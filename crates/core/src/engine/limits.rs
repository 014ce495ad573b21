//! Every limit of the engine, with its reason.

use jiff::SignedDuration;

/// Open incidents that a detector speaks of. A cluster-wide outage opens one an owner; past this the
/// record says so and new ones wait until others close (their objects are looked at again with every
/// signal).
pub const FAULT_INCIDENTS: usize = 5_000;

/// Open incidents that only alerts speak of, beside [`FAULT_INCIDENTS`]: an alert is a claim, and no
/// number of claims takes the place of what the watch sees. Past this an alert is recorded, and
/// opens nothing when it comes again until others close.
pub const ALERT_INCIDENTS: usize = 1_000;

/// An alert that was not heard again for so long no longer counts as firing where a fresh look finds
/// nothing wrong. Alertmanager says one again every `repeat_interval`, 4 h by default.
pub(super) const ALERT_SILENT: SignedDuration = SignedDuration::from_hours(24);

/// Between two notices that no more incidents are opened: a flood is one piece of news.
pub(super) const FULL_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// Closed incidents kept in memory to link recurrences and to recognise a running alert episode.
pub(super) const CLOSED_INCIDENTS: usize = 500;

/// Looks in flight for subjects without an incident; signals past it are looked at when one ends.
pub(super) const SUBJECT_LOOKS: usize = 1_000;

/// Least time between two looks at one incident: a crash loop changes its status every second.
pub(super) const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// A waiting incident is looked at this often even if no watch speaks of it.
pub(super) const WAITING_LOOK_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Wait after a look that failed or was blind, and between two read-backs.
pub(super) const RETRY_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// Plans made again for one incident (stale basis, blocked eviction, no answer to a rehearsal)
/// before a person is asked. With [`RETRY_AFTER`] between them an API server may be away for
/// several minutes.
pub(super) const REPLANS: u32 = 60;

/// An alert of an incident that closed this recently is the same episode, not yet resolved. If it
/// fires on, it is looked at again.
pub(super) const EPISODE_TAIL: SignedDuration = SignedDuration::from_mins(15);

/// Longest time that a fault may stay unseeable (blind) before a person is asked.
pub(super) const BLIND_FOR: SignedDuration = SignedDuration::from_mins(5);
