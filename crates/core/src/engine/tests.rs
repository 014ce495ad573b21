//! Stories of the engine alone: a driver answers its effects from small worlds, in virtual time.

mod breaker;

use super::*;
use crate::diagnose::FaultClass;
use crate::guard::Rehearsal;
use crate::history::ActOutcome;
use crate::incident::{Outcome, Phase};
use crate::policy::Autonomy;
use crate::record::{Entry, EntryKind};
use crate::signal::{Alert, Signal, SignalBody};
use crate::testkit;
use crate::world::{Coverage, Kind, Source};
use jiff::SignedDuration;
use proptest::prelude::*;

const START: &str = "2026-01-05T10:00:00Z";

fn at(seconds: i64) -> Timestamp {
    START.parse::<Timestamp>().expect("a time") + SignedDuration::from_secs(seconds)
}

/// Revision 1 is good and still serves; revision 2 names an image that does not exist.
fn bad_image(now: Timestamp) -> Snapshot {
    testkit::world(&now.to_string())
        .node("node1")
        .deployment("demo", "cart")
        .revision(1)
        .image("img.test/cart:1")
        .pod("cart-1-a")
        .revision(2)
        .image("img.test/cart:nowhere")
        .age(120)
        .pod("cart-2-a")
        .age(120)
        .waiting("ImagePullBackOff", "Back-off pulling image \"img.test/cart:nowhere\"")
        .event("Failed", "Failed to pull image \"img.test/cart:nowhere\": failed to resolve reference \"img.test/cart:nowhere\": img.test/cart:nowhere: not found")
        .seen(110, 5, 4)
        .snapshot()
}

fn healthy(now: Timestamp) -> Snapshot {
    testkit::world(&now.to_string())
        .node("node1")
        .deployment("demo", "cart")
        .revision(1)
        .image("img.test/cart:1")
        .pod("cart-1-a")
        .snapshot()
}

/// From its first revision on the container is killed for memory.
fn oom(now: Timestamp) -> Snapshot {
    testkit::world(&now.to_string())
        .node("node1")
        .deployment("demo", "cart")
        .revision(1)
        .memory("64Mi", "96Mi")
        .pod("cart-1-a")
        .crash_loop(137, "OOMKilled", 5, 4)
        .event(
            "BackOff",
            "Back-off restarting failed container app in pod cart-1-a",
        )
        .seen(60, 5, 4)
        .snapshot()
}

/// Still killed, with that limit in force.
fn raised(now: Timestamp, limit: &str) -> Snapshot {
    let mut snapshot = oom(now);
    for workload in &mut snapshot.workloads {
        let workload = std::sync::Arc::make_mut(workload);
        for container in &mut workload.spec.template.spec.containers {
            let resources = &mut container.resources;
            resources.limits.insert("memory".to_owned(), limit.into());
            resources
                .requests
                .insert("memory".to_owned(), "64Mi".into());
        }
    }
    snapshot
}

fn policy(autonomy: Autonomy) -> Policy {
    Policy {
        autonomy,
        dry_run: false,
        persistence_percent: 0,
        ..Policy::default()
    }
}

fn runbooks() -> std::collections::BTreeMap<String, String> {
    Library::built_in().texts().clone()
}

fn checkpoint(autonomy: Autonomy) -> Checkpoint {
    Checkpoint {
        cluster: "cluster-uid".into(),
        leader_epoch: 1,
        policy: policy(autonomy),
        runbooks: runbooks(),
        ..Checkpoint::default()
    }
}

/// The cluster as the driver plays it.
struct World {
    look: fn(Timestamp) -> Snapshot,
    rehearse: fn() -> Rehearsal,
    act: fn() -> ActOutcome,
    read_back: fn() -> ActOutcome,
}

fn done() -> ActOutcome {
    ActOutcome::Done {
        generation: 3,
        resource_version: "9".to_owned(),
    }
}

