//! What a pod asks for (`k8s.io/component-helpers/resource`).

use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts in a field of a container's `resources`.
pub(super) fn amounts(container: &Value, kind: &str) -> Amounts {
    let all = container.get("resources").and_then(|one| one.get(kind));
    read(all.unwrap_or(&Value::Null))
}

/// Reads a map of amounts; what is no quantity is left out.
pub(super) fn read(value: &Value) -> Amounts {
    let each = value.as_object().into_iter().flatten();
    each.filter_map(|(name, value)| Some((name.clone(), Quantity::of_value(value).ok()?)))
        .collect()
}

fn add(to: &mut Amounts, what: &Amounts) {
    for (name, amount) in what {
        let sum = to.get(name).copied().unwrap_or_default().plus(*amount);
        to.insert(name.clone(), sum);
    }
}

fn raise(to: &mut Amounts, what: &Amounts) {
    for (name, amount) in what {
        let most = to.get(name).map_or(*amount, |now| (*now).max(*amount));
        to.insert(name.clone(), most);
    }
}

/// What a pod's spec asks for in `requests` or `limits`: its containers and sidecars together, or its
/// largest init container with the sidecars before it, and the overhead.
pub fn pod_amounts(spec: &Value, kind: &str) -> Amounts {
    let list = |name: &str| {
        spec.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let mut total = Amounts::new();
    for container in list("containers") {
        add(&mut total, &amounts(container, kind));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in list("initContainers") {
        let mine = amounts(container, kind);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut total, &mine);
            add(&mut sidecars, &mine);
            raise(&mut init, &sidecars);
        } else {
            let mut with = mine;
            add(&mut with, &sidecars);
            raise(&mut init, &with);
        }
    }
    raise(&mut total, &init);
    if let Some(overhead) = spec.get("overhead") {
        let overhead = read(overhead);
        let counted = overhead
            .into_iter()
            .filter(|(name, _)| kind == "requests" || total.contains_key(name));
        let counted: Amounts = counted.collect();
        add(&mut total, &counted);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn init_containers_count_one_by_one_and_sidecars_all_the_time() {
        let one = |cpu: &str, restart: Option<&str>| json!({"resources": {"requests": {"cpu": cpu}}, "restartPolicy": restart});
        let spec = json!({
            "containers": [one("100m", None), one("200m", None)],
            "initContainers": [one("50m", Some("Always")), one("500m", None)],
            "overhead": {"cpu": "10m"},
        });
        let asked = pod_amounts(&spec, "requests");
        assert_eq!(asked.get("cpu").unwrap().to_string(), "560m");
    }
}
