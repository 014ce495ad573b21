//! An autoscaler on the touched field would fight the change, or be misled by it.

use super::{Gate, Ruled, ask, pass};
use crate::guard::Scene;
use crate::plan::Action;
use crate::world::other::TargetRef;
use crate::world::{Meta, Source};

pub(super) struct Autoscaler;

impl Gate for Autoscaler {
    fn name(&self) -> &'static str {
        "autoscaler"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        let mut needs = Vec::new();
        if touches_resources(&step.action) {
            needs.push(Source::VerticalPodAutoscalers);
        }
        if touches_request(&step.action) {
            needs.push(Source::HorizontalPodAutoscalers);
        }
        needs
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let (action, target) = (&scene.step.action, &scene.step.target);
        let on_target = |meta: &Meta, of: Option<&TargetRef>| {
            let named = of.is_some_and(|of| of.kind == target.kind && of.name == target.name);
            named && meta.namespace == target.namespace
        };
        let mut vpas = scene.snapshot.vpas.iter();
        let vpa = vpas.find(|vpa| on_target(&vpa.metadata, vpa.spec.target_ref.as_ref()));
        let mut hpas = scene.snapshot.hpas.iter();
        let hpa = hpas.find(|hpa| on_target(&hpa.metadata, hpa.spec.scale_target_ref.as_ref()));
        match (vpa, hpa) {
            (Some(vpa), _) if touches_resources(action) => ask(format!(
                "VerticalPodAutoscaler {} sets the resources of {target}",
                vpa.metadata.name
            )),
            (_, Some(hpa)) if touches_request(action) => ask(format!(
                "HorizontalPodAutoscaler {} measures {target} against the request that changes",
                hpa.metadata.name
            )),
            _ => pass("no autoscaler works with the fields that change"),
        }
    }
}

/// A revision's template holds resources too.
fn touches_resources(action: &Action) -> bool {
    match action {
        Action::SetMemory { .. } | Action::RollBack { .. } => true,
        Action::SetImage { .. }
        | Action::DeletePod
        | Action::Evict
        | Action::Cordon
        | Action::Uncordon => false,
    }
}

/// Utilisation is relative to the request.
fn touches_request(action: &Action) -> bool {
    match action {
        Action::SetMemory { request, .. } => request.from.is_some() && request.from != request.to,
        Action::SetImage { .. }
        | Action::RollBack { .. }
        | Action::DeletePod
        | Action::Evict
        | Action::Cordon
        | Action::Uncordon => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::plan::{Action, MemoryChange};
    use crate::world::other::{ScalerSpec, TargetRef};
    use crate::world::{HorizontalPodAutoscaler, Kind, Meta, Source, VerticalPodAutoscaler};

    fn cart() -> TargetRef {
        TargetRef {
            kind: Kind::Deployment,
            name: "cart".to_owned(),
        }
    }

    fn meta(namespace: &str) -> Meta {
        Meta {
            name: "scaler".to_owned(),
            namespace: namespace.to_owned(),
            ..Meta::default()
        }
    }

    fn with_vpa(stage: Stage, namespace: &str) -> Stage {
        let vpa = VerticalPodAutoscaler {
            metadata: meta(namespace),
            spec: ScalerSpec {
                target_ref: Some(cart()),
                ..ScalerSpec::default()
            },
        };
        stage.with(|s| s.snapshot.vpas = vec![vpa.into()])
    }

    fn with_hpa(stage: Stage) -> Stage {
        let hpa = HorizontalPodAutoscaler {
            metadata: meta("demo"),
            spec: ScalerSpec {
                scale_target_ref: Some(cart()),
                ..ScalerSpec::default()
            },
        };
        stage.with(|s| s.snapshot.hpas = vec![hpa.into()])
    }

    fn raised_request() -> Stage {
        Stage::memory().with(|s| {
            if let Action::SetMemory { request, .. } = &mut s.step.action {
                *request = MemoryChange {
                    from: Some("128Mi".into()),
                    to: Some("256Mi".into()),
                };
            }
        })
    }

    #[test]
    fn a_vertical_one_on_the_workload_asks_where_resources_change() {
        with_vpa(Stage::memory(), "demo").says("autoscaler", Verdict::Ask, "VerticalPod");
        with_vpa(Stage::roll_back(), "demo").says("autoscaler", Verdict::Ask, "VerticalPod");
        with_vpa(Stage::image(), "demo").says("autoscaler", Verdict::Pass, "no autoscaler");
        with_vpa(Stage::memory(), "other").says("autoscaler", Verdict::Pass, "no autoscaler");
    }

    #[test]
    fn a_horizontal_one_asks_where_the_request_changes() {
        with_hpa(raised_request()).says("autoscaler", Verdict::Ask, "HorizontalPod");
        with_hpa(Stage::memory()).says("autoscaler", Verdict::Pass, "no autoscaler");
    }

    #[test]
    fn blind_to_them_asks_where_it_matters() {
        let (vertical, horizontal) = (
            Source::VerticalPodAutoscalers,
            Source::HorizontalPodAutoscalers,
        );
        Stage::memory()
            .blind(vertical)
            .says("autoscaler", Verdict::Ask, "not seen");
        raised_request()
            .blind(horizontal)
            .says("autoscaler", Verdict::Ask, "not seen");
        Stage::image().blind(vertical).blind(horizontal).says(
            "autoscaler",
            Verdict::Pass,
            "no autoscaler",
        );
    }
}
