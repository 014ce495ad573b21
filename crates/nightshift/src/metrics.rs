//! Metrics for Prometheus: a projection of what the engine was told and decided, kept by one hook,
//! [`Metrics::observe`]. Labels take few values each: no names of workloads, no text.

mod known;

use jiff::Timestamp;
use known::{Known, KnownIncident, started};
use nightshift_core::engine::{Decision, Effect, Input};
use nightshift_core::guard::circuit::{Circuit, circuit};
use nightshift_core::guard::{Ruling, Verdict};
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::PermitId;
use nightshift_core::incident::{Incident, Outcome};
use nightshift_core::record::{Entry, EntryKind};
use nightshift_core::signal::{Signal, SignalBody};
use nightshift_core::world::{Coverage, Source};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: detection is meant to take less than one, persistence adds minutes.
const DETECTION_BUCKETS: [f64; 12] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
/// Upper bounds in seconds, from the opening of an incident to its verified end.
const MITIGATION_BUCKETS: [f64; 10] = [
    5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0,
];

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;

/// All metrics of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    signals: Counters,
    rejected: Counter,
    suppressed: Counter,
    opened: Counters,
    not_opened: Counter,
    full: Family<Labels, Gauge>,
    closed: Counters,
    actions: Counters,
    rulings: Counters,
    open: Gauge,
    waiting: Gauge,
    blind: Family<Labels, Gauge>,
    breaker_open: Gauge,
    recording: Gauge,
    undelivered: Gauge,
    dead: Gauge,
    detection: Histogram,
    mitigation: Histogram,
    /// What the counters need to remember between inputs.
    known: Mutex<Known>,
}

impl Default for Metrics {
    #[expect(clippy::too_many_lines, reason = "a table with one entry a metric")]
    fn default() -> Self {
        let mut registry = Registry::with_prefix("nightshift");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the agent", build);
        let r = &mut registry;
        Self {
            signals: add(r, "signals", "Signals heard, by where they came from"),
            rejected: add(r, "alerts_rejected", "Alerts that could not be used"),
            suppressed: add(
                r,
                "alerts_suppressed",
                "Alerts that repeat one being handled",
            ),
            opened: add(
                r,
                "incidents_opened",
                "Incidents opened, by fault class at the opening",
            ),
            not_opened: add(
                r,
                "incidents_not_opened",
                "Incidents that were not opened because as many were open as may be",
            ),
            full: add(
                r,
                "incidents_full",
                "1 where as many incidents are open as may be, else 0, by what opened them",
            ),
            closed: add(r, "incidents_closed", "Incidents closed, by how they ended"),
            actions: add(
                r,
                "actions",
                "Writes to the cluster, by action and what became of them",
            ),
            rulings: add(
                r,
                "gate_rulings",
                "Rulings of the guard, by gate and verdict",
            ),
            open: add(r, "incidents_open", "Incidents that are not closed"),
            waiting: add(
                r,
                "incidents_waiting_for_person",
                "Open incidents that wait for a person",
            ),
            blind: add(
                r,
                "source_blind",
                "1 where a source of the cluster is not seen, else 0",
            ),
            breaker_open: add(
                r,
                "breaker_open",
                "1 while the circuit breaker lets nothing through, else 0",
            ),
            recording: add(r, "recording", "1 where inputs can be recorded, else 0"),
            undelivered: add(r, "notices_undelivered", "Notices that nobody got yet"),
            dead: add(
                r,
                "notices_dead",
                "Notices that were given up: nobody heard them",
            ),
            detection: add_as(
                r,
                "detection_seconds",
                "From when the cluster says that a fault began to its first diagnosis",
                Histogram::new(DETECTION_BUCKETS),
            ),
            mitigation: add_as(
                r,
                "mitigation_seconds",
                "From the opening of an incident to its verified repair",
                Histogram::new(MITIGATION_BUCKETS),
            ),
            known: Mutex::default(),
            registry,
        }
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add_as(registry, name, help, M::default())
}

fn add_as<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Counts one input and what was decided on it. To be called once for each, after the commit.
    pub fn observe(&self, input: &Input, decision: &Decision, at: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match input {
            Input::Start(checkpoint) => started(&mut known, checkpoint),
            Input::Signal(signal) => self.heard(signal),
            Input::Rejected { .. } => drop(self.rejected.inc()),
            Input::Acted { permit, outcome } => {
                self.acted(&known, permit, outcome);
                known.history.record_outcome(permit, outcome.clone());
            }
            Input::Observed { .. }
            | Input::NotObserved { .. }
            | Input::Rehearsed { .. }
            | Input::KnownGood { .. }
            | Input::Stopping
            | Input::Tick => {}
        }
        for entry in &decision.batch.entries {
            self.recorded(entry);
        }
        let Known {
            history, policy, ..
        } = &mut *known;
        for effect in &decision.effects {
            if let Effect::Act(permit) = effect {
                let step = permit.step();
                let owner = step.check.owner.clone();
                let (permit, incident) = (permit.id().clone(), step.incident.clone());
                history.record_intent(permit, incident, owner, step.clone(), at);
                history.prune(policy, at);
            }
        }
        if let Some(refusal) = decision.batch.refused_rehearsal.clone() {
            history.keep_refused_rehearsal(refusal);
        }
        for incident in &decision.batch.incidents {
            self.changed(&mut known, incident, at);
        }
        let waiting = known
            .incidents
            .values()
            .filter(|incident| incident.is_waiting)
            .count();
        self.open.set(gauge(known.incidents.len()));
        self.waiting.set(gauge(waiting));
        for (of, limit, count) in known.counts() {
            let labels = vec![("of", of.to_owned())];
            let is_full = i64::from(count >= limit);
            self.full.get_or_create(&labels).set(is_full);
        }
    }

