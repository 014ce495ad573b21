//! The interpreter: a runbook's steps in order, over one fresh snapshot.

use super::format::{Runbook, RunbookStep};
use super::gate;
use super::tools::{Proposal, Run};
use crate::diagnose::{ChangeKind, Diagnosis};
use crate::history::History;
use crate::incident::Incident;
use crate::plan::Step;
use crate::policy::Policy;
use crate::world::Snapshot;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// All that a runbook looks at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The runbook.
    pub runbook: &'a Runbook,
    /// The incident: which steps are done, with what results.
    pub incident: &'a Incident,
    /// The diagnosis made from `snapshot`.
    pub diagnosis: &'a Diagnosis,
    /// A fresh snapshot of the incident's scope. Its `taken_at` is now.
    pub snapshot: &'a Snapshot,
    /// What was done before.
    pub history: &'a History,
    /// The policy.
    pub policy: &'a Policy,
}

impl Context<'_> {
    /// Whether the fault came with the newest revision of the owner.
    pub(super) fn came_with_revision(&self) -> bool {
        self.explained_by(ChangeKind::Revision)
    }

    fn explained_by(&self, kind: ChangeKind) -> bool {
        let changes = &self.diagnosis.changes;
        changes.iter().any(|c| c.kind == kind && c.explains_fault)
    }

    /// What gates read as `diagnosis`.
    fn diagnosis(&self) -> Value {
        let diagnosis = self.diagnosis;
        json!({
            "class": diagnosis.class.to_string(),
            "reason": diagnosis.reason,
            "confidence": f64::from(diagnosis.confidence.0) / 100.0,
            "container": diagnosis.container.as_deref().unwrap_or_default(),
            "owner_kind": diagnosis.owner.kind.to_string(),
            "came_with_revision": self.came_with_revision(),
            "config_map_edited": self.explained_by(ChangeKind::ConfigMap),
        })
    }
}

/// How far the runbook came.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// Results of the steps so far, by name: what a tool saw, or why a step was passed over.
    pub results: BTreeMap<String, Value>,
    /// What comes next.
    pub next: Next,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This write, if the guard permits it.
    Step(Box<Step>),
    /// All writes that the runbook has for this fault are done: what is left is to see whether they
    /// helped.
    Done,
    /// It cannot be told yet, and soon can: look again.
    Later {
        /// What is waited for.
        reason: String,
    },
    /// A person has to decide.
    Person {
        /// Why.
        reason: String,
    },
}

/// Runs the runbook's steps in order on the snapshot, up to the first write that is due.
///
/// Reading steps are evaluated anew each time. Writing steps in `incident.done_steps` keep their
/// stored result. It may be called again at every fresh look after a write: a runbook with a second
/// write (delete the pod that a StatefulSet waits for) names it as soon as it is due, and says
/// [`Next::Done`] until then.
pub fn advance(cx: &Context<'_>) -> Advance {
    let mut walk = Walk {
        results: BTreeMap::new(),
        wrote: false,
        passed: Vec::new(),
    };
    for def in &cx.runbook.steps {
        if let Some(next) = walk.step(cx, def) {
            return Advance {
                results: walk.results,
                next,
            };
        }
    }
    let next = if walk.wrote {
        Next::Done
    } else {
        Next::Person {
            reason: walk.nothing_to_do(cx),
        }
    };
    Advance {
        results: walk.results,
        next,
    }
}

struct Walk {
    results: BTreeMap<String, Value>,
    wrote: bool,
    /// Writing steps that gave nothing, by name.
    passed: Vec<(String, Pass)>,
}

/// Why a step is passed over.
enum Pass {
    /// A gate is closed: the step is for something else.
    Closed(String),
    /// A gate could not be evaluated, as where the step that it reads saw nothing.
    Unjudged(String),
    /// The tool says so.
    Tool(String),
}

impl Pass {
    fn text(&self) -> &str {
        match self {
            Self::Closed(text) | Self::Unjudged(text) | Self::Tool(text) => text,
        }
    }
}

