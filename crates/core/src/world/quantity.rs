//! Kubernetes quantities (`256Mi`, `500m`), kept as written and comparable by value.
//!
//! Grammar: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A quantity as written. Numbers in JSON are taken too.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

const SUFFIXES: &[(&str, i128)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

impl Quantity {
    /// A number of bytes in the largest binary unit that divides it (`256Mi`, `4Gi`).
    pub fn bytes(bytes: u64) -> Self {
        let units = [("Gi", 1_u64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
        let unit = units
            .iter()
            .find(|(_, size)| bytes != 0 && bytes.is_multiple_of(*size));
        Self(unit.map_or_else(
            || bytes.to_string(),
            |(name, size)| format!("{}{name}", bytes / size),
        ))
    }

    /// The value in thousandths, rounded up; `None` when it is not a quantity.
    pub fn milli(&self) -> Option<i128> {
        let text = self.0.trim();
        let (number, scale) = match text.strip_suffix('m') {
            Some(number) => (number, 1),
            None => SUFFIXES
                .iter()
                .find_map(|(suffix, size)| text.strip_suffix(suffix).map(|n| (n, size * 1000)))
                .unwrap_or((text, 1000)),
        };
        let (number, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let exponent: u32 = exponent.parse().ok().filter(|e| *e <= 18)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let places = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = digits
            .checked_mul(scale)?
            .checked_mul(10_i128.pow(exponent))?;
        Some(scaled.div_euclid(places) + i128::from(scaled.rem_euclid(places) != 0))
    }

    /// The value in whole units (bytes for memory), rounded up; `None` when it is not a quantity.
    pub fn value(&self) -> Option<u64> {
        let milli = self.milli()?;
        u64::try_from(milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) != 0)).ok()
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Quantity {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as \"256Mi\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }
        from.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_by_value() {
        let table = [
            ("256Mi", Some(268_435_456)),
            ("1Gi", Some(1_073_741_824)),
            ("0.5Gi", Some(536_870_912)),
            ("128M", Some(128_000_000)),
            ("1e3", Some(1000)),
            ("100m", Some(1)),
            ("1500m", Some(2)),
            ("", None),
            ("lots", None),
        ];
        for (text, value) in table {
            assert_eq!(Quantity::from(text).value(), value, "{text}");
        }
    }

    #[test]
    fn bytes_are_written_in_the_largest_unit_that_divides_them() {
        assert_eq!(Quantity::bytes(256 << 20).as_str(), "256Mi");
        assert_eq!(Quantity::bytes(4 << 30).as_str(), "4Gi");
        assert_eq!(Quantity::bytes(1000).as_str(), "1000");
        assert_eq!(Quantity::bytes(0).as_str(), "0");
    }
}
