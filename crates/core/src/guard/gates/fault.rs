//! The fault is still there on the fresh look.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;

pub(super) struct StillThere;

impl Gate for StillThere {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let meant = &scene.step.check;
        if scene.step.is_undo {
            return pass("an undo does not need the fault to be there");
        }
        match scene.diagnosis {
            None => deny(format!(
                "{} is no longer seen on {}",
                meant.class, meant.owner
            )),
            Some(found) if found.owner.uid != meant.owner.uid => deny(format!(
                "the fault is now seen on {}, not on {}",
                found.owner, meant.owner
            )),
            Some(found) if found.class != meant.class => deny(format!(
                "the fault is now {}, not {}",
                found.class, meant.class
            )),
            Some(found) => pass(format!("{} is still there on {}", found.class, found.owner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;

    #[test]
    fn a_fault_that_is_still_there_passes() {
        Stage::memory().says("fault", Verdict::Pass, "OomKilled is still there");
    }

    #[test]
    fn a_fault_that_went_or_changed_is_denied() {
        Stage::memory()
            .with(|s| s.diagnosis = None)
            .says("fault", Verdict::Deny, "no longer seen");
        Stage::memory()
            .diagnosed(|d| d.class = FaultClass::CrashLoop)
            .says("fault", Verdict::Deny, "now CrashLoop");
        Stage::memory()
            .diagnosed(|d| d.owner.uid = "other".into())
            .says("fault", Verdict::Deny, "now seen on");
    }

    #[test]
    fn an_undo_does_not_need_it() {
        Stage::memory()
            .taken_back()
            .with(|s| s.diagnosis = None)
            .says("fault", Verdict::Pass, "undo");
    }
}
