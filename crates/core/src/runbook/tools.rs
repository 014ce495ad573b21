//! The tools that a runbook's steps name. Reading tools look at the snapshot; writing tools give at
//! most one step of a plan.

mod cordon;
mod drain;
mod events;
mod image;
mod memory;
mod node;
mod oom;
mod owner;
mod pod;
mod pull;
mod roll_back;
mod this_runbook;

pub(super) use image::repository;
pub(super) use memory::memory_bounds;

use super::advance::Context;
use super::format::RunbookStep;
use super::types::{Field, flag, text};
use crate::plan::Step;
use crate::world::Source;
use serde_json::Value;

/// Result fields of every writing tool: whether it was carried out, what it is in the form of
/// `action_taken`, and why it was not proposed.
pub(super) const WRITE_FIELDS: &[Field] = &[flag("applied"), text("action"), text("reason")];

/// One tool.
pub(super) struct Tool {
    /// Its names; the first is the usual one.
    pub(super) names: &'static [&'static str],
    /// Fields of its result, which gates may read.
    pub(super) fields: &'static [Field],
    /// What must have been seen for it to say anything.
    pub(super) needs: &'static [Source],
    /// What `with` may set.
    pub(super) params: &'static [Param],
    /// What it does.
    pub(super) run: Run,
    /// Whether it goes on proposing steps after the first was carried out (a drain).
    pub(super) repeats: bool,
}

/// One key of `with`.
pub(super) struct Param {
    /// Name.
    pub(super) name: &'static str,
    /// Whether a value is one.
    pub(super) accepts: fn(&str) -> bool,
    /// What a value looks like.
    pub(super) form: &'static str,
}

/// What a tool does.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// Looks.
    Read(fn(&Context<'_>) -> Value),
    /// Proposes a write.
    Write(fn(&Context<'_>, &RunbookStep) -> Proposal),
}

/// What a writing tool says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// Do this.
    Step(Box<Step>),
    /// Nothing to do for this tool here: a later step may have something better.
    Pass(String),
    /// It cannot be told yet, and soon can: the plan is made again, and no later step is tried.
    Later(String),
    /// A person has to decide: no later step is tried.
    Person(String),
}

impl Tool {
    pub(super) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    pub(super) fn writes(&self) -> bool {
        matches!(self.run, Run::Write(_))
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// All tools.
pub(super) static TOOLS: &[&Tool] = &[
    &events::GET_POD_EVENTS,
    &pull::CHECK_IMAGEPULLBACKOFF,
    &oom::CHECK_OOM,
    &node::GET_NODE_READY,
    &node::GET_NODE_CONDITIONS,
    &this_runbook::GET_RUNBOOK,
    &image::FIX_IMAGEPULLBACKOFF,
    &memory::INCREASE_MEMORY_LIMIT,
    &roll_back::ROLLBACK_DEPLOYMENT,
    &pod::DELETE_POD,
    &cordon::CORDON_NODE,
    &cordon::UNCORDON_NODE,
    &drain::DRAIN_NODE,
];

/// The tool of that name.
pub(super) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS
        .iter()
        .copied()
        .find(|tool| tool.names.contains(&name))
}

/// Text of the cluster is data and may be long: one line of at most this many characters of it is
/// kept in a result.
const MAX_TEXT: usize = 200;
/// Lines kept in a list of a result.
const MAX_LINES: usize = 20;

fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::lint::DIAGNOSIS_FIELDS;
    use std::collections::BTreeSet;

    const DOCS: &str = include_str!("../../../../docs/runbooks.md");

    #[test]
    fn every_file_of_the_folder_is_used_and_every_name_is_used_once() {
        let names: Vec<_> = TOOLS.iter().flat_map(|tool| tool.names).collect();
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), once.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/runbook/tools");
        let here = include_str!("tools.rs");
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|s| s.to_str()).expect("UTF-8");
            assert!(here.contains(&format!("mod {name};")), "{name}");
        }
    }

    #[test]
    fn every_action_is_proposed_by_the_tools_that_it_names() {
        use crate::plan::Action;
        for action in [
            Action::DeletePod,
            Action::Evict,
            Action::Cordon,
            Action::Uncordon,
        ] {
            for name in action.tools() {
                assert!(find(name).is_some_and(Tool::writes), "{name}");
            }
        }
        for tool in TOOLS {
            assert_eq!(
                tool.writes(),
                tool.fields == WRITE_FIELDS,
                "{}",
                tool.name()
            );
        }
    }

    #[test]
    fn what_a_reading_tool_gives_is_of_the_kind_that_gates_are_checked_against() {
        use crate::diagnose::FaultClass;
        use crate::runbook::scene::{AT, Scene};
        use crate::runbook::types::Type;
        use crate::testkit::world;
        for tool in TOOLS.iter().filter(|tool| !tool.writes()) {
            let scene = if tool.needs == [Source::Nodes] {
                Scene::new(FaultClass::NodeCordoned, world(AT).node("node1").cordoned())
            } else {
                let pod = world(AT).deployment("demo", "cart").revision(1);
                Scene::new(FaultClass::CrashLoop, pod.pod("cart-1-a").unready())
            };
            let scene = scene.tool(tool.name());
            for field in tool.fields {
                let value = scene.result("it", field.name);
                let is_so = match field.holds {
                    Type::Bool => value.is_boolean(),
                    Type::Text => value.is_string(),
                    Type::Number => value.is_number(),
                    Type::List => value.is_array(),
                    Type::Map => value.is_object(),
                    Type::Any => false,
                };
                assert!(is_so, "{} {}: {value}", tool.name(), field.name);
            }
        }
    }

    #[test]
    fn the_documentation_names_every_tool_field_and_setting() {
        for tool in TOOLS {
            let names: Vec<_> = tool.names.iter().map(|name| format!("`{name}`")).collect();
            let mut row = format!("| {} |", names.join(", "));
            if !tool.writes() {
                let fields: Vec<_> = tool
                    .fields
                    .iter()
                    .map(|f| format!("`{}`", f.name))
                    .collect();
                row = format!("{row} {} |", fields.join(", "));
            }
            assert!(DOCS.contains(&row), "{row}");
            for param in tool.params {
                assert!(DOCS.contains(param.name), "{}", param.name);
            }
        }
        for field in DIAGNOSIS_FIELDS {
            assert!(DOCS.contains(&format!("`{}`", field.name)), "{field:?}");
        }
    }

    #[test]
    fn the_example_of_the_documentation_has_no_problem() {
        let example = DOCS
            .split("```markdown\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let text = example.expect("an example");
        let problems = crate::runbook::lint::runbook("docs.md", text).err();
        assert_eq!(problems, None);
    }
}
