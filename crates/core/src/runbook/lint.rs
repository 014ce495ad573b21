//! Every check of a runbook's content. One that passes them all cannot name a tool, a result or a
//! step that does not exist when it is run.

use super::format::{Applies, Front, FrontStep, Parsed, Runbook, RunbookStep, parse, problem};
use super::gate::{self, Reads};
use super::problem::Problem;
use super::tools::{self, TOOLS, Tool, memory_bounds, repository};
use super::types::{Field, Type, flag, text};
use crate::ids::RunbookId;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;

/// Most steps of a runbook.
const MAX_STEPS: usize = 20;
/// Most gates of a step.
const MAX_GATES: usize = 10;

/// What gates may read of the diagnosis.
pub(super) const DIAGNOSIS_FIELDS: &[Field] = &[
    text("class"),
    text("reason"),
    Field {
        name: "confidence",
        holds: Type::Number,
    },
    text("container"),
    text("owner_kind"),
    flag("came_with_revision"),
    flag("config_map_edited"),
];

/// Words that CEL keeps for itself, and so cannot name a step.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Parses and checks one text.
pub(super) fn runbook(file: &str, text: &str) -> Result<Runbook, Vec<Problem>> {
    let parsed = parse(file, text).map_err(|problem| vec![problem])?;
    let mut lint = Lint {
        file,
        problems: Vec::new(),
    };
    let runbook = lint.runbook(parsed);
    if lint.problems.is_empty() {
        return Ok(runbook);
    }
    lint.problems.sort();
    lint.problems.dedup();
    Err(lint.problems)
}

