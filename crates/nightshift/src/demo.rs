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
mod teller;
mod told;
mod world;

pub use story::StoryError;
pub use teller::TellError;
pub use world::WorldError;

use crate::app::{self, App, StartError};
use crate::config::{Config, ConfigError, Env};
use crate::kubeconfig::{self, KubeconfigError};
use crate::output::{Format, Style, Tone, print};
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
use story::Story;
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

/// Plays the demo. Whether every ending was right.
///
/// `wall` tells how long it took; the agent and the cluster live in a time of their own.
pub async fn run(options: &Options, wall: &dyn Clock) -> Result<bool, DemoError> {
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

async fn in_folder(options: &Options, folder: &Path, wall: &dyn Clock) -> Result<bool, DemoError> {
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
    };
    let played = tokio::select! {
        played = play(options, &mut story, wall) => played,
        // Nothing was found wrong, and nothing was found right either.
        () = app::told_to_stop() => Ok(!options.once),
    };
    if let Some(agent) = agent {
        agent.stop().await?;
    }
    world.server.stop();
    played
}

async fn play(
    options: &Options,
    story: &mut Story<'_>,
    wall: &dyn Clock,
) -> Result<bool, DemoError> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let is_right = all_once(options, story, &mut random, wall).await?;
    if !options.once {
        again_and_again(story, &mut random).await?;
    }
    Ok(is_right)
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
        &nightshift_sim::server::kubeconfig(&listening, world::ADMIN),
    )?;
    if format == Format::Table {
        let (path, database) = (path.display(), folder.join("nightshift.db"));
        print(&format!(
            "The cluster listens on {}. In another terminal, until Ctrl-C here:
  kubectl --kubeconfig {path} -n shop get pods --watch
  kubectl --kubeconfig {path} -n shop set image deployment/shipping shipping=shop.test/shipping:nowhere
  nightshift incidents list --database sqlite://{}\n\n",
            listening.url(),
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

/// How a run went.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    right: usize,
    of: usize,
    alone: usize,
}

/// Plays every fault once, in an order of the seed's.
async fn all_once(
    options: &Options,
    story: &mut Story<'_>,
    random: &mut StdRng,
    wall: &dyn Clock,
) -> Result<bool, DemoError> {
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
    let (real, cluster) = (wall.now(), story.clock.now());
    let mut tally = Tally::default();
    for (index, fault) in faults.iter().enumerate() {
        tally.of += 1;
        if story.play(index + 1, fault).await? {
            tally.right += 1;
            tally.alone += usize::from(fault.is_repaired_alone());
        }
    }
    let (real, cluster) = (
        wall.now().duration_since(real),
        story.clock.now().duration_since(cluster),
    );
    let end = Told::End {
        right: tally.right,
        of: tally.of,
        alone: tally.alone,
        seconds: real.as_secs_f64(),
        cluster_seconds: cluster.as_secs_f64(),
    };
    let tone = if tally.right == tally.of {
        Tone::Good
    } else {
        Tone::Bad
    };
    let words = format!(
        "{} of {} endings right, {} repaired without a person; {:.0} s, in which {} passed in the \
         cluster (seed {})",
        tally.right,
        tally.of,
        tally.alone,
        real.as_secs_f64(),
        teller::length(cluster),
        options.seed
    );
    let line = story.teller.paint(tone, &words);
    story.teller.say(&end, &format!("{line}\n"))?;
    Ok(tally.right == tally.of)
}

/// New faults, again and again, in an order of chance. A workload that was given more memory is a
/// person's case for a week, so those faults come once only.
async fn again_and_again(story: &mut Story<'_>, random: &mut StdRng) -> Result<(), DemoError> {
    let mut number = faults::all().len();
    loop {
        let mut faults: Vec<Fault> = faults::all();
        faults.retain(Fault::may_come_again);
        faults.shuffle(random);
        for fault in &faults {
            story.clock.sleep(BETWEEN).await;
            number += 1;
            story.play(number, fault).await?;
        }
    }
}