fn accepted() -> Rehearsal {
    Rehearsal::Accepted {
        diff: vec!["a: b -> c".to_owned()],
    }
}

fn no_right() -> Rehearsal {
    Rehearsal::NoRight {
        diff: vec!["a: b -> c".to_owned()],
        why: "403: User \"nightshift\" cannot patch".to_owned(),
    }
}

fn alert(pod: &str, fingerprint: &str, firing: bool, heard_at: Timestamp) -> Signal {
    let mut subject = testkit::reference(Kind::Pod, "demo", pod);
    subject.uid = crate::ids::Uid::default();
    let alert = Alert {
        name: "KubePodNotReady".to_owned(),
        firing,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        starts_at: Some(at(0)),
        runbook_hint: None,
    };
    Signal {
        fingerprint: fingerprint.into(),
        subject,
        heard_at,
        body: SignalBody::Alert(alert),
    }
}

/// Answers effects until only a wake-up is left, then lets time pass.
struct Driver {
    engine: Engine,
    now: Timestamp,
    wake: Option<Timestamp>,
    /// Workloads whose steps were rehearsed, and when.
    rehearsed: Vec<(String, Timestamp)>,
    /// The most rehearsals and writes that waited for their answers at once.
    most_under_way: usize,
    journal: Vec<(Input, Timestamp, Decision)>,
    world: World,
}

impl Driver {
    fn new(autonomy: Autonomy, look: fn(Timestamp) -> Snapshot) -> Self {
        let world = World {
            look,
            rehearse: accepted,
            act: done,
            read_back: done,
        };
        let mut driver = Self {
            engine: Engine::new(),
            now: at(0),
            wake: None,
            rehearsed: Vec::new(),
            most_under_way: 0,
            journal: Vec::new(),
            world,
        };
        driver.tell(Input::Start(Box::new(checkpoint(autonomy))));
        driver
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut decision = self.engine.handle(input.clone(), self.now);
            for effect in std::mem::take(&mut decision.effects) {
                inputs.extend(self.answer(effect));
            }
            let sent =
                |input: &&Input| matches!(input, Input::Rehearsed { .. } | Input::Acted { .. });
            let under_way = inputs.iter().filter(sent).count();
            self.most_under_way = self.most_under_way.max(under_way);
            self.journal.push((input, self.now, decision));
            assert!(
                self.journal.len() < 5_000,
                "the engine talks to itself without end"
            );
        }
    }

    fn answer(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Observe { look, fresh, .. } => {
                let mut snapshot = (self.world.look)(self.now);
                snapshot.fresh = fresh;
                Some(Input::Observed {
                    look,
                    snapshot: Box::new(snapshot),
                })
            }
            Effect::Rehearse(step) => {
                self.rehearsed
                    .push((step.check.owner.name.clone(), self.now));
                let rehearsal = (self.world.rehearse)();
                Some(Input::Rehearsed {
                    step: step.id,
                    rehearsal,
                })
            }
            Effect::Act(permit) => {
                let outcome = (self.world.act)();
                Some(Input::Acted {
                    permit: permit.id().clone(),
                    outcome,
                })
            }
            Effect::ReadBack { permit, .. } => Some(Input::Acted {
                permit,
                outcome: (self.world.read_back)(),
            }),
            Effect::WakeAt(at) => {
                self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
                None
            }
        }
    }

    /// Lets `seconds` pass, waking the engine when it asked for it.
    fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.wake = None;
            self.now = self.now.max(wake);
            self.tell(Input::Tick);
        }
        self.now = end;
    }

    fn hear(&mut self, pod: &str) {
        self.hear_of(testkit::reference(Kind::Pod, "demo", pod));
    }

    fn hear_of(&mut self, subject: ObjectRef) {
        let fingerprint = format!("watch:{subject}").into();
        let body = SignalBody::Watch;
        self.tell(Input::Signal(Signal {
            fingerprint,
            subject,
            heard_at: self.now,
            body,
        }));
    }

    fn alert(&mut self, firing: bool) {
        self.alert_about("cart-2-a", "alert-1", firing);
    }

    fn alert_about(&mut self, pod: &str, fingerprint: &str, firing: bool) {
        let signal = alert(pod, fingerprint, firing, self.now);
        self.tell(Input::Signal(signal));
    }

    /// Lets much time pass, and wakes the engine once.
    fn tell_time(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.wake = None;
        self.tell(Input::Tick);
        self.pass(2);
    }

    fn entries(&self) -> Vec<&Entry> {
        self.journal
            .iter()
            .flat_map(|(_, _, decision)| &decision.batch.entries)
            .collect()
    }

    fn count(&self, kind: EntryKind) -> usize {
        self.entries()
            .iter()
            .filter(|entry| entry.kind == kind)
            .count()
    }

    fn last(&self) -> &Incident {
        let mut decisions = self.journal.iter().rev().map(|(_, _, decision)| decision);
        decisions
            .find_map(|decision| decision.batch.incidents.last())
            .expect("an incident")
    }
}

