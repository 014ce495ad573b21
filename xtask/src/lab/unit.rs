//! A long-running program of the lab: how it is started, stopped, frozen and found again.
//!
//! What it was started with and its process id are on disk, so that any later command can stop
//! it or start it again. A process id counts only together with its start time: ids are reused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::wait::until;

/// How a program is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// Its name within the lab: `apiserver`, `kubelet-node1`, ...
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Environment on top of the caller's.
    pub(crate) env: BTreeMap<String, String>,
    /// The network namespace that it runs in.
    pub(crate) netns: PathBuf,
    /// The process whose mount namespace it joins; none is the machine's own.
    pub(crate) holder: Option<i32>,
}

/// A process, told from another that got the same id later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: u64,
}

/// What is on disk about a unit.
#[derive(Serialize, Deserialize)]
struct Entry {
    unit: Unit,
    process: Process,
}

/// The units of one lab: a folder of entries, a folder of logs, and the cgroup they start in.
pub(crate) struct Units {
    pub(crate) folder: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) entrance: PathBuf,
}

impl Units {
    /// Starts a unit and writes down its process. It outlives this program.
    pub(crate) fn start(&self, unit: &Unit) -> Result<Process> {
        let log = self.log(&unit.name);
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot open {}", log.display()))?;
        let mut child = self
            .command(unit)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .current_dir("/")
            .spawn()
            .with_context(|| format!("cannot start {}", unit.name))?;
        let pid = i32::try_from(child.id())?;
        let process = Process {
            pid,
            started: stat(pid).map_or(0, |(_, started)| started),
        };
        // Collects the exit status, so that an ended program does not stay as a zombie.
        let left = self.exit_file(&unit.name, process);
        std::thread::spawn(move || {
            let code = child.wait().ok().and_then(|status| status.code());
            // None: a signal ended it. Whoever waits for a code says so.
            code.map(|code| fs::write(left, code.to_string()))
        });
        let entry = Entry {
            unit: unit.clone(),
            process,
        };
        fs::write(self.entry(&unit.name), serde_json::to_vec_pretty(&entry)?)
            .with_context(|| format!("cannot write down {}", unit.name))?;
        Ok(process)
    }

    /// Starts a unit again with what it was started with before.
    pub(crate) fn restart(&self, name: &str) -> Result<Process> {
        let entry = self.read(name)?;
        if entry.process.alive() {
            bail!("{name} already runs as process {}", entry.process.pid);
        }
        self.start(&entry.unit)
    }

    /// The command that enters the cgroup and the namespaces and becomes the program.
    fn command(&self, unit: &Unit) -> Command {
        // Its own session: a terminal that closes, or Ctrl-C, does not reach it.
        let mut command = Command::new("setsid");
        command
            .args(["sh", "-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(&self.entrance);
        command
            .arg("nsenter")
            .arg(format!("--net={}", unit.netns.display()));
        if let Some(holder) = unit.holder {
            command.arg(format!("--mount=/proc/{holder}/ns/mnt"));
        }
        command.arg("--").args(&unit.argv).envs(&unit.env);
        command
    }

    /// The process of a unit that was started; it may have ended since.
    pub(crate) fn process(&self, name: &str) -> Result<Process> {
        Ok(self.read(name)?.process)
    }

    /// The process of a unit, or an error with the end of its log if it has ended.
    pub(crate) fn running(&self, name: &str) -> Result<Process> {
        let process = self.process(name)?;
        if !process.alive() {
            bail!("{name} has ended; the end of its log:\n{}", self.tail(name));
        }
        Ok(process)
    }

    /// Ends a unit: asks, and after `patience` insists.
    pub(crate) fn stop(&self, name: &str, patience: Duration) -> Result<()> {
        let process = self.process(name)?;
        process.signal(Signal::TERM);
        // A frozen program cannot hear the request.
        process.signal(Signal::CONT);
        if until(name, patience, || Ok(process.ended())).is_err() {
            process.signal(Signal::KILL);
            until(&format!("{name} to end"), Duration::from_secs(10), || {
                Ok(process.ended())
            })?;
        }
        Ok(())
    }

    /// Sends a signal to a unit that must be running.
    pub(crate) fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        self.running(name)?.signal(signal);
        Ok(())
    }

    /// Waits for a unit that was started by this very program to end by itself; its exit code.
    pub(crate) fn exit_code(&self, name: &str, limit: Duration) -> Result<i32> {
        let process = self.process(name)?;
        let left = self.exit_file(name, process);
        let code = until(&format!("{name} to end with a code"), limit, || {
            let code = fs::read_to_string(&left).unwrap_or_default();
            Ok(code.parse().map_err(|_| match process.ended() {
                Ok(()) => "it has ended, by a signal".to_owned(),
                Err(state) => state,
            }))
        });
        code.with_context(|| format!("the end of its log:\n{}", self.tail(name)))
    }

    /// Every unit's name and whether it runs, by name.
    pub(crate) fn list(&self) -> Vec<(String, Process, bool)> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|file| serde_json::from_slice::<Entry>(&fs::read(file.path()).ok()?).ok())
            .map(|entry| (entry.unit.name, entry.process, entry.process.alive()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Where a unit writes what it says.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The last lines that a unit said.
    pub(crate) fn tail(&self, name: &str) -> String {
        const LINES: usize = 15;
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(LINES)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn entry(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Where the exit code of a process is left.
    fn exit_file(&self, name: &str, process: Process) -> PathBuf {
        self.folder.join(format!("{name}-{}.exit", process.pid))
    }

    fn read(&self, name: &str) -> Result<Entry> {
        let path = self.entry(name);
        let text = fs::read(&path)
            .with_context(|| format!("the lab has no {name} ({} is missing)", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }
}

impl Process {
    /// Whether it still runs: the same process, and not a zombie.
    pub(crate) fn alive(self) -> bool {
        stat(self.pid)
            .is_some_and(|(state, started)| started == self.started && state != 'Z' && state != 'X')
    }

    /// In the form that [`until`] asks for.
    fn ended(self) -> Result<(), String> {
        if self.alive() {
            Err(format!("process {} still runs", self.pid))
        } else {
            Ok(())
        }
    }

    /// Sends a signal unless it has ended.
    fn signal(self, signal: Signal) {
        if let (true, Some(pid)) = (self.alive(), Pid::from_raw(self.pid)) {
            // It may end in between, which is what a signal is mostly for.
            kill_process(pid, signal).ok();
        }
    }
}

/// State and start time (in ticks since boot) of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let path = Path::new("/proc").join(pid.to_string()).join("stat");
    parse_stat(&fs::read_to_string(path).ok()?)
}

/// The third and the twenty-second field; the second is a name that may hold anything.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_confuse_the_reader() {
        let text = "7 (a) Z (b) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 1000 1 2";
        assert_eq!(parse_stat(text), Some(('S', 4711)));
        assert_eq!(parse_stat("junk"), None);
    }

    #[test]
    fn a_reused_process_id_is_another_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let (_, started) = stat(pid).unwrap();
        assert!(Process { pid, started }.alive());
        assert!(
            !Process {
                pid,
                started: started + 1
            }
            .alive()
        );
    }

    #[test]
    fn an_unknown_unit_is_named_in_the_error() {
        let nowhere = PathBuf::from("/nonexistent");
        let units = Units {
            folder: nowhere.clone(),
            logs: nowhere.clone(),
            entrance: nowhere,
        };
        assert!(
            units
                .process("scheduler")
                .unwrap_err()
                .to_string()
                .contains("scheduler")
        );
    }
}
