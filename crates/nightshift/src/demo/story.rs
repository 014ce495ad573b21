//! Plays faults one after the other: breaks something, waits until the agent has done what it will,
//! and asks the judge.

use super::faults::{Deed, Fault, Target};
use super::judge::{Right, Scene, judge};
use super::teller::{Progress, TellError, Teller};
use super::world::{World, WorldError};
use crate::intake::alertmanager;
use crate::shell::Handle;
use jiff::{SignedDuration, Timestamp};
use nightshift_cluster::Clock;
use nightshift_core::world::ObjectRef;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// In the cluster's time, an ending is awaited for so long: a rollout of its own and a verification
/// that waits for its end take minutes.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);
/// With the agent off nothing will come.
const PATIENCE_OFF: SignedDuration = SignedDuration::from_mins(5);
/// After a hand-over it is watched for so long that nothing is written after all.
const HANDS_OFF: Duration = Duration::from_mins(1);
/// Between two looks at the record, in real time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why a fault cannot be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// The simulated cluster did not do as it was told.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The story cannot be told.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// An alert did not reach the agent.
    #[error("the agent does not take an alert: {0}")]
    Alert(String),
    /// The agent is not there any more.
    #[error("the agent has ended in the middle of the story")]
    AgentEnded,
}

/// Where faults are played.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub(super) world: &'a World,
    /// `None`: the agent is off.
    pub(super) agent: Option<&'a Handle>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) teller: Teller,
    /// Who looks on with kubectl.
    pub(super) visitors: Visitors,
}

/// What is known of those who look on.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    /// They have written something, in whichever fault's time.
    have_written: bool,
    /// So many audit lines were looked through for that.
    looked: u64,
}

impl Visitors {
    fn look(&mut self, world: &World) -> bool {
        let mark = world.audit_mark();
        self.have_written = self.have_written || world.is_visited_since(self.looked);
        self.looked = mark;
        self.have_written
    }
}

/// A fault's object before and after it was broken.
struct Broken {
    target: Target,
    before: Value,
    after: Value,
    /// Audit lines before it.
    mark: u64,
}

impl Story<'_> {
    /// Plays one fault. Whether its ending, or both of them, are right.
    pub(super) async fn play(&mut self, number: usize, fault: &Fault) -> Result<bool, StoryError> {
        let before = self.world.get(fault.target)?;
        let mark = self.world.audit_mark();
        let begun = self.clock.now();
        self.teller
            .begin(number, fault.name, fault.about, begun)
            .map_err(TellError::from)?;
        self.carry_out(&fault.deeds).await?;
        let broken = Broken {
            target: fault.target,
            before,
            after: self.world.get(fault.target)?,
            mark,
        };
        let mut is_right = self.ending(&broken, fault.right, begun).await?;
        if !fault.afterwards.is_empty() {
            self.carry_out(&fault.afterwards).await?;
            let Some(right) = fault.then else {
                self.closed(fault.target, self.clock.now()).await?;
                return Ok(is_right);
            };
            is_right &= self.ending(&broken, right, self.clock.now()).await?;
        }
        self.closed(fault.target, self.clock.now()).await?;
        Ok(is_right)
    }

    async fn carry_out(&self, deeds: &[Deed]) -> Result<(), StoryError> {
        for deed in deeds {
            match deed {
                Deed::Alert { name, of, fires } => self.alert(name, of, *fires).await?,
                deed => self.world.carry_out(deed)?,
            }
        }
        Ok(())
    }

    /// As Alertmanager's webhook would deliver it.
    async fn alert(&self, name: &str, of: &'static str, fires: bool) -> Result<(), StoryError> {
        let Some(agent) = self.agent else {
            return Ok(());
        };
        let status = if fires { "firing" } else { "resolved" };
        let pod = self.world.a_pod_of(of)?;
        let body = serde_json::json!({
            "version": "4", "status": status,
            "alerts": [{
                "status": status,
                "labels": {"alertname": name, "namespace": super::faults::SHOP, "pod": pod},
                "startsAt": "2026-01-01T00:00:00Z",
                "fingerprint": format!("demo-{name}-{of}"),
            }],
        });
        let inputs = alertmanager::read(body.to_string().as_bytes(), self.clock.now());
        let inputs = inputs.map_err(|error| StoryError::Alert(error.to_string()))?;
        let taken = agent.submit(inputs).await;
        taken.map_err(|error| StoryError::Alert(error.to_string()))?;
        Ok(())
    }

    /// Waits until the agent is through with it, and asks the judge.
    async fn ending(
        &mut self,
        broken: &Broken,
        right: Right,
        since: Timestamp,
    ) -> Result<bool, StoryError> {
        let target = broken.target;
        let patience = if self.agent.is_some() {
            PATIENCE
        } else {
            PATIENCE_OFF
        };
        let needs_a_person = matches!(right, Right::TakenBack | Right::Cordoned | Right::LeftAlone);
        let verdict = loop {
            let progress = self.progress(target).await?;
            let verdict = judge(right, &self.scene(broken)?);
            if needs_a_person {
                if progress.is_ended() {
                    self.clock.sleep(HANDS_OFF).await;
                    self.progress(target).await?;
                    break judge(right, &self.scene(broken)?);
                }
            } else if verdict.is_ok() && progress.is_ended() && progress.is_closed() {
                break verdict;
            }
            if self.clock.now().duration_since(since) > patience {
                break verdict.and_then(|()| Err("nobody says that it is over".to_owned()));
            }
            self.clock.limit(LOOK_EVERY).await;
        };
        self.teller
            .judged(right, &verdict)
            .map_err(TellError::from)?;
        Ok(verdict.is_ok())
    }

    /// What the judge looks at, as it is now.
    fn scene(&mut self, broken: &Broken) -> Result<Scene, WorldError> {
        Ok(Scene {
            before: broken.before.clone(),
            broken: broken.after.clone(),
            now: self.world.get(broken.target)?,
            writes: self.world.writes_since(broken.mark),
            is_visited: self.visitors.look(self.world),
        })
    }

    /// Waits until nothing on the object is open any more, so that the next fault is told alone.
    async fn closed(&mut self, target: Target, since: Timestamp) -> Result<(), StoryError> {
        if self.agent.is_none() {
            return Ok(());
        }
        loop {
            let progress = self.progress(target).await?;
            let is_quiet = progress.is_closed() && !progress.others_open;
            if is_quiet || self.clock.now().duration_since(since) > PATIENCE {
                return Ok(());
            }
            self.clock.limit(LOOK_EVERY).await;
        }
    }

    /// Tells what is new on record. With the agent off there is nothing, and nothing will be.
    async fn progress(&mut self, target: Target) -> Result<Progress, StoryError> {
        let Some(agent) = self.agent else {
            return Ok(Progress::default());
        };
        if agent.health() == crate::shell::Health::Stopped {
            return Err(StoryError::AgentEnded);
        }
        let is_about = |owner: &ObjectRef| owner.name == target.name();
        let followed = self
            .teller
            .follow(agent.store(), agent.cluster(), is_about)
            .await;
        Ok(followed?)
    }
}
