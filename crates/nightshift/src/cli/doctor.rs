//! `nightshift doctor`: can the agent work here, and if not, what is the next step. One check is one
//! function; a check that needs an answer of an earlier one is left out when that failed.

mod listener;

use super::cluster::{HELP, with_spinner};
use super::settings::{self, SettingsArgs};
use super::{Exit, Failure};
use crate::config::Config;
use crate::output::{Output, Style, Tone, age, wrap};
use crate::store::{DeadNotice, Store, StoreError};
use jiff::SignedDuration;
use nightshift_cluster::rbac::{Right, Rights};
use nightshift_cluster::{Clients, Clock, checkup, connect};
use nightshift_core::policy::Autonomy;
use serde::Serialize;
use std::sync::Arc;

/// Clocks further apart than this make time gates blind.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// Checks whether the agent can work here: configuration, cluster, rights, clock, record, listener
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift doctor
  nightshift doctor --config /etc/nightshift/config.yaml -o json
  nightshift doctor --verify                                is the record what was written?

Exit codes: 0 all is well (warnings included), 1 a check failed, 2 could not be printed")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Also compute every hash of the record anew; that reads all of it
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    output: Output,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Well.
    Ok,
    /// The agent works, but less well than it could.
    Warn,
    /// The agent does not work.
    Fail,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Checked {
    check: &'static str,
    level: Level,
    found: String,
    /// What to do; empty where there is nothing to do.
    next: String,
}

impl Checked {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            found: found.into(),
            next: String::new(),
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Warn,
            found: found.into(),
            next: next.into(),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Fail,
            found: found.into(),
            next: next.into(),
        }
    }
}

impl Args {
    pub(super) async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit, Failure> {
        let report = with_spinner("checking", self.check(&*clock)).await;
        self.output
            .print(&report, |report, style| table(report, style))?;
        let failed = report.iter().any(|checked| checked.level == Level::Fail);
        Ok(if failed { Exit::Found } else { Exit::Fine })
    }

    async fn check(&self, clock: &dyn Clock) -> Vec<Checked> {
        let config = match self.settings.load() {
            Ok(config) => config,
            Err(failure) => {
                let next = "`nightshift run --print-config` documents every key";
                return vec![Checked::fail("configuration", failure.text(), next)];
            }
        };
        let mut report = vec![configuration(&config)];
        report.extend(cluster(&config, clock).await);
        report.extend(record(&config, self.verify).await);
        report.push(runbooks(&config));
        report.push(listener::free(&config).await);
        report.push(listener::alertmanager(&config));
        report
    }
}

fn configuration(config: &Config) -> Checked {
    let mode = format!("{:?}", config.mode).to_lowercase();
    Checked::ok(
        "configuration",
        format!("mode {mode}, dry run {}", config.dry_run),
    )
}

async fn cluster(config: &Config, clock: &dyn Clock) -> Vec<Checked> {
    let clients = match connect(config.kubeconfig.as_deref(), config.context.as_deref()).await {
        Ok(clients) => clients,
        Err(error) => return vec![Checked::fail("cluster", settings::chain(&error), HELP)],
    };
    let server = match checkup::server(&clients, clock).await {
        Ok(server) => server,
        Err(error) => {
            let found = format!("{}: {}", clients.server, settings::chain(&error));
            return vec![Checked::fail("cluster", found, HELP)];
        }
    };
    let mut report = vec![Checked::ok(
        "cluster",
        format!("API server {} at {}", server.version, clients.server),
    )];
    report.push(identity(&clients, clock).await);
    report.push(clock_skew(server.skew));
    report.push(rights(&clients, clock, Rights::Read, "right to read", Level::Fail).await);
    let writes = config.mode >= Autonomy::Approve && !config.dry_run;
    let level = if writes { Level::Fail } else { Level::Warn };
    report.push(rights(&clients, clock, Rights::Write, "right to write", level).await);
    report
}

