//! The closed taxonomy of what can be wrong.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is wrong. A new class is a new variant, and every `match` has to say what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FaultClass {
    /// An image cannot be pulled (not found, no right, registry unreachable).
    ImagePullFailure,
    /// A container was killed for using more memory than its limit.
    OomKilled,
    /// A container keeps ending soon after its start.
    CrashLoop,
    /// A ConfigMap, Secret or key that the pod names does not exist.
    ConfigMissing,
    /// A container cannot be created: failed mount or sandbox.
    ContainerStuck,
    /// A liveness, readiness or startup probe fails.
    ProbeFailure,
    /// No node can take the pod.
    Unschedulable,
    /// A rollout does not get ahead.
    RolloutStuck,
    /// A node is not ready or does not report.
    NodeNotReady,
    /// A node is short of memory, disk or process ids.
    NodePressure,
    /// A node is cordoned.
    NodeCordoned,
    /// An alert fires and no detector finds what it speaks of.
    Unexplained,
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
