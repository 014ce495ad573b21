//! The circuit breaker at work: how many requests are under way, and when nothing is sent.

use super::*;
use crate::guard::circuit::{Circuit, circuit};

/// Five workloads whose newest image does not exist.
fn five_bad_images(now: Timestamp) -> Snapshot {
    bad_images(now, &["a", "b", "c", "d", "e"])
}

/// Three more.
fn eight_bad_images(now: Timestamp) -> Snapshot {
    bad_images(now, &["a", "b", "c", "d", "e", "f", "g", "h"])
}

fn bad_images(now: Timestamp, names: &[&str]) -> Snapshot {
    let mut world = testkit::world(&now.to_string()).node("node1");
    for name in names {
        world = world
            .deployment("demo", name)
            .revision(1)
            .image("img.test/cart:1")
            .pod(&format!("{name}-1"))
            .revision(2)
            .image("img.test/cart:nowhere")
            .age(120)
            .pod(&format!("{name}-2"))
            .age(120)
            .waiting("ImagePullBackOff", "Back-off pulling image \"img.test/cart:nowhere\"")
            .event("Failed", "Failed to pull image \"img.test/cart:nowhere\": failed to resolve reference \"img.test/cart:nowhere\": img.test/cart:nowhere: not found")
            .seen(110, 5, 4);
    }
    world.snapshot()
}

#[test]
fn many_refusals_at_once_stop_at_the_breaker_and_the_rest_ask() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.world.act = || ActOutcome::Refused {
        why: "403: no".to_owned(),
    };
    story.hear("a-2");
    story.pass(60);
    assert_eq!(story.count(EntryKind::Intent), 3);
    let open: Vec<_> = story.engine.open_incidents().collect();
    assert_eq!(open.len(), 5);
    assert!(open.iter().all(|i| i.phase == Phase::Waiting), "{open:?}");
    let asks = open.iter().filter(|i| {
        let why = i.waiting_for.as_deref().unwrap_or_default();
        why.contains("the circuit is open")
    });
    assert_eq!(asks.count(), 2);
}

/// Why each open incident waits for a person.
fn reasons(engine: &Engine) -> Vec<&str> {
    let open = engine.open_incidents();
    let waiting = open.filter(|incident| incident.phase == Phase::Waiting);
    waiting.filter_map(|i| i.waiting_for.as_deref()).collect()
}

#[test]
fn a_revoked_right_opens_the_breaker_after_three_rehearsals_and_nothing_else_is_tried() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.world.rehearse = no_right;
    story.hear("a-2");
    story.pass(20);
    story.tell_time(270);
    assert_eq!(story.rehearsed.len(), 3, "{:?}", story.rehearsed);
    assert_eq!(story.count(EntryKind::Intent), 0);
    let reasons = reasons(&story.engine);
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    let say = |text: &str| reasons.iter().filter(|why| why.contains(text)).count();
    assert_eq!(say("no right to it: 403"), 3, "{reasons:?}");
    assert_eq!(say("nothing was sent"), 2, "{reasons:?}");
    assert_eq!(say("the circuit is open until"), 3, "{reasons:?}");
    let told = story.journal.iter().flat_map(|(_, _, d)| &d.batch.notices);
    assert_eq!(told.count(), 5);
}

#[test]
fn half_open_lets_exactly_one_through_from_its_rehearsal_to_its_write() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.world.rehearse = no_right;
    story.hear("a-2");
    story.pass(10);
    story.tell_time(300);
    story.world.look = eight_bad_images;
    story.hear("f-2");
    story.pass(10);
    // One tried and was refused, the circuit is open again, and the others are a person's.
    assert_eq!(story.rehearsed.len(), 4, "{:?}", story.rehearsed);
    assert_eq!(reasons(&story.engine).len(), 8);
    // The right is given back: one goes first, and the others follow after its write is done.
    story.tell_time(300);
    story.world.rehearse = accepted;
    story.most_under_way = 0;
    let mark = story.journal.len();
    story.world.look = |now| bad_images(now, &["i", "j", "k"]);
    story.hear("i-2");
    story.pass(10);
    assert_eq!(story.count(EntryKind::Intent), 3, "{:?}", story.rehearsed);
    let since = story.journal.iter().skip(mark);
    let entries = since.flat_map(|(_, _, decision)| &decision.batch.entries);
    let until_answered = entries.take_while(|entry| entry.kind != EntryKind::Result);
    let sent = until_answered.filter(|entry| entry.kind == EntryKind::Intent);
    assert_eq!(
        sent.count(),
        1,
        "another write before the first was answered"
    );
}

