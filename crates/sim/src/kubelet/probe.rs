//! Probes. What a probe finds is a function of time, so one that finds the same as before is not
//! run: the next that will find something else is computed.

use super::life::Instance;
use super::run::ContainerRun;
use super::spec::{Container, Probe};
use crate::behaviour::{Behaviour, ProbeFault, shell};
use crate::cluster::later;
use crate::events::passed;
use jiff::Timestamp;
use std::time::Duration;

/// From so many failures in a row on, Events are held back anyway and a failing probe is run rarely.
const LOUD: u32 = 30;
/// How rarely: as often as a held back Event comes through.
const RARELY: Duration = Duration::from_mins(5);

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    /// As in Events.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }

    fn fault(self, behaviour: &Behaviour) -> Option<&ProbeFault> {
        match self {
            Self::Startup => behaviour.probes.startup.as_ref(),
            Self::Readiness => behaviour.probes.readiness.as_ref(),
            Self::Liveness => behaviour.probes.liveness.as_ref(),
        }
    }
}

/// A prober (`kubelet/prober/worker.go`).
#[derive(Debug)]
pub(super) struct Probing {
    pub(super) kind: Kind,
    first: Timestamp,
    period: Duration,
    last: Option<Timestamp>,
    /// How often in a row it found what it found last.
    run: u32,
    found: Option<bool>,
    success_threshold: u32,
    failure_threshold: u32,
    /// The result that counts.
    pub(super) passed: bool,
    /// Enough failures in a row.
    pub(super) failed: bool,
}

/// What decides about a probe's result, now and later.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    container: &'a Container,
    behaviour: &'a Behaviour,
    instance: &'a Instance,
    ip: &'a str,
}

impl<'a> World<'a> {
    pub(super) fn of(run: &'a ContainerRun, container: &'a Container, ip: &'a str) -> Option<Self> {
        Some(Self {
            container,
            behaviour: &run.behaviour,
            instance: run.current.as_ref()?,
            ip,
        })
    }
}

/// The probers of a container that starts now.
pub(super) fn start(container: &Container, now: Timestamp) -> Vec<Probing> {
    let kinds = [Kind::Startup, Kind::Readiness, Kind::Liveness];
    kinds
        .into_iter()
        .filter_map(|kind| Some(Probing::new(kind, kind.of(container)?, now)))
        .collect()
}

impl Probing {
    fn new(kind: Kind, probe: &Probe, now: Timestamp) -> Self {
        let or = |number: u32, default: u32| if number == 0 { default } else { number };
        let period = Duration::from_secs(or(probe.period_seconds, 10).into());
        let delay = Duration::from_secs(probe.initial_delay_seconds.into());
        // The worker looks at its first moment and then every period, and does nothing before the delay.
        let looks = delay.as_nanos().div_ceil(period.as_nanos());
        let looks = u32::try_from(looks).unwrap_or(u32::MAX);
        Self {
            kind,
            first: later(now, period.saturating_mul(looks)),
            period,
            last: None,
            run: 0,
            found: None,
            success_threshold: or(probe.success_threshold, 1),
            failure_threshold: or(probe.failure_threshold, 3),
            passed: kind == Kind::Liveness,
            failed: false,
        }
    }

    /// A startup probe comes before the others, and ends with its success.
    pub(super) fn runs(&self, started: bool) -> bool {
        (self.kind == Kind::Startup) != started
    }

    fn next(&self) -> Timestamp {
        self.last
            .map_or(self.first, |last| later(last, self.period))
    }

    /// The first moment of the prober's clock at or after a time.
    fn tick_from(&self, at: Timestamp) -> Timestamp {
        let base = self.next();
        let missed = passed(base, at).as_nanos().div_ceil(self.period.as_nanos());
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        later(base, self.period.saturating_mul(missed))
    }

    /// When it will next find something that makes a difference.
    pub(super) fn due(&self, world: &World<'_>) -> Option<Timestamp> {
        let next = self.next();
        let good = world.finds(self.kind, next).is_ok();
        let settled = self.found == Some(good) && self.passed == good;
        if good && settled {
            let change = world.changes_after(self.kind, next)?;
            return Some(self.tick_from(change));
        }
        if !good && settled && self.run > LOUD {
            let rarely = self.tick_from(later(next, RARELY));
            let change = world.changes_after(self.kind, next);
            return Some(change.map_or(rarely, |at| self.tick_from(at).min(rarely)));
        }
        Some(next)
    }

