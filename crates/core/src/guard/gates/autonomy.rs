//! What may be done without a person at the configured autonomy.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::policy::Autonomy;

pub(super) struct ByAutonomy;

impl Gate for ByAutonomy {
    fn name(&self) -> &'static str {
        "autonomy"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        match scene.policy.autonomy {
            Autonomy::Observe => {
                deny("AGENT_MODE=observe only records; approve or auto lets the agent write")
            }
            Autonomy::Recommend => {
                deny("AGENT_MODE=recommend only proposes; approve or auto lets the agent write")
            }
            Autonomy::Approve => ask("AGENT_MODE=approve asks before every step"),
            Autonomy::Auto => pass("AGENT_MODE=auto acts where no other gate asks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::policy::Autonomy;

    #[test]
    fn each_level_has_its_verdict() {
        for (autonomy, verdict, word) in [
            (Autonomy::Observe, Verdict::Deny, "observe"),
            (Autonomy::Recommend, Verdict::Deny, "recommend"),
            (Autonomy::Approve, Verdict::Ask, "approve"),
            (Autonomy::Auto, Verdict::Pass, "auto"),
        ] {
            Stage::memory()
                .with(|s| s.policy.autonomy = autonomy)
                .says("autonomy", verdict, word);
        }
    }
}
