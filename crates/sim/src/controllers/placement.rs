//! May a pod be on a node: taints and tolerations, node selectors and required node affinity.
//!
//! Rules: `component-helpers/scheduling/corev1` of Kubernetes 1.36.

use crate::object::Object;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `core/v1` `Taint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Taint {
    /// Name.
    pub(super) key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub(super) effect: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time_added: Option<Timestamp>,
}

/// `core/v1` `Toleration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Toleration {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) operator: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) value: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) effect: String,
    /// How long, of a `NoExecute` taint; `None` for ever.
    #[serde(rename = "tolerationSeconds", skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<i64>,
}

impl Toleration {
    /// Does it tolerate this taint?
    pub(super) fn covers(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key.is_empty() || self.key == taint.key;
        let value = match self.operator.as_str() {
            "" | "Equal" => !self.key.is_empty() && self.value == taint.value,
            "Exists" => true,
            _ => false,
        };
        effect && key && value
    }
}

/// What a node is matched by.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    name: &'a str,
    labels: &'a BTreeMap<String, String>,
    /// Its taints.
    pub(super) taints: Vec<Taint>,
}

impl<'a> Node<'a> {
    /// Reads one.
    pub(super) fn of(object: &'a Object) -> Self {
        Self {
            name: &object.meta.name,
            labels: &object.meta.labels,
            taints: taints(object),
        }
    }
}

/// The taints of a node.
pub(super) fn taints(node: &Object) -> Vec<Taint> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        taints: Vec<Taint>,
    }
    let read = |text: &str| serde_json::from_str(text).ok();
    let spec = node.fields.get("spec");
    let spec: Option<Arc<Spec>> = spec.and_then(|spec| spec.read_once(read));
    spec.map(|spec| spec.taints.clone()).unwrap_or_default()
}

/// What of a pod's spec decides where it may be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wishes {
    node_name: String,
    node_selector: BTreeMap<String, String>,
    affinity: Affinity,
    /// Which taints it tolerates.
    pub(super) tolerations: Vec<Toleration>,
    /// On the node's network.
    pub(super) host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: NodeAffinity,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<Terms>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    node_selector_terms: Vec<Term>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<Requirement>,
    match_fields: Vec<Requirement>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Wishes {
    /// Do name, labels and fields of the node suit it?
    pub(super) fn suits(&self, node: &Node<'_>) -> bool {
        let named = self.node_name.is_empty() || self.node_name == node.name;
        let mut selector = self.node_selector.iter();
        let selected = selector.all(|(key, value)| node.labels.get(key) == Some(value));
        let required = &self.affinity.node_affinity;
        let required = &required.required_during_scheduling_ignored_during_execution;
        named
            && selected
            && required.as_ref().is_none_or(|terms| {
                terms
                    .node_selector_terms
                    .iter()
                    .any(|term| term.matches(node))
            })
    }

    /// Does it tolerate all taints of these effects?
    pub(super) fn tolerates(&self, taints: &[Taint], effects: &[&str]) -> bool {
        let mut hard = taints
            .iter()
            .filter(|taint| effects.contains(&taint.effect.as_str()));
        hard.all(|taint| self.tolerations.iter().any(|one| one.covers(taint)))
    }

    /// The only node that it may be on by name, where its affinity says one.
    pub(super) fn only_node(&self) -> Option<&str> {
        if !self.node_name.is_empty() {
            return Some(&self.node_name);
        }
        let required = &self.affinity.node_affinity;
        let terms = required
            .required_during_scheduling_ignored_during_execution
            .as_ref()?;
        let mut fields = terms
            .node_selector_terms
            .iter()
            .flat_map(|term| &term.match_fields);
        let field = fields.find(|one| one.key == "metadata.name" && one.operator == "In")?;
        field.values.first().map(String::as_str)
    }
}

impl Term {
    /// A term that says nothing matches nothing.
    fn matches(&self, node: &Node<'_>) -> bool {
        let says = !self.match_expressions.is_empty() || !self.match_fields.is_empty();
        let label = |one: &Requirement| one.holds(node.labels.get(&one.key).map(String::as_str));
        let field =
            |one: &Requirement| one.holds(Some(node.name).filter(|_| one.key == "metadata.name"));
        says && self.match_expressions.iter().all(label) && self.match_fields.iter().all(field)
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = value.is_some_and(|value| self.values.iter().any(|one| one == value));
        let number = |text: &str| text.parse::<i64>().ok();
        let compared = || Some((number(value?)?, number(self.values.first()?)?));
        match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compared().is_some_and(|(have, wanted)| have > wanted),
            "Lt" => compared().is_some_and(|(have, wanted)| have < wanted),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taint() -> Taint {
        let taint = json!({"key": "team", "value": "red", "effect": "NoExecute"});
        serde_json::from_value(taint).unwrap()
    }

    #[test]
    fn tolerations_cover_taints_as_kubernetes_says() {
        for (toleration, covers) in [
            (json!({"key": "team", "value": "red"}), true),
            (json!({"key": "team", "value": "blue"}), false),
            (json!({"key": "team", "operator": "Exists"}), true),
            (json!({"operator": "Exists"}), true),
            (
                json!({"key": "team", "operator": "Exists", "effect": "NoSchedule"}),
                false,
            ),
            (json!({}), false),
        ] {
            let one: Toleration = serde_json::from_value(toleration.clone()).unwrap();
            assert_eq!(one.covers(&taint()), covers, "{toleration}");
        }
    }

    #[test]
    fn a_required_term_picks_nodes_by_label_and_name() {
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        let node = Node {
            name: "n1",
            labels: &labels,
            taints: vec![],
        };
        let wishes = |terms| {
            let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            serde_json::from_value::<Wishes>(json!({"affinity": {"nodeAffinity": required}}))
                .unwrap()
        };
        let ssd =
            json!([{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]);
        assert!(wishes(ssd).suits(&node));
        let other = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]);
        assert!(!wishes(other.clone()).suits(&node));
        assert_eq!(wishes(other).only_node(), Some("n2"));
        assert!(!wishes(json!([{}])).suits(&node));
    }
}
