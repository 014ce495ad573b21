//! `get_runbook`: which runbook this is, and the image that it names for the container at fault.

use super::{Run, Tool, owner};
use crate::runbook::advance::Context;
use crate::runbook::types::text;
use serde_json::{Value, json};

pub(in crate::runbook) const GET_RUNBOOK: Tool = Tool {
    names: &["get_runbook"],
    fields: &[text("runbook_id"), text("fallback_image")],
    needs: &[],
    params: &[],
    run: Run::Read(read),
    repeats: false,
};

fn read(cx: &Context<'_>) -> Value {
    json!({
        "runbook_id": cx.runbook.id,
        "fallback_image": fallback_image(cx).unwrap_or_default(),
    })
}

/// The image that the runbook's author names for this container of this workload, if any.
pub(super) fn fallback_image<'a>(cx: &Context<'a>) -> Option<&'a str> {
    let owner = owner::topmost(cx);
    let container = cx.diagnosis.container.as_deref()?;
    let key = format!("{}/{}/{container}", owner.namespace, owner.name);
    cx.runbook.fallback_image.get(&key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::world;
    use serde_json::json;

    #[test]
    fn the_image_is_the_one_of_this_container_of_this_workload() {
        let scene = |key: &str| {
            let pod = world(AT)
                .deployment("demo", "cart")
                .revision(1)
                .pod("cart-1-a")
                .unready();
            let images = format!("fallback_image:\n  {key}: img.test/cart:1\nsteps:");
            Scene::new(FaultClass::ImagePullFailure, pod).edited("RB_IMAGEPULL", "steps:", &images)
        };
        let named = scene("demo/cart/app");
        assert_eq!(named.result("runbook", "runbook_id"), json!("RB_IMAGEPULL"));
        assert_eq!(
            named.result("runbook", "fallback_image"),
            json!("img.test/cart:1")
        );
        for other in ["demo/cart/web", "demo/shop/app", "other/cart/app"] {
            assert_eq!(scene(other).result("runbook", "fallback_image"), json!(""));
        }
    }
}
