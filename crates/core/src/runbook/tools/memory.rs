//! `increase_memory_limit`, `patch_resources`: the limit doubled, within bounds, the request kept.
//!
//! Nobody can know from outside whether more memory helps, so it is tried once: a second kill of the
//! same workload within the policy's window is a leak or a change of load, and a person's case.

mod room;

use super::{Param, Proposal, Run, Tool, WRITE_FIELDS, oom, owner};
use crate::history::{Act, ActOutcome};
use crate::plan::{Action, MemoryChange};
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Container, Object, Pod, Quantity, Source, Workload};

pub(in crate::runbook) const INCREASE_MEMORY_LIMIT: Tool = Tool {
    names: &["increase_memory_limit", "patch_resources"],
    fields: WRITE_FIELDS,
    needs: &[
        Source::Pods,
        Source::Nodes,
        Source::ResourceQuotas,
        Source::LimitRanges,
    ],
    params: &[
        Param {
            name: "at_least",
            accepts: is_memory,
            form: "a memory quantity such as 256Mi",
        },
        Param {
            name: "at_most",
            accepts: is_memory,
            form: "a memory quantity such as 4Gi",
        },
    ],
    run: Run::Write(propose),
    repeats: false,
};

/// Smallest new limit, unless the runbook says otherwise.
const AT_LEAST: u64 = 256 << 20;
/// Largest new limit, unless the runbook says otherwise.
const AT_MOST: u64 = 4 << 30;

fn is_memory(text: &str) -> bool {
    Quantity::from(text).value().is_some_and(|bytes| bytes > 0)
}

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let Some((pod, name)) = killed(cx) else {
        return Proposal::Pass("no container was killed for its memory lately".to_owned());
    };
    change(cx, def, pod, &name).unwrap_or_else(Proposal::Person)
}

fn change(cx: &Context<'_>, def: &RunbookStep, pod: &Pod, name: &str) -> Result<Proposal, String> {
    let workload = owner::template_owner(cx)?;
    let template = owner::in_template(workload, name)?;
    if let Some(act) = raised_before(cx) {
        return Err(format!(
            "killed for its memory again although {} at {}",
            act.step.describe(),
            act.at
        ));
    }
    let effective = pod.spec.container(name);
    let effective = effective.ok_or_else(|| format!("the pod has no container {name}"))?;
    let (limit, request) = effective_memory(effective)?;
    same_as_template(template, limit)?;

    let bound = |key: &str, default| {
        let set = def.with.get(key);
        set.and_then(|text| Quantity::from(text.as_str()).value())
            .unwrap_or(default)
    };
    let new = new_limit(
        limit,
        bound("at_least", AT_LEAST),
        bound("at_most", AT_MOST),
    )?;
    room::check(
        cx,
        workload,
        pod,
        &room::Raise {
            name,
            limit,
            request,
            new,
        },
    )?;

    let set = &template.resources.requests;
    let action = Action::SetMemory {
        container: name.to_owned(),
        limit: MemoryChange {
            from: template.resources.limits.get("memory").cloned(),
            to: Some(Quantity::bytes(new)),
        },
        request: MemoryChange {
            from: set.get("memory").cloned(),
            to: Some(kept_request(template, effective, limit)),
        },
    };
    let target = Object::Workload(workload.clone());
    Ok(owner::propose(cx, def, action, &target, Vec::new()))
}

/// The doubled limit within bounds; an error when that would be no increase.
fn new_limit(limit: u64, at_least: u64, at_most: u64) -> Result<u64, String> {
    let new = limit.saturating_mul(2).max(at_least).min(at_most);
    if new > limit {
        return Ok(new);
    }
    Err(format!(
        "the limit is {} and the runbook raises it to at most {}",
        Quantity::bytes(limit),
        Quantity::bytes(at_most)
    ))
}

/// The request that the template sets, else the one that the pod really had: with a higher limit and
/// no request, defaulting would raise the request to the limit.
fn kept_request(template: &Container, effective: &Container, limit: u64) -> Quantity {
    let set = template.resources.requests.get("memory");
    let had = effective.resources.requests.get("memory");
    set.or(had)
        .cloned()
        .unwrap_or_else(|| Quantity::bytes(limit))
}

