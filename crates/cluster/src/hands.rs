//! Hands: the only writer. [`Hands::act`] consumes a permit, reads the target live, compares it
//! with what the step was planned on, and sends one request that fits only that version of it.
//! [`Hands::rehearse`] sends the same request with `dryRun=All`, [`Hands::read_back`] finds out what
//! became of a write without an answer. Nothing here decides anything: values come from the step.

mod answer;
mod cordon;
mod delete_pod;
mod diff;
mod evict;
mod live;
mod patch;
mod roll_back;
mod set_image;
mod set_memory;
mod wire;

use answer::{Meaning, meaning, reason};
use jiff::Timestamp;
use kube::Client;
use live::{Halt, Live};
use nightshift_core::guard::{Permit, Rehearsal};
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::{ClusterUid, PermitId};
use nightshift_core::plan::{Action, Step, basis};
use nightshift_core::world::ObjectRef;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Answer, Draft, Wire};

/// Times the target is read and compared before a step is given up as stale. The status of a
/// crashing workload changes its resourceVersion every few seconds; three in a row is bad luck.
const ATTEMPTS: usize = 3;

/// The hands of one cluster.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "kube's client has no Debug, and could show credentials"
)]
pub struct Hands {
    wire: Wire,
    cluster: ClusterUid,
}

/// A step made ready: the target as it is now and what would be sent.
struct Ready {
    live: Live,
    draft: Draft,
}

impl Hands {
    /// Hands for the cluster with that uid. The client is [`crate::Clients::write`], which never
    /// retries: a 429 is how a disruption budget answers, and a write is not repeated blindly.
    pub const fn new(client: Client, cluster: ClusterUid) -> Self {
        Self {
            wire: Wire::new(client),
            cluster,
        }
    }

    /// Carries out what the permit allows, at most once. `now` is the time by the clock that the
    /// permit was made with.
    pub async fn act(&self, permit: Permit, now: Timestamp) -> ActOutcome {
        let outcome = if permit.cluster() == &self.cluster {
            self.carry_out(&permit, now).await
        } else {
            ActOutcome::Refused {
                why: format!(
                    "the permit is for cluster {}, these hands are not",
                    permit.cluster()
                ),
            }
        };
        tracing::info!(permit = %permit.id(), ?outcome, "write ended");
        crate::failpoint::failpoint("before_result");
        outcome
    }

