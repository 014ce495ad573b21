//! What the runbook itself wants a person for.

use super::{Gate, Ruled, ask, pass};
use crate::guard::Scene;

pub(super) struct RunbookAsks;

impl Gate for RunbookAsks {
    fn name(&self) -> &'static str {
        "runbook"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let (runbook, asks) = (&scene.step.runbook, &scene.step.asks);
        if asks.is_empty() {
            pass(format!("{runbook} lets this step go without a person"))
        } else {
            ask(format!("{runbook}: {}", asks.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;

    #[test]
    fn its_reasons_ask() {
        Stage::evict()
            .with(|s| s.step.asks = vec!["drain always asks".to_owned()])
            .says("runbook", Verdict::Ask, "drain always asks");
    }

    #[test]
    fn without_reasons_it_passes() {
        Stage::memory().says("runbook", Verdict::Pass, "without a person");
    }
}