    /// What opens no more incidents now, with why.
    pub fn full(&self) -> BTreeMap<&'static str, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let full = known.counts().into_iter();
        full.filter(|(_, limit, count)| count >= limit)
            .map(|(of, _, count)| {
                (
                    of,
                    format!("{count} incidents are open: no more are opened"),
                )
            })
            .collect()
    }

    /// Says which sources are seen now.
    pub fn set_coverage(&self, coverage: &BTreeMap<Source, Coverage>) {
        for (source, coverage) in coverage {
            let is_blind = matches!(coverage, Coverage::Blind { .. });
            let labels = vec![("source", format!("{source:?}"))];
            self.blind.get_or_create(&labels).set(i64::from(is_blind));
        }
    }

    /// Says whether inputs can be recorded now.
    pub fn set_recording(&self, is_recording: bool) {
        self.recording.set(i64::from(is_recording));
    }

    /// Says how many notices wait for delivery, and how many were given up.
    pub fn set_notices(&self, undelivered: i64, dead: i64) {
        self.undelivered.set(undelivered);
        self.dead.set(dead);
    }

    /// All metrics in the text format of OpenMetrics, as they stand at `now`.
    pub fn render(&self, now: Timestamp) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = circuit(&known.history, &known.policy, now);
        drop(known);
        self.breaker_open.set(match breaker {
            Circuit::Open { .. } => 1,
            Circuit::Closed { .. } | Circuit::HalfOpen { .. } => 0,
        });
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String never fails");
        text
    }

    fn heard(&self, signal: &Signal) {
        let source = match signal.body {
            SignalBody::Watch => "watch",
            SignalBody::Alert(_) => "alertmanager",
        };
        self.signals
            .get_or_create(&vec![("source", source.to_owned())])
            .inc();
    }

    fn acted(&self, known: &Known, permit: &PermitId, outcome: &ActOutcome) {
        let outcome = match outcome {
            ActOutcome::Done { .. } => "done",
            ActOutcome::Refused { .. } => "refused",
            ActOutcome::Blocked { .. } => "blocked",
            ActOutcome::Stale { .. } => "stale",
            ActOutcome::Expired => "expired",
            ActOutcome::Unknown { .. } => "unknown",
            ActOutcome::NotDone { .. } => "not_done",
        };
        let act = known
            .history
            .acts
            .iter()
            .rev()
            .find(|act| act.permit == *permit);
        let Some(word) = act.map(|act| act.step.action.word()) else {
            return;
        };
        let labels = vec![("action", word.to_owned()), ("outcome", outcome.to_owned())];
        self.actions.get_or_create(&labels).inc();
    }

    fn recorded(&self, entry: &Entry) {
        match entry.kind {
            EntryKind::Suppressed => drop(self.suppressed.inc()),
            EntryKind::NotOpened => drop(self.not_opened.inc()),
            EntryKind::Ruled => self.ruled(entry),
            _ => {}
        }
    }

    fn ruled(&self, entry: &Entry) {
        let rulings = entry.body.get("rulings").cloned().unwrap_or_default();
        for Ruling {
            gate,
            verdict,
            reason: _,
        } in serde_json::from_value::<Vec<Ruling>>(rulings).unwrap_or_default()
        {
            let verdict = match verdict {
                Verdict::Pass => "pass",
                Verdict::Ask => "ask",
                Verdict::Deny => "deny",
            };
            let labels = vec![("gate", gate), ("verdict", verdict.to_owned())];
            self.rulings.get_or_create(&labels).inc();
        }
    }

    fn changed(&self, known: &mut Known, incident: &Incident, at: Timestamp) {
        let before = known.incidents.get(&incident.id).copied();
        if before.is_none() {
            let class = incident.fingerprint.class.to_string();
            self.opened.get_or_create(&vec![("class", class)]).inc();
        }
        if let Some(diagnosis) = &incident.diagnosis
            && before.is_none_or(|before| !before.is_diagnosed)
        {
            self.detection.observe(seconds_between(diagnosis.since, at));
        }
        let Some(outcome) = &incident.outcome else {
            known
                .incidents
                .insert(incident.id.clone(), KnownIncident::of(incident));
            return;
        };
        known.incidents.remove(&incident.id);
        let outcome = match outcome {
            Outcome::Fixed => "fixed",
            Outcome::Recovered => "recovered",
            Outcome::Merged(_) => "merged",
            Outcome::Gone => "gone",
            Outcome::Expired => "expired",
        };
        self.closed
            .get_or_create(&vec![("outcome", outcome.to_owned())])
            .inc();
        if incident.outcome == Some(Outcome::Fixed) {
            self.mitigation
                .observe(seconds_between(incident.opened_at, at));
        }
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{At, decision, incident, step};
    use nightshift_core::engine::Checkpoint;
    use nightshift_core::history::{Act, History, Refusal};
    use nightshift_core::incident::Phase;

    fn has(metrics: &Metrics, minute: i64, line: &str) {
        let text = metrics.render(At::minutes(minute));
        assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
    }

    fn start(checkpoint: Checkpoint) -> Input {
        Input::Start(Box::new(checkpoint))
    }

    #[test]
    fn an_incident_is_open_waits_and_is_closed_once() {
        let metrics = Metrics::default();
        let told = |phase, outcome| {
            let mut one = incident("inc-1", "cart", phase, 0);
            one.outcome = outcome;
            metrics.observe(&Input::Tick, &decision(vec![one]), At::minutes(1));
        };
        told(Phase::Open, None);
        has(&metrics, 1, "nightshift_incidents_open 1");
        has(&metrics, 1, "nightshift_incidents_waiting_for_person 0");
        told(Phase::Waiting, None);
        has(&metrics, 1, "nightshift_incidents_waiting_for_person 1");
        told(Phase::Closed, Some(Outcome::Recovered));
        has(&metrics, 1, "nightshift_incidents_open 0");
        has(&metrics, 1, "nightshift_incidents_waiting_for_person 0");
        let opened = "nightshift_incidents_opened_total{class=\"CrashLoop\"} 1";
        has(&metrics, 1, opened);
        has(
            &metrics,
            1,
            "nightshift_incidents_closed_total{outcome=\"recovered\"} 1",
        );
    }

    #[test]
    fn a_start_brings_what_was_open_and_counts_it_as_opened_before() {
        let metrics = Metrics::default();
        let open = vec![incident("inc-1", "cart", Phase::Waiting, 0)];
        let checkpoint = Checkpoint {
            open: open.clone(),
            ..Checkpoint::default()
        };
        for _ in 0..2 {
            let nothing = Decision::default();
            metrics.observe(&start(checkpoint.clone()), &nothing, At::minutes(1));
            metrics.observe(&Input::Tick, &decision(open.clone()), At::minutes(1));
        }
        has(&metrics, 1, "nightshift_incidents_open 1");
        has(&metrics, 1, "nightshift_incidents_waiting_for_person 1");
        let text = metrics.render(At::minutes(1));
        assert!(!text.contains("incidents_opened_total{"), "{text}");
    }

    #[test]
    fn the_breaker_is_open_for_its_time_after_three_refusals() {
        let metrics = Metrics::default();
        let act = |n: i64| Act {
            permit: format!("p{n}").as_str().into(),
            incident: "inc-1".into(),
            owner: step().check.owner,
            step: step(),
            at: At::minutes(n),
            outcome: None,
        };
        let checkpoint = Checkpoint {
            history: History {
                acts: (0..3).map(act).collect(),
                ..History::default()
            },
            ..Checkpoint::default()
        };
        let nothing = Decision::default();
        metrics.observe(&start(checkpoint), &nothing, At::minutes(2));
        has(&metrics, 2, "nightshift_breaker_open 0");
        for n in 0..3 {
            let refused = Input::Acted {
                permit: format!("p{n}").as_str().into(),
                outcome: ActOutcome::Refused { why: String::new() },
            };
            metrics.observe(&refused, &nothing, At::minutes(2));
        }
        has(&metrics, 2, "nightshift_breaker_open 1");
        has(&metrics, 7, "nightshift_breaker_open 0");
        has(
            &metrics,
            2,
            "nightshift_actions_total{action=\"delete_pod\",outcome=\"refused\"} 3",
        );
    }

    #[test]
    fn forbidden_rehearsals_open_the_breaker_too() {
        let metrics = Metrics::default();
        metrics.observe(
            &start(Checkpoint::default()),
            &Decision::default(),
            At::minutes(2),
        );
        for _ in 0..3 {
            has(&metrics, 2, "nightshift_breaker_open 0");
            let mut refused = Decision::default();
            refused.batch.refused_rehearsal = Some(Refusal {
                at: At::minutes(2),
                after: None,
            });
            metrics.observe(&Input::Tick, &refused, At::minutes(2));
        }
        has(&metrics, 2, "nightshift_breaker_open 1");
    }

    #[test]
    fn blind_sources_and_notices_are_what_was_said_last() {
        let metrics = Metrics::default();
        let blind = Coverage::Blind { why: String::new() };
        let of = |coverage| BTreeMap::from([(Source::Pods, coverage)]);
        metrics.set_coverage(&of(blind));
        has(&metrics, 0, "nightshift_source_blind{source=\"Pods\"} 1");
        metrics.set_coverage(&of(Coverage::Seen { age_ms: 0 }));
        has(&metrics, 0, "nightshift_source_blind{source=\"Pods\"} 0");
        metrics.set_notices(2, 1);
        has(&metrics, 0, "nightshift_notices_undelivered 2");
        has(&metrics, 0, "nightshift_notices_dead 1");
    }
}
