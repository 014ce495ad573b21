//! Which pods of a Job came to their end, and how each is counted exactly once: it is noted, set
//! free of its finalizer, and only then added to the number.

use super::{COMPONENT, Look, Status, TRACKING, Verdict};
use crate::controllers::common::{Condition, count, set_condition};
use crate::controllers::events;
use crate::controllers::pods::{self, Pod};
use crate::kubelet::Phase;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Annotation and label of a pod of an Indexed Job.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// What has come of a Job's pods.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// In all.
    pub(super) succeeded: i64,
    /// In all.
    pub(super) failed: i64,
    /// Not counted yet.
    pub(super) new_succeeded: Vec<Pod>,
    /// Not counted yet.
    pub(super) new_failed: Vec<Pod>,
    /// Indexes that are done, of an Indexed Job.
    pub(super) indexes: BTreeSet<i64>,
    /// Pods that are being deleted and have not come to their end.
    terminating: i64,
}

impl Counted {
    pub(super) fn of(pods: &[Pod], status: &Status) -> Self {
        let tracked = |pod: &&Pod| pod.object.meta.finalizers.iter().any(|one| one == TRACKING);
        let succeeded = |pod: &Pod| pod.facts.phase == Phase::Succeeded;
        let failed = |pod: &Pod| pod.facts.phase == Phase::Failed || pod.terminating();
        let ended = pods.iter().filter(tracked);
        let (new_succeeded, rest): (Vec<&Pod>, Vec<&Pod>) = ended.partition(|pod| succeeded(pod));
        let new_succeeded: Vec<Pod> = new_succeeded.into_iter().cloned().collect();
        let new_failed: Vec<Pod> = rest
            .into_iter()
            .filter(|pod| failed(pod))
            .cloned()
            .collect();
        let mut indexes = parse_indexes(&status.completed_indexes);
        indexes.extend(new_succeeded.iter().filter_map(index));
        let terminating = pods
            .iter()
            .filter(|pod| pod.terminating() && !pod.facts.finished());
        Self {
            succeeded: status.succeeded.saturating_add(count(new_succeeded.len())),
            failed: status.failed.saturating_add(count(new_failed.len())),
            terminating: count(terminating.count()),
            new_succeeded,
            new_failed,
            indexes,
        }
    }
}

/// The index of a pod.
pub(super) fn index(pod: &Pod) -> Option<i64> {
    pod.object.meta.annotations.get(INDEX)?.parse().ok()
}

/// `0-2,5`.
fn parse_indexes(text: &str) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            all.extend(first..=last);
        }
    }
    all
}

/// The inverse.
fn write_indexes(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for &index in indexes {
        match runs.last_mut() {
            Some((_, last)) if last.saturating_add(1) == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let mut text = String::new();
    for (first, last) in runs {
        let comma = if text.is_empty() { "" } else { "," };
        // A run of two is written as two.
        let result = match last.saturating_sub(first) {
            0 => write!(text, "{comma}{first}"),
            1 => write!(text, "{comma}{first},{last}"),
            _ => write!(text, "{comma}{first}-{last}"),
        };
        debug_assert!(result.is_ok(), "writing to a string");
    }
    text
}

impl Look<'_> {
    /// Remembers failures for the back-off.
    pub(super) fn remember(&mut self, counted: &Counted) {
        if !counted.new_succeeded.is_empty() {
            self.failures.remove(self.key);
        }
        let new = u32::try_from(counted.new_failed.len()).unwrap_or(u32::MAX);
        if new > 0 {
            let now = self.cluster.now();
            let (number, last) = self.failures.entry(self.key.clone()).or_insert((0, now));
            *number = number.saturating_add(new);
            *last = now;
        }
    }

    /// Writes the status, in the steps that make each pod count once, and the verdict, when all is
    /// counted.
    pub(super) fn track(
        &mut self,
        mut status: Status,
        counted: &Counted,
        verdict: Option<&Verdict>,
    ) {
        let uid = |pod: &Pod| pod.object.meta.uid.to_string();
        let uncounted = &mut status.uncounted_terminated_pods;
        uncounted.succeeded = counted.new_succeeded.iter().map(uid).collect();
        uncounted.failed = counted.new_failed.iter().map(uid).collect();
        let pods = pods::controlled_by(self.cluster, &self.object.meta.uid);
        let terminating = pods
            .iter()
            .filter(|pod| pod.terminating() && !pod.facts.finished());
        status.terminating = Some(count(terminating.count()).max(counted.terminating));
        if self.spec.indexed() {
            status.completed_indexes = write_indexes(&counted.indexes);
        }
        if let Some(verdict) = verdict {
            let kind = if verdict.success {
                "SuccessCriteriaMet"
            } else {
                "FailureTarget"
            };
            self.declare(&mut status, kind, verdict);
        }
        self.cluster.set_status(self.key, &status);
        for pod in counted.new_succeeded.iter().chain(&counted.new_failed) {
            self.free(pod);
        }
        status.succeeded = counted.succeeded;
        status.failed = counted.failed;
        status.uncounted_terminated_pods = super::Uncounted::default();
        let settled = status.active == 0 && status.terminating == Some(0);
        if let Some(verdict) = verdict.filter(|_| settled) {
            self.finish(&mut status, verdict);
        }
        self.cluster.set_status(self.key, &status);
        self.status = status;
    }

    fn declare(&self, status: &mut Status, kind: &str, verdict: &Verdict) {
        let now = self.cluster.now_seconds();
        let mut new = Condition::new(kind, "True", &verdict.reason, &verdict.message, now);
        new.last_probe_time = Some(now);
        set_condition(&mut status.conditions, new);
    }

    fn finish(&mut self, status: &mut Status, verdict: &Verdict) {
        if verdict.success {
            self.declare(status, "Complete", verdict);
            status.completion_time = Some(self.cluster.now_seconds());
            events::normal(
                self.cluster,
                COMPONENT,
                &self.object,
                "Completed",
                "Job completed",
            );
        } else {
            self.declare(status, "Failed", verdict);
            let (reason, message) = (verdict.reason.clone(), &verdict.message);
            events::warning(self.cluster, COMPONENT, &self.object, reason, message);
        }
    }

    /// Takes the finalizer off a pod.
    fn free(&mut self, pod: &Pod) {
        self.cluster.modify(&pod.key(), |pod| {
            pod.meta.finalizers.retain(|one| one != TRACKING);
        });
    }

    /// Takes the finalizers off what is left of a finished Job.
    pub(super) fn free_pods(&mut self) {
        for pod in pods::controlled_by(self.cluster, &self.object.meta.uid) {
            if pod.object.meta.finalizers.iter().any(|one| one == TRACKING) {
                self.free(&pod);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_indexes, write_indexes};

    #[test]
    fn indexes_are_written_as_runs_and_read_again() {
        for text in ["", "0", "0,1", "0-2", "0-2,5,7,8,10-12"] {
            assert_eq!(write_indexes(&parse_indexes(text)), text);
        }
    }
}