#[test]
fn a_bad_image_is_rolled_back_and_verified() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.hear("cart-2-a");
    assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
    story.world.look = healthy;
    story.pass(60);
    let incident = story.last();
    assert_eq!(incident.outcome, Some(Outcome::Fixed), "{incident:?}");
    assert!(
        incident
            .action_taken
            .as_deref()
            .is_some_and(|a| a.starts_with("rollback:demo/cart"))
    );
    assert_eq!(story.count(EntryKind::Intent), 1);
}

#[test]
fn a_rehearsal_that_took_too_long_leads_to_a_new_look_and_not_to_a_person() {
    let late = |now: Timestamp| bad_image(now - SignedDuration::from_secs(40));
    let mut story = Driver::new(Autonomy::Auto, late);
    story.hear("cart-2-a");
    assert_eq!(story.last().phase, Phase::Preparing, "{:?}", story.last());
    story.world.look = bad_image;
    story.pass(20);
    assert_eq!(story.count(EntryKind::Intent), 1);
}

#[test]
fn recommend_writes_nothing_and_waits_with_the_action_it_would_take() {
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    story.hear("cart-2-a");
    let incident = story.last();
    assert_eq!(incident.phase, Phase::Waiting);
    assert!(incident.action_recommended.is_some(), "{incident:?}");
    assert_eq!(story.count(EntryKind::Intent), 0);
}

#[test]
fn a_waiting_incident_is_closed_by_fresh_healthy_looks_alone() {
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    story.hear("cart-2-a");
    story.pass(300);
    assert_eq!(story.last().phase, Phase::Waiting);
    story.world.look = healthy;
    story.hear("cart-2-a");
    story.pass(20);
    assert_eq!(
        story.last().phase,
        Phase::Waiting,
        "not stable for long enough yet"
    );
    story.pass(600);
    assert_eq!(story.last().outcome, Some(Outcome::Recovered));
}

/// Two nodes, of which `node1` says nothing.
fn lost_node(now: Timestamp) -> testkit::World {
    testkit::world(&now.to_string())
        .node("node2")
        .node("node1")
        .condition("Ready", "Unknown", "NodeStatusUnknown", 120)
        .event("NodeNotReady", "Node node1 status is now: NodeNotReady")
}

#[test]
fn a_node_that_is_well_again_is_looked_at_once_more_for_its_cordon() {
    fn lost(now: Timestamp) -> Snapshot {
        lost_node(now).snapshot()
    }
    fn back(now: Timestamp) -> Snapshot {
        let world = testkit::world(&now.to_string()).node("node1");
        world.cordoned().snapshot()
    }
    let mut story = Driver::new(Autonomy::Auto, lost);
    story.hear_of(testkit::reference(Kind::Node, "", "node1"));
    story.pass(60);
    assert_eq!(story.count(EntryKind::Intent), 1, "{:?}", story.last());
    story.world.look = back;
    // Nothing more is heard of it.
    story.pass(600);
    let seen = story.last();
    assert_eq!(seen.fingerprint.class, FaultClass::NodeCordoned);
}

