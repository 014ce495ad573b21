//! The circuit breaker, derived from the history alone: after a restart it stands where it stood.
//!
//! A write that the server refused is a failure, and so is a rehearsal that it forbade (403): the write
//! would be refused too. Only a done write ends the row: a rehearsal that is accepted is no proof that a
//! write works. Stale, blocked, expired and not-done writes say nothing about whether the next one would
//! be refused.

use crate::history::{Act, ActOutcome, History, Refusal};
use crate::ids::PermitId;
use crate::policy::Policy;
use jiff::Timestamp;

/// Where the breaker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Writes may go.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// Nothing goes.
    Open {
        /// Until then.
        until: Timestamp,
        /// Failures in a row.
        failures: u32,
    },
    /// Exactly one write may go, to see whether it is refused too.
    HalfOpen {
        /// The one that went; nothing else goes before its result is known.
        probing: Option<PermitId>,
    },
}

/// Whether as many steps are under way (their rehearsals, `rehearsing` of them, or their writes) as may
/// still fail before the circuit opens. The next one waits for their answers: a hundred workloads that
/// break together must not send a hundred requests before the first refusal is heard. A write that
/// nobody answers becomes `Unknown` and is no longer waited for.
pub(crate) fn enough_are_out(
    history: &History,
    policy: &Policy,
    rehearsing: usize,
    now: Timestamp,
) -> bool {
    let under_way = |act: &&Act| act.outcome.is_none();
    match circuit(history, policy, now) {
        Circuit::Closed { failures } => {
            let out = history.acts.iter().filter(under_way).count() + rehearsing;
            let left = policy.breaker_failures.max(1).saturating_sub(failures);
            out >= usize::try_from(left).unwrap_or(usize::MAX)
        }
        Circuit::Open { .. } => false,
        Circuit::HalfOpen { probing } => {
            let mut acts = history.acts.iter().filter(under_way);
            rehearsing > 0 || acts.any(|act| Some(&act.permit) == probing.as_ref())
        }
    }
}

/// Where the breaker stands at `now`.
pub fn circuit(history: &History, policy: &Policy, now: Timestamp) -> Circuit {
    let row = failures_in_a_row(history);
    let failures = u32::try_from(row.len()).unwrap_or(u32::MAX);
    let newest = row.into_iter().max().unwrap_or(Timestamp::MIN);
    if failures < policy.breaker_failures.max(1) {
        return Circuit::Closed { failures };
    }
    let until = newest
        .saturating_add(policy.breaker_open_for)
        .unwrap_or(Timestamp::MAX);
    if now < until {
        return Circuit::Open { until, failures };
    }
    let since = |act: &&Act| act.at >= until;
    let probing = history.open_permits().find(since);
    Circuit::HalfOpen {
        probing: probing.map(|act| act.permit.clone()),
    }
}

