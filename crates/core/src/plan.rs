//! What to do: immutable steps. An action knows its words, the fields it relies on, its undo and
//! what happens when it does not help; it never touches a cluster.

pub mod action;
mod cordon;
mod delete_pod;
mod evict;
pub mod revision;
mod roll_back;
mod set_image;
mod set_memory;
mod template;
mod uncordon;

pub use action::{Action, MemoryChange, OnNotFixed, RevisionRef};
pub use revision::{Revision, current, revisions};

use crate::diagnose::FaultClass;
use crate::ids::{Digest, IncidentId, RunbookId, StepId};
use crate::world::{Object, ObjectRef, Snapshot};
use serde::{Deserialize, Serialize};

/// One step of a plan: exactly one write to exactly one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Derived from the incident and the content: the same step has the same id.
    pub id: StepId,
    /// The incident.
    pub incident: IncidentId,
    /// What to do.
    pub action: Action,
    /// The object that is written, uid included.
    pub target: ObjectRef,
    /// Digest of exactly the fields that the step relied on and will write ([`basis`]).
    pub basis: Digest,
    /// The inverse, captured before the write; `None` where nothing can be taken back.
    pub undo: Option<Action>,
    /// The fault that the step is meant to end, on which workload or node.
    pub check: Check,
    /// Who proposed it.
    pub author: Author,
    /// Which runbook, and which of its steps.
    pub runbook: RunbookId,
    /// Name of the runbook's step.
    pub runbook_step: String,
    /// Whether this is the taking back of an earlier step.
    pub is_undo: bool,
    /// Reasons why the runbook itself wants a person (for example `drain always asks`).
    pub asks: Vec<String>,
}

/// What must be true on fresh reads for the step to have helped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The fault that must be gone.
    pub class: FaultClass,
    /// On the pods of this owner, or on this node.
    pub owner: ObjectRef,
    /// The fault's observed time to failure in milliseconds: stability is watched for twice that.
    pub time_to_failure_ms: u64,
}

/// Who proposed a step. Everything that proposes goes through the same gates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Author {
    /// A runbook chosen by rule.
    Rule,
}

/// All that a step is made from.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The incident.
    pub incident: &'a IncidentId,
    /// What to do.
    pub action: Action,
    /// The object that is written, as it was seen.
    pub target: &'a Object,
    /// What must be true for the step to have helped.
    pub check: Check,
    /// The runbook.
    pub runbook: &'a RunbookId,
    /// Name of the runbook's step.
    pub runbook_step: &'a str,
    /// Reasons why the runbook wants a person.
    pub asks: Vec<String>,
}

/// Why a step cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInverse {
    /// There is nothing to take back.
    #[error("{0} has no inverse")]
    None(&'static str),
    /// The target was not seen.
    #[error("{0} is gone or was not seen")]
    Unseen(ObjectRef),
    /// Somebody changed the fields since: a person has to see both changes.
    #[error("the fields of {target} no longer hold what was written{shown}")]
    Changed {
        /// The object.
        target: ObjectRef,
        /// What it has now, as [`Action::shown`] says it.
        shown: String,
    },
}

impl Step {
    /// A step; `None` when the target lacks what the action changes (the container, for example).
    pub fn new(draft: Draft<'_>) -> Option<Self> {
        draft.action.facts(draft.target)?;
        let basis = basis(&draft.action, draft.target);
        let step = Self {
            id: StepId::default(),
            incident: draft.incident.clone(),
            undo: draft.action.undo(),
            action: draft.action,
            target: draft.target.reference(),
            basis,
            check: draft.check,
            author: Author::Rule,
            runbook: draft.runbook.clone(),
            runbook_step: draft.runbook_step.to_owned(),
            is_undo: false,
            asks: draft.asks,
        };
        Some(step.with_id())
    }

    /// The step in the form of `action_taken`: `patch_memory_limit:demo/my-app/app:256Mi→512Mi`.
    pub fn describe(&self) -> String {
        self.action.describe(&self.target)
    }

