//! Every key, in one table: its documentation, type, environment variable and default.

use super::setting::{LogLevel, Secret, Setting};
use super::{ConfigError, Env, Source};
use jiff::SignedDuration;
use nightshift_core::policy::{Autonomy, Policy};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $env:literal, $default:expr;)+) => {
        /// The configuration, complete and checked.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $ty,)+
            sources: BTreeMap<&'static str, Source>,
        }

        /// The file: every key may be absent, none may be unknown.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct File {
            $($name: Option<$ty>,)+
        }

        impl Config {
            /// Names of all environment variables that set a key.
            pub(super) const VARIABLES: &[&str] = &[$($env),+];

            /// Environment before file before default.
            pub(super) fn resolve(file: File, env: &Env) -> Result<Self, ConfigError> {
                let mut sources = BTreeMap::new();
                Ok(Self {
                    $($name: {
                        let found = pick($env, file.$name, env)?;
                        let (value, source) = found.unwrap_or_else(|| ($default, Source::Default));
                        sources.insert(stringify!($name), source);
                        value
                    },)+
                    sources,
                })
            }

            /// A configuration file with every key as it is now: documentation, environment
            /// variable, default, and where the value comes from. Secrets are not shown.
            pub fn print(&self) -> String {
                let mut out = String::new();
                $(
                    let default: $ty = $default;
                    let key = Key {
                        name: stringify!($name),
                        variable: $env,
                        doc: &[$($doc),+],
                        value: self.$name.show(),
                        default: default.show(),
                        source: self.source_of(stringify!($name)),
                    };
                    key.write(&mut out);
                )+
                out
            }
        }
    };
}

keys! {
    /// What the agent may do by itself: `observe` (record only), `recommend` (propose, write
    /// nothing), `approve` (every step asks a person) or `auto` (asks where a gate asks).
    mode: Autonomy = "AGENT_MODE", Autonomy::Recommend;
    /// Write nothing in any mode. Has to be set when the mode is `auto`.
    dry_run: bool = "DRY_RUN", true;
    /// The record: a SQLite file.
    database_url: String = "DATABASE_URL", "sqlite://nightshift.db?mode=rwc".to_owned();
    /// Days that a closed incident is kept, with its record, notices and writes.
    retention_days: u32 = "NIGHTSHIFT_RETENTION_DAYS", 90;
    /// Days that the journal is kept, which a replay needs. It holds every snapshot.
    journal_days: u32 = "NIGHTSHIFT_JOURNAL_DAYS", 7;
    /// What people call the cluster; shown in notices. Identity is the uid of `kube-system`.
    cluster_name: String = "CLUSTER_NAME", "kubernetes".to_owned();
    /// `error`, `warn`, `info`, `debug` or `trace`.
    log_level: LogLevel = "LOG_LEVEL", LogLevel::Info;
    /// Address of the HTTP listener. Beyond loopback it needs both tokens, of at
    /// least 16 characters each.
    listen: SocketAddr = "NIGHTSHIFT_LISTEN", SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    /// Bearer token for `POST /alertmanager`; it opens nothing else.
    intake_token: Option<Secret> = "NIGHTSHIFT_INTAKE_TOKEN", None;
    /// Bearer token for everything under `/api`.
    api_token: Option<Secret> = "NIGHTSHIFT_API_TOKEN", None;
    /// Kubeconfig file. Without it: the usual one, else the service account of our pod.
    kubeconfig: Option<PathBuf> = "NIGHTSHIFT_KUBECONFIG", None;
    /// Context of the kubeconfig; without it the current one.
    context: Option<String> = "NIGHTSHIFT_CONTEXT", None;
    /// Folder with runbooks (`*.md`) beside the ones that are built in.
    runbooks: Option<PathBuf> = "NIGHTSHIFT_RUNBOOKS", None;
    /// Where notices are posted as JSON. Without it they are only logged. May hold a secret.
    notify_webhook_url: Option<Secret> = "NIGHTSHIFT_NOTIFY_WEBHOOK_URL", None;
    /// Action words that may be used at all.
    allowed_actions: BTreeSet<String> = "NIGHTSHIFT_ALLOWED_ACTIONS", Policy::default().allowed_actions;
    /// Namespaces that are never written to, beside `kube-*` and `*-system`.
    protected_namespaces: BTreeSet<String> = "NIGHTSHIFT_PROTECTED_NAMESPACES", BTreeSet::new();
    /// Namespace that we run in; never written to.
    own_namespace: Option<String> = "POD_NAMESPACE", None;
    /// Node that we run on; never cordoned or drained.
    own_node: Option<String> = "NODE_NAME", None;
    /// Acts alone only when the confidence in percent is above this.
    confidence_over: u8 = "NIGHTSHIFT_CONFIDENCE_OVER", Policy::default().confidence_over;
    /// Each detector's least persistence is multiplied by this, in percent. Tests use less than 100.
    persistence_percent: u32 = "NIGHTSHIFT_PERSISTENCE_PERCENT", Policy::default().persistence_percent;
    /// Verification: shortest time that a repaired target has to stay healthy.
    stable_min: SignedDuration = "NIGHTSHIFT_STABLE_MIN", Policy::default().stable_min;
    /// Verification: longest such time.
    stable_max: SignedDuration = "NIGHTSHIFT_STABLE_MAX", Policy::default().stable_max;
    /// Verification: after this time, the step did not help.
    verify_timeout: SignedDuration = "NIGHTSHIFT_VERIFY_TIMEOUT", Policy::default().verify_timeout;
    /// The same action on the same owner at most so often within `same_action_window`.
    same_action_max: u32 = "NIGHTSHIFT_SAME_ACTION_MAX", Policy::default().same_action_max;
    /// See `same_action_max`.
    same_action_window: SignedDuration = "NIGHTSHIFT_SAME_ACTION_WINDOW", Policy::default().same_action_window;
    /// An OOM kill within this time after we gave more memory is a person's case.
    oom_again_window: SignedDuration = "NIGHTSHIFT_OOM_AGAIN_WINDOW", Policy::default().oom_again_window;
    /// Failures in a row that open the circuit breaker.
    breaker_failures: u32 = "NIGHTSHIFT_BREAKER_FAILURES", Policy::default().breaker_failures;
    /// How long an open circuit breaker lets nothing through.
    breaker_open_for: SignedDuration = "NIGHTSHIFT_BREAKER_OPEN_FOR", Policy::default().breaker_open_for;
    /// How long a permit is good for.
    permit_ttl: SignedDuration = "NIGHTSHIFT_PERMIT_TTL", Policy::default().permit_ttl;
    /// A snapshot that is older is no basis for a write.
    snapshot_max_age: SignedDuration = "NIGHTSHIFT_SNAPSHOT_MAX_AGE", Policy::default().snapshot_max_age;
    /// A revision that was fully available for so long is known to be good.
    known_good_after: SignedDuration = "NIGHTSHIFT_KNOWN_GOOD_AFTER", SignedDuration::from_mins(10);
    /// A watch that was silent for so long is probed, and blind when it does not answer.
    source_silence: SignedDuration = "NIGHTSHIFT_SOURCE_SILENCE", SignedDuration::from_secs(90);
}

