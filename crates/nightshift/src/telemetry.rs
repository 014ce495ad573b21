//! Logs of the process: for people on a terminal, as JSON lines everywhere else.
//!
//! What operators search for is a named event: one function here, with the same words everywhere.

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

/// Named events.
pub(crate) mod event {
    use crate::store::{Dropped, StoreError};
    use jiff::Timestamp;
    use nightshift_core::ids::IncidentId;
    use nightshift_core::record::{Entry, EntryKind, Notice, NoticeKind};
    use nightshift_core::world::Source;
    use std::net::SocketAddr;
    use std::path::Path;

    /// One row of the record, after its commit.
    #[expect(clippy::cognitive_complexity, reason = "what the log macros become")]
    pub(crate) fn recorded(entry: &Entry) {
        let incident = entry.incident.as_ref().map_or("", IncidentId::as_str);
        if entry.kind == EntryKind::NotOpened {
            tracing::warn!(incident, kind = ?entry.kind, text = entry.text, "recorded");
        } else {
            tracing::info!(incident, kind = ?entry.kind, text = entry.text, "recorded");
        }
    }

    /// Where people and programs find this agent and its record.
    pub(crate) fn begins(listen: SocketAddr, record: &Path) {
        tracing::info!(%listen, record = %record.display(), "begins");
    }

    pub(crate) fn source_blind(source: Source, why: &str) {
        tracing::warn!(?source, why, "source is blind");
    }

    pub(crate) fn source_sees(source: Source) {
        tracing::info!(?source, "source sees again");
    }

    /// A notice where nobody else is told: a repair is news, a hand-over waits for somebody.
    #[expect(clippy::cognitive_complexity, reason = "what the log macros become")]
    pub(crate) fn notice(notice: &Notice) {
        let (incident, key) = (notice.incident.as_str(), notice.key.as_str());
        let (title, text) = (notice.title.as_str(), notice.text.as_str());
        match notice.kind {
            NoticeKind::Waiting => tracing::warn!(incident, key, text, "{title}"),
            NoticeKind::Repaired => tracing::info!(incident, key, text, "{title}"),
        }
    }

    /// Retention was at work.
    pub(crate) fn record_dropped(dropped: Dropped) {
        let Dropped {
            incidents,
            inputs,
            others,
        } = dropped;
        tracing::info!(incidents, inputs, others, "old record dropped");
    }

    pub(crate) fn record_not_dropped(error: &StoreError) {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, "old record cannot be dropped: tried again later");
    }

    pub(crate) fn notice_given_up(key: &str, error: &str) {
        tracing::error!(key, error, "notice given up");
    }

    pub(crate) fn notice_not_delivered(key: &str, error: &str, again_at: Timestamp) {
        tracing::warn!(key, error, %again_at, "notice not delivered");
    }

    pub(crate) fn requests_cut_short() {
        tracing::warn!("some requests did not end in time");
    }
}
