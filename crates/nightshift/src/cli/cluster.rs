//! Which cluster: options of every command that talks to one.

use super::{Failure, OrHelp as _};
use clap::builder::{OsStringValueParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use nightshift_cluster::{Clients, connect};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to do when a cluster does not answer.
pub(super) const HELP: &str =
    "check with `kubectl version`, and name the cluster with --kubeconfig and --context";

/// Takes a path of an option, an empty one too: a variable may be set to nothing. See [`given`].
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// An empty path is none.
pub(super) fn given(path: Option<&PathBuf>) -> Option<&Path> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    path.map(PathBuf::as_path)
}

/// The cluster to talk to.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// Kubeconfig file; without it the usual one, else the pod's service account
    #[arg(long, value_name = "FILE", env = "NIGHTSHIFT_KUBECONFIG", value_parser = path())]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME", env = "NIGHTSHIFT_CONTEXT")]
    context: Option<String>,
}

impl ClusterArgs {
    pub(super) fn kubeconfig(&self) -> Option<&Path> {
        given(self.kubeconfig.as_ref())
    }

    pub(super) fn context(&self) -> Option<&str> {
        self.context.as_deref().filter(|name| !name.is_empty())
    }

    pub(super) async fn connect(&self) -> Result<Clients, Failure> {
        connect(self.kubeconfig(), self.context())
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
