//! Enough healthy pods stay: PodDisruptionBudgets, and without one at least one ready pod.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::guard::scene::{ends_pod, sources_of, writes_template};
use crate::plan::Action;
use crate::world::{ObjectRef, Pod, PodDisruptionBudget, Source};
use std::sync::Arc;

pub(super) struct Budgets;

impl Gate for Budgets {
    fn name(&self) -> &'static str {
        "budgets"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        if ends_pod(&step.action) {
            let mut needs = sources_of(&step.target.kind);
            needs.push(Source::PodDisruptionBudgets);
            needs
        } else if writes_template(&step.action) {
            let mut needs = sources_of(&step.target.kind);
            needs.push(Source::Pods);
            needs
        } else {
            Vec::new()
        }
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if writes_template(&scene.step.action) {
            return rollout(scene);
        }
        if !ends_pod(&scene.step.action) {
            return pass("no pod is ended by it directly");
        }
        let Some(pod) = scene.target_pod() else {
            return deny("the pod is gone");
        };
        let all = scene.snapshot.pdbs.iter();
        let budgets: Vec<_> = all.filter(|budget| protects(budget, pod)).collect();
        match budgets.as_slice() {
            [] => without_budget(scene, pod),
            [budget] => within(scene, budget, pod),
            // The eviction API refuses such a pod; deleting it would go past both.
            [first, second, ..] => ask(format!(
                "more than one budget protects the pod ({} and {})",
                first.metadata.name, second.metadata.name
            )),
        }
    }
}

/// A rollout replaces pods within the bounds of the workload's own strategy; only `Recreate` ends all
/// of them at once, the ready ones too, and asks no budget.
fn rollout(scene: &Scene<'_>) -> Ruled {
    let Some(workload) = scene.workload() else {
        return deny("the workload is gone");
    };
    if workload.spec.strategy.kind != "Recreate" {
        return pass("its rollout keeps to the workload's own strategy");
    }
    let top = workload.reference();
    match ready_pods(scene, &top).count() {
        0 => pass("its strategy is Recreate, and no pod of it is ready"),
        some => ask(format!(
            "the strategy of {top} is Recreate: its {some} ready pods would end at once"
        )),
    }
}

/// The owner's pods that are ready and stay.
fn ready_pods<'s>(
    scene: &'s Scene<'_>,
    owner: &'s ObjectRef,
) -> impl Iterator<Item = &'s Arc<Pod>> {
    let pods = scene.snapshot.pods_of(owner);
    pods.filter(|pod| pod.metadata.deletion_timestamp.is_none() && pod.is_ready())
}

/// `None` selects nothing, an empty selector everything (policy/v1).
fn protects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.selector.as_ref();
    budget.metadata.namespace == pod.metadata.namespace
        && selector.is_some_and(|selector| selector.matches(&pod.metadata.labels))
}

fn within(scene: &Scene<'_>, budget: &PodDisruptionBudget, pod: &Pod) -> Ruled {
    let (name, status) = (&budget.metadata.name, &budget.status);
    if status.observed_generation < budget.metadata.generation {
        return ask(format!(
            "the status of budget {name} is older than its spec"
        ));
    }
    let unready = !pod.is_ready();
    // An eviction of an unready pod is let through while the others suffice (unhealthyPodEviction
    // Policy IfHealthyBudget, the default); deleting it takes nothing from the healthy ones.
    let suffices = status.current_healthy >= status.desired_healthy;
    if unready && (scene.step.action == Action::DeletePod || suffices) {
        pass(format!("the pod is not ready: budget {name} loses nothing"))
    } else if status.disruptions_allowed > 0 {
        let allowed = status.disruptions_allowed;
        pass(format!("budget {name} allows {allowed} disruptions"))
    } else {
        deny(format!("budget {name} allows no disruption now"))
    }
}

