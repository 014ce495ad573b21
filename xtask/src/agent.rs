//! The agent under test: the real binary, as a program of the lab, with its own account.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::faults::PATIENCE;
use crate::lab::{Identity, Lab, until};

/// Where the agent listens within the lab's network.
pub const URL: &str = "http://127.0.0.1:8080";
const UNIT: &str = "agent";

/// How the agent is started. Timers are shortened by its own configuration, nothing else.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary; none is the one with crash points that [`build`] makes.
    pub binary: Option<PathBuf>,
    /// `AGENT_MODE`.
    pub mode: &'static str,
    /// `DRY_RUN`.
    pub dry_run: bool,
    /// More environment.
    pub env: Vec<(String, String)>,
}

impl Settings {
    /// Repairs by itself.
    pub fn auto() -> Self {
        Self {
            binary: None,
            mode: "auto",
            dry_run: false,
            env: Self::short_timers(),
        }
    }

    /// Proposes, with an account that could write.
    pub fn recommend() -> Self {
        Self {
            mode: "recommend",
            ..Self::auto()
        }
    }

    /// A binary with the timers that it ships with. In `recommend` it is as without any
    /// configuration; `auto` repairs.
    pub fn shipped(binary: &Path, mode: &'static str) -> Self {
        Self {
            binary: Some(binary.to_owned()),
            mode,
            dry_run: mode != "auto",
            env: Vec::new(),
        }
    }

