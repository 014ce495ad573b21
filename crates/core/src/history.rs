//! What was done before: the facts that counts, budgets, breaker and "cordoned by us" rest on.
//! Rebuilt from the record at start.

use crate::diagnose::FaultClass;
use crate::ids::{IncidentId, PermitId, Uid};
use crate::incident::{Incident, Outcome};
use crate::plan::{Action, Step};
use crate::policy::Policy;
use crate::world::ObjectRef;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The field manager of every write of ours, as `managedFields` shows it.
pub const FIELD_MANAGER: &str = "nightshift";

/// Acts kept. Past it counts could miss something, so the guard asks before every step.
pub const MAX_ACTS: usize = 20_000;

/// The newest acts are kept whatever their age: the circuit breaker counts failures in a row.
pub const ALWAYS_KEPT: usize = 100;

/// Known good revisions kept, newest first: a forgotten one only means that nothing is rolled back
/// to it.
pub const MAX_KNOWN_GOOD: usize = 50_000;

/// Workloads kept that were killed for their memory, newest first: a forgotten one only means that its
/// limit may be raised once more.
pub const MAX_OOM_KILLS: usize = 10_000;

/// Everything that was intended, with its result where one is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Acts, oldest first.
    pub acts: Vec<Act>,
    /// Revisions (ReplicaSet or ControllerRevision) that were seen fully available for 10 minutes.
    pub known_good: BTreeMap<Uid, Timestamp>,
    /// Workloads with an incident that was an OOM kill, by kind, namespace and name (a workload that
    /// is created anew is the same one), and when the newest of these incidents was closed.
    #[serde(default)]
    pub oom_kills: BTreeMap<String, Timestamp>,
    /// The newest rehearsals that were failures for the breaker, oldest first, at most
    /// [`ALWAYS_KEPT`].
    #[serde(default)]
    pub refused_rehearsals: Vec<Refusal>,
}

impl History {
    /// Remembers a write that is about to be sent.
    pub fn record_intent(
        &mut self,
        permit: PermitId,
        incident: IncidentId,
        owner: ObjectRef,
        step: Step,
        at: Timestamp,
    ) {
        self.acts.push(Act {
            permit,
            incident,
            owner,
            step,
            at,
            outcome: None,
        });
    }

    /// Remembers what became of a write and returns its incident, if the write was out. A final
    /// answer is never replaced by a later one.
    pub fn record_outcome(&mut self, permit: &PermitId, outcome: ActOutcome) -> Option<IncidentId> {
        let mut acts = self.acts.iter_mut();
        let act = acts.find(|act| act.permit == *permit && act.is_out())?;
        act.outcome = Some(outcome);
        Some(act.incident.clone())
    }

    /// Remembers a rehearsal that was a failure for the breaker, and returns what is to be kept of it.
    pub fn record_refused_rehearsal(&mut self, at: Timestamp) -> Refusal {
        let after = self.acts.last().map(|act| act.permit.clone());
        let refusal = Refusal { at, after };
        self.keep_refused_rehearsal(refusal.clone());
        refusal
    }

    /// Remembers a rehearsal as it was recorded, newest last.
    pub fn keep_refused_rehearsal(&mut self, refusal: Refusal) {
        let most = self.refused_rehearsals.len() + 1;
        let too_many = most.saturating_sub(ALWAYS_KEPT);
        self.refused_rehearsals.drain(..too_many);
        self.refused_rehearsals.push(refusal);
    }

    /// Permits that are out: the write may be under way, or nobody knows whether it happened.
    pub fn open_permits(&self) -> impl Iterator<Item = &Act> {
        self.acts.iter().filter(|act| act.is_out())
    }

    /// Acts that happened, or may have, since `since`: without the taking back of earlier ones,
    /// which no cool-down counts.
    pub fn happened_since(&self, since: Timestamp) -> impl Iterator<Item = &Act> {
        self.acts
            .iter()
            .filter(move |act| act.at >= since && act.may_have_happened() && !act.step.is_undo)
    }

