//! Collects what is wrong with the fields of an object, in the words of
//! `k8s.io/apimachinery/pkg/util/validation/field`.

use crate::status::Cause;
use serde_json::Value;

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Errors(Vec<Cause>);

impl Errors {
    fn push(&mut self, reason: &str, field: &str, message: String) {
        self.0.push(Cause {
            reason: reason.to_owned(),
            message,
            field: field.to_owned(),
        });
    }

    /// Something has to be there. `why` may be empty.
    pub fn required(&mut self, field: &str, why: &str) {
        let message = match why {
            "" => "Required value".to_owned(),
            why => format!("Required value: {why}"),
        };
        self.push("FieldValueRequired", field, message);
    }

    /// A value is wrong.
    pub fn invalid(&mut self, field: &str, value: &Value, why: &str) {
        let message = format!("Invalid value: {value}: {why}");
        self.push("FieldValueInvalid", field, message);
    }

    /// A value is wrong that is printed otherwise than as JSON.
    pub fn printed(&mut self, field: &str, value: &str, why: &str) {
        let message = format!("Invalid value: {value}: {why}");
        self.push("FieldValueInvalid", field, message);
    }

    /// More data than an object may have.
    pub fn too_long(&mut self, most: usize) {
        let message = format!("Too long: may not be more than {most} bytes");
        self.push("FieldValueTooLong", "", message);
    }

    /// A text is wrong, for each of these reasons.
    pub fn text(&mut self, field: &str, value: &str, wrong: &[String]) {
        for why in wrong {
            self.invalid(field, &Value::String(value.to_owned()), why);
        }
    }

    /// A value is none of those that there are.
    pub fn unsupported(&mut self, field: &str, value: &Value, known: &[&str]) {
        let known: Vec<String> = known.iter().map(|one| format!("\"{one}\"")).collect();
        let message = format!(
            "Unsupported value: {value}: supported values: {}",
            known.join(", ")
        );
        self.push("FieldValueNotSupported", field, message);
    }

    /// A value is there twice.
    pub fn duplicate(&mut self, field: &str, value: &Value) {
        let message = format!("Duplicate value: {value}");
        self.push("FieldValueDuplicate", field, message);
    }

    /// Something may not be there, or may not change.
    pub fn forbidden(&mut self, field: &str, why: &str) {
        self.push("FieldValueForbidden", field, format!("Forbidden: {why}"));
    }

    /// A reference leads nowhere.
    pub fn not_found(&mut self, field: &str, value: &str) {
        self.push(
            "FieldValueNotFound",
            field,
            format!("Not found: \"{value}\""),
        );
    }

    /// A value has to be the one that it was.
    pub fn immutable(&mut self, field: &str, old: Option<&Value>, new: Option<&Value>) {
        if old.unwrap_or(&Value::Null) != new.unwrap_or(&Value::Null) {
            self.invalid(field, new.unwrap_or(&Value::Null), "field is immutable");
        }
    }

    /// Everything that was found.
    pub fn into_causes(self) -> Vec<Cause> {
        self.0
    }
}