    fn short_timers() -> Vec<(String, String)> {
        [
            ("NIGHTSHIFT_PERSISTENCE_PERCENT", "10"),
            ("NIGHTSHIFT_STABLE_MIN", "5s"),
            ("NIGHTSHIFT_VERIFY_TIMEOUT", "60s"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// With one more environment variable.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running agent with a database of its own.
pub struct Agent<'l> {
    lab: &'l Lab,
    database: PathBuf,
    settings: Settings,
}

impl<'l> Agent<'l> {
    /// Starts an agent with an empty record and waits until it can take signals.
    pub fn start(lab: &'l Lab, settings: Settings) -> Result<Self> {
        let folder = lab.state().join("agent");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let agent = Self {
            lab,
            database: folder.join("nightshift.db"),
            settings,
        };
        agent.go_on(&[])?;
        Ok(agent)
    }

    /// Starts it again on the same record, with more environment.
    pub fn go_on(&self, env: &[(&str, &str)]) -> Result<()> {
        self.launch(env)?;
        until("the agent to be ready", PATIENCE, || {
            let asked = self.lab.fetch_url(&format!("{URL}/readyz"));
            Ok(asked.map(drop).map_err(|error| format!("{error:#}")))
        })
        .with_context(|| format!("see {}", self.lab.logs().join("agent.log").display()))
    }

    /// Starts it without waiting: for crash points that may end it before it is ready.
    pub fn launch(&self, env: &[(&str, &str)]) -> Result<()> {
        // Its environment is what stands here: an unknown NIGHTSHIFT_ key of the caller's is refused.
        let mut argv = ["env", "-i", "PATH=/usr/bin:/bin"]
            .map(str::to_owned)
            .to_vec();
        let fixed = [
            (
                "KUBECONFIG",
                self.lab.kubeconfig(Identity::Agent).display().to_string(),
            ),
            ("AGENT_MODE", self.settings.mode.to_owned()),
            ("DRY_RUN", self.settings.dry_run.to_string()),
            ("DATABASE_URL", self.database_url()),
            ("CLUSTER_NAME", "lab".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        argv.extend(fixed.iter().map(|(key, value)| format!("{key}={value}")));
        argv.extend(
            self.settings
                .env
                .iter()
                .map(|(key, value)| format!("{key}={value}")),
        );
        argv.extend(env.iter().map(|(key, value)| format!("{key}={value}")));
        argv.push(self.binary()?.display().to_string());
        argv.push("run".to_owned());
        self.lab.start_program(UNIT, argv)?;
        Ok(())
    }

    fn binary(&self) -> Result<PathBuf> {
        self.settings.binary.clone().map_or_else(binary, Ok)
    }

    /// Asks it to stop, as Kubernetes does.
    pub fn stop(&self) -> Result<()> {
        self.lab.stop_program(UNIT)
    }

    /// Sends it SIGTERM, as Kubernetes does, and does not wait.
    pub fn ask_to_end(&self) -> Result<()> {
        self.lab.ask_to_end(UNIT)
    }

    /// Waits until it has ended by itself; its exit code.
    pub fn exit_code(&self, limit: Duration) -> Result<i32> {
        self.lab.exit_code(UNIT, limit)
    }

    /// Whether its process is alive.
    pub fn is_alive(&self) -> bool {
        self.process().is_some()
    }

    /// Its process, while it is alive.
    pub fn process(&self) -> Option<i32> {
        let programs = self.lab.programs();
        let mut own = programs.iter().filter(|(name, ..)| name == UNIT);
        own.find_map(|(_, pid, alive)| alive.then_some(*pid))
    }

    /// All incidents, newest first, as `nightshift incidents list -o json` prints them.
    pub fn incidents(&self) -> Result<Vec<Value>> {
        let listed = self
            .lab
            .fetch_url(&format!("{URL}/api/incidents?limit=100"))?;
        let listed: Value = serde_json::from_str(&listed)?;
        listed["incidents"]
            .as_array()
            .cloned()
            .context("the API lists no incidents")
    }

    /// One incident with its events and analysis.
    pub fn incident(&self, id: &str) -> Result<Value> {
        let shown = self.lab.fetch_url(&format!("{URL}/api/incidents/{id}"))?;
        serde_json::from_str(&shown).context("the API shows something else than JSON")
    }

    /// Waits for an incident on an object of that name in one of these phases.
    pub fn await_incident(&self, object: &str, phases: &[&str], limit: Duration) -> Result<Value> {
        until(
            &format!("an incident on {object} in {phases:?}"),
            limit,
            || {
                let incidents = self.incidents()?;
                let of = |incident: &&Value| incident["owner"]["name"] == object;
                let found: Vec<&Value> = incidents.iter().filter(of).collect();
                let right = found.iter().find(|i| {
                    i["phase"]
                        .as_str()
                        .is_some_and(|phase| phases.contains(&phase))
                });
                Ok(right.map(|i| (*i).clone()).ok_or_else(|| {
                    let seen: Vec<_> = found.iter().map(|i| i["phase"].to_string()).collect();
                    format!("{} incidents, phases {seen:?}", found.len())
                }))
            },
        )
    }

    /// Waits until no incident on an object of that name is open.
    pub fn await_none_open(&self, object: &str, limit: Duration) -> Result<()> {
        until(&format!("no open incident on {object}"), limit, || {
            let incidents = self.incidents()?;
            let open = incidents
                .iter()
                .find(|i| i["owner"]["name"] == object && i["phase"] != "closed");
            Ok(open.map_or(Ok(()), |i| Err(format!("{} is {}", i["id"], i["phase"]))))
        })
    }

    /// Database URL, for offline commands.
    pub fn database_url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.database.display())
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if self.is_alive()
            && let Err(error) = self.stop()
        {
            eprintln!("the agent did not stop: {error:#}");
        }
    }
}

/// The agent's binary of this checkout, built once per run with its crash points.
pub fn build() -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "nightshift",
            "--features",
            "failpoints",
        ])
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the agent does not build");
    }
    binary()
}

/// The agent's binary of this checkout as it is shipped: optimised, without crash points.
pub fn build_release() -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "nightshift"])
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the agent does not build");
    }
    // xtask itself was built into a folder beside it.
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent);
    let target = target.context("xtask lies in no target folder")?;
    Ok(target.join("release/nightshift"))
}

fn binary() -> Result<PathBuf> {
    // xtask itself was built into the same folder.
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("nightshift");
    if !binary.exists() {
        bail!("{} is not built", binary.display());
    }
    Ok(binary)
}

/// What `nightshift rbac --write` prints: the rights that the agent's account gets in the lab.
pub fn rbac() -> Result<String> {
    rbac_of(&binary()?)
}

/// [`rbac`] of a certain binary.
pub fn rbac_of(binary: &Path) -> Result<String> {
    let out = Command::new(binary).args(["rbac", "--write"]).output()?;
    if !out.status.success() {
        bail!("nightshift rbac: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(String::from_utf8(out.stdout)?)
}