/// Pods of other incidents run on the node that is lost: their logs cannot be read for as long.
#[test]
fn a_drain_is_asked_for_at_once_though_the_logs_on_a_lost_node_cannot_be_read() {
    fn lost(now: Timestamp) -> Snapshot {
        lost_node(now)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .unseen(Source::Logs)
            .snapshot()
    }
    let mut story = Driver::new(Autonomy::Auto, lost);
    story.hear_of(testkit::reference(Kind::Node, "", "node1"));
    story.pass(60);
    assert_eq!(story.count(EntryKind::Intent), 1, "the cordon");
    assert_eq!(story.count(EntryKind::Blind), 0);
    let seen = story.last();
    let why = seen.waiting_for.as_deref().unwrap_or_default();
    assert!(why.contains("a drain always asks a person"), "{seen:?}");
}

#[test]
fn blindness_closes_nothing_as_healthy() {
    fn blind(now: Timestamp) -> Snapshot {
        let mut snapshot = healthy(now);
        snapshot.coverage.clear();
        snapshot
    }
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    story.hear("cart-2-a");
    story.world.look = blind;
    story.pass(3_600);
    assert_eq!(story.last().phase, Phase::Waiting);
    assert_eq!(story.last().outcome, None);
}

#[test]
fn the_same_alert_twice_at_the_same_instant_is_one_incident_and_one_suppression() {
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    story.alert(true);
    story.alert(true);
    story.hear("cart-2-a");
    assert_eq!(story.engine.open_incidents().count(), 1);
    assert_eq!(story.count(EntryKind::WebhookReceived), 1);
    assert_eq!(story.count(EntryKind::Suppressed), 1);
    assert_eq!(story.last().owner.name, "cart");
}

#[test]
fn an_alert_about_something_healthy_goes_to_a_person_and_nothing_is_done() {
    let mut story = Driver::new(Autonomy::Auto, |now| {
        testkit::world(&now.to_string())
            .node("node1")
            .deployment("demo", "cart")
            .revision(2)
            .pod("cart-2-a")
            .snapshot()
    });
    story.alert(true);
    let waiting = story.last().waiting_for.clone().unwrap_or_default();
    assert!(waiting.contains("an alert fires"), "{waiting}");
    story.pass(300);
    assert_eq!(story.last().phase, Phase::Waiting, "it still fires");
    story.alert(false);
    story.pass(300);
    assert_eq!(story.last().outcome, Some(Outcome::Recovered));
    assert_eq!(story.count(EntryKind::Intent), 0);
}

#[test]
fn a_write_without_an_answer_is_read_back_and_never_sent_again() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.world.act = || ActOutcome::Unknown {
        why: "time-out".to_owned(),
    };
    story.hear("cart-2-a");
    assert_eq!(story.last().phase, Phase::ReadingBack);
    story.world.look = healthy;
    story.pass(120);
    assert_eq!(
        story.last().outcome,
        Some(Outcome::Fixed),
        "{:?}",
        story.last()
    );
    assert_eq!(story.count(EntryKind::Intent), 1);
}

#[test]
fn killed_after_the_intent_the_write_is_read_back() {
    let mut engine = Engine::new();
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.world.act = || ActOutcome::Unknown {
        why: "killed".to_owned(),
    };
    story.hear("cart-2-a");
    let mut checkpoint = checkpoint(Autonomy::Auto);
    checkpoint.open = vec![Incident {
        phase: Phase::Acting,
        ..story.last().clone()
    }];
    checkpoint.history = story.engine.history().clone();
    let started = engine.handle(Input::Start(Box::new(checkpoint)), at(60));
    let later = engine.handle(Input::Tick, at(66));
    let read_back = |e: &&Effect| matches!(e, Effect::ReadBack { .. });
    assert_eq!(later.effects.iter().filter(read_back).count(), 1);
    let mut effects = started.effects.iter().chain(&later.effects);
    assert!(!effects.any(|e| matches!(e, Effect::Act(_))));
}

