//! How long from the API server's commit of a fault until the agent's HTTP API shows an incident
//! with the right class, owner and subject, with healthy change beside it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::churn::Churn;
use super::fault::{self, Class, Fault};
use super::probe::{self, Job, Measured, Report, Seen};
use super::stats::{Sample, millis};
use super::{Bench, world};
use crate::agent::{Agent, Settings};
use crate::lab::Lab;

/// Faults that are measured.
const FAULTS: usize = 200;
/// The agent has listed everything and is at rest.
const SETTLE: Duration = Duration::from_secs(10);
/// From one healthy change to the next.
pub(super) const CHURN_EVERY: Duration = Duration::from_millis(200);

/// Measures, and returns lines for the table.
pub(super) fn run(lab: &Lab, bench: &Bench, binary: &Path) -> Result<Vec<String>> {
    let mut random = StdRng::seed_from_u64(bench.seed);
    let targets = world::targets(lab)?;
    let faults = fault::plan(FAULTS, &targets, &world::nodes(lab)?, &mut random);
    ensure!(
        faults.len() == FAULTS,
        "{} faults have no target",
        FAULTS - faults.len()
    );
    let broken = |target: &&fault::Target| !faults.iter().any(|f| f.owner == target.owner);
    let mut healthy: Vec<_> = targets
        .iter()
        .filter(broken)
        .map(|t| t.owner.clone())
        .collect();
    healthy.shuffle(&mut random);
    ensure!(
        !healthy.is_empty(),
        "no Deployment is left for healthy change"
    );
    let churn = Churn {
        deployments: healthy,
        every: CHURN_EVERY,
        seed: bench.seed,
    };
    let agent = Agent::start(lab, Settings::shipped(binary, "recommend"))?;
    std::thread::sleep(SETTLE);
    let job = Job::Latency { faults, churn };
    let report = probe::send(lab, &job)?;
    drop(agent);
    let Job::Latency { faults, .. } = &job else {
        return Ok(Vec::new());
    };
    let pods = world::count(lab, "/api/v1/pods")?;
    Ok(lines(faults, &report, pods))
}

fn lines(faults: &[Fault], report: &Report, pods: usize) -> Vec<String> {
    let is_right = |m: &&Measured| m.seen == Seen::Right;
    let right = report.measured.iter().filter(is_right);
    let upper = Sample::of(right.clone().map(|m| m.from_sent));
    let lower = Sample::of(right.map(|m| m.from_answered));
    let wrong = report.measured.iter().filter_map(|m| match &m.seen {
        Seen::Wrong(what) => Some(what),
        Seen::Right | Seen::Missed => None,
    });
    let missed = report
        .measured
        .iter()
        .filter(|m| m.seen == Seen::Missed)
        .count();
    let gaps = Sample::of(report.gaps.iter().copied());
    let before = report.measured.iter().filter_map(|m| m.before.as_ref());
    let mut lines = vec![
        "| commit to visible | p50 | p99 | longest | right | wrong | missed |".to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
        format!(
            "| from the write being sent (before the commit) | {} | {} | {} | {} | {} | {missed} |",
            millis(upper.percentile(50)),
            millis(upper.percentile(99)),
            millis(upper.max()),
            upper.count(),
            wrong.clone().count(),
        ),
        format!(
            "| from the write's answer (after the commit) | {} | {} | {} | | | |",
            millis(lower.percentile(50)),
            millis(lower.percentile(99)),
            millis(lower.max()),
        ),
    ];
    lines.extend(by_class(faults, &report.measured));
    lines.push(String::new());
    lines.push(format!(
        "{} faults in {pods} pods; beside them {} healthy changes and {} writes a second; incidents that no fault explains: {}; shown as something else first: {}; one look at the agent's list every {} (longest {}).",
        faults.len(),
        report.changes,
        per_second(report),
        report.wrong.len(),
        before.clone().count(),
        millis(gaps.percentile(50)),
        millis(gaps.max()),
    ));
    lines.extend(wrong.map(|what| format!("- wrong: {what}")));
    lines.extend(before.map(|what| format!("- first shown as: {what}")));
    lines.extend(
        report
            .wrong
            .iter()
            .map(|what| format!("- unexplained: {what}")),
    );
    lines
}

/// One row a class, stamped from the sending.
fn by_class(faults: &[Fault], measured: &[Measured]) -> Vec<String> {
    let classes = [
        Class::OomKilled,
        Class::CrashLoop,
        Class::ImagePullFailure,
        Class::ConfigMissing,
        Class::NodeCordoned,
    ];
    let row = |class: &Class| {
        let of = faults
            .iter()
            .zip(measured)
            .filter(|(f, _)| f.class == *class);
        let right = of.clone().filter(|(_, m)| m.seen == Seen::Right);
        let times = Sample::of(right.map(|(_, m)| m.from_sent));
        format!(
            "| {class:?} | {} | {} | {} | {} of {} | | |",
            millis(times.percentile(50)),
            millis(times.percentile(99)),
            millis(times.max()),
            times.count(),
            of.count(),
        )
    };
    classes.iter().map(row).collect()
}

/// Writes of everybody in a second.
pub(super) fn per_second(report: &Report) -> u64 {
    let seconds = report.took.as_secs().max(1);
    report.writes / seconds
}

#[cfg(test)]
mod tests {
    use super::super::fault::Object;
    use super::*;

    fn measured(millis: u64, seen: Seen) -> Measured {
        Measured {
            from_sent: Duration::from_millis(millis + 5),
            from_answered: Duration::from_millis(millis),
            seen,
            before: None,
        }
    }

    #[test]
    fn wrong_and_missed_ones_are_counted_and_never_a_latency() {
        let object = Object {
            kind: "Node".to_owned(),
            namespace: String::new(),
            name: "n".to_owned(),
        };
        let fault = Fault {
            class: Class::NodeCordoned,
            subject: object.clone(),
            owner: object,
        };
        let wrong = Seen::Wrong("CrashLoop".to_owned());
        let report = Report {
            measured: vec![
                measured(20, Seen::Right),
                measured(10_000, Seen::Missed),
                measured(10_000, wrong),
            ],
            gaps: vec![Duration::from_millis(3)],
            wrong: vec!["stray".to_owned()],
            changes: 9,
            writes: 100,
            took: Duration::from_secs(10),
        };
        let lines = lines(&vec![fault; 3], &report, 7).join("\n");
        assert!(
            lines.contains("| 25 ms | 25 ms | 25 ms | 1 | 1 | 1 |"),
            "{lines}"
        );
        assert!(lines.contains("| 20 ms | 20 ms | 20 ms |"), "{lines}");
        assert!(lines.contains("1 of 3"), "{lines}");
        assert!(lines.contains("10 writes a second"), "{lines}");
        assert!(lines.contains("- unexplained: stray"), "{lines}");
    }
}
