//! Set a container's image in the owner's template.

use super::live::{Halt, Live};
use super::patch::{Guarded, Spot};
use json_patch::Patch;

pub(super) fn patch(live: &Live, container: &str, from: &str, to: &str) -> Result<Patch, Halt> {
    let spot = Spot::find(live, container)?;
    let image = spot.at(&["image"]);
    let mut patch = Guarded::on(live);
    spot.named(&mut patch, container);
    patch.test(image.clone(), from);
    patch.replace(image, to);
    Ok(patch.finish())
}

/// Whether the target holds what we would have written.
pub(super) fn holds(live: &Live, container: &str, to: &str) -> bool {
    Spot::find(live, container).is_ok_and(|spot| spot.container["image"] == to)
}