/// The same look, but for a source that was not seen.
fn blind_to(mut snapshot: Snapshot, source: Source, why: &str) -> Snapshot {
    let why = why.to_owned();
    snapshot.coverage.insert(source, Coverage::Blind { why });
    snapshot
}

#[test]
fn blindness_while_verifying_takes_nothing_back() {
    let mut story = Driver::new(Autonomy::Auto, oom);
    story.hear("cart-1-a");
    assert_eq!(story.last().phase, Phase::Verifying);
    story.world.look = |now| blind_to(oom(now), Source::Pods, "403");
    story.pass(3_600);
    assert_eq!(story.last().phase, Phase::Waiting);
    assert_eq!(
        story.count(EntryKind::Intent),
        1,
        "an undo on what was not seen"
    );
}

/// Whether a container restarted since our write is told by their clock and ours.
#[test]
fn while_the_clocks_differ_nothing_is_verified_as_fixed() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.hear("cart-2-a");
    assert_eq!(story.last().phase, Phase::Verifying);
    story.world.look = |now| blind_to(healthy(now), Source::Clock, "is 8.0 s from ours");
    story.pass(200);
    assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
    story.world.look = healthy;
    story.pass(120);
    assert_eq!(story.last().outcome, Some(Outcome::Fixed));
}

#[test]
fn an_outage_in_the_middle_of_the_plan_is_waited_out() {
    let mut story = Driver::new(Autonomy::Auto, |now| {
        let mut snapshot = bad_image(now);
        for coverage in snapshot.coverage.values_mut() {
            let why = "connection refused".to_owned();
            *coverage = Coverage::Blind { why };
        }
        for source in [Source::Pods, Source::Events] {
            let seen = Coverage::Seen { age_ms: 0 };
            snapshot.coverage.insert(source, seen);
        }
        snapshot
    });
    story.alert(true);
    story.pass(60);
    assert_eq!(story.count(EntryKind::Waiting), 0);
    story.world.look = bad_image;
    story.pass(10);
    assert_eq!(story.count(EntryKind::Intent), 1, "{:?}", story.last());
}

#[test]
fn a_write_whose_fate_is_unknown_is_read_back_even_when_a_person_has_the_incident() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.world.act = || ActOutcome::Unknown {
        why: "time-out".to_owned(),
    };
    story.world.read_back = || ActOutcome::Unknown {
        why: "away".to_owned(),
    };
    story.hear("cart-2-a");
    story.pass(1_200);
    assert_eq!(story.last().phase, Phase::Waiting);
    assert_eq!(story.engine.history().open_permits().count(), 1);
    story.world.read_back = done;
    story.pass(120);
    assert_eq!(story.engine.history().open_permits().count(), 0);
}

/// Two questions about one write may be out at once, and the answers come in any order.
#[test]
fn an_answer_that_comes_after_the_final_one_changes_nothing() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.hear("cart-2-a");
    let attempts = story.last().attempts.clone();
    assert_eq!(attempts[0].outcome, Some(done()));
    let (permit, rows) = (attempts[0].permit.clone(), story.entries().len());
    let late = ActOutcome::Unknown {
        why: "no answer within 4 s".to_owned(),
    };
    story.tell(Input::Acted {
        permit,
        outcome: late,
    });
    assert_eq!(story.last().attempts, attempts);
    assert_eq!(story.entries().len(), rows);
}

