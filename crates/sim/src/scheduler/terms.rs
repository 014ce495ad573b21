//! Labels against selectors, nodes against node selectors, taints against tolerations.

use serde::Deserialize;
use std::collections::BTreeMap;

/// `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Expression>,
}

/// `v1.NodeSelectorRequirement`, `metav1.LabelSelectorRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Expression {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        let number = |text: &str| text.parse::<i64>().ok();
        let compared = || {
            let wanted = self.values.first().and_then(|value| number(value))?;
            Some((number(found?)?, wanted))
        };
        match self.operator.as_str() {
            "In" => found.is_some_and(|found| self.values.contains(found)),
            "NotIn" => found.is_none_or(|found| !self.values.contains(found)),
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            "Gt" => compared().is_some_and(|(found, wanted)| found > wanted),
            "Lt" => compared().is_some_and(|(found, wanted)| found < wanted),
            _ => false,
        }
    }
}

impl LabelSelector {
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|one| one.matches(labels))
    }
}

/// `v1.NodeSelector`: one of the terms has to match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeSelector {
    node_selector_terms: Vec<NodeTerm>,
}

/// `v1.NodeSelectorTerm`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeTerm {
    match_expressions: Vec<Expression>,
    match_fields: Vec<Expression>,
}

impl NodeSelector {
    pub(super) fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector_terms
            .iter()
            .any(|term| term.matches(name, labels))
    }

    /// The only nodes that it can match, when every term names one (as a `DaemonSet`'s pods do).
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        let each = self.node_selector_terms.iter();
        let names: Option<Vec<&str>> = each.map(NodeTerm::name).collect();
        names.filter(|names| !names.is_empty())
    }
}

impl NodeTerm {
    pub(super) fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        // An empty term matches nothing.
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return false;
        }
        let fields = BTreeMap::from([("metadata.name".to_owned(), name.to_owned())]);
        self.match_expressions.iter().all(|one| one.matches(labels))
            && self.match_fields.iter().all(|one| one.matches(&fields))
    }

    fn name(&self) -> Option<&str> {
        let named = |one: &&Expression| one.key == "metadata.name" && one.operator == "In";
        let field = self.match_fields.iter().find(named)?;
        match field.values.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }
}

/// `v1.Taint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Taint {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) effect: String,
}

/// `v1.Toleration`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Toleration {
    key: String,
    operator: String,
    value: String,
    effect: String,
}

impl Toleration {
    /// `ToleratesTaint`.
    pub(super) fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key.is_empty() || self.key == taint.key;
        effect
            && key
            && match self.operator.as_str() {
                "" | "Equal" => !self.key.is_empty() && self.value == taint.value,
                "Exists" => true,
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerations_are_matched_by_key_value_and_effect() {
        let taint = Taint {
            key: "team".to_owned(),
            value: "red".to_owned(),
            effect: "NoSchedule".to_owned(),
        };
        let tolerates = |value| {
            let toleration: Toleration = serde_json::from_value(value).unwrap();
            toleration.tolerates(&taint)
        };
        assert!(tolerates(json!({"operator": "Exists"})));
        assert!(tolerates(json!({"key": "team", "value": "red"})));
        assert!(tolerates(
            json!({"key": "team", "operator": "Exists", "effect": "NoSchedule"})
        ));
        assert!(!tolerates(json!({"key": "team", "value": "blue"})));
        assert!(!tolerates(
            json!({"key": "team", "operator": "Exists", "effect": "NoExecute"})
        ));
    }

    #[test]
    fn node_selectors_know_numbers_and_names() {
        let selector: NodeSelector = serde_json::from_value(json!({"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]},
        ]}))
        .unwrap();
        let cores = |n: &str| BTreeMap::from([("cores".to_owned(), n.to_owned())]);
        assert!(selector.matches("n1", &cores("8")));
        assert!(!selector.matches("n1", &cores("4")));
        assert!(selector.matches("n2", &cores("4")));
        assert_eq!(selector.names(), None);
    }
}
