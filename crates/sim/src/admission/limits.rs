//! LimitRange: defaults for containers, and bounds
//! (`plugin/pkg/admission/limitranger`).

use super::Fields;
use super::amounts::{self, Amounts, amounts, pod_amounts};
use crate::object::Object;
use crate::quantity::Quantity;
use crate::resources::{Resource, ResourceId, ids};
use crate::status::Status;
use crate::store::Store;
use serde_json::{Value, json};

/// Where it is noted what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The items of all limit ranges of a namespace.
fn items(store: &Store, namespace: &str) -> Vec<Value> {
    let ranges = store.list(ids::LIMIT_RANGES, Some(namespace));
    let specs = ranges.map(|range| range.spec::<Value>());
    specs
        .filter_map(|mut spec| spec.get_mut("limits").map(Value::take))
        .filter_map(|list| list.as_array().cloned())
        .flatten()
        .collect()
}

fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn bounds(item: &Value, name: &str) -> Amounts {
    amounts::read(item.get(name).unwrap_or(&Value::Null))
}

/// Gives containers that ask for nothing what the namespace has as its defaults.
pub(super) fn fill(store: &Store, pod: &mut Object) {
    let items = items(store, &pod.meta.namespace);
    let items: Vec<&Value> = items
        .iter()
        .filter(|one| kind(one) == "Container")
        .collect();
    if items.is_empty() {
        return;
    }
    let mut spec: Fields = pod.spec();
    let mut notes = Vec::new();
    for (list, called) in [
        ("containers", "container"),
        ("initContainers", "init container"),
    ] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for (field, from, noun) in [
                ("requests", "defaultRequest", "request"),
                ("limits", "default", "limit"),
            ] {
                let set = fill_one(container, field, &items, from);
                if !set.is_empty() {
                    let name = container.get("name").and_then(Value::as_str);
                    let name = name.unwrap_or_default();
                    notes.push(format!("{} {noun} for {called} {name}", set.join(", ")));
                }
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    pod.set("spec", &spec);
    let note = format!("LimitRanger plugin set: {}", notes.join("; "));
    pod.meta.annotations.insert(ANNOTATION.to_owned(), note);
}

/// Fills in what is missing. Gives the names of it.
fn fill_one(container: &mut Value, field: &str, items: &[&Value], from: &str) -> Vec<String> {
    let mut missing = Amounts::new();
    let present = amounts(container, field);
    for item in items {
        for (name, amount) in bounds(item, from) {
            if !present.contains_key(&name) {
                missing.entry(name).or_insert(amount);
            }
        }
    }
    let Some(container) = container.as_object_mut().filter(|_| !missing.is_empty()) else {
        return Vec::new();
    };
    let resources = container.entry("resources").or_insert_with(|| json!({}));
    let map = resources
        .as_object_mut()
        .map(|resources| resources.entry(field).or_insert_with(|| json!({})));
    if let Some(map) = map.and_then(Value::as_object_mut) {
        for (name, amount) in &missing {
            map.insert(name.clone(), json!(amount));
        }
    }
    missing.into_keys().collect()
}

/// Refuses what is out of bounds.
pub(super) fn check(
    store: &Store,
    resource: ResourceId,
    row: &Resource,
    object: &Object,
) -> Result<(), Status> {
    if resource != ids::PODS && resource != ids::PERSISTENT_VOLUME_CLAIMS {
        return Ok(());
    }
    let items = items(store, &object.meta.namespace);
    if items.is_empty() {
        return Ok(());
    }
    let spec: Value = object.spec();
    let mut wrong = Vec::new();
    for item in &items {
        match (kind(item), resource == ids::PODS) {
            ("Container", true) => {
                for list in ["containers", "initContainers"] {
                    let containers = spec.get(list).and_then(Value::as_array);
                    for container in containers.into_iter().flatten() {
                        let asked = amounts(container, "requests");
                        let limits = amounts(container, "limits");
                        bounded(item, &asked, &limits, &mut wrong);
                    }
                }
            }
            ("Pod", true) => {
                let asked = pod_amounts(&spec, "requests");
                bounded(item, &asked, &pod_amounts(&spec, "limits"), &mut wrong);
            }
            ("PersistentVolumeClaim", false) => {
                let asked = amounts(&spec, "requests");
                claim(item, &asked, &mut wrong);
            }
            _ => {}
        }
    }
    let why = match wrong.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    Err(Status::forbidden(row, &object.meta.name, &why))
}

fn bounded(item: &Value, asked: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    let of = kind(item);
    for (name, least) in bounds(item, "min") {
        let head = format!("minimum {name} usage per {of} is {least}");
        match (asked.get(&name), limits.get(&name)) {
            (None, _) => wrong.push(format!("{head}.  No request is specified")),
            (Some(one), _) if *one < least => {
                wrong.push(format!("{head}, but request is {one}"));
            }
            (_, Some(one)) if *one < least => wrong.push(format!("{head}, but limit is {one}")),
            _ => {}
        }
    }
    for (name, most) in bounds(item, "max") {
        let head = format!("maximum {name} usage per {of} is {most}");
        match (asked.get(&name), limits.get(&name)) {
            (_, None) => wrong.push(format!("{head}.  No limit is specified")),
            (_, Some(one)) if *one > most => wrong.push(format!("{head}, but limit is {one}")),
            (Some(one), _) if *one > most => {
                wrong.push(format!("{head}, but request is {one}"));
            }
            _ => {}
        }
    }
    for (name, most) in bounds(item, "maxLimitRequestRatio") {
        let head = format!("{name} max limit to request ratio per {of} is {most}");
        let some = |all: &Amounts| all.get(&name).copied().filter(|one| !one.is_zero());
        match (some(asked), some(limits)) {
            (None, _) => wrong.push(format!(
                "{head}, but no request is specified or request is 0"
            )),
            (_, None) => wrong.push(format!("{head}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let ratio = limit.ratio(request).unwrap_or(0.0);
                let allowed = most.ratio(Quantity::of(1)).unwrap_or(0.0);
                if ratio > allowed {
                    wrong.push(format!("{head}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn claim(item: &Value, asked: &Amounts, wrong: &mut Vec<String>) {
    let of = kind(item);
    for (bound, word) in [("min", "minimum"), ("max", "maximum")] {
        for (name, edge) in bounds(item, bound) {
            let head = format!("{word} {name} usage per {of} is {edge}");
            match asked.get(&name) {
                None => wrong.push(format!("{head}.  No request is specified")),
                Some(one) if (bound == "min" && *one < edge) || (bound == "max" && *one > edge) => {
                    wrong.push(format!("{head}, but request is {one}"));
                }
                Some(_) => {}
            }
        }
    }
}
