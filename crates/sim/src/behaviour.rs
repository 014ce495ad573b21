//! What a container does: a small description, found by annotation or by image.
//!
//! A pod says it for its containers in the annotation [`ANNOTATION`], as YAML or JSON by container
//! name; a cluster keeps a table by image ([`crate::Cluster::set_behaviour`]); the lab's test program
//! and a few shell lines are understood from image, command and arguments; everything else runs for
//! ever and is healthy.

mod duration;
mod memory;
mod program;
pub(crate) mod shell;

pub use duration::Seconds;
pub use memory::Memory;
pub(crate) use program::{image_environment, of_program};

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The annotation with the behaviours of a pod's containers.
pub const ANNOTATION: &str = "sim.nightshift.dev/behaviour";

/// What a container does. All times count from its start.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// From when on it takes connections.
    pub listens_after: Seconds,
    /// From when on it says that it is ready.
    pub ready_after: Seconds,
    /// The path on which it says so; without one, every readiness and startup probe asks that.
    pub ready_path: String,
    /// The ports it listens on; none means all that are asked for.
    pub ports: Vec<u16>,
    /// Lines that it logs at its start.
    pub log: Vec<String>,
    /// Lines that it logs later.
    pub later: Vec<Later>,
    /// A line that it logs again and again.
    pub every: Option<Every>,
    /// It ends by itself.
    pub exit: Option<Exit>,
    /// What it does when it is asked to end.
    pub stop: Stop,
    /// How much memory it uses.
    pub memory: Memory,
    /// How much CPU it uses, as a Kubernetes quantity (`250m`).
    pub cpu: String,
    /// What it cannot do without.
    pub needs: Vec<Need>,
    /// Probes that fail whatever else is true.
    pub probes: ProbeFaults,
    /// It cannot be started at all, and this is what the runtime says.
    pub start_error: String,
}

/// A log line and its time.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    /// When.
    pub after: Seconds,
    /// What.
    pub line: String,
}

/// A log line that comes again and again.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// How often; at least a tenth of a second.
    pub period: Seconds,
    /// What.
    pub line: String,
}

/// An end by itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exit {
    /// When.
    pub after: Seconds,
    /// With which code.
    pub code: i32,
    /// The last thing it logs; nothing when empty.
    pub message: String,
}

/// What it does when it is asked to end (SIGTERM).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// It needs so long; when that is longer than its grace period it is killed (137).
    pub after: Seconds,
    /// With which code it ends.
    pub code: i32,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            after: Seconds::from_millis(100),
            code: 0,
        }
    }
}

/// Something that it cannot do without. Exactly one of `configMap`, `secret`, `env`, `file` and
/// `service` is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Need {
    /// A `ConfigMap` of its namespace, looked at when it starts.
    pub config_map: String,
    /// A `Secret` of its namespace, looked at when it starts.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// The value that the key, or the environment, has to have; any when not given.
    pub value: Option<String>,
    /// A variable of its environment that may not be empty.
    pub env: String,
    /// A path below a mounted volume.
    pub file: String,
    /// A `Service` (`name` or `name.namespace`) with a ready endpoint.
    pub service: String,
    /// The port of the service.
    pub port: u16,
    /// What happens without it.
    pub without: Without,
    /// What it logs then; a fitting text when empty.
    pub message: String,
}

/// What a container does without something that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Without {
    /// It ends with code 1.
    #[default]
    Exit,
    /// It runs and is not ready (services only).
    Unready,
    /// It runs, is ready, and logs errors (services only).
    Errors,
}

/// Probes that fail from some time on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named after the probes")]
pub struct ProbeFaults {
    pub startup: Option<ProbeFault>,
    pub readiness: Option<ProbeFault>,
    pub liveness: Option<ProbeFault>,
}

/// A probe that fails.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeFault {
    /// From when on.
    pub from: Seconds,
    /// Until when; for ever when not given.
    pub until: Option<Seconds>,
    /// What the prober says.
    pub message: String,
}

impl Behaviour {
    /// It runs for ever and is well: what most containers do, kept once for all of them.
    pub(crate) fn healthy() -> Arc<Self> {
        static HEALTHY: LazyLock<Arc<Behaviour>> = LazyLock::new(Arc::default);
        Arc::clone(&HEALTHY)
    }

    /// Reads the annotation: behaviours by container name.
    pub fn parse_all(text: &str) -> Result<BTreeMap<String, Self>, String> {
        serde_saphyr::from_str(text).map_err(|error| format!("bad {ANNOTATION}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_annotation_is_read_as_yaml_and_as_json() {
        let yaml = "main:\n  exit: {after: 1m30s, code: 3}\n  needs:\n  - {service: cart, without: unready}";
        let json = r#"{"main": {"exit": {"after": 90, "code": 3}, "needs": [{"service": "cart", "without": "unready"}]}}"#;
        let one = Behaviour::parse_all(yaml).unwrap();
        assert_eq!(one, Behaviour::parse_all(json).unwrap());
        let exit = one["main"].exit.clone().unwrap();
        assert_eq!(exit.after.0, Duration::from_secs(90));
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        assert!(Behaviour::parse_all("main: {explode: true}").is_err());
    }
}
