//! It is known what will make the change last: the topmost built-in owner is written to, and nothing
//! is deleted that nobody brings back.

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::guard::scene::{ends_pod, sources_of, writes_template};
use crate::world::{Kind, Pod, Source, Workload};

pub(super) struct OwnerKnown;

impl Gate for OwnerKnown {
    fn name(&self) -> &'static str {
        "owner"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        sources_of(&step.target.kind)
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if let Some(pod) = scene.target_pod() {
            return pod_owner(scene, pod);
        }
        if let Some(workload) = scene.snapshot.workload(&scene.step.target.uid) {
            return workload_owner(scene, workload);
        }
        let target = &scene.step.target;
        match (&target.kind, scene.target_node()) {
            (Kind::Node, Some(_)) => pass(format!("{target} is a node")),
            (Kind::Other(_), _) => ask(format!("{target} is a custom resource")),
            _ => deny(format!("{target} is gone")),
        }
    }
}

fn pod_owner(scene: &Scene<'_>, pod: &Pod) -> Ruled {
    let target = &scene.step.target;
    let top = scene.snapshot.topmost_owner(target);
    if !ends_pod(&scene.step.action) {
        deny("the template of a single pod cannot be changed")
    } else if pod.is_mirror() {
        deny(format!(
            "{target} is a mirror pod: its kubelet would make it again"
        ))
    } else if pod.metadata.controller().is_none() {
        deny(format!(
            "{target} has no controller: nobody would make it again"
        ))
    } else if pod.metadata.deletion_timestamp.is_some() {
        deny(format!("{target} is being deleted already"))
    } else if scene.snapshot.workload(&top.uid).is_some() {
        pass(format!("{top} will make the pod again"))
    } else {
        ask(format!(
            "{top}, which owns the pod, is no built-in workload that was seen"
        ))
    }
}

fn workload_owner(scene: &Scene<'_>, workload: &Workload) -> Ruled {
    let target = &scene.step.target;
    let top = scene.snapshot.topmost_owner(target);
    let has_template = matches!(
        workload.kind,
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet
    );
    if !writes_template(&scene.step.action) {
        deny(format!(
            "{} is nothing to do to a workload",
            scene.step.action.word()
        ))
    } else if workload.metadata.deletion_timestamp.is_some() {
        deny(format!("{target} is being deleted"))
    } else if top.uid != target.uid {
        ask(format!("{top} owns {target} and may change it back"))
    } else if has_template {
        pass(format!("{target} is its own topmost owner"))
    } else {
        ask(format!(
            "the pod template of a {} does not reach its pods",
            workload.kind
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::testkit::reference;
    use crate::world::{Kind, OwnerReference, Source};

    fn custom(kind: &str) -> OwnerReference {
        let owner = reference(Kind::Other(kind.to_owned()), "demo", "mine");
        OwnerReference {
            api_version: "example.test/v1".to_owned(),
            kind: owner.kind,
            name: owner.name,
            uid: owner.uid,
            controller: true,
        }
    }

    #[test]
    fn built_in_owners_and_nodes_pass() {
        for stage in Stage::all() {
            let reason = stage.ruling("owner");
            assert_eq!(reason.verdict, Verdict::Pass, "{reason}");
        }
    }

    #[test]
    fn a_workload_of_a_custom_resource_asks() {
        Stage::memory()
            .with(|s| {
                s.edit_workloads(|w| {
                    if w.kind == Kind::Deployment {
                        w.metadata.owner_references = vec![custom("Rollout")];
                    }
                });
            })
            .says(
                "owner",
                Verdict::Ask,
                "Rollout demo/mine owns Deployment demo/cart",
            );
    }

    #[test]
    fn a_job_of_another_api_group_is_not_taken_for_a_built_in_one() {
        let mut owner = custom("Job");
        owner.kind = Kind::Job;
        Stage::delete_pod()
            .with(|s| s.edit_pods(|p| p.metadata.owner_references = vec![owner.clone()]))
            .says("owner", Verdict::Ask, "no built-in workload");
    }

    #[test]
    fn a_bare_a_mirror_and_a_dying_pod_are_never_deleted() {
        Stage::delete_pod()
            .with(|s| s.edit_pods(|p| p.metadata.owner_references.clear()))
            .says("owner", Verdict::Deny, "no controller");
        Stage::evict()
            .with(|s| {
                s.edit_pods(|p| {
                    let mirror = "kubernetes.io/config.mirror".to_owned();
                    p.metadata.annotations.insert(mirror, "x".to_owned());
                });
            })
            .says("owner", Verdict::Deny, "mirror");
        Stage::delete_pod()
            .with(|s| {
                let now = s.now;
                s.edit_pods(|p| p.metadata.deletion_timestamp = Some(now));
            })
            .says("owner", Verdict::Deny, "being deleted");
    }

    #[test]
    fn a_job_asks_because_its_template_is_immutable() {
        Stage::memory()
            .with(|s| {
                s.edit_workloads(|w| {
                    if w.kind == Kind::Deployment {
                        w.kind = Kind::Job;
                    }
                });
            })
            .says("owner", Verdict::Ask, "template of a Job");
    }

    #[test]
    fn what_is_gone_or_unknown_never_passes() {
        Stage::memory()
            .with(|s| s.snapshot.workloads.clear())
            .says("owner", Verdict::Deny, "gone");
        Stage::memory()
            .with(|s| {
                s.step.target = reference(Kind::Other("Rollout".to_owned()), "demo", "mine");
            })
            .says("owner", Verdict::Ask, "custom resource");
    }

    #[test]
    fn blind_to_a_kind_of_owner_asks() {
        for source in [Source::Pods, Source::StatefulSets, Source::Jobs] {
            Stage::delete_pod()
                .blind(source)
                .says("owner", Verdict::Ask, "not seen");
        }
    }
}
