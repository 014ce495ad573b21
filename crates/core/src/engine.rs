//! Joins the rooms: inputs in, effects out. The only file that knows all of them.

pub mod input;

pub use input::{Checkpoint, Effect, Input, LookId};

use crate::policy::Policy;
use jiff::Timestamp;

/// The engine of one cluster.
#[derive(Debug, Default)]
pub struct Engine {
    policy: Policy,
}

/// What [`Engine::handle`] wants done: first store the batch durably, then run the effects in order.
#[derive(Debug, Default, PartialEq, serde::Serialize)]
pub struct Decision {
    /// Goes to the store in one transaction with the input itself.
    pub batch: crate::record::Batch,
    /// Run only after the batch is durable.
    pub effects: Vec<Effect>,
}

impl Engine {
    /// An engine that knows nothing yet; its first input is [`Input::Start`], with the policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Decides.
    pub fn handle(&mut self, _input: Input, _now: Timestamp) -> Decision {
        Decision::default()
    }
}
