//! Where a story plays: a shop, an agent, and a road between them.

use super::super::faults::{self, Deed, Fault, SHOP, Target};
use super::super::judge::{Right, Scene, Write, judge};
use super::super::world::World;
use super::super::{Agent, config, rights};
use super::road::{Road, Way};
use crate::pace::PacedClock;
use crate::serve::{self, Tokens};
use crate::store::{Detail, Filter};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use nightshift_cluster::failpoint::Trap;
use nightshift_cluster::{Clients, Clock, within};
use nightshift_core::guard::circuit::{Circuit, circuit};
use nightshift_core::incident::{Incident, Phase};
use nightshift_core::policy::Policy;
use nightshift_core::world::{Coverage, Source};
use nightshift_sim::{Speed, load};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// The agent repairs by itself.
pub(super) const AUTO: &[(&str, &str)] = &[];
/// It proposes, with an account that could write.
pub(super) const RECOMMEND: &[(&str, &str)] = &[("AGENT_MODE", "recommend")];

/// Half a second of a busy machine is half a minute here, and what a snapshot of that age means is
/// the guard's own test.
const PATIENT: (&str, &str) = ("NIGHTSHIFT_SNAPSHOT_MAX_AGE", "5m");

/// A write is out, or what it began is under way.
pub(super) const MID_STEP: &[Phase] = &[Phase::Acting, Phase::ReadingBack, Phase::Verifying];
/// A person has it.
pub(super) const WAITING: &[Phase] = &[Phase::Waiting];
/// It is over.
pub(super) const CLOSED: &[Phase] = &[Phase::Closed];

/// In the cluster's time: longer than any verification.
const PATIENCE: Duration = Duration::from_mins(30);
/// Between two looks, in real time.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) fn speed() -> Speed {
    Speed::times(60).unwrap()
}

pub(super) fn fault(name: &str) -> Fault {
    let mut all = faults::all().into_iter();
    all.find(|fault| fault.name == name).unwrap()
}

/// A rollout of another image.
pub(super) fn image(target: Target, image: &str) -> Deed {
    let container = json!({"name": target.name(), "image": image});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    Deed::Patch(target, patch)
}

pub(super) struct Stage {
    pub(super) world: World,
    clock: Arc<dyn Clock>,
    agent: Option<Agent>,
    /// Its own, so that it can be killed.
    runtime: Option<Runtime>,
    folder: TempDir,
    way: watch::Sender<Way>,
}

impl Stage {
    pub(super) fn without_agent() -> Self {
        let world = World::new(3, speed(), &rights()).unwrap();
        TaskTracker::new().spawn(world.server.clone().drive());
        Self {
            clock: Arc::new(PacedClock(Arc::clone(&world.pace))),
            agent: None,
            runtime: None,
            folder: tempfile::tempdir().unwrap(),
            way: watch::Sender::new(Way::Open),
            world,
        }
    }