#[test]
fn old_acts_that_a_start_loads_do_not_make_everything_ask() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.hear("cart-2-a");
    let mut act = story.engine.history().acts[0].clone();
    act.at = at(-30 * 24 * 3_600);
    act.owner.uid = "other".into();
    act.step.target.uid = "other".into();
    let mut checkpoint = checkpoint(Autonomy::Auto);
    checkpoint.history.acts = vec![act; crate::history::MAX_ACTS];
    let mut again = Driver::new(Autonomy::Auto, bad_image);
    again.tell(Input::Start(Box::new(checkpoint)));
    again.hear("cart-2-a");
    assert_eq!(again.count(EntryKind::Intent), 1, "{:?}", again.last());
}

#[test]
fn an_alert_that_fires_on_after_the_end_is_looked_at_again() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.alert(true);
    story.world.look = healthy;
    story.pass(600);
    assert_eq!(story.last().outcome, Some(Outcome::Fixed));
    story.alert(true);
    assert_eq!(
        story.count(EntryKind::Suppressed),
        1,
        "the same episode, just ended"
    );
    story.pass(1_800);
    story.alert(true);
    assert_eq!(story.count(EntryKind::WebhookReceived), 2);
}

#[test]
fn a_refused_write_goes_to_a_person_at_once() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.world.act = || ActOutcome::Refused {
        why: "403 forbidden".to_owned(),
    };
    story.hear("cart-2-a");
    story.pass(600);
    assert_eq!(story.last().phase, Phase::Waiting);
    assert_eq!(story.count(EntryKind::Intent), 1);
    assert!(story.last().action_error.is_some());
}

#[test]
fn a_memory_limit_that_does_not_help_is_taken_back() {
    let mut story = Driver::new(Autonomy::Auto, oom);
    story.hear("cart-1-a");
    assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
    story.world.look = |now| raised(now, "256Mi");
    story.pass(1_500);
    let incident = story.last();
    assert_eq!(incident.phase, Phase::Waiting, "{incident:?}");
    let undone: Vec<bool> = incident.attempts.iter().map(|a| a.is_undo).collect();
    assert_eq!(undone, [false, true], "{:?}", incident.waiting_for);
    assert_eq!(incident.attempts[0].helped, Some(false));
}

#[test]
fn an_undo_that_was_not_done_is_tried_again_and_nobody_is_blamed_for_it() {
    let mut story = Driver::new(Autonomy::Auto, oom);
    story.hear("cart-1-a");
    story.world.look = |now| raised(now, "256Mi");
    story.world.act = || ActOutcome::NotDone {
        why: "connection refused".to_owned(),
    };
    while story.count(EntryKind::Intent) < 2 {
        story.pass(10);
    }
    assert_ne!(story.last().phase, Phase::Waiting, "{:?}", story.last());
    story.world.act = done;
    story.pass(60);
    let incident = story.last();
    let why = incident.waiting_for.clone().unwrap_or_default();
    assert!(why.contains("was taken back"), "{why}");
}

#[test]
fn an_undo_over_somebodys_change_is_a_persons_case_with_both_changes() {
    let mut story = Driver::new(Autonomy::Auto, oom);
    story.hear("cart-1-a");
    story.world.look = |now| raised(now, "1Gi");
    story.pass(1_500);
    let why = story.last().waiting_for.clone().unwrap_or_default();
    assert!(why.contains("96Mi→256Mi did not help"), "{why}");
    assert!(why.contains("app has memory limit 1Gi"), "{why}");
}

#[test]
fn what_is_scaled_to_nothing_is_over_and_proves_no_repair() {
    let mut story = Driver::new(Autonomy::Auto, oom);
    story.hear("cart-1-a");
    assert_eq!(story.last().phase, Phase::Verifying);
    story.world.look = |now| {
        testkit::world(&now.to_string())
            .node("node1")
            .deployment("demo", "cart")
            .replicas(0)
            .revision(1)
            .snapshot()
    };
    story.pass(60);
    let incident = story.last();
    assert_eq!(incident.outcome, Some(Outcome::Recovered), "{incident:?}");
    assert_eq!(incident.attempts[0].helped, None);
}

