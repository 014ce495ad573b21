//! `check_imagepullbackoff`: whether a container of the owner's pods waits for its image.

use super::{Run, Tool, cut, owner};
use crate::runbook::advance::Context;
use crate::runbook::types::{flag, list};
use crate::world::Source;
use serde_json::{Value, json};

pub(in crate::runbook) const CHECK_IMAGEPULLBACKOFF: Tool = Tool {
    names: &["check_imagepullbackoff"],
    fields: &[flag("imagepull_detected"), list("reasons")],
    needs: &[Source::Pods],
    params: &[],
    run: Run::Read(read),
    repeats: false,
};

/// Waiting reasons of the kubelet's image manager.
pub(super) const REASONS: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];

fn read(cx: &Context<'_>) -> Value {
    let (found, reasons) = owner::lines(cx, |pod, container| {
        let waiting = container.state.waiting.as_ref()?;
        REASONS.contains(&waiting.reason.as_str()).then(|| {
            format!(
                "{} in {}: {}: {}",
                container.name,
                pod.metadata.name,
                waiting.reason,
                cut(&waiting.message)
            )
        })
    });
    json!({ "imagepull_detected": found, "reasons": reasons })
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::{World, world};
    use crate::world::Source;
    use serde_json::{Value, json};

    fn pod() -> World {
        world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .unready()
    }

    fn result(world: World, field: &str) -> Value {
        let scene = Scene::new(FaultClass::CrashLoop, world).tool("check_imagepullbackoff");
        scene.result("it", field)
    }

    #[test]
    fn every_reason_of_the_image_manager_counts_and_no_other() {
        for reason in super::REASONS {
            let waits = pod().waiting(reason, "no such image");
            assert_eq!(result(waits.clone(), "imagepull_detected"), json!(true));
            let line = format!("app in cart-1-a: {reason}: no such image");
            assert_eq!(result(waits, "reasons"), json!([line]));
        }
        for reason in [
            "CrashLoopBackOff",
            "ContainerCreating",
            "CreateContainerConfigError",
        ] {
            let waits = pod().waiting(reason, "");
            assert_eq!(result(waits, "imagepull_detected"), json!(false));
        }
    }

    #[test]
    fn without_pods_it_is_blind() {
        let blind = pod().waiting("ImagePullBackOff", "").unseen(Source::Pods);
        assert_eq!(result(blind, "imagepull_detected"), Value::Null);
    }

    #[test]
    fn a_pod_that_is_leaving_does_not_count() {
        let leaving = pod().waiting("ImagePullBackOff", "").edit_pod(|pod| {
            pod.metadata.deletion_timestamp = pod.metadata.creation_timestamp;
        });
        assert_eq!(result(leaving, "imagepull_detected"), json!(false));
    }
}