async fn identity(clients: &Clients, clock: &dyn Clock) -> Checked {
    match clients.identify(clock).await {
        Ok(uid) => Checked::ok("identity", format!("cluster {uid}")),
        Err(error) => Checked::fail(
            "identity",
            settings::chain(&error),
            "let the account get the namespace kube-system: nightshift rbac | kubectl apply -f -",
        ),
    }
}

/// A difference of clocks: milliseconds where that is all, else seconds, else as ages are shown.
fn length(duration: SignedDuration) -> String {
    match duration.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => age(duration),
    }
}

fn clock_skew(skew: Option<SignedDuration>) -> Checked {
    let next = "synchronise the clocks of this machine and of the API server (NTP)";
    match skew {
        None => Checked::warn("clock", "the API server sends no usable Date header", next),
        Some(skew) => {
            let found = match skew {
                SignedDuration::ZERO => "the API server's clock agrees with ours".to_owned(),
                ahead if ahead.is_positive() => {
                    format!("the API server's clock is {} ahead of ours", length(ahead))
                }
                behind => {
                    let by = length(behind.abs());
                    format!("the API server's clock is {by} behind ours")
                }
            };
            if skew.abs() > MAX_SKEW {
                Checked::fail("clock", found, next)
            } else {
                Checked::ok("clock", found)
            }
        }
    }
}

async fn rights(
    clients: &Clients,
    clock: &dyn Clock,
    rights: Rights,
    check: &'static str,
    level: Level,
) -> Checked {
    let (option, without) = match rights {
        Rights::Read => ("", "what it cannot read it is blind to"),
        Rights::Write => (
            " --write",
            "without it nothing is written, and rehearsals are computed here",
        ),
    };
    let next = format!("{without}: nightshift rbac{option} | kubectl apply -f -");
    match checkup::missing(clients, clock, rights).await {
        Ok(missing) if missing.is_empty() => Checked::ok(check, "all of them"),
        Ok(missing) => {
            let names: Vec<String> = missing.iter().map(Right::to_string).collect();
            Checked {
                check,
                level,
                found: format!("missing: {}", names.join(", ")),
                next,
            }
        }
        Err(error) => Checked::fail(check, settings::chain(&error), HELP),
    }
}

async fn record(config: &Config, verify: bool) -> Vec<Checked> {
    let next = "point DATABASE_URL at a file on a local disk that this user may write";
    let opened = async {
        let file = Store::file(&config.database_url)?;
        let store = Store::open(&config.database_url).await?;
        store.ping().await?;
        Ok::<_, StoreError>((store, file))
    };
    let (store, file) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return vec![Checked::fail("record", settings::chain(&error), next)],
    };
    let mut report = vec![Checked::ok(
        "record",
        format!("{} can be written", file.display()),
    )];
    report.push(notices(&store).await);
    if verify {
        report.push(hashes(&store).await);
    }
    report
}

/// A notice that was given up is a person who was not told.
async fn notices(store: &Store) -> Checked {
    const SHOWN: u32 = 100;
    match store.dead_notices(SHOWN).await {
        Ok(dead) => match dead.first() {
            None => Checked::ok("notices", "none was given up"),
            Some(DeadNotice { notice, error, .. }) => Checked::warn(
                "notices",
                format!(
                    "{} given up, the newest is \"{}\": {error}",
                    dead.len(),
                    notice.title
                ),
                format!(
                    "check NIGHTSHIFT_NOTIFY_WEBHOOK_URL; nightshift incidents show {}",
                    notice.incident
                ),
            ),
        },
        Err(error) => Checked::fail("notices", settings::chain(&error), RECORD_HELP),
    }
}

async fn hashes(store: &Store) -> Checked {
    let verified = async {
        for cluster in store.clusters().await? {
            store.verify(&cluster).await?;
        }
        Ok::<_, StoreError>(())
    };
    match verified.await {
        Ok(()) => Checked::ok("hashes", "every row of the record is what was written"),
        Err(error) => Checked::fail("hashes", settings::chain(&error), RECORD_HELP),
    }
}