#[test]
fn the_second_oom_kill_of_a_workload_is_a_persons_case_even_if_the_first_went_by_itself() {
    let mut story = Driver::new(Autonomy::Recommend, oom);
    story.hear("cart-1-a");
    story.world.look = healthy;
    story.pass(1_500);
    assert_eq!(story.last().outcome, Some(Outcome::Recovered));
    story.world.look = oom;
    story.hear("cart-1-a");
    let why = story.last().waiting_for.clone().unwrap_or_default();
    assert!(why.contains("an earlier incident of this kind"), "{why}");
}

/// A checkpoint whose only act is a write without an answer, of an incident that is no longer open.
fn left_behind() -> Checkpoint {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.world.act = || ActOutcome::Unknown {
        why: "the process died".to_owned(),
    };
    story.hear("cart-2-a");
    let mut checkpoint = story.engine.checkpoint();
    checkpoint.open.clear();
    checkpoint.running = None;
    assert_eq!(checkpoint.history.open_permits().count(), 1);
    checkpoint
}

#[test]
fn a_write_that_outlived_its_incident_is_read_back_at_the_next_start_until_it_is_known() {
    let mut story = Driver::new(Autonomy::Auto, healthy);
    story.world.read_back = || ActOutcome::Unknown {
        why: "no answer".to_owned(),
    };
    story.tell(Input::Start(Box::new(left_behind())));
    story.pass(60);
    assert_eq!(story.engine.history().open_permits().count(), 1);
    story.world.read_back = done;
    story.pass(120);
    assert_eq!(story.engine.history().open_permits().count(), 0);
    assert_eq!(story.count(EntryKind::Result), 1, "{:?}", story.entries());
    story.pass(600);
    assert_eq!(story.count(EntryKind::Result), 1);
}

#[test]
fn a_journal_may_begin_at_any_checkpoint_and_decides_the_same() {
    // A few places, in mid-plan and mid-check too: each needs the whole journal twice.
    for at in (1..JOURNAL.len()).step_by(JOURNAL.len() / 6) {
        let (before, after) = JOURNAL.split_at(at);
        let mut whole = Engine::new();
        for (input, now) in before {
            whole.handle(input.clone(), *now);
        }
        let now = after
            .first()
            .map_or(START.parse().expect("a time"), |(_, now)| *now);
        let text = serde_json::to_string(&whole.checkpoint()).expect("it is data");
        let checkpoint: Checkpoint = serde_json::from_str(&text).expect("what was written");
        let start = Input::Start(Box::new(checkpoint));
        let mut later = Engine::new();
        let told = (later.handle(start.clone(), now), whole.handle(start, now));
        assert_eq!(told.0, told.1, "input {at}");
        assert_eq!(told.0.batch, crate::record::Batch::default(), "input {at}");
        for (input, now) in after {
            let same = whole.handle(input.clone(), *now) == later.handle(input.clone(), *now);
            assert!(same, "begun at input {at}: {input:?}");
        }
    }
}

#[test]
fn a_flood_of_alerts_about_nothing_takes_no_place_of_what_the_watch_sees() {
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    let ghost = |number: usize| {
        let name = format!("ghost-{number}");
        Input::Signal(alert(&name, &name, true, at(1)))
    };
    let mut notices = Vec::new();
    for number in 0..limits::ALERT_INCIDENTS + 50 {
        let decision = story.engine.handle(ghost(number), at(1));
        notices.extend(decision.batch.notices);
    }
    assert_eq!(
        story.engine.open_incidents().count(),
        limits::ALERT_INCIDENTS
    );
    assert_eq!(notices.len(), 1, "{notices:?}");
    let late = story.engine.handle(ghost(9_999), at(2));
    let kinds: Vec<_> = late.batch.entries.iter().map(|e| e.kind).collect();
    let refused = [EntryKind::NotOpened, EntryKind::WebhookReceived];
    assert_eq!(kinds, refused, "recorded, with why nothing is opened");
    story.hear("cart-2-a");
    assert_eq!(story.last().fingerprint.class, FaultClass::ImagePullFailure);
}

