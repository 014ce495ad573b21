//! ResourceQuota: what a namespace uses, and whether one more object fits
//! (`k8s.io/apiserver/pkg/admission/plugin/resourcequota`).

use super::amounts::{self, Amounts, pod_amounts};
use crate::defaults::qos_class;
use crate::object::Object;
use crate::quantity::Quantity;
use crate::resources::{Resource, ResourceId, ids};
use crate::status::Status;
use crate::store::Store;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What has to be asked for by each container when a quota limits it.
const MUST_BE_SET: [&str; 6] = [
    "cpu",
    "limits.cpu",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.memory",
];

/// Kinds that are counted by their plain name.
const PLAIN: [ResourceId; 8] = [
    ids::PODS,
    ids::SERVICES,
    ids::CONFIGMAPS,
    ids::SECRETS,
    ids::PERSISTENT_VOLUME_CLAIMS,
    ids::REPLICATION_CONTROLLERS,
    ids::RESOURCE_QUOTAS,
    ids::POD_TEMPLATES,
];

/// What one object counts for.
pub fn usage_of(resource: ResourceId, row: &Resource, object: &Object) -> Amounts {
    let mut used = Amounts::new();
    let one = Quantity::of(1);
    used.insert(format!("count/{}", row.qualified()), one);
    if resource == ids::PODS && is_over(object) {
        return used;
    }
    if PLAIN.contains(&resource) {
        used.insert(row.plural.to_string(), one);
    }
    let spec: Value = object.spec();
    match resource {
        ids::PODS => {
            for (name, amount) in pod_amounts(&spec, "requests") {
                if !name.contains('/') {
                    used.insert(name.clone(), amount);
                }
                used.insert(format!("requests.{name}"), amount);
            }
            for (name, amount) in pod_amounts(&spec, "limits") {
                used.insert(format!("limits.{name}"), amount);
            }
        }
        ids::SERVICES => {
            let ports = spec
                .get("ports")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let ports = i64::try_from(ports).unwrap_or(i64::MAX);
            let kind = spec.get("type").and_then(Value::as_str);
            if matches!(kind, Some("NodePort" | "LoadBalancer")) {
                used.insert("services.nodeports".to_owned(), Quantity::of(ports));
            }
            if kind == Some("LoadBalancer") {
                used.insert("services.loadbalancers".to_owned(), one);
            }
        }
        ids::PERSISTENT_VOLUME_CLAIMS => {
            let asked = amounts::amounts(&spec, "requests").remove("storage");
            let class = spec.get("storageClassName").and_then(Value::as_str);
            let class = class.map(|class| format!("{class}.storageclass.storage.k8s.io"));
            if let Some(class) = &class {
                used.insert(format!("{class}/persistentvolumeclaims"), one);
            }
            if let Some(asked) = asked {
                used.insert("requests.storage".to_owned(), asked);
                if let Some(class) = &class {
                    used.insert(format!("{class}/requests.storage"), asked);
                }
            }
        }
        _ => {}
    }
    used
}

