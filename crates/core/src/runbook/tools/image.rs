//! `fix_imagepullbackoff`, `patch_image`: the image that the runbook's author names, and only one of
//! the same repository. An image name is never made up.

use super::{Proposal, Run, Tool, WRITE_FIELDS, owner, pull, this_runbook};
use crate::plan::Action;
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Object, Source};

pub(in crate::runbook) const FIX_IMAGEPULLBACKOFF: Tool = Tool {
    names: &["fix_imagepullbackoff", "patch_image"],
    fields: WRITE_FIELDS,
    needs: &[Source::Pods],
    params: &[],
    run: Run::Write(propose),
    repeats: false,
};

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let Some(container) = cx.diagnosis.container.as_deref() else {
        return Proposal::Pass("no container is known to be at fault".to_owned());
    };
    let Some(to) = this_runbook::fallback_image(cx) else {
        return Proposal::Pass("the runbook names no image for this container".to_owned());
    };
    if !waits_for_image(cx, container) {
        return Proposal::Pass(format!("container {container} does not wait for its image"));
    }
    change(cx, def, container, to).unwrap_or_else(Proposal::Person)
}

fn change(
    cx: &Context<'_>,
    def: &RunbookStep,
    container: &str,
    to: &str,
) -> Result<Proposal, String> {
    let workload = owner::template_owner(cx)?;
    let from = owner::in_template(workload, container)?.image.clone();
    if repository(&from) != repository(to) {
        return Err(format!("{to} is of another repository than {from}"));
    }
    if from == to {
        return Ok(Proposal::Pass(format!("the template already names {to}")));
    }
    let action = Action::SetImage {
        container: container.to_owned(),
        from,
        to: to.to_owned(),
    };
    let target = Object::Workload(workload.clone());
    Ok(owner::propose(cx, def, action, &target, Vec::new()))
}

fn waits_for_image(cx: &Context<'_>, container: &str) -> bool {
    let mut statuses = owner::pods(cx).flat_map(|pod| pod.container_statuses());
    statuses.any(|status| {
        let waiting = status.state.waiting.as_ref();
        status.name == container
            && waiting.is_some_and(|w| pull::REASONS.contains(&w.reason.as_str()))
    })
}

/// The image without tag and digest: `registry.example:5000/team/app`. A colon before the last
/// slash belongs to the registry's port.
pub(in crate::runbook) fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn the_repository_is_the_image_without_tag_and_digest() {
        let table = [
            ("app", "app"),
            ("app:1", "app"),
            ("img.test/app:1", "img.test/app"),
            ("img.test:5000/app", "img.test:5000/app"),
            ("img.test:5000/app:1", "img.test:5000/app"),
            ("img.test/app@sha256:abc", "img.test/app"),
            ("img.test:5000/app:1@sha256:abc", "img.test:5000/app"),
        ];
        for (image, name) in table {
            assert_eq!(repository(image), name);
        }
    }

    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::{World, world};

    fn cart() -> World {
        world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .image("img.test/cart:2")
            .pod("cart-1-a")
            .waiting("ImagePullBackOff", "not found")
    }

    fn says(world: World, image: &str) -> String {
        let images = format!("fallback_image:\n  demo/cart/app: {image}\nsteps:");
        let scene = Scene::new(FaultClass::ImagePullFailure, world);
        scene.edited("RB_IMAGEPULL", "steps:", &images).says()
    }

    #[test]
    fn the_named_image_is_set_only_within_the_repository() {
        assert_eq!(
            says(cart(), "img.test/cart:1"),
            "patch_image:demo/cart/app:img.test/cart:2→img.test/cart:1"
        );
        let digest = says(cart(), "img.test/cart@sha256:abc");
        assert!(digest.ends_with("→img.test/cart@sha256:abc"), "{digest}");
        for image in [
            "img.test/shop:1",
            "other.test/cart:1",
            "cart:1",
            "img.test/cart/x:1",
        ] {
            let person = says(cart(), image);
            assert!(
                person.contains("is of another repository than img.test/cart:2"),
                "{person}"
            );
        }
        let same = says(cart(), "img.test/cart:2");
        assert!(same.contains("the template already names"), "{same}");
    }

    #[test]
    fn an_image_is_never_made_up() {
        let scene = Scene::new(FaultClass::ImagePullFailure, cart());
        assert!(
            scene
                .says()
                .starts_with("person: RB_IMAGEPULL has no repair for it"),
            "{}",
            scene.says()
        );
        let crash = scene.with("RB_CRASHLOOP").says();
        assert!(
            crash.contains("image: the runbook names no image for this container"),
            "{crash}"
        );
    }

    #[test]
    fn only_a_container_that_waits_for_its_image_gets_another() {
        let sidecar = cart().edit_pod(|pod| pod.status.container_statuses[0].name = "proxy".into());
        let images = "fallback_image:\n  demo/cart/app: img.test/cart:1\nsteps:";
        let scene = Scene::new(FaultClass::ImagePullFailure, sidecar);
        let says = scene.edited("RB_IMAGEPULL", "steps:", images).says();
        assert!(
            says.contains("container app does not wait for its image"),
            "{says}"
        );
    }
}