#[test]
fn an_accepted_rehearsal_does_not_end_the_row_and_a_done_write_does() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.world.rehearse = no_right;
    story.engine.policy.breaker_failures = 6;
    story.hear("a-2");
    story.pass(20);
    assert_eq!(story.engine.history().refused_rehearsals.len(), 5);
    let row = |story: &Driver| circuit(story.engine.history(), story.engine.policy(), story.now);
    story.world.look = eight_bad_images;
    story.world.rehearse = accepted;
    story.world.act = || ActOutcome::Stale {
        why: "409".to_owned(),
    };
    story.hear("f-2");
    story.pass(2);
    assert!(story.count(EntryKind::Intent) > 0);
    assert_eq!(row(&story), Circuit::Closed { failures: 5 });
    story.world.act = done;
    story.pass(20);
    assert_eq!(row(&story), Circuit::Closed { failures: 0 });
}

#[test]
fn a_refusal_of_what_is_in_the_request_is_one_incidents_business() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.world.rehearse = || Rehearsal::Refused {
        why: "422: the image is no image".to_owned(),
    };
    story.hear("a-2");
    story.pass(60);
    assert_eq!(story.rehearsed.len(), 5);
    let reasons = reasons(&story.engine);
    assert_eq!(reasons.len(), 5);
    assert!(!reasons.concat().contains("circuit"), "{reasons:?}");
}

#[test]
fn who_may_not_write_anyhow_fails_at_nothing() {
    let mut story = Driver::new(Autonomy::Recommend, five_bad_images);
    story.world.rehearse = no_right;
    story.hear("a-2");
    story.pass(60);
    assert_eq!(story.rehearsed.len(), 5);
    let reasons = reasons(&story.engine);
    assert!(
        !reasons.concat().contains("the circuit is open"),
        "{reasons:?}"
    );
}

#[test]
fn a_restart_finds_the_circuit_as_open_as_it_was() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.world.rehearse = no_right;
    story.hear("a-2");
    story.pass(60);
    let mut again = Driver::new(Autonomy::Auto, eight_bad_images);
    let mut checkpoint = story.engine.checkpoint();
    checkpoint.running = None;
    again.now = story.now;
    again.tell(Input::Start(Box::new(checkpoint)));
    again.hear("f-2");
    again.pass(60);
    assert_eq!(again.rehearsed, []);
    assert_eq!(reasons(&again.engine).len(), 8);
}

#[test]
fn an_undo_meets_an_open_circuit_and_asks_without_a_rehearsal() {
    let mut story = Driver::new(Autonomy::Auto, oom);
    story.hear("cart-1-a");
    story.world.look = |now| raised(now, "256Mi");
    let sent = story.rehearsed.len();
    for _ in 0..3 {
        let now = story.now + SignedDuration::from_mins(15);
        story.engine.history.record_refused_rehearsal(now);
    }
    story.pass(900);
    let incident = story.last();
    let why = incident.waiting_for.clone().unwrap_or_default();
    assert!(why.contains("the circuit is open until"), "{why}");
    assert!(incident.step.as_ref().is_some_and(|step| step.is_undo));
    assert_eq!(story.rehearsed.len(), sent);
}

/// The API server of a property: it says what it is told to, in turn, and counts what is under way.
struct Server<A> {
    answers: A,
    /// When each failure in a row came.
    failures: Vec<Timestamp>,
    under_way: usize,
}

impl<A: Iterator<Item = usize>> Server<A> {
    fn next(&mut self) -> usize {
        self.under_way += 1;
        self.answers.next().unwrap_or_default()
    }

