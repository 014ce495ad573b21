//! The running agent for one cluster: starts the parts, joins them, and ends them in order.

mod cluster;

use crate::config::Config;
use crate::notify::{Notifier, NotifierError};
use crate::outbox::Outbox;
use crate::retention::Retention;
use crate::runbook_files::{self, Texts, Unreadable};
use crate::serve::{self, ListenError};
use crate::shell::{Fatal, Handle, Port, Shell};
use crate::store::{Store, StoreError};
use crate::telemetry::event;
use cluster::Cluster;
use jiff::SignedDuration;
use nightshift_cluster::{Clients, Clock, ConnectError, Heard, Hearing, within};
use nightshift_core::engine::{Checkpoint, Input};
use nightshift_core::ids::{ClusterUid, SignalFingerprint};
use nightshift_core::redact;
use nightshift_core::runbook::{Library, Problem};
use nightshift_core::signal::{Signal, SignalBody};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Version that a journal names.
const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("the record cannot be opened")]
    Store(#[from] StoreError),
    /// The cluster cannot be reached.
    #[error("the cluster cannot be reached")]
    Connect(#[from] ConnectError),
    /// Notices could not be delivered.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    /// The folder of runbooks cannot be read.
    #[error("the runbooks in {folder} cannot be read")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A runbook cannot be read.
    #[error(transparent)]
    File(#[from] Unreadable),
    /// A runbook is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Runbooks(Vec<Problem>),
}

/// Why the agent ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The agent did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The agent could not go on.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// `nightshift run`: the agent with its listener, until a signal ends it.
pub async fn run(config: &Config, clock: Arc<dyn Clock>) -> Result<(), RunError> {
    run_until(config, clock, told_to_stop()).await
}

async fn run_until(
    config: &Config,
    clock: Arc<dyn Clock>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut told = pin!(stop);
    let tokens = config.tokens();
    // First, because a wrong address is the cheapest mistake to find.
    let listener = serve::bind(config.listen, &tokens).await?;
    let record = Store::file(&config.database_url).map_err(StartError::from)?;
    event::begins(listener.local_addr().unwrap_or(config.listen), &record);
    let starting = async {
        let clients = connect(config).await?;
        App::start(config, Arc::clone(&clock), clients).await
    };
    let app = tokio::select! {
        app = starting => app?,
        // Nothing has begun that would have to be ended.
        () = &mut told => return Ok(()),
    };

    let stop = CancellationToken::new();
    let router = serve::router(app.handle().clone(), &tokens);
    let server = TaskTracker::new().spawn(serve::serve(
        listener,
        router,
        stop.clone().cancelled_owned(),
    ));
    let ended = app.run_until(told).await;
    stop.cancel();
    if within(&*clock, SERVER_STOP, server).await.is_none() {
        event::requests_cut_short();
    }
    Ok(ended?)
}

async fn connect(config: &Config) -> Result<Clients, StartError> {
    let (kubeconfig, context) = (config.kubeconfig.as_deref(), config.context.as_deref());
    Ok(nightshift_cluster::connect(kubeconfig, context).await?)
}

/// How long running requests may take to end.
const SERVER_STOP: Duration = Duration::from_secs(3);

/// Completes with the first SIGTERM (Kubernetes) or SIGINT (a terminal) since the call. Where the
/// process cannot listen to signals, they end it at once, which the record survives.
pub(crate) fn told_to_stop() -> impl Future<Output = ()> {
    // Now, not when it is first polled: without a listener the first process of a container does not
    // hear SIGTERM at all.
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    async move {
        let (Ok(mut term), Ok(mut interrupt)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new step begins");
    }
}

/// A running agent.
#[derive(Debug)]
pub struct App {
    handle: Handle,
    engine: JoinHandle<Result<(), Fatal>>,
    cluster: Arc<Cluster>,
    /// Ends the engine's task.
    stop: CancellationToken,
    /// Ends everything else, once the engine has ended.
    close: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Starts the agent where its record left off.
    pub async fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        clients: Clients,
    ) -> Result<Self, StartError> {
        // Redaction compiles its patterns at its first use: now, not while the first alert waits.
        drop(redact::text("warm"));
        let runbooks = runbooks(config.runbooks.as_deref())?;
        let notifier = Notifier::from_config(config)?;
        let store = Store::open(&config.database_url).await?;
        let uid = clients.identify(&*clock).await?;
        let checkpoint = checkpoint(config, &store, &uid, &*clock, runbooks).await?;

        let (cluster, hearing) = Cluster::open(clients, uid.clone(), Arc::clone(&clock), config);
        let cluster = Arc::new(cluster);
        let port: Arc<dyn Port> = Arc::<Cluster>::clone(&cluster);
        let (stop, close) = (CancellationToken::new(), CancellationToken::new());
        let (shell, handle) = Shell::new(
            uid.clone(),
            store.clone(),
            port,
            Arc::clone(&clock),
            stop.clone(),
        );

        let tasks = TaskTracker::new();
        let engine = tasks.spawn(shell.run(checkpoint));
        tasks.spawn(listen(hearing, handle.clone(), config.known_good_after));
        let outbox = Outbox::new(store.clone(), notifier, Arc::clone(&clock));
        tasks.spawn(outbox.run(close.clone()));
        tasks.spawn(Retention::new(store, uid, config.keep(), clock).run(close.clone()));
        Ok(Self {
            handle,
            engine,
            cluster,
            stop,
            close,
            tasks,
        })
    }

    /// The way to talk to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs until `stop` completes or the engine ends by itself, and then closes down: no new step
    /// begins, and a write that is out is finished or left as a recorded intent.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), Fatal> {
        let ended = tokio::select! {
            ended = &mut self.engine => ended,
            () = stop => {
                self.stop.cancel();
                (&mut self.engine).await
            }
        };
        let result = match ended {
            Ok(result) => result,
            Err(error) => Err(Fatal::from(error)),
        };
        self.close.cancel();
        self.cluster.close().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.handle.store().close().await;
        result
    }
}

/// Takes the lead and loads what the engine needs, from the store alone.
async fn checkpoint(
    config: &Config,
    store: &Store,
    cluster: &ClusterUid,
    clock: &dyn Clock,
    runbooks: BTreeMap<String, String>,
) -> Result<Checkpoint, StartError> {
    // The lead first: a former leader can add nothing between the load and our first commit.
    let leader_epoch = store.take_lead(cluster).await?;
    let now = clock.now();
    let mut loaded = store.checkpoint(cluster, now).await?;
    let policy = config.policy();
    loaded.history.prune(&policy, now);
    tracing::info!(
        %cluster,
        leader_epoch,
        open = loaded.open.len(),
        acts = loaded.history.acts.len(),
        mode = ?config.mode,
        dry_run = config.dry_run,
        "starting"
    );
    Ok(Checkpoint {
        engine_version: ENGINE_VERSION.to_owned(),
        leader_epoch,
        policy,
        runbooks,
        ..loaded
    })
}

/// Texts of the runbooks in force, by file name: the built-in ones and those of the folder.
fn runbooks(folder: Option<&Path>) -> Result<BTreeMap<String, String>, StartError> {
    let mut read = Texts::default();
    if let Some(folder) = folder {
        let wrong = |source| StartError::Folder {
            folder: folder.to_owned(),
            source,
        };
        for path in runbook_files::of_folder(folder).map_err(wrong)? {
            if let Some(name) = path.file_name() {
                read.read(name.to_string_lossy().into_owned(), &path)?;
            }
        }
    }
    let Texts {
        texts,
        mut problems,
    } = read;
    match Library::load(&texts) {
        Ok(library) if problems.is_empty() => return Ok(library.texts().clone()),
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    Err(StartError::Runbooks(problems))
}

/// What the eyes hear becomes inputs. Once the engine has ended the rest is emptied, so that the
/// watches can end too.
async fn listen(mut hearing: Hearing, handle: Handle, known_good_after: SignedDuration) {
    let mut is_engine_there = true;
    while let Some(heard) = hearing.recv().await {
        if let (true, Some(input)) = (is_engine_there, input(heard, known_good_after)) {
            is_engine_there = handle.feed(input).await.is_ok();
        }
    }
}

/// A source that goes blind is no input: it shows in every snapshot, in `/readyz` and in metrics.
fn input(heard: Heard, known_good_after: SignedDuration) -> Option<Input> {
    match heard {
        Heard::Subject { subject, at } => Some(Input::Signal(Signal {
            fingerprint: SignalFingerprint::from(format!("watch:{subject}:{}", subject.uid)),
            subject,
            heard_at: at,
            body: SignalBody::Watch,
        })),
        Heard::KnownGood { workload, revision } => Some(Input::KnownGood {
            workload,
            revision,
            after: known_good_after,
        }),
        Heard::Blind { source, why } => {
            event::source_blind(source, &why);
            None
        }
        Heard::Sees { source } => {
            event::source_sees(source);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;
    use nightshift_cluster::SystemClock;
    use tokio::net::TcpListener;

    /// An API server that takes connections and says nothing; it is asked who it is.
    #[tokio::test]
    async fn told_to_stop_while_it_starts_the_agent_ends_well() {
        let folder = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let server = silent.local_addr().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             clusters: [{{name: it, cluster: {{server: 'http://{server}'}}}}]\n\
             users: [{{name: it, user: {{}}}}]\n\
             contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let database = folder.path().join("nightshift.db");
        let env: Env = [
            ("NIGHTSHIFT_KUBECONFIG", kubeconfig.display().to_string()),
            (
                "DATABASE_URL",
                format!("sqlite://{}?mode=rwc", database.display()),
            ),
            ("NIGHTSHIFT_LISTEN", "127.0.0.1:0".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let config = Config::load(None, &env).unwrap();
        let told = async {
            let asked = silent.accept().await.unwrap();
            drop(asked);
        };
        let clock = Arc::new(SystemClock::default());
        run_until(&config, clock, told).await.unwrap();
    }
}
