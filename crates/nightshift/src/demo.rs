//! `nightshift demo`: a simulated shop, the agent in `auto`, faults of many kinds, and a judge that
//! is not the agent.
//!
//! ```text
//! faults -> world (the simulated cluster) <- eyes and hands of the agent -> record -> teller
//!                     |
//!                   judge
//! ```
//! `judge`, `faults`, `world` and `shop` use nothing of the agent.

mod door;
mod faults;
mod judge;
mod lines;
mod shop;
#[cfg(test)]
mod stories;
mod story;
mod tally;
mod teller;
mod told;
mod world;

pub use story::StoryError;
pub use teller::TellError;
pub use world::WorldError;

use crate::app::{self, App, StartError};
use crate::config::{Config, ConfigError, Env};
use crate::kubeconfig::{self, KubeconfigError};
use crate::output::{Format, Style, print, program};
use crate::pace::PacedClock;
use crate::shell::{Fatal, Handle};
use faults::Fault;
use nightshift_cluster::rbac::{self, Rights};
use nightshift_cluster::{Clients, Clock};
use nightshift_core::world::Coverage;
use nightshift_sim::Speed;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use story::{Story, Visitors};
use tally::Tally;
use teller::Teller;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use told::Told;
use world::World;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// End after the story; else new faults keep coming and the API stays up.
    pub once: bool,
    /// Order of the faults, and every name and latency in the cluster.
    pub seed: u64,
    /// How many times as fast as the wall the cluster's time goes.
    pub speed: Speed,
    /// Leave the agent off: the judge must then find everything wrong.
    pub agent_off: bool,
    /// For people or programs.
    pub format: Format,
}

