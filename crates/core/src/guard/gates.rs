//! The gates: one file each, one line in the list.

mod allowed_actions;
mod autonomy;
mod autoscaler;
mod basis;
mod breaker;
mod budgets;
mod confidence;
mod dry_run;
mod eviction;
mod fault;
mod fresh;
mod managed;
mod nodes;
mod oom_again;
mod open_permits;
mod owner;
mod protected;
mod rehearsal;
mod rollout;
mod runbook;
mod too_often;
mod undo;

use super::{Ruling, Scene, Verdict};
use crate::world::Source;

/// A verdict with its reason.
type Ruled = (Verdict, String);

/// One safety rule.
trait Gate: Sync {
    /// Name, as in records and metrics; the file has the same.
    fn name(&self) -> &'static str;

    /// Sources that the rule rests on for this step. Blind to one of them, a pass becomes an ask.
    fn needs(&self, _scene: &Scene<'_>) -> Vec<Source> {
        Vec::new()
    }

    /// The verdict with its reason, from what is seen.
    fn check(&self, scene: &Scene<'_>) -> Ruled;
}

/// All gates, in the order in which rulings are shown. Private: judging with a list of one's own
/// would give anybody a permit.
static GATES: &[&dyn Gate] = &[
    // What the owner of the cluster allows.
    &allowed_actions::AllowedActions,
    &dry_run::DryRun,
    &autonomy::ByAutonomy,
    &protected::Protected,
    &runbook::RunbookAsks,
    // Whether we know enough.
    &fresh::Fresh,
    &fault::StillThere,
    &confidence::Certain,
    &basis::Basis,
    &rehearsal::Rehearsed,
    // Whose it is.
    &owner::OwnerKnown,
    &managed::Managed,
    &autoscaler::Autoscaler,
    &rollout::Rollout,
    // What was done before.
    &undo::Undo,
    &open_permits::OnePermit,
    &too_often::TooOften,
    &oom_again::OomAgain,
    &breaker::Breaker,
    // What would be lost.
    &nodes::Nodes,
    &eviction::Eviction,
    &budgets::Budgets,
];

/// Whether the gate of that name rules on nothing but the mode (`AGENT_MODE`, `DRY_RUN`).
pub(crate) fn is_about_mode(gate: &str) -> bool {
    let about_mode: [&dyn Gate; 2] = [&dry_run::DryRun, &autonomy::ByAutonomy];
    about_mode.iter().any(|one| one.name() == gate)
}

fn pass(reason: impl Into<String>) -> Ruled {
    (Verdict::Pass, reason.into())
}

fn ask(reason: impl Into<String>) -> Ruled {
    (Verdict::Ask, reason.into())
}

fn deny(reason: impl Into<String>) -> Ruled {
    (Verdict::Deny, reason.into())
}

/// Runs all gates.
pub(super) fn rule(scene: &Scene<'_>) -> Vec<Ruling> {
    let one = |gate: &&dyn Gate| {
        let (verdict, reason) = seeing(*gate, scene);
        Ruling {
            gate: gate.name().to_owned(),
            verdict,
            reason,
        }
    };
    GATES.iter().map(one).collect()
}

/// What the circuit breaker alone says: it rules before the rehearsal too.
pub(super) fn breaker(scene: &Scene<'_>) -> Verdict {
    seeing(&breaker::Breaker, scene).0
}

/// Not seen is not healthy: a pass counts only where everything it rests on was seen.
fn seeing(gate: &dyn Gate, scene: &Scene<'_>) -> Ruled {
    let ruled = gate.check(scene);
    let blind = scene.snapshot.blind_to(&gate.needs(scene));
    if blind.is_empty() || ruled.0 != Verdict::Pass {
        return ruled;
    }
    let unseen: Vec<_> = blind
        .iter()
        .map(|(source, why)| format!("{source:?} ({why})"))
        .collect();
    ask(format!("not seen: {}", unseen.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::stage::Stage;
    use crate::guard::{judge, strictest};
    use crate::policy::Autonomy;
    use crate::testkit::SOURCES;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn list_and_folder_hold_the_same_gates() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guard/gates");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|file| file.expect("a file").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let list: BTreeSet<String> = GATES.iter().map(|gate| gate.name().to_owned()).collect();
        assert_eq!(files, list);
        assert_eq!(GATES.len(), list.len(), "a gate is listed twice");
    }

    #[test]
    fn the_table_in_the_documentation_names_every_gate_in_order() {
        let docs = include_str!("../../../../docs/gates.md");
        let rows = docs.lines().filter_map(|line| line.strip_prefix("| `"));
        let named: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
        let list: Vec<_> = GATES.iter().map(|gate| gate.name()).collect();
        assert_eq!(named, list);
    }

    #[test]
    fn every_good_step_gets_a_permit_for_exactly_itself() {
        for stage in Stage::all() {
            let (rulings, permit) = judge(&stage.scene(), 7);
            let against: Vec<_> = rulings
                .iter()
                .filter(|r| r.verdict != Verdict::Pass)
                .collect();
            assert!(against.is_empty(), "{against:?}");
            let permit = permit.expect("a permit");
            assert_eq!(permit.step(), &stage.step);
            assert_eq!(permit.cluster(), &stage.snapshot.cluster);
            assert_eq!(permit.leader_epoch(), 7);
            assert_eq!(permit.expires_at(), stage.now + stage.policy.permit_ttl);
        }
    }

    #[test]
    fn one_ask_or_deny_is_enough_to_get_no_permit() {
        for change in changes() {
            for mut stage in Stage::all() {
                change(&mut stage);
                let (rulings, permit) = judge(&stage.scene(), 1);
                assert_eq!(permit.is_some(), strictest(&rulings) == Verdict::Pass);
            }
        }
    }

    #[test]
    fn a_fresh_installation_writes_nothing() {
        for stage in Stage::all() {
            let stage = stage.with(|s| s.policy = crate::policy::Policy::default());
            assert_eq!(judge(&stage.scene(), 1).1, None);
        }
    }

    /// Things that may be wrong with a scene.
    fn changes() -> Vec<fn(&mut Stage)> {
        vec![
            |_| (),
            |s| s.policy.dry_run = true,
            |s| s.policy.autonomy = Autonomy::Approve,
            |s| s.policy.allowed_actions.clear(),
            |s| s.step.target.namespace = "kube-system".to_owned(),
            |s| s.step.asks.push("a person".to_owned()),
            |s| s.snapshot.fresh = false,
            |s| s.diagnosis = None,
            |s| s.diagnosed_as(|d| d.confidence = crate::diagnose::Confidence(10)),
            |s| s.step.basis = crate::ids::Digest::of("other"),
            |s| s.step.is_undo = true,
            |s| s.edit_pods(|p| p.metadata.owner_references.clear()),
            |s| s.edit_workloads(|w| w.spec.paused = true),
            |s| s.edit_nodes(|n| n.status.conditions.clear()),
            |s| {
                let step = s.step.clone();
                s.act(10, step, None);
            },
            |s| {
                let step = s.step.clone();
                s.act(10, step.clone(), Some(crate::guard::stage::done()));
                s.act(9, step, Some(crate::guard::stage::done()));
            },
            |s| {
                let guarded = &mut s.snapshot.guarded_namespaces;
                guarded.webhooks.insert("demo".to_owned());
            },
        ]
    }

    fn index(len: usize) -> impl Strategy<Value = usize> {
        0..len
    }

    proptest! {
        /// Invariant 4: missing data makes the agent more careful, never bolder.
        #[test]
        fn not_seen_is_not_healthy_for_any_gate(
            stage in index(Stage::all().len()),
            wrong in proptest::collection::vec(index(changes().len()), 0..3),
            unseen in proptest::collection::btree_set(index(SOURCES.len()), 1..6),
            emptied in any::<bool>(),
            unlisted in any::<bool>(),
        ) {
            let mut stage = Stage::all().swap_remove(stage);
            for index in wrong {
                changes()[index](&mut stage);
            }
            let before = rule(&stage.scene());
            for index in unseen {
                stage = stage.lose(SOURCES[index], emptied, unlisted);
            }
            let after = rule(&stage.scene());
            for (seen, blind) in before.iter().zip(&after) {
                let bolder = seen.verdict != Verdict::Pass && blind.verdict == Verdict::Pass;
                prop_assert!(!bolder, "{seen} became {blind}");
            }
        }

        /// No ruling list without every gate, each with a reason; the strictest wins.
        #[test]
        fn every_gate_rules_with_a_reason_and_the_strictest_wins(
            stage in index(Stage::all().len()),
            wrong in proptest::collection::vec(index(changes().len()), 0..4),
        ) {
            let mut stage = Stage::all().swap_remove(stage);
            for index in wrong {
                changes()[index](&mut stage);
            }
            let (rulings, permit) = judge(&stage.scene(), 1);
            let names: Vec<_> = rulings.iter().map(|r| r.gate.as_str()).collect();
            let list: Vec<_> = GATES.iter().map(|gate| gate.name()).collect();
            prop_assert_eq!(names, list);
            prop_assert!(rulings.iter().all(|r| !r.reason.is_empty()));
            let strictest = strictest(&rulings);
            prop_assert!(rulings.iter().all(|r| r.verdict <= strictest));
            prop_assert_eq!(permit.is_some(), strictest == Verdict::Pass);
        }
    }
}
