//! Where a story plays: a shop, an agent, and a way between them that can be cut.

use super::super::door::Door;
use super::super::faults::{Deed, Fault};
use super::super::judge::{Scene, Write};
use super::super::world::World;
use super::super::{Agent, config, rights};
use crate::pace::PacedClock;
use crate::store::Filter;
use axum::body::{Body, Bytes, HttpBody};
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use nightshift_cluster::{Clients, Clock};
use nightshift_core::world::Coverage;
use nightshift_sim::{Speed, load};
use serde_json::Value;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::{BoxError, Service};

/// In the cluster's time: longer than any verification.
const PATIENCE: Duration = Duration::from_mins(30);

pub(super) fn speed() -> Speed {
    Speed::times(60).unwrap()
}

/// How requests of the agent fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Connections are refused.
    Away,
    /// Nothing is answered, and nothing more is said on what is open.
    Silent,
    /// Writes never arrive.
    HoldsWrites,
    /// Writes arrive, and their answers do not.
    LosesAnswers,
}

#[derive(Clone, Debug)]
struct Road {
    door: Door,
    way: watch::Receiver<Way>,
    held: watch::Sender<bool>,
}

impl<B> Service<Request<B>> for Road
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let dry_run = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("dryRun=All"));
        let is_write = request.method() != Method::GET && !dry_run;
        let way = *self.way.borrow();
        let (mut road, held) = (self.clone(), self.held.clone());
        Box::pin(async move {
            match way {
                Way::Open => {}
                Way::Away => return Err("connection refused".into()),
                Way::Silent => std::future::pending().await,
                Way::HoldsWrites | Way::LosesAnswers if !is_write => {}
                Way::HoldsWrites => {
                    held.send_replace(true);
                    std::future::pending::<()>().await;
                }
                Way::LosesAnswers => {
                    let answer = road.door.call(request).await;
                    held.send_replace(true);
                    drop(answer);
                    return std::future::pending().await;
                }
            }
            let answer = road.door.call(request).await?;
            Ok(answer.map(|body| road.until_cut(body)))
        })
    }
}

impl Road {
    /// A body that breaks off when the server goes away, and stops when it falls silent.
    fn until_cut(&self, body: Body) -> Body {
        let way = self.way.clone();
        let stream = futures::stream::unfold(
            (body.into_data_stream(), way),
            |(mut body, mut way)| async {
                use futures::StreamExt as _;
                let cut = way.clone();
                let next = tokio::select! {
                    _ = way.wait_for(|way| *way == Way::Away) => Some(Err("connection reset".into())),
                    next = async {
                        // What is said while all is silent is lost with its connection.
                        let next = body.next().await;
                        if *cut.borrow() == Way::Silent {
                            std::future::pending::<()>().await;
                        }
                        next
                    } => next.map(|next| next.map_err(BoxError::from)),
                };
                next.map(|next| (next, (body, way)))
            },
        );
        Body::from_stream(stream)
    }
}

pub(super) struct Stage {
    pub(super) world: World,
    clock: Arc<dyn Clock>,
    agent: Option<Agent>,
    /// Its own, so that it can be killed.
    runtime: Option<Runtime>,
    folder: TempDir,
    way: watch::Sender<Way>,
    held: watch::Receiver<bool>,
    road: Road,
}

