//! A runbook over a test world, and what it says. Only for tests.

use super::{Advance, Choice, Context, Library, Next, advance, choose};
use crate::diagnose::{Change, ChangeKind, Confidence, Diagnosis, FaultClass, diagnose};
use crate::history::{ActOutcome, History};
use crate::ids::{Digest, RunbookId};
use crate::incident::{Fingerprint, Incident};
use crate::plan::{Action, Author, Check, Step};
use crate::policy::Policy;
use crate::testkit::World;
use crate::world::{ObjectRef, Snapshot};
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) const AT: &str = "2026-01-05T10:00:00Z";

static BUILT_IN: LazyLock<Library> = LazyLock::new(Library::built_in);

pub(super) struct Scene {
    library: Library,
    runbook: Option<RunbookId>,
    pub(super) diagnosis: Diagnosis,
    incident: Incident,
    pub(super) snapshot: Snapshot,
    pub(super) history: History,
    policy: Policy,
}

impl Scene {
    /// The first pod that is not ready shows the fault, in container `app`; without one, the first
    /// node.
    pub(super) fn new(class: FaultClass, world: World) -> Self {
        let snapshot = world.snapshot();
        let pod = snapshot.pods.iter().find(|pod| !pod.is_ready());
        let node = snapshot.nodes.first().map(|node| node.reference());
        let subject = pod
            .map(|pod| pod.reference())
            .or(node)
            .expect("something at fault");
        let owner = snapshot.topmost_owner(&subject);
        let fingerprint = Fingerprint {
            cluster: snapshot.cluster.clone(),
            owner: owner.uid.clone(),
            class,
        };
        let mut incident = Incident::open(
            fingerprint,
            owner.clone(),
            subject.clone(),
            snapshot.taken_at,
        );
        incident.id = "inc-1".into();
        Self {
            library: BUILT_IN.clone(),
            runbook: None,
            diagnosis: Diagnosis {
                class,
                reason: String::new(),
                owner,
                container: pod.map(|_| "app".to_owned()),
                subject,
                since: snapshot.taken_at,
                persistence: SignedDuration::ZERO,
                path: Vec::new(),
                changes: Vec::new(),
                evidence: Vec::new(),
                confidence: Confidence(90),
                confidence_rows: Vec::new(),
                blind: Vec::new(),
            },
            incident,
            snapshot,
            history: History::default(),
            policy: Policy::default(),
        }
    }

    /// With another policy.
    pub(super) fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// As the detectors see it: the only diagnosis of the world.
    pub(super) fn diagnosed_from(world: World) -> Self {
        let mut found = diagnose(&world.clone().snapshot(), &[]).diagnoses;
        let diagnosis = found.pop().expect("a diagnosis");
        assert_eq!(found, [], "more than one diagnosis");
        let scene = Self::new(diagnosis.class, world);
        scene.diagnosed(|d| *d = diagnosis)
    }

    /// Another runbook than the evidence chooses.
    pub(super) fn with(mut self, runbook: &str) -> Self {
        self.runbook = Some(runbook.into());
        self
    }

    /// A runbook with one step, without gates.
    pub(super) fn tool(self, tool: &str) -> Self {
        self.text(&format!(
            "---\nid: RB_TEST\ntitle: A test\napplies: [CrashLoop]\nsteps:\n  - name: it\n    \
             tool: {tool}\n---\nText.\n"
        ))
        .with("RB_TEST")
    }

    /// One more text in the library.
    pub(super) fn text(mut self, text: &str) -> Self {
        let texts = BTreeMap::from([("test.md".to_owned(), text.to_owned())]);
        self.library = Library::load(&texts).expect("no problems");
        self
    }

    /// The same runbook text with one part exchanged.
    pub(super) fn edited(self, runbook: &str, old: &str, new: &str) -> Self {
        let file = format!("built-in/{runbook}.md");
        let text = &self.library.texts()[&file];
        assert!(text.contains(old), "{old}");
        let text = text.replace(old, new);
        self.text(&text).with(runbook)
    }

