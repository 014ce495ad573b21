//! The API server was asked with `dryRun=All` and would take exactly this request.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::{Rehearsal, Scene};

pub(super) struct Rehearsed;

impl Gate for Rehearsed {
    fn name(&self) -> &'static str {
        "rehearsal"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        match scene.rehearsal {
            Rehearsal::Accepted { diff } => {
                pass(format!("the API server would change {} fields", diff.len()))
            }
            Rehearsal::Local { why, .. } => {
                ask(format!("the API server did not rehearse it: {why}"))
            }
            Rehearsal::Refused { why } => deny(format!("the API server would refuse it: {why}")),
            Rehearsal::Stale { why } => deny(format!("the object moved: {why}")),
            Rehearsal::Failed { why } => deny(format!("the rehearsal got no answer: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::stage::Stage;
    use crate::guard::{Rehearsal, Verdict};

    #[test]
    fn each_answer_has_its_verdict() {
        let why = || "because".to_owned();
        let local = Rehearsal::Local {
            diff: vec!["a: 1 -> 2".to_owned()],
            why: why(),
        };
        for (rehearsal, verdict) in [
            (Rehearsal::Accepted { diff: Vec::new() }, Verdict::Pass),
            (local, Verdict::Ask),
            (Rehearsal::Refused { why: why() }, Verdict::Deny),
            (Rehearsal::Stale { why: why() }, Verdict::Deny),
            (Rehearsal::Failed { why: why() }, Verdict::Deny),
        ] {
            let text = if verdict == Verdict::Pass {
                "would change"
            } else {
                "because"
            };
            Stage::memory()
                .with(|s| s.rehearsal = rehearsal)
                .says("rehearsal", verdict, text);
        }
    }
}