#[test]
fn an_alert_about_nothing_that_nobody_repeats_expires_and_one_that_is_repeated_does_not() {
    let mut story = Driver::new(Autonomy::Auto, healthy);
    story.alert_about("ghost", "alert-1", true);
    for _ in 0..7 {
        story.tell_time(4 * 3_600);
        story.alert_about("ghost", "alert-1", true);
    }
    assert_eq!(story.last().phase, Phase::Waiting, "it was said again");
    story.tell_time(23 * 3_600);
    assert_eq!(story.last().phase, Phase::Waiting);
    story.tell_time(2 * 3_600);
    let over = story.last();
    assert_eq!(over.outcome, Some(Outcome::Expired), "{over:?}");
    assert_eq!(story.count(EntryKind::Silent), 1);
    assert_eq!(story.engine.open_incidents().count(), 0);
}

#[test]
fn an_incident_keeps_only_so_many_firing_alerts_and_the_newest_always() {
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    for number in 0..60 {
        story.alert_about("cart-2-a", &format!("alert-{number}"), true);
        let newest = format!("alert-{number}").into();
        let firing = &story.last().firing;
        assert!(firing.len() <= crate::incident::MAX_ALERTS);
        assert!(firing.contains_key(&newest));
    }
}

#[test]
fn a_known_good_revision_is_recorded_with_the_time_that_it_was_available() {
    let mut story = Driver::new(Autonomy::Recommend, healthy);
    story.tell(Input::KnownGood {
        workload: testkit::reference(Kind::Deployment, "demo", "cart"),
        revision: testkit::reference(Kind::ReplicaSet, "demo", "cart-1"),
        after: SignedDuration::from_mins(3),
    });
    let said = story.entries().last().map(|entry| entry.text.clone());
    let said = said.unwrap_or_default();
    assert!(said.ends_with("was fully available for 3m"), "{said}");
}

#[test]
fn after_stop_no_new_step_begins() {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.tell(Input::Stopping);
    story.hear("cart-2-a");
    story.pass(60);
    assert_eq!(story.count(EntryKind::Intent), 0);
}

/// Inputs of a journal in any order, with anything missing or twice.
fn shuffled() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..40, 0..80)
}

static JOURNAL: std::sync::LazyLock<Vec<(Input, Timestamp)>> =
    std::sync::LazyLock::new(full_journal);

fn full_journal() -> Vec<(Input, Timestamp)> {
    let mut story = Driver::new(Autonomy::Auto, bad_image);
    story.alert(true);
    story.hear("cart-2-a");
    story.world.look = healthy;
    story.pass(30);
    story.alert(false);
    story.world.look = oom;
    story.hear("cart-1-a");
    story.pass(600);
    story
        .journal
        .into_iter()
        .map(|(input, at, _)| (input, at))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 7, and that no order of inputs breaks the engine.
    #[test]
    fn any_order_of_inputs_replays_to_the_same_decisions(order in shuffled()) {
        let journal = &*JOURNAL;
        let start = journal.first().cloned().expect("a start");
        let picked = order.iter().filter_map(|index| journal.get(*index).cloned());
        let inputs: Vec<_> = std::iter::once(start).chain(picked).collect();
        let run = || {
            let mut engine = Engine::new();
            let mut decisions = Vec::new();
            for (input, now) in &inputs {
                let decision = engine.handle(input.clone(), *now);
                let acts = decision.effects.iter().filter(|e| matches!(e, Effect::Act(_))).count();
                let intents = decision.batch.entries.iter();
                let intents = intents.filter(|e| e.kind == EntryKind::Intent).count();
                prop_assert_eq!(acts, intents, "a write without an intent in the same batch");
                decisions.push(crate::ids::Digest::of(&decision));
            }
            Ok(decisions)
        };
        prop_assert_eq!(run()?, run()?);
    }
}
