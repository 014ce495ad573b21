//! A paused workload is an operator's intent, and somebody else's rollout is left to end.

use super::{Gate, Ruled, ask, pass};
use crate::guard::Scene;
use crate::guard::scene::{ends_pod, sources_of, writes_template};
use crate::history::FIELD_MANAGER;
use crate::plan::revisions;
use crate::world::{Field, Kind, Source, Workload};
use jiff::Timestamp;

pub(super) struct Rollout;

impl Gate for Rollout {
    fn name(&self) -> &'static str {
        "rollout"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        if writes_template(&step.action) || ends_pod(&step.action) {
            sources_of(&step.target.kind)
        } else {
            Vec::new()
        }
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let action = &scene.step.action;
        if !writes_template(action) && !ends_pod(action) {
            return pass("no workload is concerned");
        }
        let Some(workload) = scene.workload() else {
            return ask("the workload was not seen");
        };
        let name = workload.reference();
        if workload.spec.paused {
            ask(format!("{name} is paused by an operator"))
        } else if workload.spec.suspend {
            ask(format!("{name} is suspended by an operator"))
        } else if writes_template(action) && workload.spec.update_strategy.kind == "OnDelete" {
            ask(format!(
                "{name} updates OnDelete: the change reaches no pod by itself"
            ))
        } else if in_progress(workload) {
            whose(scene, workload)
        } else {
            pass(format!("no rollout of {name} is in progress"))
        }
    }
}

/// As `kubectl rollout status` sees it.
fn in_progress(workload: &Workload) -> bool {
    let status = &workload.status;
    if status.observed_generation < workload.metadata.generation {
        return true;
    }
    let wanted = workload.replicas();
    match workload.kind {
        Kind::Deployment => {
            status.updated_replicas < wanted
                || status.replicas > status.updated_replicas
                || status.available_replicas < status.updated_replicas
        }
        Kind::StatefulSet => {
            status.current_revision != status.update_revision || status.ready_replicas < wanted
        }
        Kind::DaemonSet => {
            let wanted = status.desired_number_scheduled;
            status.updated_number_scheduled < wanted || status.number_available < wanted
        }
        Kind::Pod
        | Kind::Node
        | Kind::Namespace
        | Kind::ReplicaSet
        | Kind::ControllerRevision
        | Kind::Job
        | Kind::CronJob
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event
        | Kind::Other(_) => false,
    }
}

/// A rollout that the fault came with is what the step mends, and our own is ours. One that began
/// after the fault is somebody's attempt to mend it.
fn whose(scene: &Scene<'_>, workload: &Workload) -> Ruled {
    let name = workload.reference();
    let Some((at, by)) = last_change(scene, workload) else {
        return ask(format!(
            "{name} is rolling out, and who began that was not seen"
        ));
    };
    if by == FIELD_MANAGER {
        return pass(format!("the rollout of {name} is our own"));
    }
    let fault = scene.diagnosis.map(|diagnosis| diagnosis.since);
    let acts = scene.history.acts.iter().rev();
    let ours = acts.filter(|act| act.is_done() && act.owner.uid == workload.metadata.uid);
    let known = fault.into_iter().chain(ours.map(|act| act.at)).max();
    if known.is_some_and(|known| at <= known) {
        pass(format!(
            "the rollout of {name} by {by} is older than the fault"
        ))
    } else {
        ask(format!(
            "{by} began a rollout of {name} at {at}, after the fault"
        ))
    }
}

/// Who changed the template last and when: from the managers, else from the newest revision.
fn last_change(scene: &Scene<'_>, workload: &Workload) -> Option<(Timestamp, String)> {
    let entries = workload.metadata.managed_fields.iter();
    let of_template = entries.filter(|e| e.touches.contains(&Field::Template));
    let timed = of_template.filter_map(|e| Some((e.time?, e.manager.clone())));
    // Times are whole seconds: in a tie it was somebody else.
    let last = timed.max_by_key(|(at, by)| (*at, by != FIELD_MANAGER));
    last.or_else(|| {
        let all = revisions(scene.snapshot, workload);
        let at = all.first()?.meta.creation_timestamp?;
        Some((at, "somebody".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::world::{Field, Kind, ManagedField, Source, Workload};
    use jiff::SignedDuration;

    fn owner(stage: Stage, change: impl Fn(&mut Workload)) -> Stage {
        stage.with(|s| {
            s.edit_workloads(|w| {
                if w.kind != Kind::ReplicaSet {
                    change(w);
                }
            });
        })
    }

    fn changed_by(manager: &str, after_fault: i64) -> Stage {
        let stage = Stage::memory();
        let since = stage.diagnosis.as_ref().expect("a diagnosis").since;
        let time = Some(since + SignedDuration::from_secs(after_fault));
        owner(stage, |w| {
            w.status.updated_replicas = 0;
            w.metadata.managed_fields = vec![ManagedField {
                manager: manager.to_owned(),
                time,
                touches: [Field::Template].into(),
                ..ManagedField::default()
            }];
        })
    }

    #[test]
    fn a_settled_workload_passes_and_a_node_is_none() {
        owner(Stage::memory(), |w| w.status.available_replicas = 1).says(
            "rollout",
            Verdict::Pass,
            "no rollout",
        );
        Stage::cordon().says("rollout", Verdict::Pass, "no workload");
    }

    #[test]
    fn an_operators_intent_asks() {
        owner(Stage::memory(), |w| w.spec.paused = true).says("rollout", Verdict::Ask, "paused");
        owner(Stage::memory(), |w| w.spec.suspend = true).says(
            "rollout",
            Verdict::Ask,
            "suspended",
        );
        let on_delete = |w: &mut Workload| w.spec.update_strategy.kind = "OnDelete".to_owned();
        owner(Stage::memory(), on_delete).says("rollout", Verdict::Ask, "OnDelete");
        owner(Stage::delete_pod(), on_delete).says("rollout", Verdict::Pass, "rollout of");
    }

    #[test]
    fn the_rollout_that_brought_the_fault_passes() {
        changed_by("kubectl-set", -1).says("rollout", Verdict::Pass, "older than the fault");
        Stage::image().says("rollout", Verdict::Pass, "older than the fault");
    }

    #[test]
    fn a_rollout_that_began_after_the_fault_asks() {
        changed_by("kubectl-set", 1).says("rollout", Verdict::Ask, "kubectl-set began");
    }

    #[test]
    fn our_own_rollout_passes() {
        changed_by("nightshift", 1).says("rollout", Verdict::Pass, "our own");
    }

    #[test]
    fn a_spec_that_its_controller_has_not_seen_counts_as_a_rollout() {
        let stage = owner(Stage::memory(), |w| w.metadata.generation += 1);
        stage.says("rollout", Verdict::Pass, "older than the fault");
    }

    #[test]
    fn a_rollout_of_an_unknown_author_asks() {
        Stage::image()
            .with(|s| {
                s.edit_workloads(|w| w.metadata.creation_timestamp = None);
            })
            .says("rollout", Verdict::Ask, "was not seen");
    }

    #[test]
    fn blind_to_the_workload_asks() {
        owner(Stage::memory(), |_| ())
            .blind(Source::ReplicaSets)
            .says("rollout", Verdict::Ask, "not seen");
        Stage::delete_pod()
            .with(|s| s.snapshot.workloads.clear())
            .says("rollout", Verdict::Ask, "not seen");
    }
}