    pub(super) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut stage = Self::without_agent();
        stage.start_agent(settings, None).await;
        stage
    }

    /// Starts the agent on the record that is there, on an open road.
    pub(super) async fn start_agent(
        &mut self,
        settings: &[(&str, &str)],
        trap: Option<&Arc<Trap>>,
    ) {
        let settings = [&[PATIENT], settings].concat();
        let config = config(self.folder.path(), &settings).unwrap();
        // A road of its own: what a killed agent left behind stays on the old one.
        self.way = watch::Sender::new(Way::Open);
        let road = Road {
            door: self.world.door(),
            way: self.way.subscribe(),
        };
        let mut threads = Builder::new_multi_thread();
        if let Some(trap) = trap.cloned() {
            threads.on_thread_start(move || Arc::clone(&trap).set());
        }
        let runtime = threads.enable_all().build().unwrap();
        let clock = Arc::clone(&self.clock);
        let starting = runtime
            .spawn(async move { Agent::start(&config, &clock, Clients::from_service(road)).await });
        self.agent = Some(starting.await.unwrap().unwrap());
        self.runtime = Some(runtime);
    }

    /// As SIGKILL would: nothing of it reaches the cluster any more.
    pub(super) fn kill(&mut self) {
        self.way(Way::Silent);
        self.agent = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// SIGTERM: it is told to stop, and nobody waits.
    pub(super) fn ask_to_end(&self) {
        self.agent().stop.cancel();
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) {
        let agent = self.agent.take().unwrap();
        let ended = within(&*self.clock, PATIENCE, agent.ended).await;
        ended.unwrap().unwrap().unwrap();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
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

    /// A Deployment of one container, in the shop.
    pub(super) fn apply_deployment(&self, name: &str, strategy: &str, image: &str) {
        let labels = json!({"app": name});
        let container = json!({"name": name, "image": image});
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": SHOP},
            "spec": {
                "replicas": 1, "strategy": {"type": strategy},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }));
    }

    /// Breaks it; the scene as it is then.
    pub(super) fn broken(&self, fault: &Fault) -> Scene {
        let before = self.world.get(fault.target).unwrap();
        self.carry_out(&fault.deeds);
        let broken = self.world.get(fault.target).unwrap();
        Scene {
            before,
            now: broken.clone(),
            broken,
            writes: Vec::new(),
            is_visited: false,
        }
    }

    /// The judge's word on the scene as it is now.
    pub(super) fn judge(&self, right: Right, target: Target, scene: Scene) -> Result<(), String> {
        let now = self.world.get(target);
        let scene = Scene {
            now: now.map_err(|error| format!("{error:?}"))?,
            writes: self.writes(),
            ..scene
        };
        judge(right, &scene)
    }

    /// Every write of the agent.
    pub(super) fn writes(&self) -> Vec<Write> {
        self.world.writes_since(0)
    }

    /// How often the agent listed a resource in all namespaces, after so many audit lines.
    pub(super) fn lists_since(&self, mark: u64, resource: &str) -> usize {
        self.world.lists_since(mark, resource)
    }

    /// Every rehearsal of the agent.
    pub(super) fn rehearsals(&self) -> Vec<Write> {
        self.world.rehearsals()
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    /// All incidents.
    pub(super) async fn incidents(&self) -> Vec<Incident> {
        let store = self.agent().handle.store();
        let page = store.incidents(&Filter::default(), 100, 0).await.unwrap();
        page.incidents
    }

    /// Those on an owner.
    pub(super) async fn incidents_on(&self, owner: &str) -> Vec<Incident> {
        let mut all = self.incidents().await;
        all.retain(|incident| incident.owner.name == owner);
        all
    }

    /// An incident with its record.
    pub(super) async fn detail(&self, incident: &Incident) -> Detail {
        let store = self.agent().handle.store();
        store.incident(&incident.id).await.unwrap().unwrap()
    }

    /// Waits for an incident on that owner in one of these phases.
    pub(super) async fn await_incident(&self, owner: &str, phases: &[Phase]) -> Incident {
        let what = format!("an incident on {owner} in {phases:?}");
        let look = async || {
            let all = self.incidents_on(owner).await;
            let seen: Vec<_> = all
                .iter()
                .map(|incident| (incident.phase, incident.waiting_for.clone()))
                .collect();
            let mut all = all.into_iter();
            all.find(|incident| phases.contains(&incident.phase))
                .ok_or_else(|| format!("{seen:?}"))
        };
        self.until(&what, look).await
    }

    /// Looks until it finds, with patience; the last answer says what was seen instead.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T, String>,
    ) -> T {
        let since = self.clock.now();
        loop {
            let seen = match look().await {
                Ok(found) => return found,
                Err(seen) => seen,
            };
            let waited = self.clock.now().duration_since(since).unsigned_abs();
            assert!(waited < PATIENCE, "waited for {what} and saw {seen}");
            self.clock.limit(LOOK_EVERY).await;
        }
    }

    /// Waits until a thread of the agent stands in the trap.
    pub(super) async fn await_sprung(&self, trap: &Trap) {
        let sprung = within(&*self.clock, PATIENCE, trap.sprung()).await;
        assert!(sprung.is_some(), "nothing came to {trap:?}");
    }

    /// How well the agent sees each source.
    pub(super) fn sources(&self) -> Vec<(Source, bool)> {
        let coverage = self.agent().handle.coverage().into_iter();
        let sees = coverage.map(|(source, how)| (source, matches!(how, Coverage::Seen { .. })));
        sees.collect()
    }

    /// Asks the agent's own listener, in process.
    pub(super) async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let router = serve::router(self.agent().handle.clone(), &Tokens::default());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{method} {path}: {status} {body:?}");
        serde_json::from_slice(&body).unwrap()
    }

    /// What the agent has on record as good is loaded as a restart would.
    pub(super) async fn known_good(&self) -> Vec<String> {
        let handle = &self.agent().handle;
        let now = self.clock.now();
        let loaded = handle.store().checkpoint(handle.cluster(), now).await;
        let known = loaded.unwrap().history.known_good;
        known.into_keys().map(|uid| uid.to_string()).collect()
    }

    /// Where the circuit breaker would stand after a restart.
    pub(super) async fn circuit(&self) -> Circuit {
        let handle = &self.agent().handle;
        let now = self.clock.now();
        let loaded = handle.store().checkpoint(handle.cluster(), now).await;
        circuit(&loaded.unwrap().history, &Policy::default(), now)
    }

    /// A person gets it, and nothing is written then or later.
    pub(super) async fn keeps_off(self, owner: &str) {
        self.await_incident(owner, WAITING).await;
        self.pass(Duration::from_mins(3)).await;
        assert_eq!(self.writes(), []);
        self.end().await;
    }
}
