//! A dry run writes nothing at any autonomy.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;

pub(super) struct DryRun;

impl Gate for DryRun {
    fn name(&self) -> &'static str {
        "dry_run"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if scene.policy.dry_run {
            deny("dry run is on and nothing is written; DRY_RUN=false turns it off")
        } else {
            pass("dry run is off")
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;

    #[test]
    fn a_dry_run_denies_and_says_what_to_set() {
        Stage::memory().with(|s| s.policy.dry_run = true).says(
            "dry_run",
            Verdict::Deny,
            "DRY_RUN=false",
        );
    }

    #[test]
    fn without_a_dry_run_it_passes() {
        Stage::memory().says("dry_run", Verdict::Pass, "off");
    }
}