    async fn carry_out(&self, permit: &Permit, now: Timestamp) -> ActOutcome {
        let left = permit.expires_at().duration_since(now);
        let left = match Duration::try_from(left) {
            Ok(left) if !left.is_zero() => left,
            Ok(_) | Err(_) => return ActOutcome::Expired,
        };
        let deadline = Instant::now() + left;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let ready = match self.ready(permit.step()).await {
                Ok(ready) => ready,
                Err(halt) => return halted(halt),
            };
            if Instant::now() >= deadline {
                return ActOutcome::Expired;
            }
            let answer = self.wire.commit(permit, &ready.draft).await;
            match written(meaning(answer, ready.draft.evicts())) {
                Ok(outcome) => return outcome,
                Err(conflict) => last = conflict,
            }
        }
        ActOutcome::Stale {
            why: conflicts(&last),
        }
    }

    /// Asks the API server what the step's request would do, with `dryRun=All`: nothing changes, no
    /// permit is needed. Without the right, or with a webhook that cannot, the diff is made here.
    pub async fn rehearse(&self, step: &Step) -> Rehearsal {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let ready = match self.ready(step).await {
                Ok(ready) => ready,
                Err(Halt::Stale(why)) => return Rehearsal::Stale { why },
                Err(Halt::Forbidden(why)) => return Rehearsal::Forbidden { why },
                Err(Halt::Refused(why)) => return Rehearsal::Refused { why },
                Err(Halt::Unread(why)) => return Rehearsal::Failed { why },
            };
            let answer = self.wire.rehearse(&ready.draft).await;
            match rehearsed(&ready, step, meaning(answer, ready.draft.evicts())) {
                Ok(rehearsal) => return rehearsal,
                Err(conflict) => last = conflict,
            }
        }
        Rehearsal::Stale {
            why: conflicts(&last),
        }
    }

    /// Finds out what became of a write without an answer: `Done` when the target holds what would
    /// have been written, `NotDone` while it is as it was planned on, `Stale` when it is neither,
    /// `Unknown` when it cannot be read.
    pub async fn read_back(&self, permit: &PermitId, step: &Step) -> ActOutcome {
        let outcome = match self.read(&step.target).await {
            Ok(live) => found(&live, step),
            Err(Halt::Stale(_)) if removes(&step.action) => done(&Value::Null),
            Err(Halt::Stale(why)) => ActOutcome::Stale { why },
            Err(Halt::Forbidden(why) | Halt::Refused(why) | Halt::Unread(why)) => {
                ActOutcome::Unknown { why }
            }
        };
        tracing::info!(%permit, step = %step.id, ?outcome, "read back");
        outcome
    }

    /// Reads the target, compares it and makes the request.
    async fn ready(&self, step: &Step) -> Result<Ready, Halt> {
        let live = self.read(&step.target).await?;
        live.compare(step)?;
        let draft = match &step.action {
            Action::SetImage {
                container,
                from,
                to,
            } => live.patched_by(set_image::patch(&live, container, from, to)?),
            Action::SetMemory {
                container,
                limit,
                request,
            } => live.patched_by(set_memory::patch(&live, container, limit, request)?),
            Action::RollBack { from, to } => {
                let (_, revision) = self.get(&roll_back::holder(&step.target, to)?).await?;
                live.patched_by(roll_back::patch(&live, &revision, from, to)?)
            }
            Action::DeletePod => delete_pod::draft(&live),
            Action::Evict => evict::draft(&live),
            Action::Cordon => live.patched_by(cordon::patch(&live, true)),
            Action::Uncordon => live.patched_by(cordon::patch(&live, false)),
        };
        Ok(Ready { live, draft })
    }

    async fn read(&self, object: &ObjectRef) -> Result<Live, Halt> {
        let (path, json) = self.get(object).await?;
        Live::decode(path, object, json)
    }

    async fn get(&self, object: &ObjectRef) -> Result<(String, Value), Halt> {
        let path = live::path(object).filter(|_| !object.uid.as_str().is_empty());
        let path =
            path.ok_or_else(|| Halt::Refused(format!("{object} is nothing hands can reach")))?;
        match self.wire.get(&path).await {
            Answer::Said { code: 200, body } => Ok((path, body)),
            Answer::Said { code: 404, .. } => Err(Halt::Stale(format!("{object} is gone"))),
            Answer::Said {
                code: code @ (401 | 403),
                body,
            } => Err(Halt::Forbidden(reason(code, &body))),
            Answer::Said { code, body } => Err(Halt::Unread(reason(code, &body))),
            Answer::NotSent { why } | Answer::Lost { why } => Err(Halt::Unread(why)),
        }
    }
}

/// Nothing was sent.
fn halted(halt: Halt) -> ActOutcome {
    match halt {
        Halt::Stale(why) => ActOutcome::Stale { why },
        Halt::Forbidden(why) | Halt::Refused(why) => ActOutcome::Refused { why },
        Halt::Unread(why) => ActOutcome::NotDone { why },
    }
}

/// The outcome of a write; `Err`: a conflict, read again.
fn written(meaning: Meaning) -> Result<ActOutcome, String> {
    Ok(match meaning {
        Meaning::Taken(object) => done(&object),
        Meaning::Conflict(why) => return Err(why),
        Meaning::Blocked(why) => ActOutcome::Blocked { why },
        Meaning::NoRight(why)
        | Meaning::Forbidden(why)
        | Meaning::NoDryRun(why)
        | Meaning::Refused(why) => ActOutcome::Refused { why },
        Meaning::NotDone(why) => ActOutcome::NotDone { why },
        Meaning::Unknown(why) => ActOutcome::Unknown { why },
    })
}

