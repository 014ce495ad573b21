//! A step that calls itself an undo must be the inverse of something that we did: other gates are
//! milder to an undo.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;

pub(super) struct Undo;

impl Gate for Undo {
    fn name(&self) -> &'static str {
        "undo"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if !scene.step.is_undo {
            return pass("it is not the taking back of an earlier step");
        }
        match scene.history.taken_back_by(scene.step) {
            Some(act) => pass(format!("it takes back what {} did", act.permit)),
            None => deny("it is no inverse of anything that this incident did to the object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;

    #[test]
    fn the_inverse_of_our_own_act_passes() {
        Stage::memory()
            .taken_back()
            .says("undo", Verdict::Pass, "takes back what permit-1");
    }

    #[test]
    fn an_undo_of_nothing_is_denied() {
        Stage::memory()
            .with(|s| s.step.is_undo = true)
            .says("undo", Verdict::Deny, "no inverse");
    }

    #[test]
    fn another_incident_or_object_does_not_count() {
        Stage::memory()
            .taken_back()
            .with(|s| s.step.incident = "other".into())
            .says("undo", Verdict::Deny, "no inverse");
        Stage::memory()
            .taken_back()
            .with(|s| s.step.target.uid = "other".into())
            .says("undo", Verdict::Deny, "no inverse");
    }
}
