//! Gates: one CEL expression each, over the results of earlier steps and the diagnosis.
//!
//! An expression is bounded before it is parsed, has no macros (and so no comprehensions), and is
//! parsed and evaluated on a thread of its own: the parser recurses, and on a small stack a long
//! chain of operators would abort the process instead of giving an error. Whatever goes wrong, the
//! gate is closed.

use super::types::{self, Type};
use cel::common::ast::{Expr, operators};
use cel::{Context, Env, IdedExpr, Program};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// Longest expression in bytes.
pub(super) const MAX_BYTES: usize = 1024;
/// Deepest nesting of brackets, those in strings included.
pub(super) const MAX_DEPTH: usize = 8;
/// Enough for the longest chain of operators that fits in [`MAX_BYTES`], in a debug build too.
const STACK_BYTES: usize = 8 << 20;

/// Functions that a gate may call.
const FUNCTIONS: &[&str] = &["size", "contains", "startsWith", "endsWith", "matches"];

/// Operators that a gate may use, as the parser names them.
const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::IN,
];

/// Why an expression is no gate, or why a gate could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GateError {
    #[error("the expression has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
    #[error("brackets are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("not a CEL expression: {0}")]
    Syntax(String),
    #[error("{0} is not allowed in a gate")]
    NotAllowed(String),
    #[error("`{0}` is unknown: a gate reads `steps.NAME.FIELD` and `diagnosis.FIELD`")]
    UnknownName(String),
    #[error("cannot be evaluated: {0}")]
    Evaluation(String),
    #[error("gives {0}, not true or false")]
    NotBool(String),
    #[error("takes {found} where {wanted} is needed")]
    WrongType { wanted: String, found: String },
    #[error("compares {left} with {right}: they are never alike")]
    NeverAlike { left: String, right: String },
    #[error("no thread to evaluate it on")]
    NoThread,
}

/// What a gate reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reads {
    /// `steps.NAME.FIELD`.
    Step { name: String, field: String },
    /// `diagnosis.FIELD`.
    Diagnosis { field: String },
}

/// Checks an expression without evaluating it and tells what it reads. `fields` says what kind of
/// value stands there.
pub(super) fn check(
    text: &str,
    fields: &(dyn Fn(&Reads) -> Type + Sync),
) -> Result<Vec<Reads>, GateError> {
    bounded(text)?;
    on_own_stack(|| {
        let program = parse(text)?;
        let reads = reads(program.expression())?;
        types::gives_bool(program.expression(), fields)?;
        Ok(reads)
    })
}

/// Whether the gate is open over `{steps: ..., diagnosis: ...}`.
pub(super) fn is_open(text: &str, over: &Value) -> Result<bool, GateError> {
    bounded(text)?;
    on_own_stack(|| {
        let program = parse(text)?;
        reads(program.expression())?;
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in over.as_object().into_iter().flatten() {
            let value = cel::to_value(value).map_err(|e| GateError::Evaluation(e.to_string()))?;
            context.add_variable_from_value(name.as_str(), value);
        }
        match program.execute(&context) {
            Ok(cel::Value::Bool(open)) => Ok(open),
            Ok(other) => Err(GateError::NotBool(other.type_of().to_string())),
            Err(error) => Err(GateError::Evaluation(error.to_string())),
        }
    })
}

/// The limits that hold before the parser sees the text.
fn bounded(text: &str) -> Result<(), GateError> {
    if text.len() > MAX_BYTES {
        return Err(GateError::TooLong(text.len()));
    }
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(GateError::TooDeep);
        }
    }
    Ok(())
}

/// Standard functions and no macros: `all`, `exists`, `map` and the like do not exist.
static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

fn parse(text: &str) -> Result<Program, GateError> {
    ENVIRONMENT.compile(text).map_err(|errors| {
        let first = errors.errors.first().map_or("", |error| error.msg.as_str());
        // The parser goes on with a list of every token that there is.
        let short = first.split(" expecting {").next().unwrap_or(first);
        GateError::Syntax(short.to_owned())
    })
}