struct Lint<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl Lint<'_> {
    fn complain(&mut self, place: Location, message: &str, help: &str) {
        self.problems.push(problem(self.file, place, message, help));
    }

    fn runbook(&mut self, parsed: Parsed) -> Runbook {
        let Parsed { front, body } = parsed;
        self.head(&front, &body);
        let Front {
            id,
            title,
            applies,
            alerts,
            fallback_image,
            steps,
        } = front;
        let applies = applies.value.iter().filter_map(|text| self.applies(text));
        Runbook {
            id: RunbookId::from(id.value),
            title: title.value,
            applies: applies.collect(),
            alerts: alerts.into_iter().map(|name| name.value).collect(),
            fallback_image: self.fallback_image(fallback_image),
            steps: self.steps(&steps),
            body,
            file: self.file.to_owned(),
        }
    }

    fn head(&mut self, front: &Front, body: &str) {
        let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !front.id.value.starts_with("RB_") || !front.id.value.chars().all(upper) {
            let message = format!("`{}` is no id", front.id.value);
            let help = "an id is RB_ and then capital letters, digits and _";
            self.complain(front.id.referenced, &message, help);
        }
        if front.title.value.trim().is_empty() {
            self.complain(
                front.title.referenced,
                "the title is empty",
                "say what the fault is",
            );
        }
        if front.applies.value.is_empty() {
            let help = "name the fault classes that it is for";
            self.complain(front.applies.referenced, "it applies to nothing", help);
        }
        if front.steps.value.is_empty() || front.steps.value.len() > MAX_STEPS {
            let message = format!("it has {} steps", front.steps.value.len());
            let help = format!("a runbook has 1 to {MAX_STEPS} steps");
            self.complain(front.steps.referenced, &message, &help);
        }
        if body.is_empty() {
            let help = "write below the front matter what the person on call should know";
            self.complain(front.id.referenced, "there is no text for people", help);
        }
    }

    fn applies(&mut self, text: &Spanned<String>) -> Option<Applies> {
        let (class, reason) = match text.value.split_once('/') {
            Some((class, reason)) => (class, Some(reason.to_owned())),
            None => (text.value.as_str(), None),
        };
        match serde_json::from_value(class.into()) {
            Ok(class) => Some(Applies { class, reason }),
            Err(error) => {
                let message = format!("`{class}` is no fault class");
                self.complain(text.referenced, &message, &error.to_string());
                None
            }
        }
    }

    fn fallback_image(
        &mut self,
        images: BTreeMap<String, Spanned<String>>,
    ) -> BTreeMap<String, String> {
        for (key, image) in &images {
            let parts: Vec<&str> = key.split('/').collect();
            if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) {
                let message = format!("`{key}` is no container of a workload");
                let help = "write namespace/workload/container";
                self.complain(image.referenced, &message, help);
            }
            let name = &image.value;
            if repository(name) == name || name.chars().any(char::is_whitespace) {
                let message = format!("`{name}` names no version");
                let help = "an image to fall back to has a tag or a digest";
                self.complain(image.referenced, &message, help);
            }
        }
        images
            .into_iter()
            .map(|(key, image)| (key, image.value))
            .collect()
    }

    fn steps(&mut self, steps: &Spanned<Vec<FrontStep>>) -> Vec<RunbookStep> {
        let mut earlier: Vec<RunbookStep> = Vec::new();
        for step in &steps.value {
            self.name(step, &earlier, &steps.value);
            let read = self.gates(step, &earlier, &steps.value);
            let Some(tool) = tools::find(&step.tool.value) else {
                let message = format!("unknown tool `{}`", step.tool.value);
                let known: Vec<_> = TOOLS.iter().flat_map(|tool| tool.names).copied().collect();
                let help = format!("tools are {}", known.join(", "));
                self.complain(step.tool.referenced, &message, &help);
                continue;
            };
            if tool.writes() {
                self.order(step, &read, &earlier);
            }
            self.with(step, tool);
            let gates = step.when.iter().chain(&step.when_all);
            let with = step.with.iter();
            earlier.push(RunbookStep {
                name: step.name.value.clone(),
                tool,
                gates: gates.map(|gate| gate.value.clone()).collect(),
                with: with
                    .map(|(key, value)| (key.clone(), value.value.clone()))
                    .collect(),
            });
        }
        earlier
    }

    fn name(&mut self, step: &FrontStep, earlier: &[RunbookStep], all: &[FrontStep]) {
        let name = &step.name.value;
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || !name.chars().all(small) || RESERVED.contains(&name.as_str()) {
            let message = format!("`{name}` is no name of a step");
            let help = "small letters, digits and _, and no word of CEL";
            self.complain(step.name.referenced, &message, help);
        }
        let twice = all.iter().filter(|other| other.name.value == *name).count() > 1;
        if twice && earlier.iter().any(|other| other.name == *name) {
            let message = format!("a second step is named `{name}`");
            self.complain(step.name.referenced, &message, "names are used once");
        }
    }

    /// What the gates of the step read.
    fn gates(
        &mut self,
        step: &FrontStep,
        earlier: &[RunbookStep],
        all: &[FrontStep],
    ) -> Vec<Reads> {
        let mut read = Vec::new();
        let gates: Vec<_> = step.when.iter().chain(&step.when_all).collect();
        if gates.len() > MAX_GATES {
            let message = format!("it has {} gates", gates.len());
            let help = format!("a step has at most {MAX_GATES}");
            self.complain(step.name.referenced, &message, &help);
        }
        for gate in gates {
            match gate::check(&gate.value, &|reads| holds(reads, earlier)) {
                Ok(reads) => {
                    for one in &reads {
                        self.reference(gate, one, earlier, all);
                    }
                    read.extend(reads);
                }
                Err(error) => {
                    let help = "docs/runbooks.md says what a gate may hold";
                    self.complain(gate.referenced, &error.to_string(), help);
                }
            }
        }
        read
    }

    /// A gate may read results of earlier steps only, and only fields that they have.
    fn reference(
        &mut self,
        gate: &Spanned<String>,
        reads: &Reads,
        earlier: &[RunbookStep],
        all: &[FrontStep],
    ) {
        let (what, field, fields) = match reads {
            Reads::Diagnosis { field } => ("diagnosis".to_owned(), field, DIAGNOSIS_FIELDS),
            Reads::Step { name, field } => {
                let Some(step) = earlier.iter().find(|step| step.name == *name) else {
                    let named = all.iter().find(|step| step.name.value == *name);
                    if named.is_some_and(|step| tools::find(&step.tool.value).is_none()) {
                        return; // The unknown tool is complained about.
                    }
                    let message = if named.is_some() {
                        format!("step `{name}` comes later")
                    } else {
                        format!("there is no step `{name}`")
                    };
                    let help = "a gate reads the results of earlier steps";
                    self.complain(gate.referenced, &message, help);
                    return;
                };
                (format!("steps.{name}"), field, step.tool.fields)
            }
        };
        if !fields.iter().any(|known| known.name == field) {
            let message = format!("`{what}` has no field `{field}`");
            let known: Vec<_> = fields.iter().map(|field| field.name).collect();
            let help = format!("fields are {}", known.join(", "));
            self.complain(gate.referenced, &message, &help);
        }
    }

    /// A write after another one has to say how the two go together: instead of it, or after it.
    fn order(&mut self, step: &FrontStep, read: &[Reads], earlier: &[RunbookStep]) {
        for before in earlier.iter().filter(|before| before.writes()) {
            let applied = Reads::Step {
                name: before.name.clone(),
                field: "applied".to_owned(),
            };
            if !read.contains(&applied) {
                let name = &before.name;
                let message = format!("nothing says how this write goes with `{name}` before it");
                let help = format!(
                    "add a gate with `!steps.{name}.applied` (instead) or `steps.{name}.applied` (after)"
                );
                self.complain(step.name.referenced, &message, &help);
            }
        }
    }

    fn with(&mut self, step: &FrontStep, tool: &Tool) {
        for (key, value) in &step.with {
            let Some(param) = tool.params.iter().find(|param| param.name == key) else {
                let known: Vec<_> = tool.params.iter().map(|param| param.name).collect();
                let message = format!("tool `{}` has no setting `{key}`", tool.name());
                let help = if known.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("settings are {}", known.join(", "))
                };
                self.complain(value.referenced, &message, &help);
                continue;
            };
            if !(param.accepts)(&value.value) {
                let message = format!("`{}` is no value of `{key}`", value.value);
                self.complain(value.referenced, &message, &format!("write {}", param.form));
            }
        }
        if !tool.params.iter().any(|param| param.name == "at_most") {
            return;
        }
        let set = step.with.iter();
        let set = set
            .map(|(key, value)| (key.clone(), value.value.clone()))
            .collect();
        let (least, most) = memory_bounds(&set);
        if let Some(value) = step.with.values().next()
            && least > most
        {
            let message = "`at_least` is more than `at_most`: no limit is both";
            let help = "without `at_most` it is 4Gi";
            self.complain(value.referenced, message, help);
        }
    }
}

