//! What is not seen, not answered or cut off.

use super::*;

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
