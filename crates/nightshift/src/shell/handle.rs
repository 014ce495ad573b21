//! The way to talk to a running engine.

use super::port::Port;
use super::{analysis, limits};
use crate::journal::Seq;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use nightshift_cluster::{Clock, within};
use nightshift_core::engine::Input;
use nightshift_core::ids::{ClusterUid, IncidentId};
use nightshift_core::world::{Coverage, Source};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Whether inputs can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The first input is not durable yet.
    Starting,
    /// The newest commit was made.
    Recording,
    /// The store does not take commits; the newest one is being tried again.
    NotRecording,
    /// The engine has ended.
    Stopped,
}

/// Why an input was not taken. The sender has to send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many inputs wait already.
    #[error("too many inputs are waiting")]
    Busy,
    /// It is not durable (yet).
    #[error("the input could not be recorded")]
    Unavailable,
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopped,
}

/// Tells the submitter what became of the input.
#[derive(Debug)]
pub(super) struct Reply(oneshot::Sender<Result<Seq, SubmitError>>);

impl Reply {
    pub(super) fn ok(self, seq: Seq) {
        self.send(Ok(seq));
    }

    pub(super) fn unavailable(self) {
        self.send(Err(SubmitError::Unavailable));
    }

    fn send(self, result: Result<Seq, SubmitError>) {
        if self.0.send(result).is_err() {
            tracing::debug!("nobody waits for the acknowledgement any more");
        }
    }
}

/// Inputs on their way to the engine: decided on one by one, durable together.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) inputs: Vec<Input>,
    /// Absent where nobody waits: answers and ticks.
    pub(super) reply: Option<Reply>,
}

impl From<Input> for Submitted {
    fn from(input: Input) -> Self {
        Self {
            inputs: vec![input],
            reply: None,
        }
    }
}

/// A running engine, as intake, HTTP and commands see it. A clone is another way to the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) cluster: ClusterUid,
    pub(super) store: Store,
    pub(super) port: Arc<dyn Port>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) inputs: mpsc::Sender<Submitted>,
    pub(super) health: watch::Receiver<Health>,
}

impl Handle {
    /// Hands inputs to the engine, in one transaction, and waits until they are durable. Anything but
    /// `Ok` means that they may not be: the sender sends them again, and a repetition does no harm.
    /// Nothing else is heard in between: they should be few enough for a fraction of a second.
    pub async fn submit(&self, inputs: Vec<Input>) -> Result<Seq, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let submitted = Submitted {
            inputs,
            reply: Some(Reply(reply)),
        };
        self.inputs
            .try_send(submitted)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
                mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
            })?;
        match within(&*self.clock, limits::SUBMIT, answer).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(SubmitError::Stopped),
            None => Err(SubmitError::Unavailable),
        }
    }

    /// Hands an input to the engine without waiting for its commit, but for room in the queue. For
    /// sources that say it again by themselves (watches).
    pub async fn feed(&self, input: Input) -> Result<(), SubmitError> {
        self.inputs
            .send(input.into())
            .await
            .map_err(|_| SubmitError::Stopped)
    }

    /// The cluster.
    pub fn cluster(&self) -> &ClusterUid {
        &self.cluster
    }

    /// The store, to read from.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The clock of this process.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The metrics of this engine.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether inputs can be recorded.
    pub fn health(&self) -> Health {
        // Closed: the engine's task has ended, however that came.
        match self.health.has_changed() {
            Ok(_) => *self.health.borrow(),
            Err(_) => Health::Stopped,
        }
    }

    /// How well each source is seen at this moment.
    pub fn coverage(&self) -> BTreeMap<Source, Coverage> {
        self.port.coverage()
    }

    /// Writes the incident's analysis anew from what is known now, and stores it. `None`: there is
    /// no such incident.
    pub async fn regenerate_analysis(&self, id: &IncidentId) -> Result<Option<String>, StoreError> {
        let Some(detail) = self.store.incident(id).await? else {
            return Ok(None);
        };
        let text = analysis::write(&self.store, &detail.incident, Vec::new()).await?;
        let (cluster, now) = (&detail.incident.fingerprint.cluster, self.clock.now());
        self.store.put_analysis(cluster, id, &text, now).await?;
        Ok(Some(text))
    }
}