    /// How often the action of that word was carried out on the owner since `since`.
    pub fn attempts(&self, owner: &ObjectRef, word: &str, since: Timestamp) -> usize {
        self.happened_since(since)
            .filter(|act| act.step.action.word() == word && same(&act.owner, owner))
            .count()
    }

    /// Whether we changed a memory limit of the owner (they are only ever raised) since `since`.
    pub fn memory_raised_since(&self, owner: &ObjectRef, since: Timestamp) -> bool {
        self.happened_since(since).any(|act| {
            let raised = matches!(act.step.action, Action::SetMemory { .. });
            raised && (same(&act.owner, owner) || same(&act.step.target, owner))
        })
    }

    /// Remembers of a closed incident what later ones rest on: that it was an OOM kill. One that was
    /// merged goes on in another.
    pub fn record_closed(&mut self, incident: &Incident) {
        let is_oom_kill = incident.fingerprint.class == FaultClass::OomKilled;
        let goes_on = matches!(incident.outcome, Some(Outcome::Merged(_)));
        if let Some(at) = incident.closed_at.filter(|_| is_oom_kill && !goes_on) {
            self.record_oom_kill(&incident.owner, at);
        }
    }

    /// Remembers that an incident of the owner was an OOM kill and ended then.
    pub(crate) fn record_oom_kill(&mut self, owner: &ObjectRef, at: Timestamp) {
        let newest = self.oom_kills.entry(owner.to_string()).or_insert(at);
        *newest = at.max(*newest);
        keep_newest(&mut self.oom_kills, MAX_OOM_KILLS);
    }

    /// Whether an earlier incident of the owner was an OOM kill and ended since `since`.
    pub fn oom_killed_since(&self, owner: &ObjectRef, since: Timestamp) -> bool {
        let newest = self.oom_kills.get(&owner.to_string());
        newest.is_some_and(|at| *at >= since)
    }

    /// Our cordon of the node, if the last thing that we did to its schedulability was a cordon
    /// that is done.
    pub fn our_cordon(&self, node: &Uid) -> Option<&Act> {
        let last = self.acts.iter().rev().find(|act| {
            let turns = matches!(act.step.action, Action::Cordon | Action::Uncordon);
            turns && act.step.target.uid == *node && act.is_done()
        });
        last.filter(|act| act.step.action == Action::Cordon)
    }

    /// Whether our own record says that the node is cordoned by us.
    pub fn cordoned_by_us(&self, node: &Uid) -> bool {
        self.our_cordon(node).is_some()
    }

    /// The done act that `undo` takes back. Its budget was reserved with that act's permit: no
    /// cool-down counts or stops an undo that has one.
    pub fn taken_back_by(&self, undo: &Step) -> Option<&Act> {
        self.acts.iter().rev().find(|act| {
            act.is_done()
                && !act.step.is_undo
                && act.incident == undo.incident
                && act.step.target.uid == undo.target.uid
                && act.step.undo.as_ref() == Some(&undo.action)
        })
    }

    /// Forgets what no rule looks at any more: everything but open permits, standing cordons, the
    /// newest acts and what lies within the longest window of the policy.
    pub fn prune(&mut self, policy: &Policy, now: Timestamp) {
        let window = policy
            .oom_again_window
            .max(policy.same_action_window)
            .max(policy.breaker_open_for);
        let oldest = before(now, window);
        let newest = self.acts.len().saturating_sub(ALWAYS_KEPT);
        let cordons: BTreeSet<PermitId> = self
            .acts
            .iter()
            .filter(|act| act.step.action == Action::Cordon)
            .filter_map(|act| self.our_cordon(&act.step.target.uid))
            .map(|act| act.permit.clone())
            .collect();
        let mut index = 0;
        self.acts.retain(|act| {
            index += 1;
            index > newest || act.at >= oldest || act.is_out() || cordons.contains(&act.permit)
        });
        self.oom_kills.retain(|_, at| *at >= oldest);
        keep_newest(&mut self.known_good, MAX_KNOWN_GOOD);
    }
}

