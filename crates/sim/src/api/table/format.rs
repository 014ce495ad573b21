//! How kubectl's columns write times, lists and selectors.

use crate::selector::LabelSelector;
use jiff::Timestamp;
use serde_json::Value;

/// `<none>` for nothing.
pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// How long ago, as people read it (`k8s.io/apimachinery/pkg/util/duration`).
pub(super) fn since(at: Timestamp, now: Timestamp) -> String {
    human(now.as_second().saturating_sub(at.as_second()))
}

/// A duration in seconds, as people read it.
pub(super) fn human(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, part: &str| {
        if small == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{small}{part}")
        }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// Names, joined; `<none>` for none.
pub(super) fn join(list: &[Value], field: &str) -> String {
    let all: Vec<&str> = list
        .iter()
        .filter_map(|one| one.get(field)?.as_str())
        .collect();
    or_none(&all.join(",")).to_owned()
}

/// A label selector, or plain labels.
pub(super) fn selector(value: &Value) -> String {
    let text = match serde_json::from_value(value.clone()) {
        Ok(labels) => LabelSelector::from_labels(&labels).to_string(),
        Err(_) => LabelSelector::from_value(value)
            .map(|selector| selector.to_string())
            .unwrap_or_default(),
    };
    or_none(&text).to_owned()
}

/// The value at a simple JSON path.
pub(super) fn json_path<'value>(value: &'value Value, path: &str) -> Option<&'value Value> {
    let mut rest = path.trim_start_matches('$');
    let mut place = value;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, left) = after.split_at_checked(end)?;
            place = place.get(name)?;
            rest = left;
        } else {
            let (inside, left) = rest.strip_prefix('[')?.split_once(']')?;
            place = element(place, inside)?;
            rest = left;
        }
    }
    Some(place).filter(|found| !found.is_null())
}

fn element<'value>(value: &'value Value, inside: &str) -> Option<&'value Value> {
    if let Ok(index) = inside.parse::<usize>() {
        return value.get(index);
    }
    if let Some(name) = inside
        .strip_prefix('\'')
        .and_then(|one| one.strip_suffix('\''))
    {
        return value.get(name);
    }
    let filter = inside.strip_prefix("?(@.")?.strip_suffix(')')?;
    let (field, wanted) = filter.split_once("==")?;
    let wanted = wanted.trim().trim_matches(['"', '\'']);
    let field = field.trim();
    let mut all = value.as_array()?.iter();
    all.find(|one| one.get(field).and_then(Value::as_str) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read_as_kubectl_writes_them() {
        let pairs = [
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (201, "3m21s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (12_000, "3h20m"),
            (100_000, "27h"),
            (200_000, "2d7h"),
            (864_000, "10d"),
        ];
        for (seconds, text) in pairs {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn simple_paths_are_followed() {
        let value =
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}], "n": [1]}});
        let ready = ".status.conditions[?(@.type==\"Ready\")].status";
        assert_eq!(json_path(&value, ready), Some(&json!("True")));
        assert_eq!(json_path(&value, ".status.n[0]"), Some(&json!(1)));
        assert_eq!(json_path(&value, ".status.none[0].x"), None);
        assert_eq!(json_path(&value, "[[["), None);
    }
}
