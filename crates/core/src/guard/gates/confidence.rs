//! Acts alone only on a diagnosis that is certain enough.

use super::{Gate, Ruled, ask, pass};
use crate::diagnose::{Confidence, FaultClass};
use crate::guard::Scene;

pub(super) struct Certain;

impl Gate for Certain {
    fn name(&self) -> &'static str {
        "confidence"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if scene.step.is_undo {
            return pass("an undo does not rest on the diagnosis");
        }
        let Some(diagnosis) = scene.diagnosis else {
            return ask("there is no diagnosis");
        };
        let (has, over) = (
            diagnosis.confidence,
            Confidence(scene.policy.confidence_over),
        );
        if diagnosis.class == FaultClass::Unexplained {
            ask("the fault is not explained")
        } else if has > over {
            pass(format!("confidence {has} is over {over}"))
        } else {
            ask(format!("confidence {has} is not over {over}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::{Confidence, FaultClass};
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;

    fn at(percent: u8) -> Stage {
        Stage::memory().diagnosed(|d| d.confidence = Confidence(percent))
    }

    #[test]
    fn the_threshold_is_exclusive() {
        at(76).says("confidence", Verdict::Pass, "0.76 is over 0.75");
        at(75).says("confidence", Verdict::Ask, "0.75 is not over 0.75");
        at(0).says("confidence", Verdict::Ask, "0.00");
    }

    #[test]
    fn without_a_diagnosis_or_an_explanation_it_asks() {
        Stage::memory().with(|s| s.diagnosis = None).says(
            "confidence",
            Verdict::Ask,
            "no diagnosis",
        );
        Stage::memory()
            .diagnosed(|d| d.class = FaultClass::Unexplained)
            .says("confidence", Verdict::Ask, "not explained");
    }

    #[test]
    fn an_undo_does_not_need_it() {
        Stage::memory()
            .taken_back()
            .with(|s| s.diagnosis = None)
            .says("confidence", Verdict::Pass, "undo");
    }
}
