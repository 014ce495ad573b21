//! Which Event is written, and with which count: `EventCorrelator` of
//! `client-go/tools/record/events_cache.go`.

use super::{EventType, Reference, Source, passed};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

/// So many events of one source about one object at once (`defaultSpamBurst`).
const BURST: f64 = 25.0;
/// One more after so long (`defaultSpamQPS`).
const REFILL: Duration = Duration::from_mins(5);
/// From so many messages of one reason on they are merged (`defaultAggregateMaxEvents`).
const MERGE_FROM: usize = 10;
/// Within so long (`defaultAggregateIntervalInSeconds`).
const MERGE_WITHIN: Duration = Duration::from_mins(10);
/// After so long without a word the allowance is full again and nothing needs to be remembered.
const FORGET_AFTER: Duration = Duration::from_mins(125);

/// What a component says.
pub(super) struct Said<'a> {
    pub(super) source: &'a Source,
    pub(super) about: &'a Reference,
    pub(super) kind: EventType,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// What is written of it.
pub(super) struct Correlated {
    pub(super) name: Arc<str>,
    pub(super) count: u32,
    pub(super) first: Timestamp,
    pub(super) message: String,
}

/// Stands for texts that are only ever compared: ten thousand pods have some megabytes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Digest(u64);

impl Digest {
    fn of(texts: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What was heard, by source, object and type.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<Digest, FromOne>);

/// What one source said about one object, of one type.
#[derive(Debug)]
struct FromOne {
    allowance: f64,
    last: Timestamp,
    alike: Vec<Alike>,
    seen: Vec<Seen>,
}

/// Messages of one reason.
#[derive(Debug)]
struct Alike {
    reason: Digest,
    last: Timestamp,
    messages: Vec<Digest>,
}

/// One event (reason, path and message), or the merged one of a reason.
#[derive(Debug)]
struct Seen {
    what: Digest,
    name: Arc<str>,
    count: u32,
    first: Timestamp,
}

impl Heard {
    /// `None` when it is held back.
    pub(super) fn correlate(
        &mut self,
        said: &Said<'_>,
        now: Timestamp,
        fresh_name: Arc<str>,
    ) -> Option<Correlated> {
        let about = &said.about.object;
        let id = Digest::of(&(
            (&about.uid, &about.kind, &about.namespace, &about.name),
            (&said.source.component, &said.source.host),
            said.kind,
        ));
        let one = self.0.entry(id).or_insert_with(|| FromOne {
            allowance: BURST,
            last: now,
            alike: Vec::new(),
            seen: Vec::new(),
        });
        let merged = one.is_merged(said, now);
        let result = one.observe(said, merged, now, fresh_name);
        one.allow(now).then_some(result)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, one| passed(one.last, now) < FORGET_AFTER);
    }
}

impl FromOne {
    /// Are there so many messages of this reason that they become one?
    fn is_merged(&mut self, said: &Said<'_>, now: Timestamp) -> bool {
        let (reason, message) = (Digest::of(&said.reason), Digest::of(&said.message));
        let Some(alike) = self.alike.iter_mut().find(|one| one.reason == reason) else {
            self.alike.push(Alike {
                reason,
                last: now,
                messages: vec![message],
            });
            return false;
        };
        if passed(alike.last, now) > MERGE_WITHIN {
            alike.messages.clear();
        }
        alike.last = now;
        if !alike.messages.contains(&message) {
            alike.messages.push(message);
        }
        if alike.messages.len() < MERGE_FROM {
            return false;
        }
        alike.messages.remove(0);
        true
    }

    fn observe(
        &mut self,
        said: &Said<'_>,
        merged: bool,
        now: Timestamp,
        fresh_name: Arc<str>,
    ) -> Correlated {
        let (what, message) = if merged {
            let message = format!("(combined from similar events): {}", said.message);
            (Digest::of(&said.reason), message)
        } else {
            let path = said.about.field_path.as_deref().unwrap_or_default();
            let what = Digest::of(&(said.reason, path, said.message));
            (what, said.message.to_owned())
        };
        if let Some(seen) = self.seen.iter_mut().find(|one| one.what == what) {
            seen.count = seen.count.saturating_add(1);
            return Correlated {
                name: Arc::clone(&seen.name),
                count: seen.count,
                first: seen.first,
                message,
            };
        }
        self.seen.push(Seen {
            what,
            name: Arc::clone(&fresh_name),
            count: 1,
            first: now,
        });
        Correlated {
            name: fresh_name,
            count: 1,
            first: now,
            message,
        }
    }

    /// Takes one from the allowance.
    fn allow(&mut self, now: Timestamp) -> bool {
        let refilled = passed(self.last, now).as_secs_f64() / REFILL.as_secs_f64();
        self.last = now;
        self.allowance = (self.allowance + refilled).min(BURST);
        let allowed = self.allowance >= 1.0;
        if allowed {
            self.allowance -= 1.0;
        }
        allowed
    }
}
