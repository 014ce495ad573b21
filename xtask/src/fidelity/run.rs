//! Runs the checks, many at once, and says what they found.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::room::{Room, Target};
use super::{Check, Fidelity, Output, all};

/// What one check found.
#[derive(Clone, Serialize, Deserialize)]
pub struct Found {
    /// Group of the check.
    pub group: String,
    /// Name of the check.
    pub name: String,
    /// Why it failed; nothing if it passed.
    pub failure: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// Runs the suite against a kubeconfig. Exit code 1 if a check fails.
pub fn against(arguments: &Fidelity, kubeconfig: &Path) -> Result<ExitCode> {
    let kubectl = match arguments.kubectl.as_slice() {
        [] => vec!["kubectl".to_owned()],
        words => words.to_vec(),
    };
    let target = Target {
        admin: Client::from_kubeconfig(kubeconfig)?,
        kubeconfig: kubeconfig.canonicalize().context("no kubeconfig")?,
        kubectl,
        tag: format!("{:04x}", rand::random::<u16>()),
    };
    let only = arguments.only.as_str();
    let checks: Vec<_> = all()
        .into_iter()
        .filter(|(_, check)| check.name.contains(only))
        .collect();
    ensure!(!checks.is_empty(), "no check has {only} in its name");
    let (alone, together): (Vec<_>, Vec<_>) =
        checks.into_iter().partition(|(_, check)| check.alone);
    let mut found = many(&target, &together, arguments.jobs.max(1));
    found.extend(many(&target, &alone, 1));
    report(arguments, &found)
}

fn report(arguments: &Fidelity, found: &[Found]) -> Result<ExitCode> {
    if let Some(path) = &arguments.results {
        let mut kept = read(path)?;
        kept.extend(found.iter().map(|one| (one.name.clone(), one.clone())));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(&kept)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let failed = found.iter().filter(|one| one.failure.is_some()).count();
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(found)?),
        Output::Table => {
            for one in found.iter().filter(|one| one.failure.is_some()) {
                println!(
                    "FAILED {}: {}",
                    one.name,
                    one.failure.as_deref().unwrap_or_default()
                );
            }
            println!("{} passed, {failed} failed", found.len() - failed);
        }
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What runs found before, by name of the check.
pub fn read(path: &Path) -> Result<BTreeMap<String, Found>> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not from here", path.display()))
}

/// Runs checks, some at once, in their order.
fn many(target: &Target, checks: &[(&'static str, Check)], jobs: usize) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(checks.len()) {
            scope.spawn(|| {
                while let Some((group, check)) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = ask(target, group, check);
                    if let Ok(mut found) = found.lock() {
                        found.push(one);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

fn ask(target: &Target, group: &str, check: &Check) -> Found {
    let start = Instant::now();
    let result = Room::new(target, check.name).and_then(|room| {
        let asked = (check.ask)(&room);
        asked.and(room.close())
    });
    let seconds = start.elapsed().as_secs_f64();
    let failure = result.err().map(|error| format!("{error:#}"));
    let word = if failure.is_some() { "FAILED" } else { "ok" };
    let why = failure.as_ref().map(|why| format!(": {why}"));
    let why = why.unwrap_or_default();
    eprintln!("{word:6} {seconds:5.1} s  {group}: {}{why}", check.name);
    Found {
        group: group.to_owned(),
        name: check.name.to_owned(),
        failure,
        seconds,
    }
}