fn keep_newest<K: Ord + Clone>(times: &mut BTreeMap<K, Timestamp>, most: usize) {
    while times.len() > most {
        let oldest = times.iter().min_by_key(|(_, at)| **at);
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return;
        };
        times.remove(&key);
    }
}

/// `now - window`; the beginning of time where that is not representable.
pub(crate) fn before(now: Timestamp, window: SignedDuration) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// Same object, or another incarnation of it under the same name: deleting and creating a workload
/// anew does not wipe what was tried on it.
fn same(a: &ObjectRef, b: &ObjectRef) -> bool {
    a.uid == b.uid || a.same_name(b)
}

/// One intended write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The permit that allowed it.
    pub permit: PermitId,
    /// The incident.
    pub incident: IncidentId,
    /// The incident's owner (workload or node).
    pub owner: ObjectRef,
    /// The step.
    pub step: Step,
    /// When the intent was recorded.
    pub at: Timestamp,
    /// What became of it; `None` while it is out.
    pub outcome: Option<ActOutcome>,
}

impl Act {
    /// Whether it has no final answer yet.
    pub fn is_out(&self) -> bool {
        matches!(self.outcome, None | Some(ActOutcome::Unknown { .. }))
    }

    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Some(ActOutcome::Done { .. }))
    }

    /// Whether it was done or may have been.
    pub fn may_have_happened(&self) -> bool {
        self.is_done() || self.is_out()
    }
}

/// A rehearsal that was a failure for the breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When its answer came.
    pub at: Timestamp,
    /// The newest write that was intended before: its place in the row, whatever clocks say.
    pub after: Option<PermitId>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActOutcome {
    /// Done.
    Done {
        /// Generation of the target after the write (0 where it has none).
        generation: i64,
        /// `resourceVersion` after the write, to relate it to the audit log.
        resource_version: String,
    },
    /// The server refused it: a failure for the breaker (403 too).
    Refused {
        /// Reason.
        why: String,
    },
    /// A budget refused an eviction for now (429, or 201 with `status: Failure`): no failure.
    Blocked {
        /// Reason.
        why: String,
    },
    /// The basis changed, or 409 three times: plan again; no failure.
    Stale {
        /// Reason.
        why: String,
    },
    /// The permit had expired before it was used: plan again; no failure.
    Expired,
    /// No answer: it may have happened. It is read back, never repeated blindly.
    Unknown {
        /// Reason.
        why: String,
    },
    /// Read back: it did not happen.
    NotDone {
        /// Reason.
        why: String,
    },
}