fn on_own_stack<T: Send>(
    work: impl FnOnce() -> Result<T, GateError> + Send,
) -> Result<T, GateError> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|_| GateError::NoThread)?;
        // A panic of the parser is an error like any other.
        thread
            .join()
            .unwrap_or_else(|_| Err(GateError::Evaluation("the evaluator panicked".to_owned())))
    })
}

fn reads(root: &IdedExpr) -> Result<Vec<Reads>, GateError> {
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(node) = todo.pop() {
        match &node.expr {
            Expr::Select(select) if !select.test => found.push(read(node)?),
            Expr::Ident(name) => return Err(GateError::UnknownName(name.clone())),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if !FUNCTIONS.contains(&name) && !OPERATORS.contains(&name) {
                    return Err(GateError::NotAllowed(format!("`{name}`")));
                }
                todo.extend(call.target.iter().map(|target| &**target));
                todo.extend(&call.args);
            }
            Expr::List(list) => todo.extend(&list.elements),
            Expr::Literal(_) => {}
            Expr::Select(_) | Expr::Comprehension(_) => {
                return Err(GateError::NotAllowed("a macro".to_owned()));
            }
            Expr::Map(_) | Expr::Struct(_) => {
                return Err(GateError::NotAllowed("a map".to_owned()));
            }
            Expr::Unspecified => return Err(GateError::Syntax("nothing".to_owned())),
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// `steps.NAME.FIELD` or `diagnosis.FIELD`, nothing shorter and nothing longer.
pub(super) fn read(node: &IdedExpr) -> Result<Reads, GateError> {
    let mut segments = Vec::new();
    let mut at = &node.expr;
    while let Expr::Select(select) = at {
        segments.push(select.field.as_str());
        at = &select.operand.expr;
    }
    let Expr::Ident(root) = at else {
        return Err(GateError::NotAllowed("a field of a value".to_owned()));
    };
    segments.push(root);
    segments.reverse();
    match segments.as_slice() {
        ["steps", name, field] => Ok(Reads::Step {
            name: (*name).to_owned(),
            field: (*field).to_owned(),
        }),
        ["diagnosis", field] => Ok(Reads::Diagnosis {
            field: (*field).to_owned(),
        }),
        other => Err(GateError::UnknownName(other.join("."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn any(_: &Reads) -> Type {
        Type::Any
    }

    fn world() -> Value {
        json!({
            "steps": {
                "oom": { "oom_detected": true, "reasons": ["app in cart-1: OOMKilled"] },
                "pull": { "imagepull_detected": false, "reasons": [] },
            },
            "diagnosis": { "class": "OomKilled", "confidence": 0.9 },
        })
    }

    #[test]
    fn a_gate_reads_results_and_the_diagnosis() {
        let table = [
            ("steps.oom.oom_detected", true),
            ("!steps.oom.oom_detected", false),
            (
                "steps.oom.oom_detected && !steps.pull.imagepull_detected",
                true,
            ),
            ("diagnosis.class == 'OomKilled'", true),
            ("diagnosis.class in ['CrashLoop', 'ProbeFailure']", false),
            ("diagnosis.confidence > 0.75", true),
            ("size(steps.oom.reasons) == 1", true),
            ("steps.pull.imagepull_detected ? false : true", true),
            ("diagnosis.class.startsWith('Oom')", true),
        ];
        for (text, open) in table {
            assert_eq!(is_open(text, &world()), Ok(open), "{text}");
        }
    }

    #[test]
    fn an_error_is_not_an_open_gate() {
        let table = [
            "steps.gone.oom_detected",
            "steps.oom.gone",
            "steps.oom.reasons",
            "'true'",
            "1",
            "diagnosis.class && true",
            "steps.oom.oom_detected &&",
            "",
            "1 / 0 == 1",
            "diagnosis.class.matches('(')",
        ];
        for text in table {
            assert!(is_open(text, &world()).is_err(), "{text}");
        }
    }

    #[test]
    fn macros_maps_and_other_functions_are_refused() {
        let table = [
            "steps.oom.reasons.exists(r, r == 'x')",
            "steps.oom.reasons.all(r, true)",
            "steps.oom.reasons.map(r, r) == []",
            "steps.oom.reasons.filter(r, true) == []",
            "steps.oom.reasons.exists_one(r, true)",
            "has(steps.oom.gone)",
            "{'a': 1}.a == 1",
            "steps['oom'].oom_detected",
            "type(1) == int",
            "dyn(1) == 1",
            "steps.?oom",
            "steps",
            "steps.oom",
            "diagnosis",
            "diagnosis.a.b",
            "other.thing",
            "true.thing",
        ];
        for text in table {
            assert!(
                check(text, &any).is_err(),
                "{text}: {:?}",
                check(text, &any)
            );
            assert!(is_open(text, &world()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_gate_reads_is_known_without_evaluating_it() {
        let reads = check(
            "steps.a.applied || (steps.b.ready && diagnosis.class in ['X'])",
            &any,
        );
        let step = |name: &str, field: &str| Reads::Step {
            name: name.into(),
            field: field.into(),
        };
        let class = Reads::Diagnosis {
            field: "class".into(),
        };
        assert_eq!(
            reads,
            Ok(vec![step("a", "applied"), step("b", "ready"), class])
        );
    }

    #[test]
    fn length_and_depth_are_limited_before_the_parser_sees_the_text() {
        let nested = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(is_open(&nested(MAX_DEPTH), &world()), Ok(true));
        assert_eq!(check(&nested(MAX_DEPTH + 1), &any), Err(GateError::TooDeep));
        let padded = |n: usize| format!("{:<n$}", "true");
        assert_eq!(is_open(&padded(MAX_BYTES), &world()), Ok(true));
        assert_eq!(
            check(&padded(MAX_BYTES + 1), &any),
            Err(GateError::TooLong(MAX_BYTES + 1))
        );
    }

    /// The longest chains that fit: without the thread's stack some of them end the process.
    #[test]
    fn no_text_within_the_limits_ends_the_process() {
        let fill = |unit: &str, end: &str| {
            let times = (MAX_BYTES - end.len()) / unit.len();
            format!("{}{end}", unit.repeat(times))
        };
        let table = [
            fill("!", "true"),
            fill("-", "1"),
            fill("1+", "1"),
            fill("1<", "1"),
            fill("true&&", "true"),
            fill("true||", "true"),
            fill("true?true:", "true"),
            fill("a?", "b"),
            fill("a.", "b"),
            format!("a{}", ".b".repeat(500)),
            fill("a==", "b"),
            fill("[", ""),
            fill("(", ""),
            fill("'", ""),
            fill("\"\"\"", ""),
            fill("a(", ""),
            fill("[]+", "[]"),
            fill("1in", "1"),
            format!("size{}", "('a')".repeat(200)),
            fill("a[0]", ""),
            fill(")", ""),
            fill("\u{1F600}", ""),
            fill("\0", ""),
        ];
        for text in table {
            let shown: String = text.chars().take(20).collect();
            assert!(text.len() <= MAX_BYTES, "{shown}");
            // Only that it returns matters.
            drop((check(&text, &any), is_open(&text, &world())));
            assert_ne!(check(&text, &any), Err(GateError::NoThread), "{shown}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "[ -~]{0,120}") {
            drop(is_open(&text, &world()));
        }

        #[test]
        fn any_row_of_tokens_gives_an_answer(
            tokens in proptest::collection::vec(
                proptest::sample::select(vec![
                    "steps", ".", "oom", "oom_detected", "(", ")", "[", "]", "!", "&&", "||", "?",
                    ":", "==", "in", "'x'", "1", "-", "+", "true", " ", "size", ",", "{", "}",
                ]),
                0..60,
            )
        ) {
            drop(is_open(&tokens.concat(), &world()));
        }
    }
}
