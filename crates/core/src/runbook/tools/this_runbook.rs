//! `get_runbook`: which runbook this is, and the image that it names for the container at fault.

use super::{Run, Tool, owner};
use crate::runbook::advance::Context;
use serde_json::{Value, json};

pub(in crate::runbook) const GET_RUNBOOK: Tool = Tool {
    names: &["get_runbook"],
    fields: &["runbook_id", "fallback_image"],
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