    fn with_id(mut self) -> Self {
        let content = (
            &self.incident,
            &self.action,
            &self.target,
            &self.basis,
            &self.runbook,
            &self.runbook_step,
            self.is_undo,
        );
        self.id = StepId::from(format!("step-{}", Digest::of(&content).short(16)));
        self
    }
}

/// Digest of exactly the fields of `target` that `action` relies on and writes, from the narrow
/// types alone: whoever decodes the same object gets the same digest, and heartbeats or the status
/// of other things do not change it. An object that lacks what the action changes has a digest that
/// no step ever carries.
pub fn basis(action: &Action, target: &Object) -> Digest {
    let reference = target.reference();
    Digest::of(&(
        action.word(),
        reference.kind,
        reference.uid,
        action.facts(target),
    ))
}

/// The object of that uid, as the snapshot shows it; only kinds that can be written to.
pub fn target(snapshot: &Snapshot, object: &ObjectRef) -> Option<Object> {
    let workload = || snapshot.workload(&object.uid).cloned();
    let node = || {
        let node = snapshot.node(&object.name).cloned();
        node.filter(|node| node.metadata.uid == object.uid)
    };
    workload()
        .map(Object::Workload)
        .or_else(|| snapshot.pod(&object.uid).cloned().map(Object::Pod))
        .or_else(|| node().map(Object::Node))
}

/// The step that takes `step` back, made from a fresh snapshot: only while the fields still hold
/// what the step wrote.
pub fn inverse(step: &Step, snapshot: &Snapshot) -> Result<Step, NoInverse> {
    let undo = step.undo.clone();
    let action = undo.ok_or(NoInverse::None(step.action.word()))?;
    let now = target(snapshot, &step.target);
    let now = now.ok_or_else(|| NoInverse::Unseen(step.target.clone()))?;
    let holds = match &action {
        Action::RollBack { from, .. } => holds_revision(from, &step.target, snapshot),
        Action::SetImage { .. }
        | Action::SetMemory { .. }
        | Action::DeletePod
        | Action::Evict
        | Action::Cordon
        | Action::Uncordon => action.still_from(&now),
    };
    if !holds {
        return Err(NoInverse::Changed {
            target: step.target.clone(),
            shown: action.shown(&now),
        });
    }
    let inverse = Step {
        basis: basis(&action, &now),
        undo: action.undo(),
        action,
        is_undo: true,
        asks: Vec::new(),
        ..step.clone()
    };
    Ok(inverse.with_id())
}

