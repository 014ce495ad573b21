//! `nightshift scan` against plain lists of the same objects by others: whole processes, in turn.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::stats::Sample;
use super::usage::Usage;
use super::{WATCHED, world};
use crate::lab::{API_SERVER, Identity, Lab};

/// Turns; each runs every contender once, another one first each time.
const TURNS: usize = 9;
const PAUSE: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_mins(5);

/// One way to read everything.
struct Contender {
    name: &'static str,
    command: Box<dyn Fn() -> Result<Command>>,
    times: Vec<Duration>,
    peak_kib: u64,
}

/// Measures, and returns lines for the table.
pub(super) fn run(lab: &Lab, binary: &Path) -> Result<Vec<String>> {
    let mut contenders = contenders(lab, binary)?;
    for turn in 0..=TURNS {
        contenders.rotate_left(1);
        for contender in &mut contenders {
            let (time, peak_kib) = timed(&mut (contender.command)()?)?;
            // The first turn warms the API server and the file cache.
            if turn > 0 {
                contender.times.push(time);
                contender.peak_kib = contender.peak_kib.max(peak_kib);
            }
        }
    }
    contenders.sort_by_key(|contender| contender.name);
    let median = |contender: &Contender| Sample::of(contender.times.iter().copied()).percentile(50);
    let scan = contenders.iter().find(|c| c.name.starts_with("nightshift"));
    let scan = scan.and_then(median).unwrap_or_default();
    let mut lines = vec![
        "| command | median of 9 (shortest to longest) | peak memory | scan takes |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    lines.extend(contenders.iter().map(|contender| {
        let ratio = scan.as_secs_f64() / median(contender).unwrap_or_default().as_secs_f64();
        format!(
            "| {} | {} | {} MiB | {ratio:.2} x |",
            contender.name,
            Sample::of(contender.times.iter().copied()),
            contender.peak_kib.div_ceil(1024),
        )
    }));
    let pods = world::count(lab, "/api/v1/pods")?;
    let services = world::count(lab, "/api/v1/services")?;
    lines.push(String::new());
    lines.push(format!("{pods} pods, {services} Services."));
    Ok(lines)
}

fn contenders(lab: &Lab, binary: &Path) -> Result<Vec<Contender>> {
    let contender = |name, command| Contender {
        name,
        command,
        times: Vec::new(),
        peak_kib: 0,
    };
    let config = lab.kubeconfig(Identity::Agent);
    let scan = {
        let binary = binary.to_owned();
        let net = lab.netns();
        let config = config.clone();
        move || {
            let mut command = entering(&net);
            command.arg(&binary).args(["scan", "-o", "json"]);
            command.env("KUBECONFIG", &config);
            Ok(command)
        }
    };
    let kubectl = {
        let all: Vec<_> = WATCHED.iter().map(|(_, name)| *name).collect();
        let base = lab.kubectl_command(Identity::Agent);
        let args: Vec<_> = base.get_args().map(ToOwned::to_owned).collect();
        let all = all.join(",");
        move || {
            let mut command = Command::new("nsenter");
            command.args(&args).args(["get", &all, "-A", "-o", "json"]);
            command.env("KUBECONFIG", &config);
            Ok(command)
        }
    };
    let curl = {
        let header = lab.state().join("bench-header");
        let token = fs::read_to_string(lab.token(Identity::Agent))?;
        fs::write(&header, format!("Authorization: Bearer {}\n", token.trim()))?;
        fs::set_permissions(&header, fs::Permissions::from_mode(0o600))?;
        let (net, authority) = (lab.netns(), lab.authority());
        move || {
            let mut command = entering(&net);
            command.args(["curl", "--silent", "--show-error", "--fail", "--cacert"]);
            command.arg(&authority).arg("--header");
            command.arg(format!("@{}", header.display()));
            for (path, _) in WATCHED {
                command.args(["--output", "/dev/null"]);
                command.arg(format!("{API_SERVER}{path}"));
            }
            Ok(command)
        }
    };
    Ok(vec![
        contender("nightshift scan", Box::new(scan)),
        contender("kubectl get -o json", Box::new(kubectl)),
        contender("curl, bytes thrown away", Box::new(curl)),
    ])
}

fn entering(net: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", net.display())).arg("--");
    command
}

/// Runs it; wall time of the whole process, and the most memory that it was seen to have.
fn timed(command: &mut Command) -> Result<(Duration, u64)> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start a contender")?;
    let process = i32::try_from(child.id())?;
    let mut peak = 0;
    loop {
        if let Ok(usage) = Usage::of(process) {
            peak = peak.max(usage.peak_kib);
        }
        if let Some(status) = child.try_wait()? {
            let time = start.elapsed();
            // A scan that finds something says so with 1.
            if !matches!(status.code(), Some(0 | 1)) {
                bail!("{command:?} failed ({status})");
            }
            return Ok((time, peak));
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("{command:?} took more than {} s", LIMIT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}
