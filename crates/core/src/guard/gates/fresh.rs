//! A write rests on a fresh look, by a clock that agrees with the API server's.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;
use crate::world::Source;
use jiff::SignedDuration;

pub(super) struct Fresh;

impl Gate for Fresh {
    fn name(&self) -> &'static str {
        "fresh"
    }

    fn needs(&self, _scene: &Scene<'_>) -> Vec<Source> {
        vec![Source::Clock]
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let age = scene.now.duration_since(scene.snapshot.taken_at);
        let limit = scene.policy.snapshot_max_age;
        if !scene.snapshot.fresh {
            deny("the snapshot was not read afresh from the API server")
        } else if age > limit {
            let old = seconds(age);
            deny(format!("the snapshot is {old} old, more than {limit:#}"))
        } else if age < SignedDuration::ZERO {
            deny("the snapshot is from the future: the clock went back")
        } else {
            pass(format!("the snapshot is fresh and {} old", seconds(age)))
        }
    }
}

/// Tenths of a second are enough for people.
fn seconds(age: SignedDuration) -> String {
    let tenths = age.as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::world::Source;
    use jiff::SignedDuration;

    fn after(seconds: i64) -> Stage {
        Stage::memory().with(|s| s.now = s.snapshot.taken_at + SignedDuration::from_secs(seconds))
    }

    #[test]
    fn a_young_fresh_snapshot_passes() {
        after(0).says("fresh", Verdict::Pass, "fresh");
        after(30).says("fresh", Verdict::Pass, "fresh and 30.0 s old");
        let young = SignedDuration::from_micros(7_836_914);
        Stage::memory()
            .with(|s| s.now = s.snapshot.taken_at + young)
            .says("fresh", Verdict::Pass, "fresh and 7.8 s old");
    }

    #[test]
    fn an_old_one_or_one_from_the_watch_or_the_future_is_denied() {
        after(31).says("fresh", Verdict::Deny, "more than 30s");
        after(-1).says("fresh", Verdict::Deny, "future");
        Stage::memory().with(|s| s.snapshot.fresh = false).says(
            "fresh",
            Verdict::Deny,
            "not read afresh",
        );
    }

    #[test]
    fn a_clock_that_cannot_be_trusted_asks() {
        Stage::memory()
            .blind(Source::Clock)
            .says("fresh", Verdict::Ask, "not seen");
    }
}
