//! Which Event is written, and with which count: `EventCorrelator` of
//! `client-go/tools/record/events_cache.go`.

use super::{EventType, Reference, Source, passed};
use jiff::Timestamp;
use std::collections::BTreeMap;
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
    pub(super) source: Source<'a>,
    pub(super) about: &'a Reference,
    pub(super) kind: EventType,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// What is written of it.
pub(super) struct Correlated {
    pub(super) name: String,
    pub(super) count: u32,
    pub(super) first: Timestamp,
    pub(super) message: String,
}

/// What was heard, by source and object.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<String, FromOne>);

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
    reason: String,
    last: Timestamp,
    messages: Vec<String>,
}

/// One event, or, without a message, the merged one of a reason.
#[derive(Debug)]
struct Seen {
    reason: String,
    path_and_message: Option<(String, String)>,
    name: String,
    count: u32,
    first: Timestamp,
}

impl Heard {
    /// `None` when it is held back.
    pub(super) fn correlate(
        &mut self,
        said: &Said<'_>,
        now: Timestamp,
        fresh_name: String,
    ) -> Option<Correlated> {
        let about = said.about;
        let id = format!(
            "{}/{}/{}/{}/{}/{}/{:?}",
            about.uid,
            about.kind,
            about.namespace,
            about.name,
            said.source.component,
            said.source.host,
            said.kind
        );
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
        let Some(alike) = self.alike.iter_mut().find(|one| one.reason == said.reason) else {
            self.alike.push(Alike {
                reason: said.reason.to_owned(),
                last: now,
                messages: vec![said.message.to_owned()],
            });
            return false;
        };
        if passed(alike.last, now) > MERGE_WITHIN {
            alike.messages.clear();
        }
        alike.last = now;
        if !alike.messages.iter().any(|one| one == said.message) {
            alike.messages.push(said.message.to_owned());
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
        fresh_name: String,
    ) -> Correlated {
        let path = said.about.field_path.as_str();
        let same = |one: &&mut Seen| {
            one.reason == said.reason
                && match &one.path_and_message {
                    None => merged,
                    Some((at, message)) => !merged && at == path && message == said.message,
                }
        };
        let message = if merged {
            format!("(combined from similar events): {}", said.message)
        } else {
            said.message.to_owned()
        };
        if let Some(seen) = self.seen.iter_mut().find(same) {
            seen.count = seen.count.saturating_add(1);
            return Correlated {
                name: seen.name.clone(),
                count: seen.count,
                first: seen.first,
                message,
            };
        }
        self.seen.push(Seen {
            reason: said.reason.to_owned(),
            path_and_message: (!merged).then(|| (path.to_owned(), said.message.to_owned())),
            name: fresh_name.clone(),
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
