//! `pods/eviction`: a deletion that a PodDisruptionBudget can refuse
//! (`k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go`).

use super::call::Call;
use super::request::check_dry_run;
use super::{Answer, body};
use crate::cluster::Cluster;
use crate::object::Object;
use crate::registry::{DeleteOptions, Preconditions};
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::status::{Cause, Details, Reason, Status};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// More pods than this are not on their way out at once (`MaxDisruptedPodSize`).
const MAX_DISRUPTED: usize = 2000;

/// `policy/v1` Eviction.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Eviction {
    metadata: Metadata,
    delete_options: Option<DeleteOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetSpec {
    selector: Value,
    unhealthy_pod_eviction_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    observed_generation: u64,
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
    disrupted_pods: Map<String, Value>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

/// Evicts a pod.
pub(super) fn create(cluster: &mut Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let value = body::value(call.request, "Eviction")?;
    let eviction: Eviction = serde_json::from_value(value).map_err(|why| {
        Status::bad_request(format!(
            "Eviction in version \"v1\" cannot be handled as a Eviction: json: {why}"
        ))
    })?;
    if eviction.metadata.name != call.name() {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let mut options = eviction.delete_options.unwrap_or_default();
    let in_body: Vec<&str> = options.dry_run.iter().map(String::as_str).collect();
    let dry_run =
        call.request.dry_run("CreateOptions")? || check_dry_run(&in_body, "DeleteOptions")?;
    let pod = call.current(cluster)?;
    if !may_ignore_budgets(&pod) && passes_budget(cluster, &pod, dry_run)? {
        // It was judged as it is now: if it has become ready since, the judgement does not hold.
        let wanted = options
            .preconditions
            .get_or_insert_with(Preconditions::default);
        let version = pod.meta.resource_version.to_string();
        wanted.resource_version.get_or_insert(version);
    }
    if dry_run {
        cluster.try_delete(&call.target.key(), &options)?;
    } else {
        delete(cluster, call, &pod, options)?;
    }
    let done = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    });
    Ok(Answer::json(201, done.to_string()))
}

/// A pod that runs nothing any more, or nothing yet, is not disrupted.
fn may_ignore_budgets(pod: &Object) -> bool {
    let status: PodStatus = pod.status();
    matches!(
        status.phase.as_str(),
        "Succeeded" | "Failed" | "Pending" | ""
    ) || pod.meta.deletion_timestamp.is_some()
}

/// Asks the budget of a pod, and takes one disruption from it. `true`: the pod is not ready, and
/// may go because of that.
fn passes_budget(cluster: &mut Cluster, pod: &Object, dry_run: bool) -> Result<bool, Status> {
    let all = cluster
        .store
        .list(ids::POD_DISRUPTION_BUDGETS, Some(&pod.meta.namespace));
    let picks = |budget: &&Arc<Object>| {
        let spec: BudgetSpec = budget.spec();
        LabelSelector::from_value(&spec.selector)
            .is_some_and(|selector| selector.matches(&pod.meta.labels))
    };
    let budgets: Vec<Arc<Object>> = all.filter(picks).cloned().collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(false),
        [one] => one,
        _ => {
            return Err(Status::new(
                Reason::Unknown,
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let spec: BudgetSpec = budget.spec();
    let status: BudgetStatus = budget.status();
    if !is_ready(pod) {
        let always = spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow");
        let healthy =
            status.desired_healthy > 0 && status.current_healthy >= status.desired_healthy;
        if always || healthy {
            return Ok(true);
        }
    }
    check(budget, &status)?;
    if !dry_run {
        take(cluster, budget, &status, &pod.meta.name);
    }
    Ok(false)
}

fn is_ready(pod: &Object) -> bool {
    let status: PodStatus = pod.status();
    let mut all = status.conditions.iter();
    all.any(|one| one.kind == "Ready" && one.status == "True")
}

fn check(budget: &Object, status: &BudgetStatus) -> Result<(), Status> {
    let name = &budget.meta.name;
    if status.observed_generation < budget.meta.generation {
        let message =
            format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(message, Some(10)));
    }
    let forbidden = |why: &str| {
        let message = format!("poddisruptionbudget.policy \"{name}\" is forbidden: {why}");
        Err(Status::new(Reason::Forbidden, message))
    };
    if status.disruptions_allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if status.disrupted_pods.len() > MAX_DISRUPTED {
        return forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        );
    }
    if status.disruptions_allowed > 0 {
        return Ok(());
    }
    let mut conditions = status.conditions.iter();
    let condition = conditions.find(|one| {
        one.kind == "DisruptionAllowed" && one.status == "False" && !one.message.is_empty()
    });
    let message = match condition {
        Some(one) if one.reason == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            one.message
        ),
        _ if status.current_healthy <= status.desired_healthy => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            status.desired_healthy, status.current_healthy
        ),
        Some(one) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            one.reason, one.message
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    Err(refused(message, None))
}

fn refused(cause: String, retry_after_seconds: Option<u32>) -> Status {
    Status::new(Reason::TooManyRequests, REFUSED).with_details(Details {
        causes: vec![Cause {
            reason: "DisruptionBudget".to_owned(),
            message: cause,
            field: String::new(),
        }],
        retry_after_seconds,
        ..Details::default()
    })
}

/// One disruption less, until the controller has counted again.
fn take(cluster: &mut Cluster, budget: &Object, status: &BudgetStatus, pod: &str) {
    let mut new: Map<String, Value> = budget.status();
    let left = status.disruptions_allowed.saturating_sub(1);
    new.insert("disruptionsAllowed".to_owned(), json!(left));
    let now = json!(cluster.now_seconds());
    if let Some(map) = new
        .entry("disruptedPods")
        .or_insert_with(|| json!({}))
        .as_object_mut()
    {
        map.insert(pod.to_owned(), now.clone());
    }
    if left == 0
        && let Some(conditions) = new.get_mut("conditions").and_then(Value::as_array_mut)
    {
        for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
            if condition.get("type") == Some(&json!("DisruptionAllowed")) {
                condition.insert("status".to_owned(), json!("False"));
                condition.insert("reason".to_owned(), json!("InsufficientPods"));
                condition.insert("lastTransitionTime".to_owned(), now.clone());
            }
        }
    }
    cluster.set_status(&budget.key(ids::POD_DISRUPTION_BUDGETS), &new);
}

/// Marks the pod as disrupted, and deletes it.
fn delete(
    cluster: &mut Cluster,
    call: &Call<'_>,
    pod: &Object,
    mut options: DeleteOptions,
) -> Result<(), Status> {
    let key = call.target.key();
    cluster.try_delete(&key, &options)?;
    let mut status: Map<String, Value> = pod.status();
    let now = json!(cluster.now_seconds());
    if let Some(conditions) = status
        .entry("conditions")
        .or_insert_with(|| json!([]))
        .as_array_mut()
    {
        conditions.retain(|one| one.get("type") != Some(&json!("DisruptionTarget")));
        conditions.push(json!({
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": now,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }));
    }
    let marked = cluster.set_status(&key, &status);
    if let (Some(marked), Some(wanted)) = (marked, &mut options.preconditions)
        && wanted.resource_version.is_some()
    {
        wanted.resource_version = Some(marked.meta.resource_version.to_string());
    }
    cluster.delete(&key, &options)?;
    Ok(())
}
