//! Whether a higher limit would be admitted and could be used: LimitRange, quota and node.

use super::total_limit;
use crate::runbook::advance::Context;
use crate::world::{Kind, Pod, Quantity, Workload};

/// A raise of one container's limit, in bytes.
pub(super) struct Raise<'a> {
    /// Container.
    pub(super) name: &'a str,
    /// Limit now.
    pub(super) limit: u64,
    /// Request, which stays.
    pub(super) request: u64,
    /// Limit then.
    pub(super) new: u64,
}

pub(super) fn check(
    cx: &Context<'_>,
    workload: &Workload,
    pod: &Pod,
    raise: &Raise<'_>,
) -> Result<(), String> {
    limit_ranges(cx, workload, raise)?;
    quotas(cx, workload, raise)?;
    node(cx, pod, raise)
}

fn limit_ranges(cx: &Context<'_>, workload: &Workload, raise: &Raise<'_>) -> Result<(), String> {
    let of_pod = total_limit(workload).saturating_sub(raise.limit) + raise.new;
    let namespace = &workload.metadata.namespace;
    let ranges = cx.snapshot.limit_ranges.iter();
    for range in ranges.filter(|range| range.metadata.namespace == *namespace) {
        for item in &range.spec.limits {
            let (what, wanted) = match item.kind.as_str() {
                "Container" => ("container", raise.new),
                "Pod" => ("pod", of_pod),
                _ => continue,
            };
            let name = &range.metadata.name;
            if let Some(max) = item.max.get("memory")
                && max.value().is_none_or(|max| wanted > max)
            {
                return Err(format!("LimitRange {name} allows a {what} at most {max}"));
            }
            if let Some(ratio) = item.max_limit_request_ratio.get("memory")
                && what == "container"
                && over_ratio(raise, ratio)
            {
                return Err(format!(
                    "LimitRange {name} allows a limit at most {ratio} times the request"
                ));
            }
        }
    }
    Ok(())
}

fn over_ratio(raise: &Raise<'_>, ratio: &Quantity) -> bool {
    let Some(milli) = ratio.milli() else {
        return true;
    };
    i128::from(raise.new) * 1000 > i128::from(raise.request) * milli
}

/// All pods get the new limit, and a rolling update of a Deployment runs one more meanwhile.
fn quotas(cx: &Context<'_>, workload: &Workload, raise: &Raise<'_>) -> Result<(), String> {
    let pods = if workload.kind == Kind::DaemonSet {
        workload.status.desired_number_scheduled
    } else {
        workload.replicas()
    };
    let pods = u64::try_from(pods).unwrap_or(0).max(1);
    let surge = if workload.kind == Kind::Deployment {
        total_limit(workload).saturating_sub(raise.limit) + raise.new
    } else {
        0
    };
    let more = (raise.new - raise.limit)
        .saturating_mul(pods)
        .saturating_add(surge);
    let namespace = &workload.metadata.namespace;
    let quotas = cx.snapshot.quotas.iter();
    for quota in quotas.filter(|quota| quota.metadata.namespace == *namespace) {
        let Some(hard) = quota.status.hard.get("limits.memory") else {
            continue;
        };
        let used = quota.status.used.get("limits.memory");
        let left = match (hard.value(), used.map(Quantity::value)) {
            (Some(hard), Some(Some(used))) => hard.saturating_sub(used),
            (Some(hard), None) => hard,
            (None, _) | (_, Some(None)) => 0,
        };
        if more > left {
            return Err(format!(
                "ResourceQuota {} leaves {} of limits.memory and the change needs {}",
                quota.metadata.name,
                Quantity::bytes(left),
                Quantity::bytes(more)
            ));
        }
    }
    Ok(())
}

/// The new limit must fit beside what all others request on the same node.
fn node(cx: &Context<'_>, pod: &Pod, raise: &Raise<'_>) -> Result<(), String> {
    let name = &pod.spec.node_name;
    let allocatable = cx
        .snapshot
        .node(name)
        .and_then(|node| node.status.allocatable.get("memory"))
        .and_then(Quantity::value);
    let allocatable = allocatable.ok_or_else(|| format!("the memory of node {name} is unknown"))?;
    let pods = cx
        .snapshot
        .pods
        .iter()
        .filter(|p| p.spec.node_name == *name);
    let beside = cx.snapshot.neighbours.get(name);
    let beside = beside.ok_or_else(|| format!("what else runs on node {name} is unknown"))?;
    let own: u64 = pods
        .flat_map(|other| {
            let itself = other.metadata.uid == pod.metadata.uid;
            let containers = other.spec.containers.iter();
            containers.filter(move |c| !(itself && c.name == raise.name))
        })
        .filter_map(|container| container.resources.requests.get("memory"))
        .filter_map(Quantity::value)
        .sum();
    let requested = own.saturating_add(*beside);
    if requested.saturating_add(raise.new) > allocatable {
        return Err(format!(
            "node {name} has {} and {} of it is requested by others: no room for {}",
            Quantity::bytes(allocatable),
            Quantity::bytes(requested),
            Quantity::bytes(raise.new)
        ));
    }
    Ok(())
}
