//! Amounts of resources.

use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by resource; CPU in thousandths. Those that nearly every pod and node has are found without
/// comparing names: each pod asks each node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    cpu: i64,
    memory: i64,
    pods: i64,
    others: BTreeMap<String, i64>,
}

impl Amounts {
    /// One resource's; 0 where nothing is said.
    pub(super) fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "pods" => self.pods,
            other => self.others.get(other).copied().unwrap_or(0),
        }
    }

    /// All that are not 0.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        let own = [
            ("cpu", self.cpu),
            ("memory", self.memory),
            ("pods", self.pods),
        ];
        let others = self.others.iter();
        let all = own
            .into_iter()
            .chain(others.map(|(name, one)| (name.as_str(), *one)));
        all.filter(|(_, amount)| *amount != 0)
    }

    /// Says another amount.
    pub(super) fn set(&mut self, name: &str, amount: i64) {
        match name {
            "cpu" => self.cpu = amount,
            "memory" => self.memory = amount,
            "pods" => self.pods = amount,
            other => {
                self.others.insert(other.to_owned(), amount);
            }
        }
    }

    /// Adds all of another's.
    pub(super) fn add(&mut self, more: &Self) {
        for (name, amount) in more.iter() {
            self.set(name, self.get(name).saturating_add(amount));
        }
    }

    /// Takes all of another's away.
    pub(super) fn subtract(&mut self, less: &Self) {
        for (name, amount) in less.iter() {
            self.set(name, self.get(name).saturating_sub(amount));
        }
    }

    /// Of each resource the greater.
    pub(super) fn raise(&mut self, to: &Self) {
        for (name, amount) in to.iter() {
            self.set(name, self.get(name).max(amount));
        }
    }
}

/// Names with quantities. One that is no quantity counts as 0.
impl<'a> FromIterator<(&'a String, &'a Value)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (&'a String, &'a Value)>>(all: I) -> Self {
        let mut amounts = Self::default();
        for (name, value) in all {
            let quantity = Quantity::of_value(value).unwrap_or_default();
            let amount = if name == "cpu" {
                quantity.milli()
            } else {
                quantity.value()
            };
            amounts.set(name, amount);
        }
        amounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> Amounts {
        value.as_object().unwrap().iter().collect()
    }

    #[test]
    fn amounts_are_kept_by_name_whatever_the_name() {
        let mut one = of(&json!({"cpu": "100m", "memory": "1Mi", "gpu.test/x": "2"}));
        one.add(&of(&json!({"cpu": "1", "gpu.test/x": "1"})));
        let all = [("cpu", 1100), ("memory", 1 << 20), ("gpu.test/x", 3)];
        assert_eq!(one.iter().collect::<Vec<_>>(), all);
        one.raise(&of(&json!({"cpu": "500m", "memory": "2Mi"})));
        assert_eq!((one.get("cpu"), one.get("memory")), (1100, 2 << 20));
        one.subtract(&of(&json!({"cpu": "1100m", "gpu.test/x": "3"})));
        assert_eq!(one.iter().collect::<Vec<_>>(), [("memory", 2 << 20)]);
        assert_eq!(one.get("pods"), 0);
    }
}
