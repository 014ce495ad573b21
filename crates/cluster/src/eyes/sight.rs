//! How well each watched source is seen. Not seen is not healthy: a source counts as seen only
//! after its first complete list, and only while it is heard or answers a probe.

use super::reader::seen;
use jiff::Timestamp;
use nightshift_core::world::{Coverage, Source};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is known about one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sight {
    /// Last list, event, bookmark or answered probe.
    heard: Option<Timestamp>,
    /// Whether the picture of it is complete.
    listed: bool,
    /// Why it is blind.
    blind: Option<String>,
}

/// All sources.
#[derive(Debug, Default)]
pub(super) struct Sights(BTreeMap<Source, Sight>);

impl Sights {
    /// Notes that the source was heard. Returns whether it was blind until now.
    pub(super) fn heard(&mut self, source: Source, now: Timestamp) -> bool {
        let sight = self.0.entry(source).or_default();
        sight.heard = Some(now);
        sight.blind.take().is_some()
    }

    /// Notes that the picture is complete.
    pub(super) fn listed(&mut self, source: Source) {
        self.0.entry(source).or_default().listed = true;
    }

    /// Notes that the source is blind. Returns whether that is new.
    pub(super) fn blind(&mut self, source: Source, why: &str) -> bool {
        let sight = self.0.entry(source).or_default();
        sight.blind.replace(why.to_owned()).is_none()
    }

    /// When the source was last heard.
    pub(super) fn last_heard(&self, source: Source) -> Option<Timestamp> {
        self.0.get(&source).and_then(|sight| sight.heard)
    }

    /// Coverage of one source. `longest` is how long it may be silent before it should have been
    /// probed and found blind: a watch that hangs itself shows here.
    pub(super) fn coverage(&self, source: Source, now: Timestamp, longest: Duration) -> Coverage {
        let blind = |why: &str| Coverage::Blind {
            why: why.to_owned(),
        };
        let Some(sight) = self.0.get(&source) else {
            return blind("not listed yet");
        };
        if let Some(why) = &sight.blind {
            return blind(why);
        }
        let Some(heard) = sight.heard.filter(|_| sight.listed) else {
            return blind("not listed yet");
        };
        let age = now.duration_since(heard);
        if age.unsigned_abs() > longest {
            return blind(&format!("silent for {} s", age.as_secs()));
        }
        seen(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const LONGEST: Duration = Duration::from_secs(100);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn shown(sights: &Sights, seconds: i64) -> String {
        match sights.coverage(Source::Pods, at(seconds), LONGEST) {
            Coverage::Seen { age_ms } => format!("seen {age_ms} ms ago"),
            Coverage::Blind { why } => why,
        }
    }

    #[test]
    fn a_source_is_seen_only_after_a_complete_list() {
        let mut sights = Sights::default();
        assert_eq!(shown(&sights, 0), "not listed yet");
        sights.heard(Source::Pods, at(0));
        assert_eq!(shown(&sights, 0), "not listed yet");
        sights.listed(Source::Pods);
        assert_eq!(shown(&sights, 2), "seen 2000 ms ago");
    }

    #[test]
    fn a_blind_source_stays_blind_until_it_is_heard() {
        let mut sights = Sights::default();
        sights.heard(Source::Pods, at(0));
        sights.listed(Source::Pods);
        assert!(sights.blind(Source::Pods, "403 forbidden"));
        assert!(!sights.blind(Source::Pods, "no answer"), "no news");
        assert_eq!(shown(&sights, 1), "no answer");
        assert!(sights.heard(Source::Pods, at(2)));
        assert_eq!(shown(&sights, 2), "seen 0 ms ago");
    }

    #[test]
    fn a_watch_that_hangs_itself_is_blind() {
        let mut sights = Sights::default();
        sights.heard(Source::Pods, at(0));
        sights.listed(Source::Pods);
        assert_eq!(shown(&sights, 101), "silent for 101 s");
    }
}
