//! All that the gates may look at.

use crate::diagnose::Diagnosis;
use crate::history::History;
use crate::plan::{Action, Step};
use crate::policy::Policy;
use crate::world::Snapshot;
use crate::world::{Kind, Node, Pod, Source, Workload};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// All that gates may look at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// A fresh snapshot of the step's scope.
    pub snapshot: &'a Snapshot,
    /// Now.
    pub now: Timestamp,
    /// What was done before, and what is being done: permits out are in it.
    pub history: &'a History,
    /// The diagnosis made from `snapshot`; `None` when the fault is no longer there.
    pub diagnosis: Option<&'a Diagnosis>,
    /// The rehearsal of exactly this step; `None` where nothing was sent.
    pub rehearsal: Option<&'a Rehearsal>,
    /// The step.
    pub step: &'a Step,
}

/// What the API server said to the same request with `dryRun=All`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rehearsal {
    /// It would be taken.
    Accepted {
        /// What would change, as lines `path: old -> new`.
        diff: Vec<String>,
    },
    /// The server could not rehearse it (a webhook without dry run): the diff was computed here, which
    /// in `auto` is an ask.
    Local {
        /// As above.
        diff: Vec<String>,
        /// Why the server did not.
        why: String,
    },
    /// 403: our account lacks the right, for the write as for its rehearsal. The diff was computed
    /// here.
    NoRight {
        /// As above.
        diff: Vec<String>,
        /// The server's reason.
        why: String,
    },
    /// 403 for another reason (an admission rule), or 401.
    Forbidden {
        /// The server's reason.
        why: String,
    },
    /// It would be refused for what is in it (422, a disruption budget, a container that is not in the
    /// template).
    Refused {
        /// The server's reason.
        why: String,
    },
    /// The target is gone or its basis changed.
    Stale {
        /// What changed.
        why: String,
    },
    /// No answer.
    Failed {
        /// The error.
        why: String,
    },
}

impl Rehearsal {
    /// Whether it counts as a failure for the breaker: the server refuses us, and would refuse the
    /// write too. What speaks of this one request, or of no answer, says nothing about the next one.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::NoRight { .. } | Self::Forbidden { .. } => true,
            Self::Accepted { .. }
            | Self::Local { .. }
            | Self::Refused { .. }
            | Self::Stale { .. }
            | Self::Failed { .. } => false,
        }
    }
}

impl Scene<'_> {
    /// The pod that the step writes to.
    pub(super) fn target_pod(&self) -> Option<&Arc<Pod>> {
        self.snapshot.pod(&self.step.target.uid)
    }

    /// The node that the step writes to.
    pub(super) fn target_node(&self) -> Option<&Arc<Node>> {
        let mut nodes = self.snapshot.nodes.iter();
        nodes.find(|node| node.metadata.uid == self.step.target.uid)
    }

    /// The workload that the step writes to, or whose pod it does.
    pub(super) fn workload(&self) -> Option<&Arc<Workload>> {
        let top = self.snapshot.topmost_owner(&self.step.target);
        self.snapshot.workload(&top.uid)
    }
}

/// Whether the action changes a pod template.
pub(super) fn writes_template(action: &Action) -> bool {
    match action {
        Action::SetImage { .. } | Action::SetMemory { .. } | Action::RollBack { .. } => true,
        Action::DeletePod | Action::Evict | Action::Cordon | Action::Uncordon => false,
    }
}

/// Whether the action ends a pod.
pub(super) fn ends_pod(action: &Action) -> bool {
    match action {
        Action::DeletePod | Action::Evict => true,
        Action::SetImage { .. }
        | Action::SetMemory { .. }
        | Action::RollBack { .. }
        | Action::Cordon
        | Action::Uncordon => false,
    }
}

/// Everything that shows an object of that kind together with its owners and revisions.
pub(super) fn sources_of(kind: &Kind) -> Vec<Source> {
    match kind {
        Kind::Pod => vec![
            Source::Pods,
            Source::Deployments,
            Source::ReplicaSets,
            Source::StatefulSets,
            Source::DaemonSets,
            Source::Jobs,
        ],
        Kind::Node => vec![Source::Nodes],
        Kind::Deployment | Kind::ReplicaSet => vec![Source::Deployments, Source::ReplicaSets],
        Kind::StatefulSet => vec![Source::StatefulSets, Source::ControllerRevisions],
        Kind::DaemonSet => vec![Source::DaemonSets, Source::ControllerRevisions],
        Kind::Job | Kind::CronJob => vec![Source::Jobs],
        // Never written to; the owner gate says so.
        Kind::Namespace
        | Kind::ControllerRevision
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event
        | Kind::Other(_) => Vec::new(),
    }
}
