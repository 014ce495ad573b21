//! Runs effects in bounded, tracked tasks; whatever happens to one, its answer comes back as an
//! input.

use super::limits;
use super::port::Port;
use futures::FutureExt as _;
use nightshift_cluster::{Clock, within};
use nightshift_core::engine::{Effect, Input};
use nightshift_core::guard::Rehearsal;
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::PermitId;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks that run effects.
#[derive(Debug)]
pub(super) struct Effects {
    port: Arc<dyn Port>,
    clock: Arc<dyn Clock>,
    answers: mpsc::Sender<Input>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    abandoned: CancellationToken,
    /// Permits whose write (or reading back) has not answered.
    writes: BTreeSet<PermitId>,
}

impl Effects {
    pub(super) fn new(
        port: Arc<dyn Port>,
        clock: Arc<dyn Clock>,
        answers: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            port,
            clock,
            answers,
            slots: Arc::new(Semaphore::new(limits::EFFECTS_AT_ONCE)),
            tasks: TaskTracker::new(),
            abandoned: CancellationToken::new(),
            writes: BTreeSet::new(),
        }
    }

    /// The answer to that permit's write was handled.
    pub(super) fn answered(&mut self, permit: &PermitId) {
        self.writes.remove(permit);
    }

    pub(super) fn no_write_is_out(&self) -> bool {
        self.writes.is_empty()
    }

    /// Starts one effect. Waking is the loop's own and does not come here.
    pub(super) fn run(&mut self, effect: Effect) {
        let writes = match &effect {
            Effect::Act(permit) => Some(permit.id().clone()),
            Effect::ReadBack { permit, .. } => Some(permit.clone()),
            Effect::Observe { .. } | Effect::Rehearse(_) | Effect::WakeAt(_) => None,
        };
        self.writes.extend(writes);
        let (port, clock) = (Arc::clone(&self.port), Arc::clone(&self.clock));
        let (slots, answers) = (Arc::clone(&self.slots), self.answers.clone());
        let abandoned = self.abandoned.clone();
        self.tasks.spawn(async move {
            let work = async {
                let slot = slots.acquire().await;
                let answer = answer(&*port, &*clock, effect).await;
                // The slot is free before the answer waits for room: else the engine could wait for
                // a slot and the slot for the engine.
                drop(slot);
                if let Some(answer) = answer
                    && answers.send(answer).await.is_err()
                {
                    tracing::debug!("the engine has ended: an answer is dropped");
                }
            };
            tokio::select! {
                () = work => {}
                () = abandoned.cancelled() => {}
            }
        });
    }
}

/// However the engine ends, by a panic too, nothing that waits for its turn begins any more, and what
/// runs is given up. A write among it stays a recorded intent without a result, which the next start
/// reads back.
impl Drop for Effects {
    fn drop(&mut self) {
        self.abandoned.cancel();
    }
}

/// The result of work that may take too long or panic, which a task of its own must survive.
async fn survived<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    match within(clock, limit, AssertUnwindSafe(work).catch_unwind()).await {
        Some(Ok(value)) => Ok(value),
        Some(Err(panic)) => Err(format!("it panicked: {}", panic_text(&*panic))),
        None => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

/// The text of a panic's payload.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "without a text".to_owned())
}

async fn answer(port: &dyn Port, clock: &dyn Clock, effect: Effect) -> Option<Input> {
    match effect {
        Effect::Observe {
            look,
            scope,
            fresh,
            logs,
        } => {
            let seen = survived(clock, limits::LOOK, port.observe(scope, fresh, logs)).await;
            Some(match seen {
                Ok(snapshot) => Input::Observed {
                    look,
                    snapshot: Box::new(snapshot),
                },
                Err(why) => Input::NotObserved { look, why },
            })
        }
        Effect::Rehearse(step) => {
            let id = step.id.clone();
            let said = survived(clock, limits::WRITE, port.rehearse(step)).await;
            Some(Input::Rehearsed {
                step: id,
                rehearsal: said.unwrap_or_else(|why| Rehearsal::Failed { why }),
            })
        }
        Effect::Act(permit) => {
            let id = permit.id().clone();
            let done = survived(clock, limits::WRITE, port.act(permit)).await;
            Some(acted(id, done))
        }
        Effect::ReadBack { permit, step } => {
            let id = permit.clone();
            let done = survived(clock, limits::WRITE, port.read_back(permit, step)).await;
            Some(acted(id, done))
        }
        Effect::WakeAt(_) => None,
    }
}

fn acted(permit: PermitId, done: Result<ActOutcome, String>) -> Input {
    Input::Acted {
        permit,
        outcome: done.unwrap_or_else(|why| ActOutcome::Unknown { why }),
    }
}
