//! Configuration: one YAML file, and an environment variable for every key, which wins over the
//! file. Unknown keys and variables are errors: a misspelt limit must not silently be the default.
//!
//! There is no key for a language model: none is used yet. `OPENAI_*` variables are left alone.

mod keys;
mod setting;

pub use keys::Config;
use setting::SHOWN;
pub use setting::{LogLevel, Secret};

use crate::retention::Keep;
use crate::serve::{Token, Tokens};
use jiff::SignedDuration;
use nightshift_core::policy::{Autonomy, Policy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Environment variables by name.
pub type Env = BTreeMap<String, String>;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Built in.
    Default,
    /// The file.
    File,
    /// The environment.
    Environment,
    /// An option of the command.
    CommandLine,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
        })
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be. The text names line and column.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why, with line and column; never the text of the line, which may hold a secret.
        why: String,
    },
    /// A variable's value cannot be used.
    #[error("environment variable {name}: {why}")]
    Variable {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A variable that begins like ours but is none.
    #[error(
        "environment variable {0} is not known: `nightshift run --print-config` lists all of them"
    )]
    UnknownVariable(String),
    /// Acting alone has to be chosen twice.
    #[error(
        "AGENT_MODE is `auto` and DRY_RUN is not set: set DRY_RUN=false to let the agent write to \
         the cluster by itself, or DRY_RUN=true to see what it would do"
    )]
    AutoWithoutDryRun,
    /// A value that no cluster can be run with.
    #[error("`{key}` {why}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        why: String,
    },
}

/// Variables of this prefix are ours.
const PREFIX: &str = "NIGHTSHIFT_";
/// Ours, but no keys of the file: where the file is, and the crash tests' switch.
const NO_KEYS: [&str; 2] = ["NIGHTSHIFT_CONFIG", "NIGHTSHIFT_FAILPOINT"];
/// Not ours: what Kubernetes sets in every pod of a namespace with a Service called `nightshift`, and
/// what this repository's own tools read.
const OTHERS: [&str; 3] = ["NIGHTSHIFT_SERVICE_", "NIGHTSHIFT_PORT", "NIGHTSHIFT_LAB"];

