//! After several refused writes in a row nothing else is tried for a while.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::guard::circuit::{Circuit, circuit};

pub(super) struct Breaker;

impl Gate for Breaker {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let against = match circuit(scene.history, scene.policy, scene.now) {
            Circuit::Closed { failures } => {
                return pass(format!(
                    "the circuit is closed after {failures} failures in a row"
                ));
            }
            Circuit::HalfOpen { probing: None } => {
                return pass("the circuit is half open: this is the one that tries");
            }
            Circuit::HalfOpen {
                probing: Some(permit),
            } => format!("the circuit is half open and {permit} tries it"),
            Circuit::Open { until, failures } => {
                format!("the circuit is open until {until} after {failures} failures in a row")
            }
        };
        if scene.step.is_undo {
            ask(against)
        } else {
            deny(against)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::{Stage, refused};

    /// Three refusals, the last one so many seconds ago.
    fn refused_until(ago: i64) -> Stage {
        Stage::memory().with(|s| {
            let mut step = s.step.clone();
            step.target.uid = "other".into();
            for before in [20, 10, 0] {
                s.act(ago + before, step.clone(), Some(refused()));
            }
        })
    }

    #[test]
    fn closed_passes_open_denies_half_open_passes_one() {
        Stage::memory().says("breaker", Verdict::Pass, "closed");
        refused_until(299).says("breaker", Verdict::Deny, "open until");
        refused_until(300).says("breaker", Verdict::Pass, "half open");
        refused_until(300)
            .with(|s| {
                let step = s.step.clone();
                s.act(0, step, None);
            })
            .says("breaker", Verdict::Deny, "half open and permit-4");
    }

    #[test]
    fn an_open_circuit_turns_an_undo_into_an_ask() {
        Stage::memory()
            .taken_back()
            .with(|s| {
                let step = s.step.clone();
                for ago in [20, 10, 0] {
                    s.act(ago, step.clone(), Some(refused()));
                }
            })
            .says("breaker", Verdict::Ask, "open until");
    }
}