/// Why there was no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated cluster.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The story.
    #[error(transparent)]
    Story(#[from] StoryError),
    /// The agent's configuration.
    #[error("the agent's configuration cannot be used")]
    Config(#[from] ConfigError),
    /// The agent did not start.
    #[error("the agent did not start")]
    Start(#[from] StartError),
    /// The agent ended.
    #[error("the agent could not go on")]
    Fatal(#[from] Fatal),
    /// The folder for the agent's record.
    #[error("{} cannot be made or removed", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The simulated API server has no listener.
    #[error(transparent)]
    Listen(#[from] nightshift_sim::server::ListenError),
    /// The kubeconfig.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// Nobody can be told.
    #[error("standard output cannot be written")]
    Print(#[from] std::io::Error),
}

/// In the cluster's time: from one fault to the next where they keep coming.
const BETWEEN: Duration = Duration::from_mins(10);
/// Real time in which the agent has to see everything after its start.
const OPEN_EYES: Duration = Duration::from_secs(30);

/// How the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every ending was right.
    Right,
    /// One was wrong.
    Wrong,
    /// It was to end with the story, and somebody ended it before: that says nothing.
    Interrupted,
}

/// Plays the demo.
///
/// `wall` tells how long it took; the agent and the cluster live in a time of their own.
pub async fn run(options: &Options, wall: &dyn Clock) -> Result<Ending, DemoError> {
    let folder = std::env::temp_dir().join(format!("nightshift-demo-{}", std::process::id()));
    let wrong = |source| DemoError::Folder {
        folder: folder.clone(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(wrong)?;
    let played = in_folder(options, &folder, wall).await;
    std::fs::remove_dir_all(&folder).map_err(wrong)?;
    played
}

async fn in_folder(
    options: &Options,
    folder: &Path,
    wall: &dyn Clock,
) -> Result<Ending, DemoError> {
    // First: the folder is to be removed whenever Ctrl-C comes.
    let told_to_stop = app::told_to_stop();
    let world = World::new(options.seed, options.speed, &rights())?;
    let clock: Arc<dyn Clock> = Arc::new(PacedClock(Arc::clone(&world.pace)));
    let tasks = TaskTracker::new();
    tasks.spawn(world.server.clone().drive());
    let agent = if options.agent_off {
        None
    } else {
        let clients = Clients::from_service(world.door());
        Some(Agent::start(&config(folder, &[])?, &clock, clients).await?)
    };
    if !options.once {
        open_door(&world, folder, options.format, &tasks).await?;
    }
    let mut story = Story {
        world: &world,
        agent: agent.as_ref().map(|agent| &agent.handle),
        clock,
        teller: Teller::new(
            options.format,
            Style::of_stdout(),
            f64::from(options.speed.factor()),
        ),
        visitors: Visitors::default(),
    };
    let mut tally = Tally::begin(wall, &story);
    let played = tokio::select! {
        played = play(options, &mut story, &mut tally, wall) => played,
        () = told_to_stop => tally.tell(options, &story, wall),
    };
    if let Some(agent) = agent {
        agent.stop().await?;
    }
    world.server.stop();
    played?;
    Ok(tally.ending(options.once))
}

async fn play(
    options: &Options,
    story: &mut Story<'_>,
    tally: &mut Tally,
    wall: &dyn Clock,
) -> Result<(), DemoError> {
    let mut random = StdRng::seed_from_u64(options.seed);
    all_once(options, story, tally, &mut random).await?;
    tally.tell(options, story, wall)?;
    if options.once {
        return Ok(());
    }
    again_and_again(story, tally, &mut random).await
}

/// Lets kubectl in, and says how.
async fn open_door(
    world: &World,
    folder: &Path,
    format: Format,
    tasks: &TaskTracker,
) -> Result<(), DemoError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listening, serving) = world.server.listen(address, true).await?;
    tasks.spawn(serving);
    let path = folder.join("kubeconfig");
    kubeconfig::write(
        &path,
        &nightshift_sim::server::kubeconfig(&listening, world::VISITOR),
    )?;
    if format == Format::Table {
        let (path, database) = (path.display(), folder.join("nightshift.db"));
        print(&format!(
            "The cluster listens on {}. In another terminal, until Ctrl-C here:
  kubectl --kubeconfig {path} -n shop get pods --watch
  kubectl --kubeconfig {path} -n shop set image deployment/shipping shipping=shop.test/shipping:nowhere
  {} incidents list --database sqlite://{}
Its time begins a week ago: what is new has an age of 6d.\n\n",
            listening.url(),
            program(),
            database.display()
        ))?;
    }
    Ok(())
}

/// The running agent.
struct Agent {
    handle: Handle,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), Fatal>>,
}

impl Agent {
    async fn start(
        config: &Config,
        clock: &Arc<dyn Clock>,
        clients: Clients,
    ) -> Result<Self, DemoError> {
        let app = App::start(config, Arc::clone(clock), clients).await?;
        let (handle, stop) = (app.handle().clone(), CancellationToken::new());
        let ended = TaskTracker::new().spawn(app.run_until(stop.clone().cancelled_owned()));
        let agent = Self {
            handle,
            stop,
            ended,
        };
        agent.open_eyes(clock).await;
        Ok(agent)
    }

    /// Waits until every source was seen once.
    async fn open_eyes(&self, clock: &Arc<dyn Clock>) {
        let is_seen = |coverage: &Coverage| matches!(coverage, Coverage::Seen { .. });
        let all_seen = async {
            while !self.handle.coverage().values().all(is_seen) {
                clock.limit(Duration::from_millis(5)).await;
            }
        };
        // Where some stay unseen, the story shows what that does.
        nightshift_cluster::within(&**clock, OPEN_EYES, all_seen).await;
    }

    async fn stop(self) -> Result<(), DemoError> {
        self.stop.cancel();
        match self.ended.await {
            Ok(ended) => Ok(ended?),
            Err(error) => Err(Fatal::from(error).into()),
        }
    }
}

/// What `nightshift rbac --write` prints: the account that the agent gets, and nothing more.
fn rights() -> Vec<serde_json::Value> {
    rbac::manifests(rbac::NAME, Rights::Write)
}

/// The agent as anybody would run it, but that it repairs by itself: every time and limit is the
/// documented default. `more` sets further variables.
fn config(folder: &Path, more: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let database = format!(
        "sqlite://{}?mode=rwc",
        folder.join("nightshift.db").display()
    );
    let env = [
        ("AGENT_MODE", "auto"),
        ("DRY_RUN", "false"),
        ("CLUSTER_NAME", "demo"),
        ("DATABASE_URL", database.as_str()),
    ];
    let env = env.iter().chain(more);
    let env: Env = env
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Config::load(None, &env)
}

/// Plays every fault once, in an order of the seed's.
async fn all_once(
    options: &Options,
    story: &mut Story<'_>,
    tally: &mut Tally,
    random: &mut StdRng,
) -> Result<(), DemoError> {
    let mut faults = faults::all();
    faults.shuffle(random);
    let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
    let lines = format!(
        "{} faults, seed {}; the cluster's time goes {} times as fast as yours. The judge reads the \
         API server and its audit lines, never the agent.\n\n",
        names.len(),
        options.seed,
        options.speed
    );
    let begin = Told::Begin {
        seed: options.seed,
        faults: names,
        speed: f64::from(options.speed.factor()),
    };
    story.teller.say(&begin, &lines)?;
    for (index, fault) in faults.iter().enumerate() {
        let is_right = story.play(index + 1, fault).await?;
        tally.count(fault, is_right);
    }
    Ok(())
}

/// New faults, again and again, in an order of chance. A workload that was given more memory is a
/// person's case for a week, so those faults come once only.
async fn again_and_again(
    story: &mut Story<'_>,
    tally: &mut Tally,
    random: &mut StdRng,
) -> Result<(), DemoError> {
    let mut number = faults::all().len();
    loop {
        let mut faults: Vec<Fault> = faults::all();
        faults.retain(Fault::may_come_again);
        faults.shuffle(random);
        for fault in &faults {
            story.clock.sleep(BETWEEN).await;
            number += 1;
            let is_right = story.play(number, fault).await?;
            tally.count(fault, is_right);
        }
    }
}
