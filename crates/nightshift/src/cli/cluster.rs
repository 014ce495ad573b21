//! Which cluster: options of every command that talks to one.

use super::{Failure, OrHelp as _};
use indicatif::{ProgressBar, ProgressStyle};
use nightshift_cluster::{Clients, connect};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

/// What to do when a cluster does not answer.
pub(super) const HELP: &str = "check with `kubectl version`, and name the cluster with --kubeconfig and --context; \
                               `nightshift doctor` says more";

/// The cluster to talk to.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Kubeconfig file; without it the usual one, else the pod's service account
    #[arg(long, value_name = "FILE", env = "NIGHTSHIFT_KUBECONFIG")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME", env = "NIGHTSHIFT_CONTEXT")]
    pub(super) context: Option<String>,
}

impl ClusterArgs {
    pub(super) async fn connect(&self) -> Result<Clients, Failure> {
        connect(self.kubeconfig.as_deref(), self.context.as_deref())
            .await
            .or_help("no connection to the cluster", HELP)
    }
}

/// A spinner on standard error while something takes longer than a second; none off a terminal.
pub(super) async fn with_spinner<T>(message: &'static str, work: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let bar = ProgressBar::new_spinner()
        .with_style(ProgressStyle::default_spinner())
        .with_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = work.await;
    bar.finish_and_clear();
    done
}