fn without_budget(scene: &Scene<'_>, pod: &Pod) -> Ruled {
    if !pod.is_ready() {
        return pass("no budget protects the pod, and it is not ready");
    }
    let top = scene.snapshot.topmost_owner(&scene.step.target);
    let others = ready_pods(scene, &top).filter(|other| other.metadata.uid != pod.metadata.uid);
    match others.count() {
        0 => ask(format!("it is the only ready pod of {top}")),
        others => pass(format!(
            "no budget protects the pod, and {others} others are ready"
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::world::other::{BudgetSpec, BudgetStatus};
    use crate::world::workload::LabelSelector;
    use crate::world::{Meta, PodDisruptionBudget, Source};

    fn budget(name: &str, allowed: i64) -> PodDisruptionBudget {
        PodDisruptionBudget {
            metadata: Meta {
                name: name.to_owned(),
                namespace: "demo".to_owned(),
                generation: 1,
                ..Meta::default()
            },
            spec: BudgetSpec {
                selector: Some(LabelSelector::default()),
            },
            status: BudgetStatus {
                disruptions_allowed: allowed,
                current_healthy: 0,
                desired_healthy: 1,
                observed_generation: 1,
            },
        }
    }

    fn under(stage: Stage, budgets: Vec<PodDisruptionBudget>) -> Stage {
        stage.with(|s| s.snapshot.pdbs = budgets.into_iter().map(Into::into).collect())
    }

    fn ready(stage: Stage) -> Stage {
        stage.with(|s| {
            s.edit_pods(|pod| {
                for condition in &mut pod.status.conditions {
                    condition.status = "True".to_owned();
                }
            });
        })
    }

    #[test]
    fn an_unready_pod_may_be_deleted_under_an_exhausted_budget() {
        under(Stage::delete_pod(), vec![budget("db", 0)]).says(
            "budgets",
            Verdict::Pass,
            "loses nothing",
        );
        Stage::delete_pod().says("budgets", Verdict::Pass, "not ready");
    }

    #[test]
    fn recreate_ends_ready_pods_at_once_and_asks() {
        let recreate = |stage: Stage| {
            stage.with(|s| s.edit_workloads(|w| w.spec.strategy.kind = "Recreate".to_owned()))
        };
        let unready =
            |stage: Stage| stage.with(|s| s.edit_pods(|pod| pod.status.conditions.clear()));
        for stage in [Stage::memory, Stage::image, Stage::roll_back] {
            ready(stage()).says("budgets", Verdict::Pass, "own strategy");
            ready(recreate(stage())).says("budgets", Verdict::Ask, "ready pods would end");
            unready(recreate(stage())).says("budgets", Verdict::Pass, "no pod of it is ready");
        }
    }

    #[test]
    fn an_exhausted_budget_denies_a_ready_pod_and_every_eviction_past_it() {
        under(ready(Stage::delete_pod()), vec![budget("db", 0)]).says(
            "budgets",
            Verdict::Deny,
            "allows no disruption",
        );
        under(Stage::evict(), vec![budget("db", 0)]).says(
            "budgets",
            Verdict::Deny,
            "allows no disruption",
        );
        under(ready(Stage::delete_pod()), vec![budget("db", 1)]).says(
            "budgets",
            Verdict::Pass,
            "allows 1",
        );
    }

    #[test]
    fn an_unready_pod_is_evicted_while_the_others_suffice() {
        let mut enough = budget("db", 0);
        enough.status.current_healthy = 1;
        let unready = Stage::evict().with(|s| s.edit_pods(|p| p.status.conditions.clear()));
        under(unready, vec![enough]).says("budgets", Verdict::Pass, "loses nothing");
    }

    #[test]
    fn a_lagging_status_and_two_budgets_ask() {
        let mut lagging = budget("db", 1);
        lagging.metadata.generation = 2;
        under(Stage::delete_pod(), vec![lagging]).says("budgets", Verdict::Ask, "older");
        under(Stage::delete_pod(), vec![budget("a", 1), budget("b", 1)]).says(
            "budgets",
            Verdict::Ask,
            "more than one",
        );
    }

    #[test]
    fn a_budget_of_others_does_not_matter() {
        let mut elsewhere = budget("db", 0);
        elsewhere.metadata.namespace = "other".to_owned();
        let mut nothing = budget("db", 0);
        nothing.spec.selector = None;
        under(ready(Stage::delete_pod()), vec![elsewhere, nothing]).says(
            "budgets",
            Verdict::Ask,
            "only ready pod",
        );
    }

    #[test]
    fn the_last_ready_pod_asks_and_one_of_several_passes() {
        ready(Stage::delete_pod()).says("budgets", Verdict::Ask, "only ready pod");
        Stage::evict().says("budgets", Verdict::Pass, "others are ready");
    }

    #[test]
    fn blind_to_budgets_asks_only_where_a_pod_ends() {
        let source = Source::PodDisruptionBudgets;
        Stage::delete_pod()
            .blind(source)
            .says("budgets", Verdict::Ask, "not seen");
        Stage::memory()
            .blind(source)
            .says("budgets", Verdict::Pass, "own strategy");
        Stage::cordon()
            .blind(source)
            .says("budgets", Verdict::Pass, "no pod");
        Stage::delete_pod().with(|s| s.snapshot.pods.clear()).says(
            "budgets",
            Verdict::Deny,
            "gone",
        );
    }
}
