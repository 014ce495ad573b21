//! One instance of a container: what it logs, and when and how it ends by itself.

use super::run::End;
use crate::behaviour::Behaviour;
use crate::cluster::later;
use crate::events::passed;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// No more lines of a log are made than this; the latest count.
pub const MAX_LINES: usize = 5_000;
/// So many outages of what it needs are remembered.
const MAX_OUTAGES: usize = 16;
/// While something that it needs is away, it complains so often.
const COMPLAINS: Duration = Duration::from_secs(5);
/// A termination message from the log is at most so long (`kubelet/kuberuntime`: 2048 bytes or 80 lines).
const MESSAGE_BYTES: usize = 2048;
const MESSAGE_LINES: usize = 80;

/// A line of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// What, without its line break.
    pub text: String,
}

/// An instance of a container, from its start to its end.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) started: Timestamp,
    pub(super) ended: Option<Timestamp>,
    /// Its behaviour, with the variables in its lines put in.
    pub(super) behaviour: Arc<Behaviour>,
    /// The last thing that it says, if anything.
    pub(super) last_word: String,
    outages: VecDeque<Outage>,
    /// It is not ready because of what it needs.
    held_up: bool,
}

#[derive(Clone, Debug)]
struct Outage {
    from: Timestamp,
    to: Option<Timestamp>,
    line: String,
}

impl Instance {
    pub(super) fn new(started: Timestamp, behaviour: Arc<Behaviour>) -> Self {
        Self {
            started,
            ended: None,
            behaviour,
            last_word: String::new(),
            outages: VecDeque::new(),
            held_up: false,
        }
    }

    pub(super) fn is_held_up(&self) -> bool {
        self.held_up
    }

    /// What it needs is away (with what it says then) or there.
    pub(super) fn needs(&mut self, missing: Option<String>, held_up: bool, now: Timestamp) {
        self.held_up = held_up;
        let open = self.outages.back_mut().filter(|outage| outage.to.is_none());
        match (open, missing) {
            (None, Some(line)) => {
                if self.outages.len() >= MAX_OUTAGES {
                    self.outages.pop_front();
                }
                self.outages.push_back(Outage {
                    from: now,
                    to: None,
                    line,
                });
            }
            (Some(outage), None) => outage.to = Some(now),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Its log until a time.
    pub(super) fn lines(&self, now: Timestamp) -> Vec<LogLine> {
        let until = self.ended.unwrap_or(now);
        let behaviour = &self.behaviour;
        let mut lines: Vec<LogLine> = Vec::new();
        let line = |at, text: &str| LogLine {
            at,
            text: text.to_owned(),
        };
        lines.extend(behaviour.log.iter().map(|text| line(self.started, text)));
        let timed = behaviour.later.iter();
        lines.extend(timed.map(|one| line(later(self.started, one.after.0), &one.line)));
        if let Some(every) = &behaviour.every {
            lines.extend(repeated(self.started, until, every.period.0, &every.line));
        }
        for outage in &self.outages {
            let to = outage.to.unwrap_or(until).min(until);
            lines.extend(repeated(outage.from, to, COMPLAINS, &outage.line));
        }
        lines.retain(|one| one.at <= until);
        if self.ended.is_some() && !self.last_word.is_empty() {
            lines.push(line(until, &self.last_word));
        }
        lines.sort_by_key(|one| one.at);
        let surplus = lines.len().saturating_sub(MAX_LINES);
        lines.drain(..surplus);
        lines
    }

    /// What the status quotes of the log of a failed container (`FallbackToLogsOnError`).
    pub(super) fn message(&self, at: Timestamp) -> String {
        let lines = self.lines(at);
        let surplus = lines.len().saturating_sub(MESSAGE_LINES);
        let last = lines.iter().skip(surplus);
        let text: String = last.flat_map(|line| [line.text.as_str(), "\n"]).collect();
        let cut = text.len().saturating_sub(MESSAGE_BYTES);
        let cut = (cut..=text.len()).find(|at| text.is_char_boundary(*at));
        text.get(cut.unwrap_or(0)..).unwrap_or_default().to_owned()
    }
}

/// A line again and again; of very many only the latest.
fn repeated(
    from: Timestamp,
    to: Timestamp,
    period: Duration,
    text: &str,
) -> impl Iterator<Item = LogLine> {
    let period = period.max(Duration::from_millis(100));
    let all = passed(from, to).as_nanos() / period.as_nanos();
    let all = u32::try_from(all).unwrap_or(u32::MAX);
    let kept = u32::try_from(MAX_LINES).unwrap_or(u32::MAX);
    (all.saturating_sub(kept)..=all).map(move |n| LogLine {
        at: later(from, period.saturating_mul(n)),
        text: text.to_owned(),
    })
}

/// When and how it ends by itself: killed for its memory, or by its own exit.
pub(super) fn planned(
    behaviour: &Behaviour,
    memory_limit: Option<i64>,
    now: Timestamp,
) -> Option<End> {
    let killed = memory_limit.and_then(|limit| behaviour.memory.passes(limit));
    let exit = behaviour.exit.as_ref();
    let exit = exit.filter(|exit| killed.is_none_or(|killed| exit.after.0 <= killed));
    let end = |after: Duration, code: i32, reason: &'static str| End {
        at: later(now, after),
        noticed: later(now, after),
        code,
        reason,
    };
    match (exit, killed) {
        (Some(exit), _) => Some(end(exit.after.0, exit.code, reason_of(exit.code))),
        (None, Some(killed)) => Some(end(killed, 137, "OOMKilled")),
        (None, None) => None,
    }
}

/// The reason that goes with an exit code.
pub(super) fn reason_of(code: i32) -> &'static str {
    if code == 0 { "Completed" } else { "Error" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::{Every, Seconds};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_log_is_made_when_it_is_read() {
        let behaviour = Behaviour {
            log: vec!["up".to_owned()],
            every: Some(Every {
                period: Seconds::from_millis(10_000),
                line: "tick".to_owned(),
            }),
            ..Behaviour::default()
        };
        let mut instance = Instance::new(at(0), Arc::new(behaviour));
        instance.needs(Some("no cart".to_owned()), false, at(12));
        instance.needs(None, false, at(20));
        let texts = |until| {
            let lines = instance.lines(at(until)).into_iter();
            lines
                .map(|line| format!("{} {}", line.at.as_second(), line.text))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            texts(21),
            [
                "0 up",
                "0 tick",
                "10 tick",
                "12 no cart",
                "17 no cart",
                "20 tick"
            ]
        );
        // A year of it costs no more than what is kept.
        assert_eq!(texts(31_536_000).len(), MAX_LINES);
    }

    #[test]
    fn whoever_is_over_the_limit_before_its_end_is_killed() {
        let hog = crate::behaviour::of_program(
            "img.test/app:1",
            &[
                "/app".to_owned(),
                "alloc".to_owned(),
                "-mb".to_owned(),
                "150".to_owned(),
            ],
            &[],
        );
        let hog = hog.unwrap();
        let end = planned(&hog, Some(96 << 20), at(0)).unwrap();
        assert_eq!((end.code, end.reason), (137, "OOMKilled"));
        assert_eq!(planned(&hog, None, at(0)), None);
        let mut instance = Instance::new(at(0), Arc::new(hog));
        instance.ended = Some(end.at);
        assert_eq!(
            instance.message(end.at),
            "allocated 16 MiB\nallocated 32 MiB\nallocated 48 MiB\nallocated 64 MiB\nallocated 80 MiB\n"
        );
    }
}
