//! The closed enum of things that Nightshift can do. Each has a file of its own in this folder with
//! its words, its inverse and the fields it relies on; a new variant does not compile without one.

use super::{cordon, delete_pod, evict, roll_back, set_image, set_memory, uncordon};
use crate::ids::{Digest, Uid};
use crate::world::{Kind, Object, ObjectRef, Quantity};
use serde::{Deserialize, Serialize};

/// A write. Values are final: nothing is left to choose when it is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Set a container's image in the owner's template.
    SetImage {
        /// Container.
        container: String,
        /// Image now.
        from: String,
        /// Image then; always of the same repository as `from`.
        to: String,
    },
    /// Set a container's memory limit and request in the owner's template.
    SetMemory {
        /// Container.
        container: String,
        /// Limit.
        limit: MemoryChange,
        /// Request. Kept explicit where none was set, since defaulting would raise it.
        request: MemoryChange,
    },
    /// Put an earlier revision's template back.
    RollBack {
        /// The revision that is current now.
        from: RevisionRef,
        /// The revision to go back to.
        to: RevisionRef,
    },
    /// Delete a pod that a controller will make anew.
    DeletePod,
    /// Evict a pod through the eviction subresource, so that budgets are honoured.
    Evict,
    /// Mark a node unschedulable.
    Cordon,
    /// Mark a node schedulable.
    Uncordon,
}

/// A memory quantity before and after; `None` is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryChange {
    /// Before.
    pub from: Option<Quantity>,
    /// After.
    pub to: Option<Quantity>,
}

/// A revision of a workload: a ReplicaSet or ControllerRevision, bound to its template's digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RevisionRef {
    /// `ReplicaSet` or `ControllerRevision`.
    pub kind: Kind,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: Uid,
    /// Revision number.
    pub revision: i64,
    /// Digest of the full template without `pod-template-hash`.
    pub template: Digest,
}

/// What happens when a step did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNotFixed {
    /// Take it back, while the fields still hold what was written.
    Undo,
    /// Leave it.
    Keep,
    /// Ask a person.
    Ask,
}

/// What is fixed about an action, whatever its values: one a file of this folder.
pub(super) struct Card {
    /// See [`Action::word`].
    pub(super) word: &'static str,
    /// See [`Action::tools`].
    pub(super) tools: &'static [&'static str],
    /// See [`Action::on_not_fixed`].
    pub(super) on_not_fixed: OnNotFixed,
}

impl Action {
    /// The word in `action_taken`, in metrics and in counts.
    pub fn word(&self) -> &'static str {
        self.card().word
    }

    /// The tools of runbooks that propose it.
    pub fn tools(&self) -> &'static [&'static str] {
        self.card().tools
    }

    /// What happens when it did not help.
    pub fn on_not_fixed(&self) -> OnNotFixed {
        self.card().on_not_fixed
    }

    fn card(&self) -> Card {
        match self {
            Self::SetImage { .. } => set_image::CARD,
            Self::SetMemory { .. } => set_memory::CARD,
            Self::RollBack { .. } => roll_back::CARD,
            Self::DeletePod => delete_pod::CARD,
            Self::Evict => evict::CARD,
            Self::Cordon => cordon::CARD,
            Self::Uncordon => uncordon::CARD,
        }
    }

    /// The action on `target` in the form of `action_taken`, for example
    /// `patch_memory_limit:demo/my-app/app:256Mi→512Mi`.
    pub fn describe(&self, target: &ObjectRef) -> String {
        let object = path(target);
        let rest = match self {
            Self::SetImage {
                container,
                from,
                to,
            } => set_image::describe(&object, container, from, to),
            Self::SetMemory {
                container,
                limit,
                request: _,
            } => set_memory::describe(&object, container, limit),
            Self::RollBack { from, to } => roll_back::describe(&object, from, to),
            Self::DeletePod | Self::Evict | Self::Cordon | Self::Uncordon => object,
        };
        format!("{}:{rest}", self.word())
    }

    /// The inverse; `None` where nothing can be taken back.
    pub fn undo(&self) -> Option<Self> {
        match self {
            Self::SetImage {
                container,
                from,
                to,
            } => Some(set_image::undo(container, from, to)),
            Self::SetMemory {
                container,
                limit,
                request,
            } => Some(set_memory::undo(container, limit, request)),
            Self::RollBack { from, to } => Some(roll_back::undo(from, to)),
            Self::Cordon => Some(Self::Uncordon),
            Self::Uncordon => Some(Self::Cordon),
            Self::DeletePod | Self::Evict => None,
        }
    }

    /// The fields of `target` that the action relies on and writes; `None` when `target` is of
    /// another kind or lacks the container.
    pub(super) fn facts(&self, target: &Object) -> Option<serde_json::Value> {
        match self {
            Self::SetImage { container, .. } => set_image::facts(container, target),
            Self::SetMemory { container, .. } => set_memory::facts(container, target),
            Self::RollBack { .. } => roll_back::facts(target),
            Self::DeletePod => delete_pod::facts(target),
            Self::Evict => evict::facts(target),
            Self::Cordon => cordon::facts(target),
            Self::Uncordon => uncordon::facts(target),
        }
    }

    /// What `target` has now where the action writes, to be appended to a sentence
    /// (`: app has image img.test/app:1 now`); empty where there are no few words for it.
    pub fn shown(&self, target: &Object) -> String {
        let shown = match self {
            Self::SetImage { container, .. } => set_image::shown(container, target),
            Self::SetMemory { container, .. } => set_memory::shown(container, target),
            Self::RollBack { .. }
            | Self::DeletePod
            | Self::Evict
            | Self::Cordon
            | Self::Uncordon => None,
        };
        shown.map_or_else(String::new, |shown| format!(": {shown}"))
    }

    /// Whether `target` still holds the values that the action changes from, as far as the object
    /// alone can tell: a roll back is bound to the digest of the full template, which the hands
    /// compare.
    pub(super) fn still_from(&self, target: &Object) -> bool {
        match self {
            Self::SetImage {
                container, from, ..
            } => set_image::still_from(container, from, target),
            Self::SetMemory {
                container,
                limit,
                request,
            } => set_memory::still_from(container, limit, request, target),
            Self::RollBack { .. } => roll_back::facts(target).is_some(),
            Self::DeletePod | Self::Evict => false,
            Self::Cordon => cordon::unschedulable(target) == Some(false),
            Self::Uncordon => cordon::unschedulable(target) == Some(true),
        }
    }
}

/// `demo/my-app`, or `node1` for an object without a namespace.
fn path(object: &ObjectRef) -> String {
    if object.namespace.is_empty() {
        object.name.clone()
    } else {
        format!("{}/{}", object.namespace, object.name)
    }
}
