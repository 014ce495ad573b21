//! The API server was asked with `dryRun=All` and would take exactly this request.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::{Rehearsal, Scene};

pub(super) struct Rehearsed;

impl Gate for Rehearsed {
    fn name(&self) -> &'static str {
        "rehearsal"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let Some(rehearsal) = scene.rehearsal else {
            return ask("nothing was sent to the API server, not even a dry run");
        };
        match rehearsal {
            Rehearsal::Accepted { diff } => {
                let fields = if diff.len() == 1 { "field" } else { "fields" };
                pass(format!(
                    "the API server would change {} {fields}",
                    diff.len()
                ))
            }
            Rehearsal::Local { why, .. } => {
                ask(format!("the API server did not rehearse it: {why}"))
            }
            Rehearsal::NoRight { why, .. } => ask(format!("our account has no right to it: {why}")),
            Rehearsal::Forbidden { why } | Rehearsal::Refused { why } => {
                deny(format!("the API server would refuse it: {why}"))
            }
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
        let no_right = Rehearsal::NoRight {
            diff: Vec::new(),
            why: why(),
        };
        for (rehearsal, verdict) in [
            (Rehearsal::Accepted { diff: Vec::new() }, Verdict::Pass),
            (local, Verdict::Ask),
            (no_right, Verdict::Ask),
            (Rehearsal::Forbidden { why: why() }, Verdict::Deny),
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
                .with(|s| s.rehearsal = Some(rehearsal))
                .says("rehearsal", verdict, text);
        }
    }

    #[test]
    fn what_was_not_rehearsed_asks() {
        Stage::memory().with(|s| s.rehearsal = None).says(
            "rehearsal",
            Verdict::Ask,
            "nothing was sent",
        );
    }
}