    /// Looks. The message of a failure, for the Event.
    pub(super) fn look(&mut self, world: &World<'_>, now: Timestamp) -> Result<(), String> {
        // A kubelet that was stopped has missed some.
        let late = passed(self.next(), now) >= self.period;
        self.last = Some(if late { now } else { self.next() });
        let result = world.finds(self.kind, now);
        let good = result.is_ok();
        if self.found == Some(good) {
            self.run = self.run.saturating_add(1);
        } else {
            self.found = Some(good);
            self.run = 1;
        }
        if good && self.run >= self.success_threshold {
            (self.passed, self.failed) = (true, false);
        }
        if !good && self.run >= self.failure_threshold {
            (self.passed, self.failed) = (false, true);
        }
        result
    }
}

impl World<'_> {
    /// What a probe finds at a time.
    fn finds(&self, kind: Kind, at: Timestamp) -> Result<(), String> {
        let Some(probe) = kind.of(self.container) else {
            return Ok(());
        };
        let running = passed(self.instance.started, at);
        if let Some(fault) = kind.fault(self.behaviour)
            && running >= fault.from.0
            && fault.until.is_none_or(|until| running < until.0)
        {
            let message = fault.message.as_str();
            let default = "HTTP probe failed with statuscode: 500";
            return Err(if message.is_empty() { default } else { message }.to_owned());
        }
        if let Some(exec) = &probe.exec {
            return self.runs(&exec.command, kind, running);
        }
        let (port, url) = match (&probe.http_get, &probe.tcp_socket) {
            (Some(http), _) => {
                let port = self.container.port(&http.port);
                let scheme = if http.scheme == "HTTPS" {
                    "https"
                } else {
                    "http"
                };
                let path = http.path.trim_start_matches('/');
                (
                    port,
                    Some((format!("{scheme}://{}:{port}/{path}", self.ip), &http.path)),
                )
            }
            (None, Some(tcp)) => (self.container.port(&tcp.port), None),
            (None, None) => return Ok(()),
        };
        let ports = &self.behaviour.ports;
        let wrong_port = !ports.is_empty() && !ports.contains(&port);
        if wrong_port || running < self.behaviour.listens_after.0 {
            let refused = format!("dial tcp {}:{port}: connect: connection refused", self.ip);
            return Err(match url {
                Some((url, _)) => format!("Get \"{url}\": {refused}"),
                None => refused,
            });
        }
        match url {
            Some((_, path)) if self.asks_ready(kind, path) && !self.is_ready(running) => {
                Err("HTTP probe failed with statuscode: 503".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// An exec probe: a few shell lines are understood, everything else asks whether it is ready.
    fn runs(&self, command: &[String], kind: Kind, running: Duration) -> Result<(), String> {
        let script = match command {
            [shell, flag, script, ..] if shell.ends_with("sh") && flag == "-c" => script.clone(),
            words => words.join(" "),
        };
        let ran = shell::run(&script);
        if let Some((_, code)) = ran.end
            && code != 0
        {
            let lines = ran.lines.iter().map(|(_, line)| format!("{line}\n"));
            return Err(lines.collect());
        }
        if ran.end.is_none() && self.asks_ready(kind, "") && !self.is_ready(running) {
            return Err(String::new());
        }
        Ok(())
    }

    fn asks_ready(&self, kind: Kind, path: &str) -> bool {
        let own = &self.behaviour.ready_path;
        own == path || (own.is_empty() && kind != Kind::Liveness)
    }

    fn is_ready(&self, running: Duration) -> bool {
        running >= self.behaviour.ready_after.0 && !self.instance.is_held_up()
    }

    /// When, after a time, what a probe finds may change by itself.
    fn changes_after(&self, kind: Kind, after: Timestamp) -> Option<Timestamp> {
        let behaviour = self.behaviour;
        let fault = kind.fault(behaviour);
        let times = [
            Some(behaviour.listens_after.0),
            Some(behaviour.ready_after.0),
            fault.map(|fault| fault.from.0),
            fault.and_then(|fault| fault.until).map(|until| until.0),
        ];
        let started = self.instance.started;
        let times = times
            .into_iter()
            .flatten()
            .filter(|time| *time < Duration::MAX);
        times
            .map(|time| later(started, time))
            .filter(|at| *at > after)
            .min()
    }
}