const RECORD_HELP: &str =
    "keep the database as it is to find out why, and start with a new DATABASE_URL";

fn runbooks(config: &Config) -> Checked {
    match super::runbook::library(config.runbooks.as_deref()) {
        Ok(library) => Checked::ok("runbooks", format!("{} in force", library.iter().count())),
        Err(failure) => Checked::fail(
            "runbooks",
            failure.text(),
            "nightshift runbook lint lists every problem",
        ),
    }
}

fn table(report: &[Checked], style: Style) -> String {
    let lines = report.iter().map(
        |Checked {
             check,
             level,
             found,
             next,
         }| {
            let (tone, word) = match level {
                Level::Ok => (Tone::Good, "ok  "),
                Level::Warn => (Tone::Warn, "warn"),
                Level::Fail => (Tone::Bad, "fail"),
            };
            let mark = style.paint(tone, word);
            let found = set_in(style, Tone::Plain, found);
            let next = match next.as_str() {
                "" => String::new(),
                next => format!(
                    "{:INDENT$}{}",
                    "",
                    set_in(style, Tone::Dim, &format!("→ {next}"))
                ),
            };
            format!("{mark}  {check:<14}  {found}{next}")
        },
    );
    lines.collect()
}

/// Where what was found begins.
const INDENT: usize = 22;

/// A text behind what is set in as far, wrapped to the terminal.
fn set_in(style: Style, tone: Tone, text: &str) -> String {
    let lines = wrap(text, style.room(INDENT));
    let lines: Vec<String> = lines.iter().map(|line| style.paint(tone, line)).collect();
    lines.join(&format!("\n{:INDENT$}", "")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_disagree_are_a_failure_and_unknown_ones_a_warning() {
        for (skew, level) in [
            (Some(SignedDuration::from_millis(900)), Level::Ok),
            (Some(SignedDuration::from_secs(-6)), Level::Fail),
            (Some(SignedDuration::from_secs(6)), Level::Fail),
            (None, Level::Warn),
        ] {
            assert_eq!(clock_skew(skew).level, level, "{skew:?}");
        }
    }

    #[test]
    fn a_difference_of_clocks_is_told_in_one_unit() {
        for (millis, found) in [
            (0, "the API server's clock agrees with ours"),
            (39, "the API server's clock is 39 ms ahead of ours"),
            (-1_250, "the API server's clock is 1.2 s behind ours"),
            (377_700, "the API server's clock is 6m17s ahead of ours"),
        ] {
            let skew = SignedDuration::from_millis(millis);
            assert_eq!(clock_skew(Some(skew)).found, found);
        }
    }

    #[tokio::test]
    async fn a_notice_that_nobody_got_and_a_changed_row_are_told() {
        let (store, _folder, _) = crate::store::tests::filled().await;
        let now = "2026-11-22T08:10:00Z".parse().unwrap();
        assert_eq!(notices(&store).await.level, Level::Ok);
        assert_eq!(hashes(&store).await.level, Level::Ok);
        let key = "inc-2-waiting";
        store.notice_dead(key, "nobody there", now).await.unwrap();
        let told = notices(&store).await;
        assert_eq!(told.level, Level::Warn);
        assert!(told.found.contains("nobody there") && told.next.ends_with("inc-2"));
        store.break_one_row().await;
        assert_eq!(hashes(&store).await.level, Level::Fail);
    }

    #[test]
    fn every_line_that_is_not_ok_names_the_next_step() {
        let report = [
            Checked::ok("cluster", "API server v1.34.1"),
            Checked::fail(
                "record",
                "the store is not available",
                "point DATABASE_URL elsewhere",
            ),
        ];
        insta::assert_snapshot!(table(&report, Style::PLAIN));
    }
}
