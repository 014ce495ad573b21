//! The fields that the step relies on and writes are as they were when it was planned.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::guard::scene::sources_of;
use crate::plan::{self, Action, RevisionRef, Step};
use crate::world::Source;

pub(super) struct Basis;

impl Gate for Basis {
    fn name(&self) -> &'static str {
        "basis"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        sources_of(&step.target.kind)
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let step = scene.step;
        let Some(object) = plan::target(scene.snapshot, &step.target) else {
            return deny(format!("{} is gone", step.target));
        };
        let changed = if plan::basis(&step.action, &object) == step.basis {
            revisions(&step.action).find(|revision| {
                let seen = scene.snapshot.template_digests.get(&revision.uid);
                seen != Some(&revision.template)
            })
        } else {
            return moved(step, "the fields that the step relies on");
        };
        match changed {
            Some(revision) => moved(step, &format!("revision {}", revision.name)),
            None => pass(format!(
                "{} is as it was when the step was planned",
                step.target
            )),
        }
    }
}

/// An undo over somebody else's change is a person's case; any other step is planned again.
fn moved(step: &Step, what: &str) -> Ruled {
    let reason = format!(
        "{what} of {} changed since the step was planned",
        step.target
    );
    if step.is_undo {
        ask(reason)
    } else {
        deny(reason)
    }
}

fn revisions(action: &Action) -> impl Iterator<Item = &RevisionRef> {
    let both = match action {
        Action::RollBack { from, to } => Some([from, to]),
        Action::SetImage { .. }
        | Action::SetMemory { .. }
        | Action::DeletePod
        | Action::Evict
        | Action::Cordon
        | Action::Uncordon => None,
    };
    both.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::ids::Digest;
    use crate::world::Source;

    #[test]
    fn an_unchanged_object_passes() {
        for stage in Stage::all() {
            stage.says("basis", Verdict::Pass, "as it was");
        }
    }

    #[test]
    fn a_changed_or_vanished_object_is_denied() {
        let stage = Stage::memory().with(|s| {
            s.edit_workloads(|w| {
                drop(
                    w.spec.template.spec.containers[0]
                        .resources
                        .limits
                        .remove("memory"),
                );
            });
        });
        stage.says("basis", Verdict::Deny, "changed since");
        Stage::memory()
            .with(|s| s.snapshot.workloads.clear())
            .says("basis", Verdict::Deny, "gone");
        Stage::cordon()
            .with(|s| s.edit_nodes(|n| n.spec.unschedulable = true))
            .says("basis", Verdict::Deny, "changed since");
    }

    #[test]
    fn a_roll_back_is_bound_to_the_templates_of_both_revisions() {
        Stage::roll_back()
            .with(|s| s.snapshot.template_digests.clear())
            .says("basis", Verdict::Deny, "revision cart-");
        Stage::roll_back()
            .with(|s| {
                for digest in s.snapshot.template_digests.values_mut() {
                    *digest = Digest::of("edited");
                }
            })
            .says("basis", Verdict::Deny, "revision cart-");
    }

    #[test]
    fn an_undo_over_another_change_asks() {
        Stage::memory()
            .taken_back()
            .with(|s| s.step.basis = Digest::of("what we wrote"))
            .says("basis", Verdict::Ask, "changed since");
    }

    #[test]
    fn blind_to_the_object_asks() {
        Stage::memory()
            .blind(Source::Deployments)
            .says("basis", Verdict::Ask, "not seen");
        Stage::cordon()
            .blind(Source::Nodes)
            .says("basis", Verdict::Ask, "not seen");
    }
}
