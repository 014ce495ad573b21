//! What a drain leaves where it is. (Mirror and bare pods: the owner gate. System namespaces: the
//! protected gate.)

use super::{Gate, Ruled, ask, deny, pass};
use crate::guard::Scene;
use crate::plan::Action;
use crate::world::{Kind, Source};

pub(super) struct Eviction;

impl Gate for Eviction {
    fn name(&self) -> &'static str {
        "eviction"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        if step.action == Action::Evict {
            vec![Source::Pods, Source::DaemonSets]
        } else {
            Vec::new()
        }
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if scene.step.action != Action::Evict {
            return pass("it is no eviction");
        }
        let Some(pod) = scene.target_pod() else {
            return deny("the pod is gone");
        };
        let top = scene.snapshot.topmost_owner(&scene.step.target);
        let mut volumes = pod.spec.volumes.iter();
        let local = volumes.find(|v| v.empty_dir.is_some() || v.host_path.is_some());
        if top.kind == Kind::DaemonSet {
            deny(format!("{top} would put the pod on the node again"))
        } else if let Some(volume) = local {
            ask(format!("volume {} holds data on the node", volume.name))
        } else {
            pass("no DaemonSet owns the pod and no volume holds data on the node")
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::world::pod::{Present, Volume};
    use crate::world::{Kind, Source};

    fn volume(change: impl Fn(&mut Volume)) -> Stage {
        Stage::evict().with(|s| {
            s.edit_pods(|pod| {
                let mut volume = Volume {
                    name: "data".to_owned(),
                    ..Volume::default()
                };
                change(&mut volume);
                pod.spec.volumes.push(volume);
            });
        })
    }

    #[test]
    fn an_ordinary_pod_and_other_actions_pass() {
        Stage::evict().says("eviction", Verdict::Pass, "no DaemonSet");
        volume(|_| ()).says("eviction", Verdict::Pass, "no volume");
        Stage::delete_pod()
            .blind(Source::Pods)
            .says("eviction", Verdict::Pass, "no eviction");
    }

    #[test]
    fn a_daemon_sets_pod_is_never_evicted() {
        Stage::evict()
            .with(|s| {
                s.edit_pods(|p| p.metadata.owner_references[0].kind = Kind::DaemonSet);
                s.edit_pods(|p| p.metadata.owner_references[0].uid = "ds".into());
            })
            .says("eviction", Verdict::Deny, "DaemonSet");
    }

    #[test]
    fn local_data_asks() {
        volume(|v| v.empty_dir = Some(Present {})).says("eviction", Verdict::Ask, "data");
        volume(|v| v.host_path = Some(Present {})).says("eviction", Verdict::Ask, "data");
    }

    #[test]
    fn blind_or_gone_never_passes() {
        Stage::evict()
            .blind(Source::DaemonSets)
            .says("eviction", Verdict::Ask, "not seen");
        Stage::evict()
            .with(|s| s.snapshot.pods.clear())
            .says("eviction", Verdict::Deny, "gone");
    }
}
