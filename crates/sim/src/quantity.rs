//! Kubernetes quantities (`100m`, `1Gi`, `1e3`): read, counted with, and printed in the canonical form
//! of `k8s.io/apimachinery/pkg/api/resource`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Nano units in one.
const NANO: i128 = 1_000_000_000;

/// Longest text that is read. Real ones have less than thirty characters.
const MAX_LEN: usize = 64;

/// Largest power of ten that is read as an exponent.
const MAX_EXPONENT: u32 = 18;

/// An amount. Compared by its value; the way it is written is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// How a quantity is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// `1k`, `500m`.
    #[default]
    Decimal,
    /// `1Ki`.
    Binary,
    /// `1e3`.
    Exponent,
}

/// The text is no quantity. The message is the API server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)]
pub struct BadQuantity;

impl Quantity {
    /// So many whole ones.
    pub fn of(units: i64) -> Self {
        Self {
            nano: i128::from(units).saturating_mul(NANO),
            format: Format::Decimal,
        }
    }

    /// So many thousandths.
    pub fn of_milli(milli: i64) -> Self {
        Self {
            nano: i128::from(milli).saturating_mul(1_000_000),
            format: Format::Decimal,
        }
    }

    /// So many bytes, printed with binary suffixes.
    pub fn of_bytes(bytes: i64) -> Self {
        Self {
            format: Format::Binary,
            ..Self::of(bytes)
        }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, BadQuantity> {
        if text.len() > MAX_LEN {
            return Err(BadQuantity);
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(BadQuantity);
        }
        let (scale, format) = Scale::parse(suffix)?;
        let nano = scale.nano(whole, fraction)?;
        Ok(Self {
            nano: if negative {
                nano.saturating_neg()
            } else {
                nano
            },
            format,
        })
    }

    /// Thousandths, rounded up (millicores of cpu).
    pub fn milli(self) -> i64 {
        self.rounded_up(1_000_000)
    }

    /// Whole ones, rounded up (bytes of memory, pods).
    pub fn value(self) -> i64 {
        self.rounded_up(NANO)
    }

    /// Is it nothing?
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    /// Is it below nothing?
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// The sum, printed as the first is (or as the second, when the first is nothing).
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_add(other.nano),
            format: self.format_with(other),
        }
    }

    /// The difference; may be negative.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_sub(other.nano),
            format: self.format_with(other),
        }
    }

    /// How many times `other` it is; `None` when that is nothing.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio is compared with one decimal"
    )]
    pub fn ratio(self, other: Self) -> Option<f64> {
        (other.nano != 0).then(|| self.nano as f64 / other.nano as f64)
    }

    fn format_with(self, other: Self) -> Format {
        if self.nano == 0 {
            other.format
        } else {
            self.format
        }
    }

    fn rounded_up(self, unit: i128) -> i64 {
        let up = div_up(self.nano, unit);
        i64::try_from(up).unwrap_or(if up < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Division that rounds away from zero, as quantities do.
fn div_up(number: i128, unit: i128) -> i128 {
    let whole = number / unit;
    if number % unit == 0 {
        whole
    } else {
        whole + number.signum()
    }
}

/// What a suffix multiplies by: `2^binary * 10^decimal`.
struct Scale {
    binary: u32,
    decimal: i32,
}

impl Scale {
    fn parse(suffix: &str) -> Result<(Self, Format), BadQuantity> {
        let binary = |binary| (Self { binary, decimal: 0 }, Format::Binary);
        let decimal = |decimal| (Self { binary: 0, decimal }, Format::Decimal);
        Ok(match suffix {
            "" => decimal(0),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            other => {
                let digits = other
                    .strip_prefix(['e', 'E'])
                    .filter(|digits| !digits.is_empty())
                    .ok_or(BadQuantity)?;
                let exponent: i32 = digits.parse().map_err(|_| BadQuantity)?;
                if exponent.unsigned_abs() > MAX_EXPONENT {
                    return Err(BadQuantity);
                }
                let (scale, _) = decimal(exponent);
                (scale, Format::Exponent)
            }
        })
    }

    /// The number in nano units, rounded up; the largest there is when it is larger.
    fn nano(&self, whole: &str, fraction: &str) -> Result<i128, BadQuantity> {
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let mut number: i128 = if digits.is_empty() {
            0
        } else {
            digits.parse().map_err(|_| BadQuantity)?
        };
        number = number.saturating_mul(1_i128 << self.binary);
        let places = i32::try_from(fraction.len()).map_err(|_| BadQuantity)?;
        let shift = self.decimal.saturating_sub(places).saturating_add(9);
        let ten = 10_i128.checked_pow(shift.unsigned_abs());
        Ok(match (shift >= 0, ten) {
            (true, Some(ten)) => number.saturating_mul(ten),
            (true, None) => i128::MAX,
            (false, Some(ten)) => div_up(number, ten),
            (false, None) => i128::from(number > 0),
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.nano.unsigned_abs() < 1024 * NANO.unsigned_abs();
        let (suffixes, base, mut number, mut at): (&[&str], i128, i128, usize) = match self.format {
            Format::Binary if !small => (
                &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"],
                1024,
                div_up(self.nano, NANO),
                0,
            ),
            Format::Exponent => (
                &[
                    "e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18",
                ],
                1000,
                self.nano,
                0,
            ),
            Format::Binary | Format::Decimal => (
                &["n", "u", "m", "", "k", "M", "G", "T", "P", "E"],
                1000,
                self.nano,
                0,
            ),
        };
        if number == 0 {
            return f.write_str("0");
        }
        while number % base == 0 && at.saturating_add(1) < suffixes.len() {
            number /= base;
            at = at.saturating_add(1);
        }
        write!(f, "{number}{}", suffixes.get(at).unwrap_or(&""))
    }
}

impl FromStr for Quantity {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// From a string, or from a number as YAML has it.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(input)?;
        Self::of_value(&value).map_err(serde::de::Error::custom)
    }
}

impl Quantity {
    /// From a JSON string or number.
    pub fn of_value(value: &serde_json::Value) -> Result<Self, BadQuantity> {
        match value {
            serde_json::Value::String(text) => Self::parse(text),
            serde_json::Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(BadQuantity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_made_canonical() {
        let table = [
            ("0", "0"),
            ("1", "1"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.5", "1500m"),
            ("1500m", "1500m"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("512Mi", "512Mi"),
            ("1e3", "1e3"),
            ("1500e3", "1500e3"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("-5", "-5"),
            ("+5Gi", "5Gi"),
            ("0.0001m", "100n"),
            ("0.1n", "1n"),
            ("128974848", "128974848"),
        ];
        for (text, canonical) in table {
            assert_eq!(
                Quantity::parse(text).unwrap().to_string(),
                canonical,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "lots", "1 Gi", "1Gib", "e3", "1.2.3", ".", "-", "1e", "1e99", "1mi",
        ] {
            assert_eq!(Quantity::parse(text), Err(BadQuantity), "{text}");
        }
    }

    #[test]
    fn amounts_are_counted() {
        let cpu = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!(cpu("1").plus(cpu("250m")).to_string(), "1250m");
        assert_eq!(cpu("1Gi").minus(cpu("512Mi")).to_string(), "512Mi");
        assert_eq!(cpu("0.5").milli(), 500);
        assert_eq!(cpu("1Gi").value(), 1 << 30);
        assert_eq!(cpu("1m").value(), 1);
        assert_eq!(cpu("1Gi").ratio(cpu("512Mi")), Some(2.0));
        assert!(cpu("1Ki") > cpu("1k"));
    }

    proptest! {
        #[test]
        fn a_printed_quantity_reads_the_same(nano in any::<i64>(), format in 0..3_u8) {
            let suffix = ["n", "Ki", "e-3"][usize::from(format)];
            let first = Quantity::parse(&format!("{nano}{suffix}")).unwrap();
            let again = Quantity::parse(&first.to_string()).unwrap();
            prop_assert_eq!(again, first);
            prop_assert_eq!(again.to_string(), first.to_string());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            if let Ok(quantity) = Quantity::parse(&text) {
                prop_assert!(!quantity.to_string().is_empty());
            }
        }
    }
}