/// When each failure after the newest done write was. A rehearsal has its place after the write that
/// was the newest then: one that was sent before a refusal and is done after it proves nothing.
fn failures_in_a_row(history: &History) -> Vec<Timestamp> {
    let done = history.acts.iter().rposition(Act::is_done);
    let since = history.acts.get(done.unwrap_or(0)..).unwrap_or_default();
    let refused = |act: &&Act| matches!(act.outcome, Some(ActOutcome::Refused { .. }));
    let is_in_row = |refusal: &&Refusal| {
        done.is_none()
            || since
                .iter()
                .any(|act| Some(&act.permit) == refusal.after.as_ref())
    };
    let rehearsals = history.refused_rehearsals.iter().filter(is_in_row);
    let writes = since.iter().filter(refused).map(|act| act.at);
    writes.chain(rehearsals.map(|refusal| refusal.at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::stage::{Stage, done, refused};
    use jiff::SignedDuration;

    /// One word an act, one second apart, then so many seconds until now.
    fn after(acts: &str, seconds: i64) -> Circuit {
        let mut stage = Stage::memory();
        let start = stage.now;
        let why = String::new;
        for (index, word) in acts.split_whitespace().enumerate() {
            stage.now = start + SignedDuration::from_secs(i64::try_from(index).expect("few"));
            let outcome = match word {
                "forbidden" => {
                    stage.history.record_refused_rehearsal(stage.now);
                    continue;
                }
                "done" => Some(done()),
                "refused" => Some(refused()),
                "stale" => Some(ActOutcome::Stale { why: why() }),
                "blocked" => Some(ActOutcome::Blocked { why: why() }),
                "unknown" => Some(ActOutcome::Unknown { why: why() }),
                "notdone" => Some(ActOutcome::NotDone { why: why() }),
                "expired" => Some(ActOutcome::Expired),
                "out" => None,
                other => panic!("no outcome {other}"),
            };
            let step = stage.step.clone();
            stage.act(0, step, outcome);
        }
        let now = stage.now + SignedDuration::from_secs(seconds);
        circuit(&stage.history, &stage.policy, now)
    }

    #[test]
    fn no_more_writes_are_out_than_may_fail() {
        let waits = |words: &str, seconds: i64| {
            let rehearsing = words
                .split_whitespace()
                .filter(|w| *w == "rehearsing")
                .count();
            let mut stage = Stage::memory();
            let start = stage.now;
            for (index, word) in words.split_whitespace().enumerate() {
                stage.now = start + SignedDuration::from_secs(i64::try_from(index).expect("few"));
                let outcome = match word {
                    "rehearsing" => continue,
                    "forbidden" => {
                        stage.history.record_refused_rehearsal(stage.now);
                        continue;
                    }
                    "refused" => Some(refused()),
                    "unknown" => Some(ActOutcome::Unknown { why: String::new() }),
                    _ => None,
                };
                let step = stage.step.clone();
                stage.act(0, step, outcome);
            }
            let now = stage.now + SignedDuration::from_secs(seconds);
            enough_are_out(&stage.history, &stage.policy, rehearsing, now)
        };
        assert!(!waits("", 0));
        assert!(!waits("out out", 0));
        assert!(waits("out out out", 0));
        assert!(waits("refused refused out", 0));
        assert!(
            !waits("refused out unknown", 0),
            "nobody will answer that one"
        );
        assert!(!waits("out rehearsing", 0));
        assert!(waits("out rehearsing rehearsing", 0));
        assert!(waits("forbidden rehearsing rehearsing", 0));
        assert!(waits("forbidden refused forbidden rehearsing", 300));
        // Open: the gate says so at once. Half open: one tries, the others wait for it.
        assert!(!waits("refused refused refused out", 0));
        assert!(!waits("refused refused refused", 300));
    }

    #[test]
    fn the_others_wait_for_the_one_that_tries() {
        let mut stage = Stage::memory();
        let step = stage.step.clone();
        for ago in [302, 301, 300] {
            stage.act(ago, step.clone(), Some(refused()));
        }
        stage.act(0, step, None);
        assert!(enough_are_out(&stage.history, &stage.policy, 0, stage.now));
    }

    fn name(circuit: &Circuit) -> String {
        match circuit {
            Circuit::Closed { failures } => format!("closed {failures}"),
            Circuit::Open { failures, .. } => format!("open {failures}"),
            Circuit::HalfOpen { probing } => {
                format!(
                    "half open {}",
                    probing.as_ref().map_or("-", PermitId::as_str)
                )
            }
        }
    }

    #[test]
    fn where_it_stands() {
        for (acts, seconds, expected) in [
            ("", 0, "closed 0"),
            ("refused refused", 0, "closed 2"),
            ("refused refused refused", 0, "open 3"),
            ("refused refused refused", 299, "open 3"),
            ("refused refused refused", 300, "half open -"),
            ("refused done refused refused", 0, "closed 2"),
            ("refused refused refused done", 0, "closed 0"),
            // Neither failures nor successes: the row goes on over them.
            ("refused stale refused blocked expired refused", 0, "open 3"),
            ("refused notdone unknown refused", 0, "closed 2"),
            ("stale stale stale stale", 0, "closed 0"),
            // A forbidden rehearsal is a failure like a refused write; only a done write ends the row.
            ("forbidden forbidden", 0, "closed 2"),
            ("forbidden refused forbidden", 0, "open 3"),
            ("forbidden forbidden forbidden", 299, "open 3"),
            ("forbidden forbidden forbidden", 300, "half open -"),
            ("forbidden forbidden done forbidden", 0, "closed 1"),
            ("done forbidden stale forbidden forbidden", 0, "open 3"),
            // A write that was out when the circuit opened is not the one that tries.
            ("refused refused out refused", 300, "half open -"),
        ] {
            assert_eq!(name(&after(acts, seconds)), expected, "{acts} +{seconds}");
        }
    }

    /// Three refusals, and then one try 300 s later with that outcome.
    fn tried(outcome: Option<ActOutcome>, seconds: i64) -> String {
        let mut stage = Stage::memory();
        let step = stage.step.clone();
        for ago in [302, 301, 300] {
            stage.act(ago, step.clone(), Some(refused()));
        }
        stage.act(0, step, outcome);
        let now = stage.now + SignedDuration::from_secs(seconds);
        name(&circuit(&stage.history, &stage.policy, now))
    }

    #[test]
    fn half_open_lets_exactly_one_through() {
        let unknown = ActOutcome::Unknown { why: String::new() };
        let stale = ActOutcome::Stale { why: String::new() };
        assert_eq!(tried(None, 0), "half open permit-4");
        assert_eq!(tried(None, 10_000), "half open permit-4");
        assert_eq!(tried(Some(unknown), 5), "half open permit-4");
        assert_eq!(tried(Some(stale), 5), "half open -");
        assert_eq!(tried(Some(refused()), 5), "open 4");
        assert_eq!(tried(Some(refused()), 300), "half open -");
        assert_eq!(tried(Some(done()), 5), "closed 0");
    }

    #[test]
    fn a_write_that_was_sent_before_a_refusal_and_is_done_after_it_proves_nothing() {
        let mut stage = Stage::memory();
        let step = stage.step.clone();
        stage.act(9, step.clone(), None);
        for _ in 0..3 {
            stage.history.record_refused_rehearsal(stage.now);
        }
        let sent_before = stage.history.acts[0].permit.clone();
        stage.history.record_outcome(&sent_before, done());
        let now = stage.now + SignedDuration::from_secs(5);
        let stands = |stage: &Stage| name(&circuit(&stage.history, &stage.policy, now));
        assert_eq!(stands(&stage), "open 3");
        stage.act(0, step, Some(done()));
        assert_eq!(stands(&stage), "closed 0");
    }
}