impl Stage {
    pub(super) fn without_agent() -> Self {
        let world = World::new(3, speed(), &rights()).unwrap();
        let (way, receiver) = watch::channel(Way::Open);
        let (held, held_receiver) = watch::channel(false);
        let road = Road {
            door: world.door(),
            way: receiver,
            held,
        };
        TaskTracker::new().spawn(world.server.clone().drive());
        Self {
            clock: Arc::new(PacedClock(Arc::clone(&world.pace))),
            agent: None,
            runtime: None,
            folder: tempfile::tempdir().unwrap(),
            held: held_receiver,
            world,
            way,
            road,
        }
    }

    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut stage = Self::without_agent();
        stage.start_again(settings).await;
        stage
    }

    /// On the record that is there.
    pub(super) async fn start_again(&mut self, settings: &[(&str, &str)]) {
        let config = config(self.folder.path(), settings).unwrap();
        let (clock, road) = (Arc::clone(&self.clock), self.road.clone());
        let runtime = Runtime::new().unwrap();
        let starting = runtime
            .spawn(async move { Agent::start(&config, &clock, Clients::from_service(road)).await });
        self.agent = Some(starting.await.unwrap().unwrap());
        self.runtime = Some(runtime);
    }

    /// As SIGKILL would.
    pub(super) async fn kill(&mut self) {
        self.agent = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    pub(super) async fn end(mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await.unwrap();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.world.server.stop();
    }

    pub(super) fn way(&self, way: Way) {
        self.way.send_replace(way);
    }

    pub(super) async fn await_held_write(&self) {
        let mut held = self.held.clone();
        held.wait_for(|held| *held).await.unwrap();
    }

    pub(super) async fn pass(&self, wait: Duration) {
        self.clock.sleep(wait).await;
    }

    pub(super) fn carry_out(&self, deeds: &[Deed]) {
        for deed in deeds {
            self.world.carry_out(deed).unwrap();
        }
    }

    pub(super) fn apply(&self, manifest: &Value) {
        let objects = load::parse(Path::new("story"), &manifest.to_string()).unwrap();
        self.world
            .server
            .with(|cluster| load::manifests(cluster, objects))
            .unwrap();
    }

    /// Breaks it; the scene as it is then.
    pub(super) fn broken(&self, fault: &Fault, before: Value) -> Scene {
        self.carry_out(&fault.deeds);
        let broken = self.world.get(fault.target).unwrap();
        Scene {
            before,
            now: broken.clone(),
            broken,
            writes: Vec::new(),
        }
    }

    /// The scene as it is now.
    pub(super) fn now(&self, scene: Scene, fault: &Fault) -> Scene {
        Scene {
            now: self.world.get(fault.target).unwrap(),
            writes: self.writes(),
            ..scene
        }
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.world.writes_since(0)
    }

    /// Owners of all incidents, by name.
    pub(super) async fn incidents(&self) -> Vec<String> {
        let all = self.records().await;
        all.into_iter().map(|(owner, _)| owner).collect()
    }

    /// Phases of the incidents on an owner.
    pub(super) async fn phases(&self, owner: &str) -> Vec<String> {
        let all = self.records().await;
        let of = all.into_iter().filter(|(name, _)| name == owner);
        of.map(|(_, phase)| phase).collect()
    }

    async fn records(&self) -> Vec<(String, String)> {
        let agent = self.agent.as_ref().unwrap();
        let page = agent
            .handle
            .store()
            .incidents(&Filter::default(), 100, 0)
            .await
            .unwrap();
        let each = page.incidents.into_iter().map(|incident| {
            let phase = serde_json::to_value(incident.phase).unwrap();
            (incident.owner.name, phase.as_str().unwrap().to_owned())
        });
        each.collect()
    }

    /// Waits for an incident on that owner in that phase (`open`: in any but the last ones).
    pub(super) async fn await_phase(&self, owner: &str, phase: &str) {
        let since = self.clock.now();
        loop {
            let phases = self.phases(owner).await;
            let is_ended = |phase: &String| phase == "waiting" || phase == "closed";
            let found = match phase {
                "open" => phases.iter().any(|phase| !is_ended(phase)),
                _ => phases.iter().any(|other| other == phase),
            };
            if found {
                return;
            }
            let waited = self.clock.now().duration_since(since).unsigned_abs();
            assert!(
                waited < PATIENCE,
                "{owner} is in {phases:?}, not in {phase}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until no source is seen any more.
    pub(super) async fn await_blind(&self) {
        let since = self.clock.now();
        let agent = self.agent.as_ref().unwrap();
        loop {
            let coverage = agent.handle.coverage();
            let seen = coverage
                .iter()
                .filter(|(_, one)| matches!(one, Coverage::Seen { .. }));
            let seen: Vec<_> = seen.collect();
            if seen.is_empty() {
                return;
            }
            let waited = self.clock.now().duration_since(since).unsigned_abs();
            assert!(waited < PATIENCE, "still seen: {seen:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A person gets it, and nothing is written then or later.
    pub(super) async fn keeps_off(self, owner: &str) {
        self.await_phase(owner, "waiting").await;
        self.pass(Duration::from_mins(3)).await;
        assert_eq!(self.writes(), []);
        self.end().await;
    }
}
