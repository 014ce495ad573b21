//! Which objects a selector picks: by labels (`app=web,tier in (a,b),!old`, or `metav1.LabelSelector`),
//! and by the few fields that each kind can be asked for.

use crate::status::{Reason, Status};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

mod fields;
mod parse;

pub use fields::FieldSelector;

/// One condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    /// The label is there with one of these values.
    In(String, Vec<String>),
    /// The label is not there, or has none of these values.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is not there.
    Absent(String),
    /// The label is there, and is a larger number.
    Greater(String, i64),
    /// The label is there, and is a smaller number.
    Less(String, i64),
}

/// A selector of labels. Without any requirement it picks everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    /// Picks nothing: a `metav1.LabelSelector` that is null.
    nothing: bool,
}

/// `metav1.LabelSelector` on the wire.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

/// `metav1.LabelSelectorRequirement`.
#[derive(Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Option<Vec<String>>,
}

impl Wire {
    /// `None` where an operator is not known.
    fn selector(self) -> Option<LabelSelector> {
        let labels = self.match_labels.unwrap_or_default().into_iter();
        let mut requirements: Vec<Requirement> = labels
            .map(|(key, value)| Requirement::In(key, vec![value]))
            .collect();
        for one in self.match_expressions.unwrap_or_default() {
            let values = one.values.unwrap_or_default();
            requirements.push(match one.operator.as_str() {
                "In" => Requirement::In(one.key, values),
                "NotIn" => Requirement::NotIn(one.key, values),
                "Exists" => Requirement::Exists(one.key),
                "DoesNotExist" => Requirement::Absent(one.key),
                _ => return None,
            });
        }
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
        Some(LabelSelector {
            requirements,
            nothing: false,
        })
    }
}

/// A `metav1.LabelSelector` as a part of a spec. One that is null, or has an operator that is not
/// known, picks nothing.
impl<'de> Deserialize<'de> for LabelSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Option::<Wire>::deserialize(deserializer)?;
        Ok(wire.and_then(Wire::selector).unwrap_or_else(Self::nothing))
    }
}

impl LabelSelector {
    /// Reads a selector as it stands in a URL. 400 when it cannot be read.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let requirements =
            parse::requirements(text).map_err(|why| Status::new(Reason::BadRequest, why))?;
        Ok(Self {
            requirements,
            nothing: false,
        })
    }

    /// Reads a `metav1.LabelSelector`: null picks nothing, an empty one everything. `None` where it
    /// is none.
    pub fn from_value(value: &serde_json::Value) -> Option<Self> {
        match Option::<Wire>::deserialize(value).ok()? {
            Some(wire) => wire.selector(),
            None => Some(Self::nothing()),
        }
    }

    /// A selector of exactly these labels (`spec.selector` of a Service).
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        let each = labels.iter();
        Self {
            requirements: each
                .map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()]))
                .collect(),
            nothing: false,
        }
    }

    /// A selector that picks nothing.
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// Does it pick everything?
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Does it pick an object with these labels?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|one| one.matches(labels))
    }
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Self::In(key, _)
            | Self::NotIn(key, _)
            | Self::Exists(key)
            | Self::Absent(key)
            | Self::Greater(key, _)
            | Self::Less(key, _) => key,
        }
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = labels.get(self.key());
        let number = || label.and_then(|text| text.parse::<i64>().ok());
        match self {
            Self::In(_, values) => label.is_some_and(|label| values.contains(label)),
            Self::NotIn(_, values) => label.is_none_or(|label| !values.contains(label)),
            Self::Exists(_) => label.is_some(),
            Self::Absent(_) => label.is_none(),
            Self::Greater(_, than) => number().is_some_and(|number| number > *than),
            Self::Less(_, than) => number().is_some_and(|number| number < *than),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = |values: &[String]| {
            let mut values = values.to_vec();
            values.sort();
            values.join(",")
        };
        match self {
            Self::In(key, values) => match values.as_slice() {
                [one] => write!(f, "{key}={one}"),
                many => write!(f, "{key} in ({})", sorted(many)),
            },
            Self::NotIn(key, values) => match values.as_slice() {
                [one] => write!(f, "{key}!={one}"),
                many => write!(f, "{key} notin ({})", sorted(many)),
            },
            Self::Exists(key) => f.write_str(key),
            Self::Absent(key) => write!(f, "!{key}"),
            Self::Greater(key, than) => write!(f, "{key}>{than}"),
            Self::Less(key, than) => write!(f, "{key}<{than}"),
        }
    }
}

/// As `labels.Selector` prints it (the `status.selector` of a Scale).
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            one.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let each = pairs.iter();
        each.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn expressions_select_as_kubernetes_says() {
        let selector = |operator, values: &[&str]| {
            let one =
                json!({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]});
            serde_json::from_value::<LabelSelector>(one).unwrap()
        };
        let with = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let without = BTreeMap::new();
        for (operator, values, first, second) in [
            ("In", &["v"][..], true, false),
            ("NotIn", &["v"], false, true),
            ("Exists", &[], true, false),
            ("DoesNotExist", &[], false, true),
            ("Near", &["v"], false, false),
        ] {
            assert_eq!(
                selector(operator, values).matches(&with),
                first,
                "{operator}"
            );
            assert_eq!(
                selector(operator, values).matches(&without),
                second,
                "{operator}"
            );
        }
    }

    #[test]
    fn selectors_pick_by_labels() {
        let object = labels(&[
            ("app", "web"),
            ("tier", "front"),
            ("age", "7"),
            ("empty", ""),
        ]);
        let table = [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier = front", true),
            ("app=api", false),
            ("app!=api", true),
            ("none!=x", true),
            ("app", true),
            ("none", false),
            ("!app", false),
            ("!none", true),
            ("app in (web, api)", true),
            ("app in (api)", false),
            ("app notin (api,db)", true),
            ("none notin (x)", true),
            ("app notin (web)", false),
            ("age>6", true),
            ("age gt 7", false),
            ("age<8,app", true),
            ("empty=", true),
            ("empty", true),
            ("app=", false),
            ("empty in (,x)", true),
            ("in in (x)", false),
        ];
        for (text, picked) in table {
            let selector = LabelSelector::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(selector.matches(&object), picked, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_selector_is_refused_in_kubernetes_words() {
        let refused = LabelSelector::parse("a b c").unwrap_err();
        assert_eq!(refused.code, 400);
        assert_eq!(
            refused.message,
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
        );
        for text in [
            "=", "a in", "a in (", "a in b", "a,,b", "a=b c", "!", "a>x", "-a=b", "a=b!",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn objects_of_selectors_pick_the_same() {
        let selector = LabelSelector::from_value(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]},
                                 {"key": "old", "operator": "DoesNotExist"}],
        }))
        .unwrap();
        assert_eq!(selector.to_string(), "app=web,!old,tier in (a,b)");
        assert!(selector.matches(&labels(&[("app", "web"), ("tier", "b")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("tier", "b"), ("old", "")])));
        let nothing = LabelSelector::from_value(&json!(null)).unwrap();
        assert!(!nothing.matches(&labels(&[])));
        assert!(
            LabelSelector::from_value(&json!({}))
                .unwrap()
                .is_everything()
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z(),=!<> in./\\PC]{0,40}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string());
                prop_assert_eq!(again.map(|one| one.to_string()), Ok(selector.to_string()));
            }
        }
    }
}