/// The outcome of a dry run; `Err`: a conflict, read again.
fn rehearsed(ready: &Ready, step: &Step, meaning: Meaning) -> Result<Rehearsal, String> {
    Ok(match meaning {
        Meaning::Taken(object) => Rehearsal::Accepted {
            diff: change(ready, step, Some(&object)),
        },
        Meaning::Conflict(why) => return Err(why),
        Meaning::NoRight(why) => Rehearsal::NoRight {
            diff: change(ready, step, None),
            why,
        },
        Meaning::Forbidden(why) => Rehearsal::Forbidden { why },
        Meaning::NoDryRun(why) => Rehearsal::Local {
            diff: change(ready, step, None),
            why,
        },
        Meaning::Blocked(why) | Meaning::Refused(why) => Rehearsal::Refused { why },
        Meaning::NotDone(why) | Meaning::Unknown(why) => Rehearsal::Failed { why },
    })
}

/// What the request changes: by the server's answer, or else computed here.
fn change(ready: &Ready, step: &Step, returned: Option<&Value>) -> Vec<String> {
    let old = &ready.live.json;
    match (&ready.draft, returned) {
        (Draft::Delete { .. }, _) => vec![format!("{}: present -> deleted", step.target)],
        (Draft::Evict { .. }, _) => vec![format!("{}: present -> evicted", step.target)],
        (Draft::Patch { .. }, Some(new)) => diff::spec(old, new),
        (Draft::Patch { patch, .. }, None) => {
            let mut new = old.clone();
            match json_patch::patch(&mut new, patch) {
                Ok(()) => diff::spec(old, &new),
                Err(error) => vec![format!("spec: cannot be computed: {error}")],
            }
        }
    }
}

fn done(object: &Value) -> ActOutcome {
    let metadata = &object["metadata"];
    ActOutcome::Done {
        generation: metadata["generation"].as_i64().unwrap_or(0),
        resource_version: metadata["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// What a read-back found.
fn found(live: &Live, step: &Step) -> ActOutcome {
    let same = live.object.meta().uid == step.target.uid;
    let holds = match &step.action {
        Action::SetImage { container, to, .. } => set_image::holds(live, container, to),
        Action::SetMemory {
            container,
            limit,
            request,
        } => set_memory::holds(live, container, limit, request),
        Action::RollBack { to, .. } => roll_back::holds(live, to),
        Action::DeletePod | Action::Evict => live.object.meta().deletion_timestamp.is_some(),
        Action::Cordon => cordon::holds(live, true),
        Action::Uncordon => cordon::holds(live, false),
    };
    let target = &step.target;
    if !same && removes(&step.action) {
        done(&Value::Null)
    } else if !same {
        ActOutcome::Stale {
            why: format!("{target} is another one now"),
        }
    } else if holds {
        done(&live.json)
    } else if basis(&step.action, &live.object) == step.basis {
        ActOutcome::NotDone {
            why: format!("{target} is as it was"),
        }
    } else {
        ActOutcome::Stale {
            why: format!("{target} is neither as it was nor as we would have left it"),
        }
    }
}

/// Whether the action ends the target.
fn removes(action: &Action) -> bool {
    match action {
        Action::DeletePod | Action::Evict => true,
        Action::SetImage { .. }
        | Action::SetMemory { .. }
        | Action::RollBack { .. }
        | Action::Cordon
        | Action::Uncordon => false,
    }
}

fn conflicts(last: &str) -> String {
    format!("the target changed under the request {ATTEMPTS} times, at last: {last}")
}

#[cfg(test)]
mod tests;