/// Limit and request in force, in bytes.
fn effective_memory(container: &Container) -> Result<(u64, u64), String> {
    let value = |quantity: Option<&Quantity>| quantity.and_then(Quantity::value);
    let limit = value(container.resources.limits.get("memory")).filter(|bytes| *bytes > 0);
    let limit = limit.ok_or_else(|| {
        format!(
            "container {} has no memory limit: the node itself ran out of memory",
            container.name
        )
    })?;
    let request = value(container.resources.requests.get("memory")).unwrap_or(limit);
    Ok((limit, request))
}

/// The template must still have the limit that the killed container ran with: another one means
/// that somebody (a person, a rollout, a VPA) is changing it already.
fn same_as_template(template: &Container, effective: u64) -> Result<(), String> {
    match template.resources.limits.get("memory") {
        Some(set) if set.value() != Some(effective) => Err(format!(
            "the template sets a memory limit of {set} and the killed container had {}",
            Quantity::bytes(effective)
        )),
        Some(_) | None => Ok(()),
    }
}

/// The pod and container that were killed: the ones of the diagnosis if they were, else the first.
fn killed<'a>(cx: &Context<'a>) -> Option<(&'a Pod, String)> {
    let shown = owner::pod(cx).into_iter();
    let mut kills: Vec<(&Pod, &str)> = Vec::new();
    for pod in shown.chain(owner::pods(cx)) {
        let containers = pod.container_statuses();
        let killed = containers.filter(|c| oom::kill(cx, c).is_some());
        kills.extend(killed.map(|c| (&**pod, c.name.as_str())));
    }
    let named = cx.diagnosis.container.as_deref();
    let of_diagnosis = kills.iter().find(|(_, name)| Some(*name) == named);
    let kill = of_diagnosis.or_else(|| kills.first())?;
    Some((kill.0, kill.1.to_owned()))
}

/// The act by which we raised this workload's memory within the policy's window. One that was
/// refused did not happen; one without an answer may have.
fn raised_before<'a>(cx: &Context<'a>) -> Option<&'a Act> {
    let owner = owner::topmost(cx);
    cx.history.acts.iter().rev().find(|act| {
        let age = cx.snapshot.taken_at.duration_since(act.at);
        let happened = match &act.outcome {
            Some(ActOutcome::Done { .. } | ActOutcome::Unknown { .. }) | None => true,
            Some(
                ActOutcome::Refused { .. }
                | ActOutcome::Blocked { .. }
                | ActOutcome::Stale { .. }
                | ActOutcome::Expired
                | ActOutcome::NotDone { .. },
            ) => false,
        };
        matches!(act.step.action, Action::SetMemory { .. })
            && !act.step.is_undo
            && happened
            && age < cx.policy.oom_again_window
            // By name too: a workload that was made anew is still the same one to its people.
            && (act.step.target.uid == owner.uid || act.step.target.same_name(&owner))
    })
}

/// Memory limits of all containers of the workload's pods together, in bytes.
fn total_limit(workload: &Workload) -> u64 {
    let containers = &workload.spec.template.spec.containers;
    let limits = containers
        .iter()
        .filter_map(|c| c.resources.limits.get("memory"));
    limits.filter_map(Quantity::value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_doubled_within_its_bounds() {
        const MI: u64 = 1 << 20;
        let table = [
            (1, Ok(256 * MI)),
            (32 * MI, Ok(256 * MI)),
            (127 * MI, Ok(256 * MI)),
            (128 * MI, Ok(256 * MI)),
            (128 * MI + 1, Ok(256 * MI + 2)),
            (256 * MI, Ok(512 * MI)),
            (2047 * MI, Ok(4094 * MI)),
            (2048 * MI, Ok(4096 * MI)),
            (2049 * MI, Ok(4096 * MI)),
            (4095 * MI, Ok(4096 * MI)),
            (4096 * MI, Err(())),
            (8192 * MI, Err(())),
            (u64::MAX, Err(())),
        ];
        for (limit, expected) in table {
            let new = new_limit(limit, AT_LEAST, AT_MOST).map_err(|_| ());
            assert_eq!(new, expected, "{limit}");
        }
    }

    #[test]
    fn a_memory_quantity_is_a_positive_number() {
        for (text, is) in [
            ("256Mi", true),
            ("4Gi", true),
            ("0", false),
            ("much", false),
            ("-1Gi", false),
        ] {
            assert_eq!(is_memory(text), is, "{text}");
        }
    }
}
