//! Set a container's memory limit and request in the owner's template; other resources stay.

use super::live::{Halt, Live};
use super::patch::{Guarded, Spot};
use json_patch::Patch;
use nightshift_core::plan::MemoryChange;
use nightshift_core::world::Quantity;
use serde_json::{Value, json};

pub(super) fn patch(
    live: &Live,
    container: &str,
    limit: &MemoryChange,
    request: &MemoryChange,
) -> Result<Patch, Halt> {
    let spot = Spot::find(live, container)?;
    let mut patch = Guarded::on(live);
    spot.named(&mut patch, container);
    if !spot.has(&["resources"]) {
        patch.add(spot.at(&["resources"]), json!({}));
    }
    change(&mut patch, &spot, "limits", limit);
    change(&mut patch, &spot, "requests", request);
    Ok(patch.finish())
}

fn change(patch: &mut Guarded, spot: &Spot<'_>, list: &str, change: &MemoryChange) {
    let memory = spot.at(&["resources", list, "memory"]);
    let text = |quantity: &Quantity| Value::from(quantity.as_str());
    if let Some(from) = &change.from {
        patch.test(memory.clone(), text(from));
    }
    match (&change.from, &change.to) {
        (None, None) => {}
        (Some(from), Some(to)) if from == to => {}
        (Some(_), Some(to)) => patch.replace(memory, text(to)),
        (Some(_), None) => patch.remove(memory),
        (None, Some(to)) if spot.has(&["resources", list]) => patch.add(memory, text(to)),
        (None, Some(to)) => {
            patch.add(spot.at(&["resources", list]), json!({"memory": text(to)}));
        }
    }
}

/// Whether the target holds what we would have written.
pub(super) fn holds(
    live: &Live,
    container: &str,
    limit: &MemoryChange,
    request: &MemoryChange,
) -> bool {
    Spot::find(live, container).is_ok_and(|spot| {
        [("limits", limit), ("requests", request)]
            .into_iter()
            .all(|(list, change)| {
                let now = spot
                    .value(&["resources", list, "memory"])
                    .and_then(Value::as_str);
                let now = now.map(|text| Quantity::from(text).milli());
                now == change.to.as_ref().map(Quantity::milli)
            })
    })
}
