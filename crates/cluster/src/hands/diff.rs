//! What a rehearsal would change, as lines `path: old -> new` for people and gates.

use nightshift_core::redact;
use serde_json::Value;
use std::collections::BTreeSet;

/// Lines that are kept; the last one says how many more there were.
const MAX_LINES: usize = 40;
/// Longest value that is shown, in characters.
const MAX_VALUE: usize = 120;
/// Fields whose text may hold anything, secrets too: that they change is shown, not to what.
const HIDDEN: [&str; 7] = [
    "annotations",
    "args",
    "command",
    "httpHeaders",
    "options",
    "value",
    "volumeAttributes",
];

/// Differences of `spec` between the object read and the object returned. Metadata and status are
/// the server's own bookkeeping.
pub(super) fn spec(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("spec", old.get("spec"), new.get("spec"), &mut lines);
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES + 1;
        lines.truncate(MAX_LINES - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn walk(path: &str, old: Option<&Value>, new: Option<&Value>, lines: &mut Vec<String>) {
    let (old, new) = (present(old), present(new));
    if old == new {
        return;
    }
    if let Some(steps) = children(old, new) {
        for (step, old, new) in steps {
            walk(&format!("{path}{step}"), old, new, lines);
        }
        return;
    }
    let hidden = path
        .split(['.', '['])
        .any(|part| HIDDEN.contains(&part.trim_end_matches(']')));
    let line = format!("{path}: {} -> {}", show(old, hidden), show(new, hidden));
    lines.push(redact::text(&line));
}

/// `null` is no value.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn show(value: Option<&Value>, hidden: bool) -> String {
    match value {
        None => "(none)".to_owned(),
        Some(_) if hidden => "(not shown)".to_owned(),
        Some(Value::Object(_)) => "(object)".to_owned(),
        Some(Value::Array(_)) => "(list)".to_owned(),
        Some(Value::String(text)) => cut(text),
        Some(other) => other.to_string(),
    }
}

type Child<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// The next level, where both sides have one or nothing: fields by name, list items by their `name`
/// or else by index.
fn children<'a>(old: Option<&'a Value>, new: Option<&'a Value>) -> Option<Vec<Child<'a>>> {
    let all = |fits: fn(&Value) -> bool| old.into_iter().chain(new).all(fits);
    if all(Value::is_object) {
        let keys = [old, new]
            .into_iter()
            .flatten()
            .filter_map(Value::as_object);
        let keys: BTreeSet<&String> = keys.flat_map(serde_json::Map::keys).collect();
        let of = |side: Option<&'a Value>, key: &str| side.and_then(|value| value.get(key));
        let child = |key: &String| (format!(".{key}"), of(old, key), of(new, key));
        return Some(keys.into_iter().map(child).collect());
    }
    all(Value::is_array).then(|| items(list(old), list(new)))
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn items<'a>(old: &'a [Value], new: &'a [Value]) -> Vec<Child<'a>> {
    let name = |item: &'a Value| item["name"].as_str();
    let names: Vec<Option<&str>> = old.iter().chain(new).map(name).collect();
    let unique =
        |items: &'a [Value]| items.iter().map(name).collect::<BTreeSet<_>>().len() == items.len();
    if names.contains(&None) || !unique(old) || !unique(new) {
        return (0..old.len().max(new.len()))
            .map(|index| (format!("[{index}]"), old.get(index), new.get(index)))
            .collect();
    }
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .flatten()
        .filter(|wanted| seen.insert(*wanted))
        .map(|wanted| {
            let of = |items: &'a [Value]| items.iter().find(|item| name(item) == Some(wanted));
            (format!("[{wanted}]"), of(old), of(new))
        })
        .collect()
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(MAX_VALUE).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(container: &Value) -> Value {
        json!({"metadata": {"resourceVersion": "7"}, "spec": {"template": {"spec": {"containers": [container]}}}})
    }

    #[test]
    fn changes_are_lines_and_list_items_have_names() {
        let old = template(
            &json!({"name": "app", "image": "shop:1", "resources": {"limits": {"memory": "256Mi"}}}),
        );
        let mut new = template(
            &json!({"name": "app", "image": "shop:2", "resources": {"limits": {"memory": "512Mi"}, "requests": {"memory": "128Mi"}}}),
        );
        new["metadata"]["resourceVersion"] = json!("8");
        assert_eq!(
            spec(&old, &new),
            [
                "spec.template.spec.containers[app].image: shop:1 -> shop:2",
                "spec.template.spec.containers[app].resources.limits.memory: 256Mi -> 512Mi",
                "spec.template.spec.containers[app].resources.requests.memory: (none) -> 128Mi",
            ]
        );
    }

    #[test]
    fn values_that_may_be_secrets_are_not_shown() {
        let old = template(
            &json!({"name": "app", "args": ["--key=one"], "env": [{"name": "KEY", "value": "one"}]}),
        );
        let new = template(
            &json!({"name": "app", "args": ["--key=two", "-v"], "env": [{"name": "KEY", "value": "two"}]}),
        );
        let lines = spec(&old, &new);
        assert_eq!(
            lines,
            [
                "spec.template.spec.containers[app].args[0]: (not shown) -> (not shown)",
                "spec.template.spec.containers[app].args[1]: (none) -> (not shown)",
                "spec.template.spec.containers[app].env[KEY].value: (not shown) -> (not shown)",
            ]
        );
    }

    #[test]
    fn lines_and_values_have_a_limit() {
        let many = |text: &str| {
            let labels: serde_json::Map<_, _> = (0..100)
                .map(|n| (format!("l{n:03}"), json!(text)))
                .collect();
            json!({"spec": {"labels": labels}})
        };
        let lines = spec(&many("a"), &many(&"b".repeat(1000)));
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("and 61 more"));
        assert!(lines.iter().all(|line| line.chars().count() < 200));
    }

    #[test]
    fn the_same_spec_has_no_lines() {
        let same = json!({"spec": {"a": [{}, null], "b": {}}});
        assert!(spec(&same, &same).is_empty());
        assert_eq!(
            spec(
                &json!({"spec": {}}),
                &json!({"spec": {"unschedulable": true}})
            ),
            ["spec.unschedulable: (none) -> true"]
        );
    }
}
