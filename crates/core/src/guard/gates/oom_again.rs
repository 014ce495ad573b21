//! More memory helps once; a workload that runs out again leaks, and a person decides.

use super::{Gate, Ruled, ask, pass};
use crate::diagnose::FaultClass;
use crate::guard::Scene;
use crate::history::before;
use crate::plan::Action;

pub(super) struct OomAgain;

impl Gate for OomAgain {
    fn name(&self) -> &'static str {
        "oom_again"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let (step, window) = (scene.step, scene.policy.oom_again_window);
        let raises = matches!(step.action, Action::SetMemory { .. });
        let owner = &step.check.owner;
        if step.is_undo {
            pass("an undo gives no memory")
        } else if !raises && step.check.class != FaultClass::OomKilled {
            pass("it is not about memory")
        } else if scene
            .history
            .memory_raised_since(owner, before(scene.now, window))
        {
            ask(format!(
                "{owner} was given more memory within {window:#} and ran out again"
            ))
        } else if scene
            .history
            .oom_killed_since(owner, before(scene.now, window))
        {
            ask(format!(
                "{owner} had another incident of this kind within {window:#}"
            ))
        } else {
            pass(format!(
                "{owner} was not given more memory within {window:#}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::guard::Verdict;
    use crate::guard::stage::{Stage, done};
    use jiff::SignedDuration;

    const WEEK: i64 = 7 * 24 * 3600;

    fn raised(ago: i64) -> Stage {
        Stage::memory().with(|s| {
            let step = s.step.clone();
            s.act(ago, step, Some(done()));
        })
    }

    #[test]
    fn the_first_time_passes_and_the_second_within_a_week_asks() {
        Stage::memory().says("oom_again", Verdict::Pass, "was not given");
        raised(3600).says("oom_again", Verdict::Ask, "ran out again");
        raised(WEEK).says("oom_again", Verdict::Ask, "ran out again");
        raised(WEEK + 1).says("oom_again", Verdict::Pass, "was not given");
    }

    #[test]
    fn an_earlier_kill_asks_whoever_ended_it() {
        let killed = |ago: i64| {
            Stage::memory().with(|s| {
                let at = s.now - SignedDuration::from_secs(ago);
                s.history.record_oom_kill(&s.step.check.owner, at);
            })
        };
        killed(WEEK).says("oom_again", Verdict::Ask, "another incident");
        killed(WEEK + 1).says("oom_again", Verdict::Pass, "was not given");
    }

    #[test]
    fn any_action_against_the_second_oom_asks() {
        let image = Stage::image().step.action;
        raised(3600).with(|s| s.step.action = image).says(
            "oom_again",
            Verdict::Ask,
            "ran out again",
        );
    }

    #[test]
    fn undos_and_other_faults_pass() {
        raised(3600)
            .taken_back()
            .says("oom_again", Verdict::Pass, "undo");
        let image = Stage::image().step.action;
        raised(3600)
            .with(|s| {
                s.step.action = image;
                s.step.check.class = FaultClass::ImagePullFailure;
            })
            .says("oom_again", Verdict::Pass, "not about memory");
    }
}