/// A set variable that is empty counts as not set, as in most deployments' templates.
fn pick<T: Setting>(
    variable: &'static str,
    file: Option<T>,
    env: &Env,
) -> Result<Option<(T, Source)>, ConfigError> {
    match env.get(variable).filter(|text| !text.is_empty()) {
        Some(text) => match T::read(text) {
            Ok(value) => Ok(Some((value, Source::Environment))),
            Err(why) => Err(ConfigError::Variable {
                name: variable.to_owned(),
                why,
            }),
        },
        None => Ok(file.map(|value| (value, Source::File))),
    }
}

struct Key<'a> {
    name: &'a str,
    variable: &'a str,
    doc: &'a [&'a str],
    value: String,
    default: String,
    source: Source,
}

impl Key<'_> {
    fn write(&self, out: &mut String) {
        for line in self.doc {
            out.push_str("# ");
            out.push_str(line.trim());
            out.push('\n');
        }
        let Self {
            name,
            variable,
            value,
            default,
            source,
            ..
        } = self;
        writeln!(
            out,
            "# ({variable}; default: {default}; from: {source})\n{name}: {value}\n"
        )
        .expect("a String takes everything");
    }
}

impl Config {
    /// The cluster that the command line names. Its options have variables of the same names, so only
    /// another value than the one in force is the command line's own.
    pub fn name_cluster(&mut self, kubeconfig: Option<&Path>, context: Option<&str>) {
        if let Some(path) = kubeconfig
            && self.kubeconfig.as_deref() != Some(path)
        {
            self.kubeconfig = Some(path.to_owned());
            self.sources.insert("kubeconfig", Source::CommandLine);
        }
        if let Some(name) = context
            && self.context.as_deref() != Some(name)
        {
            self.context = Some(name.to_owned());
            self.sources.insert("context", Source::CommandLine);
        }
    }

    /// Where the value of a key comes from.
    pub(super) fn source_of(&self, name: &str) -> Source {
        self.sources.get(name).copied().unwrap_or(Source::Default)
    }
}