impl Walk {
    fn step(&mut self, cx: &Context<'_>, def: &RunbookStep) -> Option<Next> {
        let done = cx.incident.done_steps.contains(&def.name);
        if done && def.writes() {
            self.wrote = true;
            if !def.tool.repeats {
                self.keep(cx, def);
                return None;
            }
        }
        if let Err(closed) = self.gates(cx, def) {
            self.pass(def, done, closed);
            return None;
        }
        let blind = cx.snapshot.blind_to(def.tool.needs);
        let blind: Vec<_> = blind
            .iter()
            .map(|(s, why)| format!("{s:?} ({why})"))
            .collect();
        match def.tool.run {
            Run::Read(_) if !blind.is_empty() => {
                // No fields: every gate that reads them is closed.
                let result = json!({ "blind": blind });
                self.results.insert(def.name.clone(), result);
                None
            }
            Run::Read(read) => {
                self.results.insert(def.name.clone(), read(cx));
                None
            }
            Run::Write(_) if !blind.is_empty() => {
                let reason = format!("{}: not seen: {}", def.name, blind.join(", "));
                self.pass(def, done, Pass::Tool(reason.clone()));
                Some(Next::Person { reason })
            }
            Run::Write(propose) => self.propose(def, done, propose(cx, def)),
        }
    }

    fn propose(&mut self, def: &RunbookStep, done: bool, proposal: Proposal) -> Option<Next> {
        match proposal {
            Proposal::Step(step) => {
                let result = written(done, &step.describe(), "");
                self.results.insert(def.name.clone(), result);
                Some(Next::Step(step))
            }
            Proposal::Pass(reason) => {
                self.pass(def, done, Pass::Tool(reason));
                None
            }
            Proposal::Later(reason) => {
                self.pass(def, done, Pass::Tool(reason.clone()));
                Some(Next::Later {
                    reason: format!("{}: {reason}", def.name),
                })
            }
            Proposal::Person(reason) => {
                self.pass(def, done, Pass::Tool(reason.clone()));
                Some(Next::Person {
                    reason: format!("{}: {reason}", def.name),
                })
            }
        }
    }

    /// Ok when every gate is open, else why not.
    fn gates(&self, cx: &Context<'_>, def: &RunbookStep) -> Result<(), Pass> {
        let over = json!({ "steps": self.results, "diagnosis": cx.diagnosis() });
        for gate in &def.gates {
            match gate::is_open(gate, &over) {
                Ok(true) => {}
                Ok(false) => return Err(Pass::Closed(format!("gate `{gate}` is closed"))),
                Err(error) => {
                    return Err(Pass::Unjudged(format!("gate `{gate}` is closed: {error}")));
                }
            }
        }
        Ok(())
    }

    /// The stored result of a write that is done.
    fn keep(&mut self, cx: &Context<'_>, def: &RunbookStep) {
        let stored = cx.incident.results.get(&def.name);
        let action = stored.and_then(|result| result.get("action"));
        let action = action.and_then(Value::as_str).unwrap_or_default();
        self.results
            .insert(def.name.clone(), written(true, action, ""));
    }

    fn pass(&mut self, def: &RunbookStep, done: bool, why: Pass) {
        let result = if def.writes() {
            let result = written(done, "", why.text());
            self.passed.push((def.name.clone(), why));
            result
        } else {
            json!({ "skipped": why.text() })
        };
        self.results.insert(def.name.clone(), result);
    }

    /// For people: what the tools said, and which steps are for something else. Which gate was closed
    /// stands in the step's result.
    fn nothing_to_do(&self, cx: &Context<'_>) -> String {
        let id = &cx.runbook.id;
        if self.passed.is_empty() {
            return format!("{id} only looks: it has no write for this fault");
        }
        let (mut said, mut closed, mut unjudged) = (Vec::new(), Vec::new(), Vec::new());
        for (name, why) in &self.passed {
            match why {
                Pass::Tool(reason) => said.push(format!("{name}: {reason}")),
                Pass::Closed(_) => closed.push(name.as_str()),
                Pass::Unjudged(_) => unjudged.push(name.as_str()),
            }
        }
        if !unjudged.is_empty() {
            said.push(format!(
                "not known whether it is a case for {}{}",
                unjudged.join(", "),
                self.not_seen()
            ));
        }
        if !closed.is_empty() {
            said.push(format!("it is no case for {}", closed.join(", ")));
        }
        format!("{id} has no repair for it: {}", said.join("; "))
    }

    /// What the reading steps missed.
    fn not_seen(&self) -> String {
        let blind = self.results.values().filter_map(|it| it.get("blind"));
        let sources = blind.filter_map(Value::as_array).flatten();
        let sources: BTreeSet<&str> = sources.filter_map(Value::as_str).collect();
        if sources.is_empty() {
            return String::new();
        }
        let sources: Vec<&str> = sources.into_iter().collect();
        format!(" (not seen: {})", sources.join(", "))
    }
}

/// Result of a writing step.
fn written(applied: bool, action: &str, reason: &str) -> Value {
    json!({ "applied": applied, "action": action, "reason": reason })
}
