//! The closed enum of things that Nightshift can do.

use crate::ids::{Digest, Uid};
use crate::world::{Kind, Quantity};
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

impl Action {
    /// The word in `action_taken`, in metrics and in counts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::SetImage { .. } => "patch_image",
            Self::SetMemory { .. } => "patch_memory_limit",
            Self::RollBack { .. } => "rollback",
            Self::DeletePod => "delete_pod",
            Self::Evict => "evict",
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
        }
    }

    /// What happens when it did not help.
    pub fn on_not_fixed(&self) -> OnNotFixed {
        match self {
            Self::SetImage { .. } | Self::SetMemory { .. } => OnNotFixed::Undo,
            Self::RollBack { .. } | Self::DeletePod | Self::Evict | Self::Cordon => {
                OnNotFixed::Keep
            }
            Self::Uncordon => OnNotFixed::Ask,
        }
    }
}
