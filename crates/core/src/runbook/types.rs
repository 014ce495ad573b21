//! What kind of value a gate gives, told without evaluating it: one that can only be closed for ever
//! is a slip of the pen, and its author is told at once.

use super::gate::{GateError, Reads, read};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use std::fmt;

/// Kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runbook) enum Type {
    /// `true` or `false`.
    Bool,
    /// Text.
    Text,
    /// A number, whole or not: CEL compares both.
    Number,
    /// A list.
    List,
    /// Values by name.
    Map,
    /// Not known here: complained about elsewhere, or told by the evaluation only.
    Any,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "any value",
        })
    }
}

/// A field of a tool's result, or of the diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runbook) struct Field {
    /// Name.
    pub(in crate::runbook) name: &'static str,
    /// Kind of its values.
    pub(in crate::runbook) holds: Type,
}

/// A field that is `true` or `false`.
pub(in crate::runbook) const fn flag(name: &'static str) -> Field {
    Field {
        name,
        holds: Type::Bool,
    }
}

/// A field that holds a text.
pub(in crate::runbook) const fn text(name: &'static str) -> Field {
    Field {
        name,
        holds: Type::Text,
    }
}

/// A field that holds a list.
pub(in crate::runbook) const fn list(name: &'static str) -> Field {
    Field {
        name,
        holds: Type::List,
    }
}

/// A field that holds values by name.
pub(in crate::runbook) const fn map(name: &'static str) -> Field {
    Field {
        name,
        holds: Type::Map,
    }
}

/// Complains about an expression that cannot give `true` or `false`, or that compares what can never
/// be the same. `fields` says what a gate reads there.
pub(in crate::runbook) fn gives_bool(
    root: &IdedExpr,
    fields: &dyn Fn(&Reads) -> Type,
) -> Result<(), GateError> {
    match of(root, fields)? {
        Type::Bool | Type::Any => Ok(()),
        other @ (Type::Text | Type::Number | Type::List | Type::Map) => {
            Err(GateError::NotBool(other.to_string()))
        }
    }
}

fn of(node: &IdedExpr, fields: &dyn Fn(&Reads) -> Type) -> Result<Type, GateError> {
    Ok(match &node.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(_) => Type::Bool,
            LiteralValue::String(_) => Type::Text,
            LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Number,
            LiteralValue::Bytes(_) | LiteralValue::Null => Type::Any,
        },
        Expr::List(elements) => {
            for element in &elements.elements {
                of(element, fields)?;
            }
            Type::List
        }
        Expr::Select(_) => fields(&read(node)?),
        Expr::Call(call) => called(call, fields)?,
        Expr::Ident(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => Type::Any,
    })
}

fn called(call: &CallExpr, fields: &dyn Fn(&Reads) -> Type) -> Result<Type, GateError> {
    let operands = call.target.iter().map(|target| &**target);
    let operands = operands.chain(&call.args);
    let of = |operand| of(operand, fields);
    let operands = operands.map(of).collect::<Result<Vec<_>, _>>()?;
    let all = |wanted: Type| match operands.iter().find(|found| !found.may_be(wanted)) {
        Some(found) => Err(GateError::WrongType {
            wanted: wanted.to_string(),
            found: found.to_string(),
        }),
        None => Ok(()),
    };
    Ok(match call.func_name.as_str() {
        operators::LOGICAL_NOT | operators::LOGICAL_AND | operators::LOGICAL_OR => {
            all(Type::Bool)?;
            Type::Bool
        }
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => {
            if let [left, right] = operands.as_slice()
                && !left.may_be(*right)
            {
                let (left, right) = (left.to_string(), right.to_string());
                return Err(GateError::NeverAlike { left, right });
            }
            Type::Bool
        }
        operators::CONDITIONAL => match operands.as_slice() {
            [condition, yes, no] => {
                if !condition.may_be(Type::Bool) {
                    return Err(GateError::WrongType {
                        wanted: Type::Bool.to_string(),
                        found: condition.to_string(),
                    });
                }
                if yes == no { *yes } else { Type::Any }
            }
            _ => Type::Any,
        },
        operators::NEGATE
        | operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO => {
            all(Type::Number)?;
            Type::Number
        }
        // Texts and lists are added too.
        operators::ADD => operands.first().copied().unwrap_or(Type::Any),
        "size" => Type::Number,
        operators::IN | "contains" | "startsWith" | "endsWith" | "matches" => Type::Bool,
        _ => Type::Any,
    })
}

impl Type {
    fn may_be(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::gate::check;

    fn fields(reads: &Reads) -> Type {
        match reads {
            Reads::Step { field, .. } if field == "oom_detected" => Type::Bool,
            Reads::Step { field, .. } if field == "reasons" => Type::List,
            Reads::Diagnosis { field } if field == "confidence" => Type::Number,
            Reads::Diagnosis { field } if field == "class" => Type::Text,
            Reads::Step { .. } | Reads::Diagnosis { .. } => Type::Any,
        }
    }

    #[test]
    fn what_gives_true_or_false_is_a_gate() {
        for gate in [
            "steps.oom.oom_detected",
            "!steps.oom.oom_detected && diagnosis.confidence > 0.75",
            "diagnosis.confidence >= 1",
            "size(steps.oom.reasons) + 1 == 2",
            "diagnosis.class in ['OomKilled', 'CrashLoop']",
            "diagnosis.class.startsWith('Oom') ? true : steps.oom.oom_detected",
            "'app' in steps.oom.reasons || diagnosis.class + 'x' != 'y'",
            "steps.oom.who_knows == 'x'",
            "true",
        ] {
            assert!(check(gate, &fields).is_ok(), "{gate}");
        }
    }

    #[test]
    fn what_can_only_be_closed_is_none() {
        let table = [
            ("1 + 1", "gives a number, not true or false"),
            ("steps.oom.reasons", "gives a list, not true or false"),
            ("diagnosis.class", "gives a text, not true or false"),
            (
                "steps.oom.oom_detected == 'yes'",
                "compares true or false with a text: they are never alike",
            ),
            (
                "diagnosis.confidence > '0.75'",
                "compares a number with a text: they are never alike",
            ),
            (
                "!diagnosis.class",
                "takes a text where true or false is needed",
            ),
            (
                "steps.oom.oom_detected && steps.oom.reasons",
                "takes a list where true or false is needed",
            ),
            (
                "diagnosis.class ? true : false",
                "takes a text where true or false is needed",
            ),
            (
                "diagnosis.confidence * diagnosis.class > 1",
                "takes a text where a number is needed",
            ),
        ];
        for (gate, why) in table {
            let error = check(gate, &fields).map_err(|error| error.to_string());
            assert_eq!(error, Err(why.to_owned()), "{gate}");
        }
    }
}
