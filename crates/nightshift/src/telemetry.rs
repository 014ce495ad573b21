//! Logs of the process: for people on a terminal, as JSON lines everywhere else.

use crate::config::LogLevel;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging to standard error. Libraries are heard from `warn` on.
pub fn init(level: LogLevel) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).finish().try_init()?;
    } else {
        builder.json().flatten_event(true).finish().try_init()?;
    }
    Ok(())
}

fn filter(level: LogLevel) -> EnvFilter {
    let ours = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let others = if level == LogLevel::Error {
        "error"
    } else {
        "warn"
    };
    EnvFilter::new(format!(
        "{others},nightshift={ours},nightshift_core={ours},nightshift_cluster={ours}"
    ))
}
