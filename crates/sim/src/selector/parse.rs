//! Reads the text of a label selector, with the grammar and the messages of
//! `k8s.io/apimachinery/pkg/labels`.

use super::Requirement;
use crate::validate::names;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

/// A piece of the text. An operator that is a word is one by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

impl Token {
    fn text(token: Option<&Self>) -> &str {
        match token {
            Some(Self::Word(word)) => word,
            Some(Self::Symbol(symbol)) => symbol,
            None => "",
        }
    }
}

/// Longest first.
const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", ">", "<", "(", ")", ","];

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        let symbol = SYMBOLS.into_iter().find(|one| rest.starts_with(one));
        let length = if let Some(symbol) = symbol {
            found.push(Token::Symbol(symbol));
            symbol.len()
        } else {
            let end = rest.find(|c| is_space(c) || "=!<>(),".contains(c));
            let (word, _) = rest.split_at(end.unwrap_or(rest.len()));
            found.push(Token::Word(word.to_owned()));
            word.len().max(first.len_utf8())
        };
        rest = rest
            .get(length..)
            .unwrap_or("")
            .trim_start_matches(is_space);
    }
    found
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

/// All conditions of a selector, in the order of their keys.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser {
        tokens: tokens(text).into_iter().peekable(),
    };
    let mut found = Vec::new();
    loop {
        match parser.tokens.peek() {
            None => break,
            Some(Token::Word(_) | Token::Symbol("!")) => {
                let one = parser.requirement();
                found.push(one.map_err(|why| format!("unable to parse requirement: {why}"))?);
            }
            Some(Token::Symbol(other)) => {
                return Err(format!(
                    "found '{other}', expected: !, identifier, or 'end of string'"
                ));
            }
        }
        match parser.tokens.next() {
            None => break,
            Some(Token::Symbol(",")) => {}
            other => {
                let text = Token::text(other.as_ref());
                return Err(format!("found '{text}', expected: ',' or 'end of string'"));
            }
        }
        if !matches!(
            parser.tokens.peek(),
            Some(Token::Word(_) | Token::Symbol("!"))
        ) {
            let text = Token::text(parser.tokens.peek());
            return Err(format!("found '{text}', expected: identifier after ','"));
        }
    }
    found.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(found)
}

impl Parser {
    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.tokens.next_if_eq(&Token::Symbol("!")).is_some();
        let key = match self.tokens.next() {
            Some(Token::Word(key)) => key,
            other => {
                let text = Token::text(other.as_ref());
                return Err(format!("found '{text}', expected: identifier"));
            }
        };
        good("", &key, &names::label_key(&key))?;
        if absent {
            return Ok(Requirement::Absent(key));
        }
        if matches!(self.tokens.peek(), None | Some(Token::Symbol(","))) {
            return Ok(Requirement::Exists(key));
        }
        let operator = self.tokens.next();
        let found = match Token::text(operator.as_ref()) {
            "in" => Requirement::In(key, self.values()?),
            "notin" => Requirement::NotIn(key, self.values()?),
            "=" | "==" => Requirement::In(key, vec![self.value()?]),
            "!=" => Requirement::NotIn(key, vec![self.value()?]),
            ">" | "gt" => Requirement::Greater(key, number(&self.value()?)?),
            "<" | "lt" => Requirement::Less(key, number(&self.value()?)?),
            other => {
                return Err(format!(
                    "found '{other}', expected: in, notin, =, ==, !=, gt, lt"
                ));
            }
        };
        if let Requirement::In(key, values) | Requirement::NotIn(key, values) = &found {
            for value in values {
                good(key, value, &names::label_value(value))?;
            }
        }
        Ok(found)
    }

    /// `(a, b)`, where a value may be empty.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.tokens.next();
        if open != Some(Token::Symbol("(")) {
            return Err(format!(
                "found '{}' expected: '('",
                Token::text(open.as_ref())
            ));
        }
        let mut values = BTreeSet::new();
        let mut last = None;
        loop {
            match self.tokens.next() {
                Some(Token::Word(word)) if last.is_none() => last = Some(word),
                Some(Token::Symbol(",")) => {
                    values.insert(last.take().unwrap_or_default());
                }
                Some(Token::Symbol(")")) => {
                    values.insert(last.take().unwrap_or_default());
                    return Ok(values.into_iter().collect());
                }
                other => {
                    let text = Token::text(other.as_ref());
                    return Err(format!("found '{text}', expected: ',' or ')'"));
                }
            }
        }
    }

    fn value(&mut self) -> Result<String, String> {
        match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => Ok(String::new()),
            Some(Token::Word(_)) => Ok(Token::text(self.tokens.next().as_ref()).to_owned()),
            Some(Token::Symbol(other)) => Err(format!("found '{other}', expected: identifier")),
        }
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| {
        format!("values[0]: Invalid value: \"{text}\": for 'Gt', 'Lt' operators, the value must be an integer")
    })
}

/// An error as `field.Invalid` prints it without a path.
fn good(key: &str, text: &str, wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() {
        return Ok(());
    }
    let path = if key.is_empty() {
        "<nil>".to_owned()
    } else {
        format!("values[{key}]")
    };
    Err(format!(
        "{path}: Invalid value: {text:?}: {}",
        wrong.join("; ")
    ))
}
