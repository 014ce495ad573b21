//! The same action again and again does not mend anything: a person should look.

use super::{Gate, Ruled, ask, pass};
use crate::guard::Scene;
use crate::history::{MAX_ACTS, before};
use crate::plan::Action;

pub(super) struct TooOften;

impl Gate for TooOften {
    fn name(&self) -> &'static str {
        "too_often"
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let step = scene.step;
        if step.is_undo {
            return pass("an undo is not counted: its budget came with the permit");
        }
        if scene.history.acts.len() >= MAX_ACTS {
            return ask("the history is full, so that counts may miss something");
        }
        let (window, most) = (
            scene.policy.same_action_window,
            scene.policy.same_action_max,
        );
        let since = before(scene.now, window);
        let word = step.action.word();
        let (what, times) = if step.action == Action::Evict {
            // A drain evicts many pods of one node, each of them once.
            let acts = scene.history.happened_since(since);
            let same = acts.filter(|act| {
                act.step.action == Action::Evict && act.step.target.uid == step.target.uid
            });
            (&step.target, same.count())
        } else {
            let owner = &step.check.owner;
            (owner, scene.history.attempts(owner, word, since))
        };
        if times < usize::try_from(most).unwrap_or(usize::MAX) {
            pass(format!(
                "{word} was done {times} times on {what} within {window:#}"
            ))
        } else {
            ask(format!(
                "{word} was already done {times} times on {what} within {window:#}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::{Stage, done};
    use crate::history::{ActOutcome, MAX_ACTS};

    fn after(outcomes: &[(i64, Option<ActOutcome>)]) -> Stage {
        Stage::memory().with(|s| {
            for (ago, outcome) in outcomes {
                let step = s.step.clone();
                s.act(*ago, step, outcome.clone());
            }
        })
    }

    #[test]
    fn the_third_time_within_the_window_asks() {
        after(&[]).says("too_often", Verdict::Pass, "0 times");
        after(&[(60, Some(done()))]).says("too_often", Verdict::Pass, "1 times");
        after(&[(60, Some(done())), (50, Some(done()))]).says(
            "too_often",
            Verdict::Ask,
            "already done 2 times",
        );
    }

    #[test]
    fn what_lies_outside_the_window_or_did_not_happen_is_not_counted() {
        let blocked = ActOutcome::Blocked { why: String::new() };
        let stale = ActOutcome::Stale { why: String::new() };
        let not_done = ActOutcome::NotDone { why: String::new() };
        after(&[
            (3601, Some(done())),
            (3602, Some(done())),
            (60, Some(blocked)),
            (50, Some(stale)),
            (40, Some(not_done)),
            (30, Some(ActOutcome::Expired)),
        ])
        .says("too_often", Verdict::Pass, "0 times");
    }

    #[test]
    fn what_may_have_happened_is_counted() {
        let unknown = ActOutcome::Unknown { why: String::new() };
        after(&[(60, Some(unknown)), (50, None)]).says("too_often", Verdict::Ask, "2 times");
    }

    #[test]
    fn another_incarnation_of_the_workload_does_not_wipe_the_count() {
        after(&[(60, Some(done())), (50, Some(done()))])
            .with(|s| s.step.check.owner.uid = "created-anew".into())
            .says("too_often", Verdict::Ask, "2 times");
    }

    #[test]
    fn undos_count_for_nothing_and_are_never_counted_out() {
        after(&[(60, Some(done())), (50, Some(done()))])
            .with(|s| {
                for act in &mut s.history.acts {
                    act.step.is_undo = true;
                }
            })
            .says("too_often", Verdict::Pass, "0 times");
        after(&[(60, Some(done())), (50, Some(done())), (40, Some(done()))])
            .taken_back()
            .says("too_often", Verdict::Pass, "budget");
    }

    #[test]
    fn a_drain_counts_each_pod_for_itself() {
        let drained = |uid: &str| {
            Stage::evict().with(|s| {
                let mut step = s.step.clone();
                step.target.uid = uid.into();
                s.act(60, step.clone(), Some(done()));
                s.act(50, step, Some(done()));
            })
        };
        drained("other").says("too_often", Verdict::Pass, "0 times");
        let own = Stage::evict().step.target.uid;
        drained(own.as_str()).says("too_often", Verdict::Ask, "2 times");
    }

    #[test]
    fn a_full_history_asks() {
        let stage = after(&[(86_400, Some(done()))]);
        let act = stage.history.acts[0].clone();
        stage.with(|s| s.history.acts = vec![act; MAX_ACTS]).says(
            "too_often",
            Verdict::Ask,
            "full",
        );
    }
}
