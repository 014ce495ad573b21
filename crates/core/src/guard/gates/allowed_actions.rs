//! Only actions on the allow-list are used at all.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;

pub(super) struct AllowedActions;

impl Gate for AllowedActions {
    fn name(&self) -> &'static str {
        "allowed_actions"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let word = scene.step.action.word();
        if scene.policy.allowed_actions.contains(word) {
            pass(format!("{word} is on the list of allowed actions"))
        } else {
            deny(format!("{word} is not on the list of allowed actions"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;

    #[test]
    fn an_action_on_the_list_passes() {
        Stage::memory().says("allowed_actions", Verdict::Pass, "patch_memory_limit is on");
    }

    #[test]
    fn an_action_off_the_list_is_denied() {
        Stage::memory()
            .with(|s| {
                s.policy.allowed_actions.remove("patch_memory_limit");
            })
            .says("allowed_actions", Verdict::Deny, "not on the list");
    }
}