/// Whether the workload's current template is the one of `from`.
fn holds_revision(from: &RevisionRef, workload: &ObjectRef, snapshot: &Snapshot) -> bool {
    snapshot.workload(&workload.uid).is_some_and(|workload| {
        let all = revisions(snapshot, workload);
        current(workload, &all).and_then(|now| now.digest) == Some(&from.template)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{World, reference, world};
    use crate::world::{Field, Kind, Quantity};

    const AT: &str = "2026-01-05T10:00:00Z";

    fn cart() -> World {
        world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .memory("128Mi", "256Mi")
            .pod("cart-1-a")
            .revision(2)
            .image("img.test/cart:2")
            .pod("cart-2-a")
    }

    fn seen(world: World, kind: Kind, name: &str) -> Object {
        let namespace = if kind == Kind::Node { "" } else { "demo" };
        target(&world.snapshot(), &reference(kind, namespace, name)).expect("in the world")
    }

    fn set_image() -> Action {
        Action::SetImage {
            container: "app".into(),
            from: "img.test/cart:2".into(),
            to: "img.test/cart:1".into(),
        }
    }

    fn set_memory() -> Action {
        let change = |from: &str, to: &str| MemoryChange {
            from: Some(Quantity::from(from)),
            to: Some(Quantity::from(to)),
        };
        Action::SetMemory {
            container: "app".into(),
            limit: change("256Mi", "512Mi"),
            request: change("128Mi", "128Mi"),
        }
    }

    fn roll_back(snapshot: &Snapshot, name: &str) -> Action {
        let workload = snapshot
            .workloads
            .iter()
            .find(|w| w.metadata.name == name)
            .expect("in the world");
        let all = revisions(snapshot, workload);
        Action::RollBack {
            from: all[0].bound().expect("digest"),
            to: all[1].bound().expect("digest"),
        }
    }

    fn step(action: Action, target: &Object) -> Step {
        Step::new(Draft {
            incident: &"inc-1".into(),
            action,
            target,
            check: Check {
                class: FaultClass::OomKilled,
                owner: target.reference(),
                time_to_failure_ms: 0,
            },
            runbook: &"RB_OOM".into(),
            runbook_step: "raise",
            asks: Vec::new(),
        })
        .expect("a step")
    }

    #[test]
    fn actions_are_described_in_the_form_of_action_taken() {
        let snapshot = cart().snapshot();
        let cart = reference(Kind::Deployment, "demo", "cart");
        let pod = reference(Kind::Pod, "demo", "cart-2-a");
        let node = reference(Kind::Node, "", "node1");
        let unset = Action::SetMemory {
            container: "app".into(),
            limit: MemoryChange::default(),
            request: MemoryChange::default(),
        };
        let table = [
            (
                set_image(),
                &cart,
                "patch_image:demo/cart/app:img.test/cart:2→img.test/cart:1",
            ),
            (
                set_memory(),
                &cart,
                "patch_memory_limit:demo/cart/app:256Mi→512Mi",
            ),
            (unset, &cart, "patch_memory_limit:demo/cart/app:unset→unset"),
            (
                roll_back(&snapshot, "cart"),
                &cart,
                "rollback:demo/cart:rev 2→1",
            ),
            (Action::DeletePod, &pod, "delete_pod:demo/cart-2-a"),
            (Action::Evict, &pod, "evict:demo/cart-2-a"),
            (Action::Cordon, &node, "cordon:node1"),
            (Action::Uncordon, &node, "uncordon:node1"),
        ];
        for (action, target, text) in table {
            assert_eq!(action.describe(target), text);
        }
    }

    #[test]
    fn every_word_is_allowed_by_the_default_policy_and_every_action_has_a_tool() {
        let allowed = crate::policy::Policy::default().allowed_actions;
        let snapshot = cart().snapshot();
        let all = [
            set_image(),
            set_memory(),
            roll_back(&snapshot, "cart"),
            Action::DeletePod,
            Action::Evict,
            Action::Cordon,
            Action::Uncordon,
        ];
        for action in all {
            assert!(allowed.contains(action.word()), "{}", action.word());
            assert!(!action.tools().is_empty(), "{}", action.word());
        }
    }

    #[test]
    fn the_undo_of_the_undo_is_the_action() {
        let snapshot = cart().snapshot();
        let both_ways = [
            set_image(),
            set_memory(),
            roll_back(&snapshot, "cart"),
            Action::Cordon,
            Action::Uncordon,
        ];
        for action in both_ways {
            let undo = action.undo().expect("an inverse");
            assert_ne!(undo, action);
            assert_eq!(undo.undo(), Some(action));
        }
        assert_eq!(Action::DeletePod.undo(), None);
        assert_eq!(Action::Evict.undo(), None);
    }

    #[test]
    fn the_basis_follows_the_fields_it_relies_on() {
        let before = seen(cart(), Kind::Deployment, "cart");
        let pause = seen(
            cart().edit_workload(|w| w.spec.paused = true),
            Kind::Deployment,
            "cart",
        );
        let image = seen(cart().image("img.test/cart:3"), Kind::Deployment, "cart");
        let memory = seen(cart().memory("128Mi", "1Gi"), Kind::Deployment, "cart");
        let rolled = seen(cart().revision(3), Kind::Deployment, "cart");
        let snapshot = cart().snapshot();
        let back = roll_back(&snapshot, "cart");
        let table = [
            // action, what changed, whether it matters
            (set_image(), &pause, true),
            (set_image(), &image, true),
            (set_image(), &memory, false),
            (set_memory(), &memory, true),
            (set_memory(), &pause, true),
            (set_memory(), &image, false),
            (back.clone(), &image, true),
            (back.clone(), &memory, true),
            (back.clone(), &pause, true),
            (back, &rolled, true),
            (set_image(), &rolled, false),
        ];
        for (action, after, matters) in table {
            let changed = basis(&action, &before) != basis(&action, after);
            assert_eq!(changed, matters, "{}", action.word());
        }
    }

    #[test]
    fn the_basis_does_not_follow_noise() {
        let noisy = cart().edit_workload(|w| {
            w.metadata.resource_version = "99".into();
            w.metadata.generation = 7;
            w.spec.replicas = Some(5);
            w.status.observed_generation = 7;
            w.status.unavailable_replicas = 5;
        });
        let quiet = seen(cart(), Kind::Deployment, "cart");
        let noisy = seen(noisy, Kind::Deployment, "cart");
        let back = roll_back(&cart().snapshot(), "cart");
        for action in [set_image(), set_memory(), back] {
            assert_eq!(basis(&action, &quiet), basis(&action, &noisy));
        }
        let heartbeat = |age| {
            let world = world(AT)
                .node("node1")
                .condition("Ready", "True", "KubeletReady", age);
            seen(
                world.managed("kubelet", &[Field::Unschedulable], age),
                Kind::Node,
                "node1",
            )
        };
        for action in [Action::Cordon, Action::Uncordon] {
            assert_eq!(basis(&action, &heartbeat(5)), basis(&action, &heartbeat(9)));
        }
        let restarted = seen(cart().ended(1, "Error", 5, 9), Kind::Pod, "cart-2-a");
        let running = seen(cart(), Kind::Pod, "cart-2-a");
        for action in [Action::DeletePod, Action::Evict] {
            assert_eq!(basis(&action, &running), basis(&action, &restarted));
        }
    }

    #[test]
    fn an_uncordon_relies_on_ready_and_a_cordon_does_not() {
        let ready = seen(world(AT).node("node1").cordoned(), Kind::Node, "node1");
        let lost = world(AT).node("node1").cordoned();
        let lost = seen(
            lost.condition("Ready", "Unknown", "NodeStatusUnknown", 5),
            Kind::Node,
            "node1",
        );
        assert_ne!(
            basis(&Action::Uncordon, &ready),
            basis(&Action::Uncordon, &lost)
        );
        assert_eq!(
            basis(&Action::Cordon, &ready),
            basis(&Action::Cordon, &lost)
        );
        let open = seen(world(AT).node("node1"), Kind::Node, "node1");
        assert_ne!(
            basis(&Action::Cordon, &ready),
            basis(&Action::Cordon, &open)
        );
    }

    #[test]
    fn a_pod_that_recovered_or_was_replaced_is_not_the_one_to_delete() {
        let stuck = seen(cart().unready(), Kind::Pod, "cart-2-a");
        let ready = seen(cart(), Kind::Pod, "cart-2-a");
        let other = cart()
            .unready()
            .edit_pod(|pod| pod.metadata.uid = "another".into());
        let other = Object::Pod(other.snapshot().pods[1].clone());
        let orphan = cart()
            .unready()
            .edit_pod(|pod| pod.metadata.owner_references.clear());
        let orphan = seen(orphan, Kind::Pod, "cart-2-a");
        for changed in [&ready, &other, &orphan] {
            assert_ne!(
                basis(&Action::DeletePod, &stuck),
                basis(&Action::DeletePod, changed)
            );
        }
        assert_eq!(basis(&Action::Evict, &stuck), basis(&Action::Evict, &ready));
    }

    #[test]
    fn a_step_needs_a_target_that_has_what_it_changes() {
        let cart = seen(cart(), Kind::Deployment, "cart");
        let node = seen(world(AT).node("node1"), Kind::Node, "node1");
        let sidecar = Action::SetImage {
            container: "proxy".into(),
            from: "a".into(),
            to: "b".into(),
        };
        for (action, target) in [
            (sidecar, &cart),
            (set_image(), &node),
            (Action::Cordon, &cart),
        ] {
            let draft = Draft {
                incident: &"inc-1".into(),
                action,
                target,
                check: step(Action::Uncordon, &node).check,
                runbook: &"RB_OOM".into(),
                runbook_step: "raise",
                asks: Vec::new(),
            };
            assert_eq!(Step::new(draft), None);
        }
    }

    #[test]
    fn the_same_step_has_the_same_id_and_another_one_another() {
        let cart = seen(cart(), Kind::Deployment, "cart");
        assert_eq!(step(set_image(), &cart).id, step(set_image(), &cart).id);
        assert_ne!(step(set_image(), &cart).id, step(set_memory(), &cart).id);
    }

    #[test]
    fn a_step_is_taken_back_only_while_the_fields_hold_what_was_written() {
        let before = seen(cart(), Kind::Deployment, "cart");
        let step = step(set_memory(), &before);
        let written = cart().memory("128Mi", "512Mi").snapshot();
        let inverse = inverse(&step, &written).expect("an inverse");
        assert!(inverse.is_undo);
        assert_ne!(inverse.id, step.id);
        assert_eq!(
            inverse.describe(),
            "patch_memory_limit:demo/cart/app:512Mi→256Mi"
        );
        let now = target(&written, &step.target).expect("seen");
        assert_eq!(inverse.basis, basis(&inverse.action, &now));

        let edited = cart().memory("128Mi", "1Gi").snapshot();
        let changed = super::inverse(&step, &edited).map_err(|no| no.to_string());
        let says = "the fields of Deployment demo/cart no longer hold what was written: app has memory limit 1Gi and request 128Mi now";
        assert_eq!(changed, Err(says.to_owned()));
        let gone = world(AT).snapshot();
        let unseen = NoInverse::Unseen(step.target.clone());
        assert_eq!(super::inverse(&step, &gone), Err(unseen));
    }

    #[test]
    fn a_roll_back_is_taken_back_only_while_its_template_is_the_current_one() {
        let snapshot = cart().snapshot();
        let step = step(
            roll_back(&snapshot, "cart"),
            &seen(cart(), Kind::Deployment, "cart"),
        );
        let changed = NoInverse::Changed {
            target: step.target.clone(),
            shown: String::new(),
        };
        assert_eq!(inverse(&step, &snapshot), Err(changed));
        let rolled = cart().revision(3).image("img.test/cart:1").snapshot();
        let back = inverse(&step, &rolled).expect("an inverse");
        assert_eq!(back.describe(), "rollback:demo/cart:rev 1→2");
    }

    #[test]
    fn what_cannot_be_taken_back_says_so() {
        let pod = seen(cart(), Kind::Pod, "cart-2-a");
        let step = step(Action::Evict, &pod);
        assert_eq!(
            inverse(&step, &cart().snapshot()),
            Err(NoInverse::None("evict"))
        );
    }

    #[test]
    fn revisions_are_newest_first_and_current_only_when_the_controller_agrees() {
        let snapshot = cart().snapshot();
        let cart_uid = reference(Kind::Deployment, "demo", "cart").uid;
        let workload = snapshot.workload(&cart_uid).expect("seen");
        let all = revisions(&snapshot, workload);
        let numbers: Vec<_> = all.iter().map(|r| r.number).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(all[1].pods(&snapshot).count(), 1);
        assert_eq!(current(workload, &all).map(|r| r.number), Some(2));

        let behind = cart().edit_workload(|w| {
            w.metadata.generation = 9;
            w.status.observed_generation = 8;
        });
        let snapshot = behind.snapshot();
        let workload = snapshot.workload(&cart_uid).expect("seen");
        assert_eq!(current(workload, &revisions(&snapshot, workload)), None);
    }

    #[test]
    fn pods_of_controller_revisions_are_found_by_name_or_hash() {
        let snapshot = world(AT)
            .stateful_set("demo", "db")
            .revision(1)
            .pod("db-0")
            .revision(2)
            .pod("db-1")
            .edit_pod(|pod| {
                let label = "controller-revision-hash".to_owned();
                pod.metadata.labels.insert(label, "2".into());
            })
            .snapshot();
        let db = reference(Kind::StatefulSet, "demo", "db").uid;
        let workload = snapshot.workload(&db).expect("seen");
        let all = revisions(&snapshot, workload);
        let names = |n: usize| -> Vec<_> {
            let pods = all[n].pods(&snapshot);
            pods.map(|pod| pod.metadata.name.clone()).collect()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["db-1".to_owned()], vec!["db-0".to_owned()])
        );
    }
}
