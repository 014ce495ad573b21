//! The form of a runbook: YAML front matter between two lines `---`, then Markdown for people.

use super::problem::Problem;
use super::tools::Tool;
use crate::diagnose::{Diagnosis, FaultClass};
use crate::ids::RunbookId;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;

/// Largest runbook in bytes.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// A runbook that passed every check.
#[derive(Clone, Debug)]
pub struct Runbook {
    /// Id, for example `RB_OOM`.
    pub id: RunbookId,
    /// Title.
    pub title: String,
    /// The faults that it is for.
    pub applies: Vec<Applies>,
    /// Names of alerts that hint at it.
    pub alerts: Vec<String>,
    /// Images to fall back to, by `namespace/workload/container`.
    pub fallback_image: BTreeMap<String, String>,
    /// Steps, in order.
    pub steps: Vec<RunbookStep>,
    /// The Markdown for people.
    pub body: String,
    /// File it comes from.
    pub file: String,
}

/// A fault that a runbook is for: `ImagePullFailure`, or `ImagePullFailure/not_found` for one reason
/// within the class only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applies {
    /// Class.
    pub class: FaultClass,
    /// Reason within the class; `None` is any.
    pub reason: Option<String>,
}

impl Applies {
    /// Whether the diagnosis is such a fault.
    pub fn matches(&self, diagnosis: &Diagnosis) -> bool {
        let reason = self.reason.as_ref();
        self.class == diagnosis.class && reason.is_none_or(|r| *r == diagnosis.reason)
    }
}

impl fmt::Display for Applies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{}/{reason}", self.class),
            None => write!(f, "{}", self.class),
        }
    }
}

/// One step of a runbook.
#[derive(Clone, Debug)]
pub struct RunbookStep {
    /// Name, by which later gates read its result.
    pub name: String,
    pub(super) tool: &'static Tool,
    /// Gates in CEL; all must be open.
    pub gates: Vec<String>,
    /// Settings of the tool.
    pub with: BTreeMap<String, String>,
}

impl RunbookStep {
    /// Usual name of its tool.
    pub fn tool(&self) -> &'static str {
        self.tool.name()
    }

    /// Whether it proposes a write.
    pub fn writes(&self) -> bool {
        self.tool.writes()
    }
}

/// The front matter as written, with the place of everything that a check may complain about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Front {
    pub(super) id: Spanned<String>,
    pub(super) title: Spanned<String>,
    pub(super) applies: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) alerts: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) fallback_image: BTreeMap<String, Spanned<String>>,
    pub(super) steps: Spanned<Vec<FrontStep>>,
}

/// One step as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FrontStep {
    pub(super) name: Spanned<String>,
    pub(super) tool: Spanned<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) when: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) when_all: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) with: BTreeMap<String, Spanned<String>>,
}

/// A key that is there has a value: a gate that YAML takes for nothing (`when: !steps...`, a tag) must
/// not be no gate.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Spanned<String>>, D::Error> {
    Spanned::deserialize(value).map(Some)
}

/// A text split into its front matter and its body.
pub(super) struct Parsed {
    pub(super) front: Front,
    pub(super) body: String,
}

/// Splits and parses a text; the problem says what is wrong with its form.
pub(super) fn parse(file: &str, text: &str) -> Result<Parsed, Problem> {
    let at_start = |message: &str, help: &str| Problem {
        file: file.to_owned(),
        line: 1,
        column: 1,
        message: message.to_owned(),
        help: help.to_owned(),
    };
    if text.len() > MAX_BYTES {
        return Err(at_start(
            "the file is too large",
            "a runbook has at most 64 KiB",
        ));
    }
    let text = text.replace("\r\n", "\n");
    let opened = text.strip_prefix("---\n").ok_or_else(|| {
        at_start(
            "no front matter",
            "the first line is `---`, then YAML, then a second line `---`",
        )
    })?;
    // A body without any text is complained about with the other checks.
    let (yaml, body) = match opened.split_once("\n---\n") {
        Some(parts) => parts,
        None => (
            opened.strip_suffix("\n---").ok_or_else(|| {
                at_start(
                    "the front matter does not end",
                    "close it with a line `---`",
                )
            })?,
            "",
        ),
    };
    // The line break takes the place of the first `---`, so that places are those of the file.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let front = serde_saphyr::from_str_with_options::<Front>(&format!("\n{yaml}\n"), options)
        .map_err(|error| {
            if let Some((line, column)) = error.location().and_then(|at| tag(&text, at)) {
                return Problem {
                    line,
                    column,
                    ..at_start(
                        "YAML takes what begins with `!` for a tag, not for a value",
                        "put it in quotes: '!steps.NAME.FIELD'",
                    )
                };
            }
            let place = error.location().unwrap_or(Location::UNKNOWN);
            problem(
                file,
                place,
                &message_of(&error),
                "docs/runbooks.md has the form",
            )
        })?;
    Ok(Parsed {
        front,
        body: body.trim().to_owned(),
    })
}

/// The place of the value on that line, where it begins with `!` as a gate without quotes does.
fn tag(text: &str, place: Location) -> Option<(u64, u64)> {
    let index = usize::try_from(place.line()).ok()?.checked_sub(1)?;
    let line = text.lines().nth(index)?;
    let before = line.get(..=line.find(" !")?)?;
    let is_value = before.trim_start() == "- " || before.ends_with(": ");
    let column = u64::try_from(before.chars().count()).ok()?;
    is_value.then_some((place.line(), column + 1))
}

/// The parser's message in one line; the place is told apart from it.
fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let place = line.rfind(" at line ");
    line.get(..place.unwrap_or(line.len()))
        .unwrap_or(line)
        .to_owned()
}

/// A problem at a place that the parser named.
pub(super) fn problem(file: &str, place: Location, message: &str, help: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line: place.line().max(1),
        column: place.column().max(1),
        message: message.to_owned(),
        help: help.to_owned(),
    }
}