impl std::fmt::Display for ActOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done { .. } => f.write_str("done"),
            Self::Refused { why } => write!(f, "refused: {why}"),
            Self::Blocked { why } => write!(f, "blocked: {why}"),
            Self::Stale { why } => write!(f, "stale: {why}"),
            Self::Expired => f.write_str("the permit had expired"),
            Self::Unknown { why } => write!(f, "no answer: {why}"),
            Self::NotDone { why } => write!(f, "not done: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::stage::{Stage, done, refused};

    fn unknown() -> ActOutcome {
        ActOutcome::Unknown { why: String::new() }
    }

    fn not_done() -> ActOutcome {
        ActOutcome::NotDone { why: String::new() }
    }

    /// The same step with each of the outcomes, one minute apart, the last one a minute ago.
    fn acts(stage: Stage, outcomes: &[Option<ActOutcome>]) -> Stage {
        stage.with(|s| {
            let mut ago = 60 * i64::try_from(outcomes.len()).expect("few");
            for outcome in outcomes {
                let step = s.step.clone();
                s.act(ago, step, outcome.clone());
                ago -= 60;
            }
        })
    }

    #[test]
    fn a_permit_is_out_until_its_result_is_known() {
        let mut history = acts(Stage::memory(), &[None, Some(unknown()), Some(done())]).history;
        let open = |history: &History| -> Vec<String> {
            history
                .open_permits()
                .map(|act| act.permit.to_string())
                .collect()
        };
        assert_eq!(open(&history), ["permit-1", "permit-2"]);
        history.record_outcome(&"permit-2".into(), not_done());
        history.record_outcome(&"permit-9".into(), done());
        assert_eq!(open(&history), ["permit-1"]);
    }

    #[test]
    fn a_final_answer_stands() {
        let mut history = acts(Stage::memory(), &[Some(done())]).history;
        history.record_outcome(&"permit-1".into(), unknown());
        assert_eq!(history.acts[0].outcome, Some(done()));
    }

    #[test]
    fn attempts_are_those_that_happened_or_may_have() {
        let outcomes = [
            Some(done()),
            Some(unknown()),
            None,
            Some(not_done()),
            Some(refused()),
        ];
        let stage = acts(Stage::memory(), &outcomes);
        let owner = &stage.step.check.owner;
        let count = |word: &str, minutes: i64| {
            let since = before(stage.now, SignedDuration::from_mins(minutes));
            stage.history.attempts(owner, word, since)
        };
        assert_eq!(count("patch_memory_limit", 60), 3);
        assert_eq!(count("patch_memory_limit", 4), 2);
        assert_eq!(count("patch_image", 60), 0);
    }

    #[test]
    fn the_last_done_turn_of_a_node_says_whether_it_is_cordoned_by_us() {
        let cordoned = |turns: &[(Action, Option<ActOutcome>)]| {
            let mut stage = Stage::cordon();
            for (action, outcome) in turns {
                let mut step = stage.step.clone();
                step.action = action.clone();
                stage.act(60, step, outcome.clone());
            }
            stage.history.cordoned_by_us(&stage.step.target.uid)
        };
        let (cordon, uncordon) = (Action::Cordon, Action::Uncordon);
        assert!(!cordoned(&[]));
        assert!(!cordoned(&[(cordon.clone(), None)]));
        assert!(!cordoned(&[(cordon.clone(), Some(refused()))]));
        assert!(cordoned(&[(cordon.clone(), Some(done()))]));
        assert!(cordoned(&[
            (cordon.clone(), Some(done())),
            (uncordon.clone(), Some(refused()))
        ]));
        assert!(!cordoned(&[
            (cordon.clone(), Some(done())),
            (uncordon.clone(), Some(done()))
        ]));
        assert!(cordoned(&[
            (cordon.clone(), Some(done())),
            (uncordon, Some(done())),
            (cordon, Some(done())),
        ]));
        let other = acts(Stage::cordon(), &[Some(done())]).history;
        assert!(!other.cordoned_by_us(&"another-node".into()));
    }

    #[test]
    fn memory_is_raised_by_done_or_possible_acts_on_the_owner() {
        let raised = |stage: &Stage| {
            let since = before(stage.now, SignedDuration::from_hours(1));
            stage
                .history
                .memory_raised_since(&stage.step.check.owner, since)
        };
        assert!(raised(&acts(Stage::memory(), &[Some(done())])));
        assert!(raised(&acts(Stage::memory(), &[Some(unknown())])));
        assert!(!raised(&acts(Stage::memory(), &[Some(not_done())])));
        assert!(!raised(&acts(Stage::image(), &[Some(done())])));
        let other = acts(Stage::memory(), &[Some(done())]).with(|s| {
            s.step.check.owner = Stage::delete_pod().step.check.owner;
        });
        assert!(!raised(&other));
    }

    #[test]
    fn only_the_inverse_of_a_done_act_takes_it_back() {
        let undo = Stage::memory().taken_back();
        assert!(undo.history.taken_back_by(&undo.step).is_some());
        let mut other = undo.step.clone();
        other.action = Action::Cordon;
        assert_eq!(undo.history.taken_back_by(&other), None);
        let mut out = undo.history.clone();
        out.acts[0].outcome = None;
        assert_eq!(out.taken_back_by(&undo.step), None);
    }

    #[test]
    fn prune_keeps_what_some_rule_still_looks_at() {
        let week = 7 * 24 * 3600;
        let mut stage = Stage::cordon();
        let cordon = stage.step.clone();
        let mut settled = cordon.clone();
        settled.target.uid = "back-again".into();
        let mut freed = settled.clone();
        freed.action = Action::Uncordon;
        let memory = Stage::memory().step;
        stage.act(9 * week, cordon, Some(done()));
        stage.act(9 * week, settled, Some(done()));
        stage.act(8 * week, freed, Some(done()));
        stage.act(2 * week, memory.clone(), None);
        stage.act(2 * week, memory.clone(), Some(done()));
        stage.act(week, memory.clone(), Some(done()));
        for _ in 0..ALWAYS_KEPT {
            stage.act(week - 1, memory.clone(), Some(refused()));
        }
        let (policy, now) = (stage.policy.clone(), stage.now);
        stage.history.prune(&policy, now);
        let kept = stage.history.acts.iter().map(|act| act.permit.as_str());
        let first: Vec<_> = kept.take(3).collect();
        assert_eq!(first, ["permit-1", "permit-4", "permit-6"]);
        assert_eq!(stage.history.acts.len(), 3 + ALWAYS_KEPT);
    }

    #[test]
    fn prune_keeps_the_newest_acts_of_any_age_for_the_breaker() {
        let mut stage = acts(
            Stage::memory(),
            &[Some(refused()), Some(refused()), Some(refused())],
        );
        let later = stage.now + SignedDuration::from_hours(24 * 365);
        let policy = stage.policy.clone();
        stage.history.prune(&policy, later);
        assert_eq!(stage.history.acts.len(), 3);
    }

    #[test]
    fn known_good_revisions_are_bounded_to_the_newest() {
        let mut stage = Stage::memory();
        let good = &mut stage.history.known_good;
        for n in 0..=MAX_KNOWN_GOOD {
            let at = stage.now + SignedDuration::from_secs(i64::try_from(n).expect("few"));
            good.insert(format!("rs-{n}").into(), at);
        }
        let (policy, now) = (stage.policy.clone(), stage.now);
        stage.history.prune(&policy, now);
        assert_eq!(stage.history.known_good.len(), MAX_KNOWN_GOOD);
        assert!(!stage.history.known_good.contains_key(&"rs-0".into()));
    }

    #[test]
    fn oom_kills_are_known_by_name_for_as_long_as_a_rule_looks_at_them() {
        let mut stage = Stage::memory();
        let (now, policy) = (stage.now, stage.policy.clone());
        let owner = stage.step.check.owner.clone();
        let ago = |hours| before(now, SignedDuration::from_hours(hours));
        stage.history.record_oom_kill(&owner, ago(24));
        stage.history.record_oom_kill(&owner, ago(48));
        let anew = ObjectRef {
            uid: "created-anew".into(),
            ..owner
        };
        assert!(stage.history.oom_killed_since(&anew, ago(24)));
        assert!(!stage.history.oom_killed_since(&anew, ago(23)));
        let other = Stage::cordon().step.check.owner;
        assert!(!stage.history.oom_killed_since(&other, ago(48)));
        stage.history.prune(&policy, now);
        assert_eq!(stage.history.oom_kills.len(), 1);
        stage
            .history
            .prune(&policy, now + SignedDuration::from_hours(6 * 24 + 1));
        assert!(stage.history.oom_kills.is_empty());
    }
}
