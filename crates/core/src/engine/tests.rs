//! Stories of the engine alone: a driver answers its effects from small worlds, in virtual time.

mod alerts;
mod beside;
mod breaker;
mod checks;
mod journal;
mod nodes;
mod outages;
mod unsure;

use super::*;
use crate::diagnose::FaultClass;
use crate::guard::Rehearsal;
use crate::history::ActOutcome;
use crate::incident::{Outcome, Phase};
use crate::policy::Autonomy;
use crate::record::{Entry, EntryKind};
use crate::signal::{Alert, Signal, SignalBody};
use crate::testkit;
use crate::world::{Coverage, Kind, Scope, Source};
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

/// From its first revision on the container is killed for memory, the last time so many seconds ago.
fn killed(now: Timestamp, ago: i64) -> testkit::World {
    testkit::world(&now.to_string())
        .node("node1")
        .deployment("demo", "cart")
        .revision(1)
        .memory("64Mi", "96Mi")
        .pod("cart-1-a")
        .crash_loop(137, "OOMKilled", ago, 4)
}

/// The Event of the last pod that is started again and again.
fn backing_off(world: testkit::World) -> testkit::World {
    let event = world.event("BackOff", "Back-off restarting failed container app");
    event.seen(60, 5, 4)
}

fn oom(now: Timestamp) -> Snapshot {
    backing_off(killed(now, 5)).snapshot()
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
    /// What a look at a part of it leaves out.
    narrow: fn(Snapshot, &Scope) -> Snapshot,
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
            narrow: |whole, _| whole,
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
            Effect::Observe {
                look, scope, fresh, ..
            } => {
                let mut snapshot = (self.world.narrow)((self.world.look)(self.now), &scope);
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

/// The same look, but for a source that was not seen.
fn blind_to(mut snapshot: Snapshot, source: Source, why: &str) -> Snapshot {
    let why = why.to_owned();
    snapshot.coverage.insert(source, Coverage::Blind { why });
    snapshot
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

/// The process ends, and another one goes on with its record, under this policy.
fn restarted(mut story: Driver, policy: Policy) -> Driver {
    let left = Checkpoint {
        policy,
        running: None,
        ..story.engine.checkpoint()
    };
    story.wake = None;
    story.engine = Engine::new();
    story.tell(Input::Start(Box::new(left)));
    story.pass(2);
    story
}

#[test]
fn what_the_mode_kept_back_is_planned_anew_when_the_mode_lets_it() {
    for autonomy in [Autonomy::Observe, Autonomy::Recommend] {
        let mut story = Driver::new(autonomy, bad_image);
        story.hear("cart-2-a");
        assert_eq!(story.last().phase, Phase::Waiting);
        let mut story = restarted(story, policy(autonomy));
        assert_eq!(story.count(EntryKind::Waiting), 1, "nothing is new");
        story = restarted(story, policy(Autonomy::Auto));
        assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
        assert_eq!(story.count(EntryKind::Intent), 1);
    }
}

#[test]
fn what_another_gate_keeps_back_too_stays_with_the_person_for_that_reason_alone() {
    let mut story = Driver::new(Autonomy::Recommend, bad_image);
    story.world.rehearse = no_right;
    story.hear("cart-2-a");
    let waits = |story: &Driver| story.last().waiting_for.clone().unwrap_or_default();
    assert!(waits(&story).contains("AGENT_MODE"), "{}", waits(&story));
    let story = restarted(story, policy(Autonomy::Auto));
    let why = waits(&story);
    assert!(
        why.contains("cannot patch") && !why.contains("AGENT_MODE"),
        "{why}"
    );
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