    /// The newest revision brought the fault.
    pub(super) fn came_with_revision(mut self) -> Self {
        self.diagnosis.changes.push(Change {
            kind: ChangeKind::Revision,
            object: self.diagnosis.owner.clone(),
            at: self.snapshot.taken_at,
            by: None,
            explains_fault: true,
        });
        self
    }

    /// Changes the diagnosis.
    pub(super) fn diagnosed(mut self, change: impl FnOnce(&mut Diagnosis)) -> Self {
        change(&mut self.diagnosis);
        self
    }

    /// Changes the snapshot.
    pub(super) fn seen(mut self, change: impl FnOnce(&mut Snapshot)) -> Self {
        change(&mut self.snapshot);
        self
    }

    /// The write of that step is done.
    pub(super) fn done(mut self, step: &str) -> Self {
        let results = self.advance().results;
        self.incident.results = results;
        self.incident.done_steps.push(step.to_owned());
        self
    }

    /// The world as it is now, for the same incident.
    pub(super) fn later(mut self, world: World) -> Self {
        self.snapshot = world.snapshot();
        self
    }

    /// We did that to `target` so many hours ago, with that outcome.
    pub(super) fn acted(
        mut self,
        action: Action,
        target: &ObjectRef,
        hours: i64,
        outcome: impl Into<Option<ActOutcome>>,
    ) -> Self {
        let at = self.snapshot.taken_at - SignedDuration::from_hours(hours);
        let step = Step {
            id: "step-before".into(),
            incident: "inc-0".into(),
            undo: action.undo(),
            action,
            target: target.clone(),
            basis: Digest::default(),
            check: Check {
                class: self.diagnosis.class,
                owner: target.clone(),
                time_to_failure_ms: 0,
            },
            author: Author::Rule,
            runbook: "RB_TEST".into(),
            runbook_step: "it".into(),
            is_undo: false,
            asks: Vec::new(),
        };
        let permit = format!("permit-{}", self.history.acts.len());
        self.history.record_intent(
            permit.as_str().into(),
            "inc-0".into(),
            target.clone(),
            step,
            at,
        );
        if let Some(outcome) = outcome.into() {
            self.history.record_outcome(&permit.into(), outcome);
        }
        self
    }

    pub(super) fn advance(&self) -> Advance {
        let runbook = match &self.runbook {
            Some(id) => self.library.get(id).expect("in the library"),
            None => match choose(&self.library, &self.diagnosis, None) {
                Choice::Runbook(runbook) => runbook,
                other @ (Choice::Disagree { .. } | Choice::None) => panic!("{other:?}"),
            },
        };
        advance(&Context {
            runbook,
            incident: &self.incident,
            diagnosis: &self.diagnosis,
            snapshot: &self.snapshot,
            history: &self.history,
            policy: &self.policy,
        })
    }

    /// The step that comes next.
    pub(super) fn step(&self) -> Step {
        match self.advance().next {
            Next::Step(step) => *step,
            other @ (Next::Done | Next::Later { .. } | Next::Person { .. }) => panic!("{other:?}"),
        }
    }

    /// What comes next, in one line.
    pub(super) fn says(&self) -> String {
        match self.advance().next {
            Next::Step(step) if step.asks.is_empty() => step.describe(),
            Next::Step(step) => format!("{} asks: {}", step.describe(), step.asks.join("; ")),
            Next::Done => "done".to_owned(),
            Next::Later { reason } => format!("later: {reason}"),
            Next::Person { reason } => format!("person: {reason}"),
        }
    }

    /// A field of a step's result.
    pub(super) fn result(&self, step: &str, field: &str) -> Value {
        self.advance().results[step][field].clone()
    }
}

/// A write that was done.
pub(super) fn done() -> ActOutcome {
    ActOutcome::Done {
        generation: 2,
        resource_version: "2".into(),
    }
}
