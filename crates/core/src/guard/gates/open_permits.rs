//! One permit at a time for a workload and for a node: two hands on one thing cannot be told apart.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;
use crate::guard::scene::sources_of;
use crate::ids::Uid;
use crate::plan::Step;
use crate::world::{Kind, ObjectRef, Source};
use std::collections::BTreeSet;

pub(super) struct OnePermit;

impl Gate for OnePermit {
    fn name(&self) -> &'static str {
        "open_permits"
    }

    /// Which workload and node a permit is out for shows only where its pod is seen.
    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        if scene.history.open_permits().next().is_none() {
            return Vec::new();
        }
        let mut needs = sources_of(&Kind::Pod);
        needs.push(Source::Nodes);
        needs
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let wanted = touched(scene, scene.step);
        let mut open = scene.history.open_permits();
        let busy = open.find(|act| {
            act.owner.uid == scene.step.check.owner.uid
                || wanted.contains(&act.owner.uid)
                || !wanted.is_disjoint(&touched(scene, &act.step))
        });
        match busy {
            Some(act) => deny(format!(
                "{} is out for the same workload or node ({} on {})",
                act.permit,
                act.step.action.word(),
                act.step.target
            )),
            None => pass("no other permit is out for the workload or node"),
        }
    }
}

/// What a step keeps busy: its target, its owner, and for a pod also its node.
fn touched(scene: &Scene<'_>, step: &Step) -> BTreeSet<Uid> {
    let top = scene.snapshot.topmost_owner(&step.target);
    let mut all = BTreeSet::from([
        step.target.uid.clone(),
        step.check.owner.uid.clone(),
        top.uid,
    ]);
    let pod = scene.snapshot.pod(&step.target.uid);
    let node = pod.and_then(|pod| scene.snapshot.node(&pod.spec.node_name));
    all.extend(node.map(|node| ObjectRef::of(Kind::Node, &node.metadata).uid));
    all
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::{Stage, done};
    use crate::history::ActOutcome;
    use crate::world::Source;

    fn out(stage: Stage, other: Stage, outcome: Option<ActOutcome>) -> Stage {
        let step = other.step;
        stage.with(|s| s.act(60, step, outcome))
    }

    #[test]
    fn without_another_permit_it_passes() {
        for stage in Stage::all() {
            stage.says("open_permits", Verdict::Pass, "no other permit");
        }
    }

    #[test]
    fn a_permit_out_for_the_same_workload_or_node_denies() {
        out(Stage::memory(), Stage::image(), None).says("open_permits", Verdict::Deny, "is out");
        out(Stage::delete_pod(), Stage::delete_pod(), None).says(
            "open_permits",
            Verdict::Deny,
            "is out",
        );
        out(Stage::cordon(), Stage::cordon(), None).says("open_permits", Verdict::Deny, "is out");
        out(Stage::evict(), Stage::cordon(), None).says("open_permits", Verdict::Deny, "is out");
    }

    #[test]
    fn a_write_without_an_answer_is_still_out() {
        let unknown = ActOutcome::Unknown {
            why: "timed out".to_owned(),
        };
        out(Stage::memory(), Stage::memory(), Some(unknown)).says(
            "open_permits",
            Verdict::Deny,
            "is out",
        );
    }

    #[test]
    fn a_settled_one_or_another_workload_passes() {
        out(Stage::memory(), Stage::memory(), Some(done())).says(
            "open_permits",
            Verdict::Pass,
            "no other",
        );
        out(Stage::memory(), Stage::delete_pod(), None).says(
            "open_permits",
            Verdict::Pass,
            "no other",
        );
    }

    #[test]
    fn blind_to_the_pods_of_a_permit_that_is_out_asks() {
        for source in [Source::Pods, Source::Nodes, Source::ReplicaSets] {
            out(Stage::memory(), Stage::delete_pod(), None)
                .blind(source)
                .says("open_permits", Verdict::Ask, "not seen");
            Stage::memory()
                .blind(source)
                .says("open_permits", Verdict::Pass, "no other");
        }
    }
}