/// The environment of this process; variables that are not text are no settings of ours.
pub fn environment() -> Env {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Config {
    /// Reads the file (if any) and the environment. Without `file`, `NIGHTSHIFT_CONFIG` may name it.
    pub fn load(file: Option<&Path>, env: &Env) -> Result<Self, ConfigError> {
        let named = env.get("NIGHTSHIFT_CONFIG").filter(|path| !path.is_empty());
        let path = file.or_else(|| named.map(Path::new));
        let text = match path {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        Self::parse(path.unwrap_or(Path::new("")), &text, env)
    }

    fn parse(path: &Path, text: &str, env: &Env) -> Result<Self, ConfigError> {
        refuse_unknown(env)?;
        let config = Self::resolve(setting::file(path, text)?, env)?;
        config.check()?;
        Ok(config)
    }

    /// The policy that the engine gets.
    pub fn policy(&self) -> Policy {
        Policy {
            autonomy: self.mode,
            dry_run: self.dry_run,
            allowed_actions: self.allowed_actions.clone(),
            protected_namespaces: self.protected_namespaces.clone(),
            own_namespace: self.own_namespace.clone(),
            own_node: self.own_node.clone(),
            confidence_over: self.confidence_over,
            persistence_percent: self.persistence_percent,
            stable_min: self.stable_min,
            stable_max: self.stable_max,
            verify_timeout: self.verify_timeout,
            same_action_max: self.same_action_max,
            same_action_window: self.same_action_window,
            oom_again_window: self.oom_again_window,
            breaker_failures: self.breaker_failures,
            breaker_open_for: self.breaker_open_for,
            permit_ttl: self.permit_ttl,
            snapshot_max_age: self.snapshot_max_age,
        }
    }

    /// How long the record is kept.
    pub fn keep(&self) -> Keep {
        Keep {
            incidents: days(self.retention_days),
            journal: days(self.journal_days),
        }
    }

    /// The tokens of the listener.
    pub fn tokens(&self) -> Tokens {
        let token = |secret: &Option<Secret>| secret.as_ref().and_then(|s| Token::new(s.reveal()));
        Tokens {
            intake: token(&self.intake_token),
            api: token(&self.api_token),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.mode == Autonomy::Auto && self.source_of("dry_run") == Source::Default {
            return Err(ConfigError::AutoWithoutDryRun);
        }
        let known = Policy::default().allowed_actions;
        if let Some(word) = self.allowed_actions.difference(&known).next() {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let why = format!("names `{word}`; there are {}", known.join(", "));
            return invalid("allowed_actions", why);
        }
        self.check_numbers()?;
        self.check_durations()?;
        self.check_retention()?;
        self.check_secrets()?;
        match &self.notify_webhook_url {
            Some(url) if reqwest::Url::parse(url.reveal()).is_err() => {
                invalid("notify_webhook_url", "is not a URL")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A printed configuration that is used again holds no secret: everybody knows the word in its
    /// place.
    fn check_secrets(&self) -> Result<(), ConfigError> {
        let secrets = [
            ("intake_token", &self.intake_token),
            ("api_token", &self.api_token),
            ("notify_webhook_url", &self.notify_webhook_url),
        ];
        let is_shown = |secret: &Option<Secret>| secret.as_ref().is_some_and(Secret::is_shown);
        match secrets.into_iter().find(|(_, secret)| is_shown(secret)) {
            Some((key, _)) => invalid(
                key,
                format!(
                    "is `{SHOWN}`, which --print-config writes in the place of a secret: write the \
                     secret itself there, or delete the line and set the environment variable"
                ),
            ),
            None => Ok(()),
        }
    }

    /// Each limit within what it can mean: none that is switched off by a slip of the pen.
    fn check_numbers(&self) -> Result<(), ConfigError> {
        // The breaker counts failures among the writes that are kept whatever their age.
        let kept = 100;
        let numbers = [
            ("confidence_over", u32::from(self.confidence_over), 50, 100),
            ("persistence_percent", self.persistence_percent, 0, 10_000),
            ("same_action_max", self.same_action_max, 1, kept),
            ("breaker_failures", self.breaker_failures, 1, kept),
            ("retention_days", self.retention_days, 1, LONGEST_DAYS),
            ("journal_days", self.journal_days, 1, LONGEST_DAYS),
        ];
        let mut wrong = numbers
            .iter()
            .filter(|(_, n, least, most)| n < least || n > most);
        match wrong.next() {
            Some((key, _, least, most)) => {
                invalid(key, format!("has to be from {least} to {most}"))
            }
            None => Ok(()),
        }
    }

    fn check_durations(&self) -> Result<(), ConfigError> {
        for (key, duration, longest) in self.durations() {
            if duration <= SignedDuration::ZERO {
                return invalid(key, "has to be longer than nothing");
            }
            if duration > longest {
                return invalid(key, format!("is longer than {longest:#}"));
            }
        }
        if self.stable_min > self.stable_max {
            return invalid("stable_min", "is longer than `stable_max`");
        }
        if self.stable_min >= self.verify_timeout {
            return invalid("verify_timeout", "has to be longer than `stable_min`");
        }
        Ok(())
    }

    /// A rule that looks back must find what it looks for.
    fn check_retention(&self) -> Result<(), ConfigError> {
        let Keep { incidents, .. } = self.keep();
        let longest = [
            ("same_action_window", self.same_action_window),
            ("oom_again_window", self.oom_again_window),
            ("breaker_open_for", self.breaker_open_for),
        ];
        match longest.iter().find(|(_, window)| *window > incidents) {
            Some((key, _)) => invalid(key, "is longer than `retention_days`"),
            None => Ok(()),
        }
    }

    /// Every duration with the longest that it may be.
    fn durations(&self) -> [(&'static str, SignedDuration, SignedDuration); 10] {
        let day = SignedDuration::from_hours(24);
        // What was seen or permitted longer ago says nothing about now.
        let fresh = SignedDuration::from_mins(10);
        [
            ("stable_min", self.stable_min, day),
            ("stable_max", self.stable_max, day),
            ("verify_timeout", self.verify_timeout, day),
            (
                "same_action_window",
                self.same_action_window,
                days(LONGEST_DAYS),
            ),
            (
                "oom_again_window",
                self.oom_again_window,
                days(LONGEST_DAYS),
            ),
            (
                "breaker_open_for",
                self.breaker_open_for,
                days(LONGEST_DAYS),
            ),
            ("permit_ttl", self.permit_ttl, fresh),
            ("snapshot_max_age", self.snapshot_max_age, fresh),
            ("known_good_after", self.known_good_after, day),
            ("source_silence", self.source_silence, fresh),
        ]
    }
}

/// Longest that anything is kept: a hundred years, so that no date is out of range.
const LONGEST_DAYS: u32 = 36_500;

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

fn invalid(key: &'static str, why: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::Invalid {
        key,
        why: why.into(),
    })
}

fn refuse_unknown(env: &Env) -> Result<(), ConfigError> {
    let ours = |name: &str| {
        name.starts_with(PREFIX) && !OTHERS.iter().any(|other| name.starts_with(other))
    };
    let known = |name: &str| NO_KEYS.contains(&name) || Config::VARIABLES.contains(&name);
    match env.keys().find(|name| ours(name) && !known(name)) {
        Some(name) => Err(ConfigError::UnknownVariable(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