    fn answer(&mut self, effect: Effect, now: Timestamp) -> Option<Input> {
        match effect {
            Effect::Observe {
                look, scope, fresh, ..
            } => {
                let crate::world::Scope::Of(object) = scope else {
                    panic!("the engine looks at single objects");
                };
                let name = object.name.split('-').next().unwrap_or_default();
                let mut snapshot = bad_images(now, &[name]);
                snapshot.fresh = fresh;
                let snapshot = Box::new(snapshot);
                Some(Input::Observed { look, snapshot })
            }
            Effect::Rehearse(step) => {
                let rehearsal = match self.next() {
                    0 | 1 => no_right(),
                    2 => Rehearsal::Stale {
                        why: "409".to_owned(),
                    },
                    _ => accepted(),
                };
                let step = step.id;
                Some(Input::Rehearsed { step, rehearsal })
            }
            Effect::Act(permit) => {
                let outcome = match self.next() {
                    0..=2 => ActOutcome::Refused {
                        why: "403".to_owned(),
                    },
                    3 => ActOutcome::Stale {
                        why: "409".to_owned(),
                    },
                    _ => done(),
                };
                let permit = permit.id().clone();
                Some(Input::Acted { permit, outcome })
            }
            Effect::ReadBack { .. } | Effect::WakeAt(_) => None,
        }
    }

    /// The agent hears this.
    fn heard(&mut self, input: &Input, now: Timestamp) {
        if let Input::Acted { outcome, .. } = input {
            match outcome {
                ActOutcome::Done { .. } => self.failures.clear(),
                ActOutcome::Refused { .. } => self.failures.push(now),
                ActOutcome::Blocked { .. }
                | ActOutcome::Stale { .. }
                | ActOutcome::Expired
                | ActOutcome::Unknown { .. }
                | ActOutcome::NotDone { .. } => {}
            }
        }
        if let Input::Rehearsed { rehearsal, .. } = input
            && rehearsal.is_failure()
        {
            self.failures.push(now);
        }
        let answers = matches!(input, Input::Acted { .. } | Input::Rehearsed { .. });
        self.under_way -= usize::from(answers);
    }

    fn is_open(&self, now: Timestamp) -> bool {
        let newest = self.failures.last();
        let until = newest.map(|at| *at + SignedDuration::from_secs(300));
        self.failures.len() >= 3 && until.is_some_and(|until| now < until)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the API server says: after three failures in a row nothing is sent for 300 s, and no
    /// more is under way than may still fail.
    #[test]
    fn an_open_circuit_sends_nothing(
        said in proptest::collection::vec(0_usize..7, 1..40),
        gaps in proptest::collection::vec(1_i64..200, 1..12),
    ) {
        let mut engine = Driver::new(Autonomy::Auto, healthy).engine;
        let answers = said.into_iter().cycle();
        let mut server = Server { answers, failures: Vec::new(), under_way: 0 };
        let (mut now, mut inputs) = (at(0), std::collections::VecDeque::new());
        for (round, gap) in gaps.iter().enumerate() {
            now += SignedDuration::from_secs(*gap);
            inputs.push_back(Input::Tick);
            for name in ["a", "b", "c", "d"] {
                let subject = testkit::reference(Kind::Pod, "demo", &format!("{name}{}-2", round % 3));
                let fingerprint = format!("watch:{subject}").into();
                let body = SignalBody::Watch;
                inputs.push_back(Input::Signal(Signal { fingerprint, subject, heard_at: now, body }));
            }
            while let Some(input) = inputs.pop_front() {
                server.heard(&input, now);
                for effect in engine.handle(input, now).effects {
                    let sends = matches!(effect, Effect::Rehearse(_) | Effect::Act(_));
                    prop_assert!(!sends || !server.is_open(now), "{:?}: {effect:?}", server.failures);
                    inputs.extend(server.answer(effect, now));
                }
                let may_fail = 3_usize.saturating_sub(server.failures.len()).max(1);
                prop_assert!(server.under_way <= may_fail, "{} after {:?}", server.under_way, server.failures);
            }
        }
    }
}

#[test]
fn many_repairs_at_once_go_a_few_at_a_time_and_all_of_them_go() {
    let mut story = Driver::new(Autonomy::Auto, five_bad_images);
    story.hear("a-2");
    story.pass(3);
    assert_eq!(story.count(EntryKind::Intent), 5);
    assert_eq!(story.most_under_way, 3);
}