/// A pod that has ended uses nothing any more.
fn is_over(pod: &Object) -> bool {
    let status: Value = pod.status();
    let phase = status.get("phase").and_then(Value::as_str);
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What a namespace uses of everything that a quota limits, for its `status.used`.
pub fn usage(store: &Store, resources: &crate::resources::Resources, quota: &Object) -> Amounts {
    let hard = hard(quota);
    let mut used: Amounts = hard
        .keys()
        .map(|name| (name.clone(), Quantity::of(0)))
        .collect();
    for (resource, row) in resources.iter().filter(|(_, row)| row.namespaced) {
        if hard.keys().any(|name| may_count(resource, row, name)) {
            let counted = used_by(store, resource, row, quota);
            for (name, amount) in counted {
                if let Some(now) = used.get_mut(&name) {
                    *now = now.plus(amount);
                }
            }
        }
    }
    used
}

/// Can objects of this resource count for this name?
fn may_count(resource: ResourceId, row: &Resource, name: &str) -> bool {
    if let Some(counted) = name.strip_prefix("count/") {
        return counted == row.qualified();
    }
    match resource {
        ids::PODS => {
            name == "pods"
                || name.starts_with("limits.")
                || (name.starts_with("requests.") && name != "requests.storage")
                || ["cpu", "memory", "ephemeral-storage"].contains(&name)
        }
        ids::SERVICES => name.split('.').next() == Some("services"),
        ids::PERSISTENT_VOLUME_CLAIMS => {
            name == "persistentvolumeclaims"
                || name == "requests.storage"
                || name.contains(".storageclass.storage.k8s.io/")
        }
        _ => PLAIN.contains(&resource) && name == &*row.plural,
    }
}

fn used_by(store: &Store, resource: ResourceId, row: &Resource, quota: &Object) -> Amounts {
    let mut used = Amounts::new();
    for object in store.list(resource, Some(&quota.meta.namespace)) {
        if in_scope(resource, quota, object) {
            for (name, amount) in usage_of(resource, row, object) {
                let now = used.get(&name).copied().unwrap_or_default();
                used.insert(name, now.plus(amount));
            }
        }
    }
    used
}

fn hard(quota: &Object) -> Amounts {
    let spec: Value = quota.spec();
    amounts::read(spec.get("hard").unwrap_or(&Value::Null))
}

/// Is the object one that the quota's scopes are about?
fn in_scope(resource: ResourceId, quota: &Object, object: &Object) -> bool {
    let spec: Value = quota.spec();
    let scopes = spec.get("scopes").and_then(Value::as_array);
    let selector = spec
        .get("scopeSelector")
        .and_then(|one| one.get("matchExpressions"));
    let selector = selector.and_then(Value::as_array);
    if scopes.is_none_or(Vec::is_empty) && selector.is_none_or(Vec::is_empty) {
        return true;
    }
    if resource != ids::PODS {
        return false;
    }
    let by_name = scopes.into_iter().flatten().filter_map(Value::as_str);
    let by_selector = selector.into_iter().flatten();
    by_name.into_iter().all(|scope| has_scope(object, scope))
        && by_selector.into_iter().all(|one| selected(object, one))
}

fn has_scope(pod: &Object, scope: &str) -> bool {
    let spec: Value = pod.spec();
    let ends = spec
        .get("activeDeadlineSeconds")
        .is_some_and(|one| !one.is_null());
    match scope {
        "BestEffort" => qos_class(pod) == "BestEffort",
        "NotBestEffort" => qos_class(pod) != "BestEffort",
        "Terminating" => ends,
        "NotTerminating" => !ends,
        _ => false,
    }
}

fn selected(pod: &Object, expression: &Value) -> bool {
    let text = |name: &str| {
        expression
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let scope = text("scopeName");
    if scope != "PriorityClass" {
        return has_scope(pod, scope);
    }
    let spec: Value = pod.spec();
    let class = spec.get("priorityClassName").filter(|one| !one.is_null());
    let values = expression.get("values").and_then(Value::as_array);
    let named = class.is_some_and(|class| values.is_some_and(|all| all.contains(class)));
    match text("operator") {
        "In" => named,
        "NotIn" => !named,
        "Exists" => class.is_some(),
        "DoesNotExist" => class.is_none(),
        _ => false,
    }
}

/// Refuses an object that does not fit. Usage is counted from the objects that are there.
pub(super) fn check(
    store: &Store,
    resource: ResourceId,
    row: &Resource,
    old: Option<&Object>,
    new: &Object,
) -> Result<(), Status> {
    if !row.namespaced {
        return Ok(());
    }
    for quota in store.list(ids::RESOURCE_QUOTAS, Some(&new.meta.namespace)) {
        let mut hard = hard(quota);
        hard.retain(|name, _| may_count(resource, row, name));
        if hard.is_empty() || !in_scope(resource, quota, new) {
            continue;
        }
        let refuse = |why: String| Err(Status::forbidden(row, &new.meta.name, &why));
        if resource == ids::PODS
            && let Some(missing) = missing(&hard, new)
        {
            return refuse(format!("failed quota: {}: {missing}", quota.meta.name));
        }
        let before = old
            .map(|old| usage_of(resource, row, old))
            .unwrap_or_default();
        let used = used_by(store, resource, row, quota);
        let mut over: BTreeMap<String, [Quantity; 3]> = BTreeMap::new();
        for (name, amount) in usage_of(resource, row, new) {
            let Some(limit) = hard.get(&name) else {
                continue;
            };
            let more = amount.minus(before.get(&name).copied().unwrap_or_default());
            let now = used.get(&name).copied().unwrap_or_default();
            let grows = !more.is_negative() && !more.is_zero();
            if grows && now.plus(more) > *limit {
                over.insert(name, [more, now, *limit]);
            }
        }
        if !over.is_empty() {
            let print = |column: usize| {
                let each = over.iter().map(|(name, amounts)| {
                    let amount = amounts.get(column).copied().unwrap_or_default();
                    format!("{name}={amount}")
                });
                each.collect::<Vec<_>>().join(",")
            };
            return refuse(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                quota.meta.name,
                print(0),
                print(1),
                print(2)
            ));
        }
    }
    Ok(())
}

/// Which containers do not ask for what the quota limits.
fn missing(hard: &Amounts, pod: &Object) -> Option<String> {
    let spec: Value = pod.spec();
    let mut missing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for list in ["containers", "initContainers"] {
        let containers = spec.get(list).and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let asked = amounts::amounts(container, "requests");
            let limits = amounts::amounts(container, "limits");
            let required = MUST_BE_SET
                .into_iter()
                .filter(|name| hard.contains_key(*name));
            for name in required {
                let there = match name.strip_prefix("limits.") {
                    Some(name) => limits.contains_key(name),
                    None => asked.contains_key(name.strip_prefix("requests.").unwrap_or(name)),
                };
                if !there {
                    let who = container.get("name").and_then(Value::as_str);
                    let who = who.unwrap_or_default().to_owned();
                    missing.entry(name).or_default().insert(who);
                }
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let each = missing.into_iter().map(|(name, who)| {
        let who: Vec<String> = who.into_iter().collect();
        format!("{name} for: {}", who.join(","))
    });
    Some(format!(
        "must specify {}",
        each.collect::<Vec<_>>().join("; ")
    ))
}