/// What kind of value a gate reads there; a field that does not exist is complained about apart.
fn holds(reads: &Reads, earlier: &[RunbookStep]) -> Type {
    let (fields, field) = match reads {
        Reads::Diagnosis { field } => (DIAGNOSIS_FIELDS, field),
        Reads::Step { name, field } => {
            let step = earlier.iter().find(|step| step.name == *name);
            (step.map_or(&[][..], |step| step.tool.fields), field)
        }
    };
    let known = fields.iter().find(|known| known.name == field);
    known.map_or(Type::Any, |known| known.holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::FaultClass;

    const GOOD: &str = "\
---
id: RB_TEST
title: A test
applies: [CrashLoop, ImagePullFailure/not_found]
alerts: [MyAlert]
fallback_image:
  demo/cart/app: img.test/cart:1
steps:
  - name: oom
    tool: check_oom
  - name: raise
    tool: patch_resources
    when: steps.oom.oom_detected
    when_all:
      - diagnosis.class == 'OomKilled'
      - size(steps.oom.reasons) > 0
    with:
      at_most: 2Gi
---
Text for people.
";

    /// All problems of the good text with one part of it exchanged, one a line.
    fn problems(old: &str, new: &str) -> String {
        assert!(GOOD.contains(old), "{old}");
        let problems = runbook("t.md", &GOOD.replace(old, new)).expect_err(new);
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_good_text_has_no_problem_and_is_read_whole() {
        let runbook = runbook("t.md", GOOD).expect("no problems");
        assert_eq!(runbook.id.as_str(), "RB_TEST");
        let applies: Vec<_> = runbook.applies.iter().map(ToString::to_string).collect();
        assert_eq!(applies, ["CrashLoop", "ImagePullFailure/not_found"]);
        assert_eq!(runbook.applies[0].class, FaultClass::CrashLoop);
        assert_eq!(runbook.steps[1].tool(), "increase_memory_limit");
        assert_eq!(runbook.steps[1].gates.len(), 3);
        assert_eq!(runbook.steps[1].with["at_most"], "2Gi");
        assert_eq!(runbook.body, "Text for people.");
        let windows = GOOD.replace('\n', "\r\n");
        assert!(super::runbook("t.md", &windows).is_ok());
    }

    #[test]
    fn problems_name_line_and_column() {
        let gate = "steps.oom.oom_detected";
        let deep = format!("{}true{}", "(".repeat(9), ")".repeat(9));
        let table = [
            ("form", "---\nid", "id"),
            ("no end", "---\nText for people.\n", ""),
            ("unknown key", "title: A test", "titel: A test"),
            ("missing key", "title: A test\n", ""),
            ("twice the key", "title: A test", "title: A test\ntitle: B"),
            ("not a list", "[MyAlert]", "MyAlert"),
            ("bad YAML", "alerts: [MyAlert]", "alerts: [MyAlert"),
            ("id", "RB_TEST", "my-runbook"),
            ("class", "CrashLoop,", "Crashloop,"),
            ("no class", "[CrashLoop, ImagePullFailure/not_found]", "[]"),
            ("no text", "Text for people.\n", ""),
            ("image key", "demo/cart/app", "demo/cart"),
            ("image version", "img.test/cart:1", "img.test:5000/cart"),
            ("tool", "tool: check_oom", "tool: exec_shell"),
            ("step name", "name: oom", "name: in"),
            ("step name twice", "name: raise", "name: oom"),
            ("no such step", gate, "steps.kill.oom_detected"),
            ("no such field", gate, "steps.oom.detected"),
            ("later step", gate, "steps.raise.applied"),
            ("no such diagnosis", "diagnosis.class", "diagnosis.uid"),
            ("gate syntax", gate, "steps.oom.oom_detected &&"),
            ("gate name", gate, "oom_detected"),
            ("comprehension", gate, "steps.oom.reasons.exists(r, true)"),
            ("gate depth", gate, &deep),
            ("setting", "at_most: 2Gi", "factor: 2"),
            ("setting value", "at_most: 2Gi", "at_most: much"),
            (
                "bounds",
                "at_most: 2Gi",
                "at_most: 2Gi\n      at_least: 3Gi",
            ),
            ("lower bound alone", "at_most: 2Gi", "at_least: 8Gi"),
            ("no truth", gate, "1 + 1"),
            ("a list is no truth", gate, "steps.oom.reasons"),
            ("never alike", gate, "steps.oom.oom_detected == 'yes'"),
            ("no gate", gate, "null"),
            ("a tag", gate, "!steps.oom.oom_detected"),
            (
                "a tag in a list",
                "diagnosis.class == 'OomKilled'",
                "!steps.oom.oom_detected",
            ),
            (
                "a wrong tool hides nothing",
                "tool: patch_resources\n    when: steps.oom.oom_detected",
                "tool: exec_shell\n    when: steps.oom.detected",
            ),
        ];
        let mut shown = String::new();
        for (name, old, new) in table {
            use std::fmt::Write as _;
            writeln!(
                shown,
                "{name}\n  {}",
                problems(old, new).replace('\n', "\n  ")
            )
            .expect("text");
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_second_write_says_how_it_goes_with_the_first() {
        let second = "---\nText";
        let step = |gate: &str| {
            format!("  - name: back\n    tool: rollback_deployment\n    when: {gate}\n---\nText")
        };
        let silent = problems(second, &step("diagnosis.came_with_revision"));
        assert!(
            silent.contains("nothing says how this write goes with `raise`"),
            "{silent}"
        );
        for gate in ["steps.raise.applied", "\"!steps.raise.applied\""] {
            let text = GOOD.replace(second, &step(gate));
            assert!(runbook("t.md", &text).is_ok(), "{gate}");
        }
    }

    #[test]
    fn sizes_are_limited() {
        let large = format!("{GOOD}{}", "x".repeat(64 << 10));
        assert!(runbook("t.md", &large).is_err());
        let oom = "  - name: oom\n    tool: check_oom\n";
        let many: Vec<_> = (0..MAX_STEPS)
            .map(|n| oom.replace("oom\n    tool", &format!("s{n}\n    tool")))
            .collect();
        let found = problems(oom, &format!("{}{oom}", many.concat()));
        assert!(found.contains("a runbook has 1 to 20 steps"), "{found}");
        let gates = "      - 'true'\n".repeat(MAX_GATES);
        let found = problems("    with:", &format!("{gates}    with:"));
        assert!(found.contains("a step has at most 10"), "{found}");
    }

    #[test]
    fn a_yaml_bomb_is_a_problem_not_an_end() {
        let bomb = "alerts: &a [x, x]\nextra: [*a, *a, *a, *a, *a, *a, *a, *a, *a]";
        assert!(!problems("alerts: [MyAlert]", bomb).is_empty());
        let deep = format!("alerts: {}", "[".repeat(5000));
        assert!(!problems("alerts: [MyAlert]", &deep).is_empty());
    }
}
