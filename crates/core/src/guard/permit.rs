//! The permit: proof that every gate passed for exactly one step.

use super::{Ruling, Scene, Verdict, gates, strictest};
use crate::ids::{ClusterUid, Digest, PermitId};
use crate::plan::Step;
use jiff::Timestamp;
use serde::Serialize;

/// Proof that every gate passed for exactly this step. Only [`judge`] makes one; it cannot be
/// cloned, copied or read from anywhere, and the hands consume it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Permit {
    id: PermitId,
    cluster: ClusterUid,
    step: Step,
    expires_at: Timestamp,
    leader_epoch: u64,
}

impl Permit {
    /// Id of the permit.
    pub fn id(&self) -> &PermitId {
        &self.id
    }

    /// The cluster it is good for.
    pub fn cluster(&self) -> &ClusterUid {
        &self.cluster
    }

    /// What it permits.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The epoch of the leader that it was given to.
    pub fn leader_epoch(&self) -> u64 {
        self.leader_epoch
    }
}

/// Whether the step may be rehearsed at all: while the circuit is open nothing is sent, not even
/// that. [`judge`] says why not.
pub(crate) fn may_rehearse(scene: &Scene<'_>) -> bool {
    gates::breaker(scene) == Verdict::Pass
}

/// Runs every gate over the scene. A permit comes back only when all of them passed.
pub fn judge(scene: &Scene<'_>, leader_epoch: u64) -> (Vec<Ruling>, Option<Permit>) {
    let rulings = gates::rule(scene);
    let clear = strictest(&rulings) == Verdict::Pass;
    let permit = clear.then(|| Permit {
        id: PermitId::from(format!(
            "permit-{}",
            Digest::of(&(&scene.step.id, scene.now, leader_epoch)).short(16)
        )),
        cluster: scene.snapshot.cluster.clone(),
        step: scene.step.clone(),
        expires_at: scene
            .now
            .saturating_add(scene.policy.permit_ttl)
            .unwrap_or(scene.now),
        leader_epoch,
    });
    (rulings, permit)
}
