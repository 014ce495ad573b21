//! CEL expressions of admission policies, as far as the crate `cel` has the language. What Kubernetes
//! adds to it (quantities, URLs, addresses, the authorizer) is unknown here, and an expression that
//! uses it ends in an error like any other.
//!
//! The parser recurses, and on a small stack a long expression would end the process: expressions are
//! bounded before they are parsed, and are parsed and evaluated on a thread of their own.

use cel::{Context, Env};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

/// Longest expression in bytes.
const MAX_BYTES: usize = 4096;
/// Deepest nesting of brackets, those in strings included.
const MAX_DEPTH: usize = 32;
/// Enough for the longest and deepest expression, in a debug build too. Only what is used is taken.
const STACK_BYTES: usize = 64 << 20;

/// Why an expression gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpressionError {
    /// More than [`MAX_BYTES`].
    #[error("the expression has more than {MAX_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_DEPTH`].
    #[error("brackets are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Not CEL.
    #[error("compilation failed: {0}")]
    Syntax(String),
    /// A field that is not there, a function that is not known, an overflow, ...
    #[error("{0}")]
    Evaluation(String),
    /// The machine has no thread left, or the evaluator ended badly.
    #[error("the evaluator did not answer")]
    NoAnswer,
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What the expression gives with these variables.
pub(super) fn evaluate(
    text: &str,
    variables: &Map<String, Value>,
) -> Result<Value, ExpressionError> {
    bounded(text)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || on_this_stack(text, variables));
        let thread = thread.map_err(|_| ExpressionError::NoAnswer)?;
        thread.join().unwrap_or(Err(ExpressionError::NoAnswer))
    })
}

fn bounded(text: &str) -> Result<(), ExpressionError> {
    if text.len() > MAX_BYTES {
        return Err(ExpressionError::TooLong);
    }
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(ExpressionError::TooDeep);
        }
    }
    Ok(())
}

fn on_this_stack(text: &str, variables: &Map<String, Value>) -> Result<Value, ExpressionError> {
    let wrong = |why: String| ExpressionError::Evaluation(why);
    let program = ENVIRONMENT.compile(text).map_err(|errors| {
        let first = errors.errors.first().map_or("", |error| error.msg.as_str());
        // The parser goes on with a list of every token that there is.
        let short = first.split(" expecting {").next().unwrap_or(first);
        ExpressionError::Syntax(short.to_owned())
    })?;
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    for (name, value) in variables {
        let value = cel::to_value(Typed(value)).map_err(|error| wrong(error.to_string()))?;
        context.add_variable_from_value(name.as_str(), value);
    }
    let result = program
        .execute(&context)
        .map_err(|error| wrong(error.to_string()))?;
    result.json().map_err(|error| wrong(error.to_string()))
}

/// A JSON value with the types that Kubernetes gives it: a whole number is an `int`, never a `uint`.
struct Typed<'value>(&'value Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(yes) => to.serialize_bool(*yes),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => to.serialize_i64(whole),
                None => to.serialize_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => to.serialize_str(text),
            Value::Array(list) => to.collect_seq(list.iter().map(Typed)),
            Value::Object(map) => to.collect_map(map.iter().map(|(key, one)| (key, Typed(one)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn given(text: &str) -> Result<Value, ExpressionError> {
        let object = json!({
            "metadata": {"name": "cart", "labels": {"team": "shop"}},
            "spec": {"replicas": 3, "containers": [{"image": "a:1"}, {"image": "b:latest"}]},
        });
        let variables = json!({"object": object, "oldObject": null});
        evaluate(text, variables.as_object().unwrap())
    }

    #[test]
    fn expressions_of_the_kubernetes_documentation_work() {
        let table = [
            ("object.spec.replicas <= 5", json!(true)),
            ("object.spec.replicas + 1 == 4", json!(true)),
            ("oldObject == null", json!(true)),
            ("has(object.metadata.labels.team)", json!(true)),
            ("has(object.metadata.annotations)", json!(false)),
            ("'team' in object.metadata.labels", json!(true)),
            (
                "object.spec.containers.all(c, !c.image.endsWith(':latest'))",
                json!(false),
            ),
            (
                "'replicas: ' + string(object.spec.replicas)",
                json!("replicas: 3"),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(given(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_an_error() {
        let long = "1 + ".repeat(MAX_BYTES);
        let deep = "(".repeat(MAX_DEPTH + 1);
        let table = [
            "object.spec.gone",
            "quantity('1Gi')",
            "authorizer.group('')",
            "object.spec.",
            "",
            long.as_str(),
            deep.as_str(),
        ];
        for text in table {
            assert!(given(text).is_err(), "{text}: {:?}", given(text));
        }
    }

    #[test]
    fn the_longest_and_the_deepest_expression_do_not_end_the_process() {
        let chain = format!("{}true", "true && ".repeat((MAX_BYTES - 4) / 8));
        assert_eq!(given(&chain), Ok(json!(true)));
        let nested = format!("{}true{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
        assert_eq!(given(&nested), Ok(json!(true)));
    }
}
