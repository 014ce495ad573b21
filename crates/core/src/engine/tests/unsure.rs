//! Evidence comes in pieces: too little of it now is no question to a person.

use super::*;

/// For minutes already, and only the status says so.
fn by_status_alone(now: Timestamp) -> Snapshot {
    killed(now, 300).snapshot()
}

fn with_its_events(now: Timestamp) -> Snapshot {
    backing_off(killed(now, 300)).snapshot()
}

/// The second pod of a set crashes since the newest revision.
fn crashing_set(now: Timestamp) -> testkit::World {
    testkit::world(&now.to_string())
        .node("node1")
        .stateful_set("demo", "db")
        .revision(1)
        .pod("db-0")
        .revision(2)
        .image("img.test/db:2")
        .age(300)
        .pod("db-1")
        .age(300)
        .crash_loop(1, "Error", 30, 5)
}

fn crashing(now: Timestamp) -> Snapshot {
    crashing_set(now)
        .event("BackOff", "Back-off restarting failed container app")
        .seen(200, 5, 9)
        .snapshot()
}

/// Its template is repaired, and the pod is left.
fn rolled_back(now: Timestamp) -> testkit::World {
    crashing_set(now).revision(3).image("img.test/db:1").age(20)
}

fn left_by_status_alone(now: Timestamp) -> Snapshot {
    rolled_back(now).snapshot()
}

fn left_with_its_events(now: Timestamp) -> Snapshot {
    let mut snapshot = rolled_back(now).snapshot();
    snapshot.events = crashing(now).events;
    snapshot
}

/// An agent with the timers that it ships with.
fn started(look: fn(Timestamp) -> Snapshot) -> Driver {
    let mut story = Driver::new(Autonomy::Auto, look);
    let mut checkpoint = checkpoint(Autonomy::Auto);
    checkpoint.policy.persistence_percent = 100;
    story.tell(Input::Start(Box::new(checkpoint)));
    story
}

#[test]
fn an_old_fault_of_which_too_little_is_seen_yet_is_no_question_to_a_person() {
    let mut story = started(by_status_alone);
    story.hear("cart-1-a");
    assert_eq!(story.count(EntryKind::Waiting), 0, "{:?}", story.last());
    story.world.look = with_its_events;
    story.pass(6);
    assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
}

#[test]
fn what_stays_unsure_for_a_minute_is() {
    let mut story = started(by_status_alone);
    story.hear("cart-1-a");
    story.pass(58);
    assert_eq!(story.count(EntryKind::Waiting), 0, "{:?}", story.last());
    story.pass(8);
    let waits = story.last().waiting_for.clone().unwrap_or_default();
    assert!(waits.contains("confidence"), "{:?}", story.last());
    assert_eq!(story.count(EntryKind::Intent), 0);
}

#[test]
fn a_second_step_waits_for_its_evidence_too() {
    let mut story = started(crashing);
    story.hear("db-1");
    assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
    story.world.look = left_by_status_alone;
    story.pass(6);
    assert_eq!(story.last().phase, Phase::Verifying, "{:?}", story.last());
    story.world.look = left_with_its_events;
    story.pass(6);
    let taken = story.last().action_taken.clone();
    assert_eq!(taken.as_deref(), Some("delete_pod:demo/db-1"));
}

#[test]
fn a_controller_that_is_behind_is_waited_for_and_not_for_ever() {
    fn behind(now: Timestamp) -> Snapshot {
        let mut snapshot = crashing(now);
        for workload in &mut snapshot.workloads {
            let workload = std::sync::Arc::make_mut(workload);
            workload.metadata.generation += 1;
        }
        snapshot
    }
    let mut story = started(behind);
    story.hear("db-1");
    story.pass(60);
    assert_eq!(story.count(EntryKind::Waiting), 0, "{:?}", story.last());
    story.pass(300);
    let waits = story.last().waiting_for.clone().unwrap_or_default();
    assert!(waits.contains("has not caught up"), "{:?}", story.last());
    assert_eq!(story.count(EntryKind::Intent), 0);
}

/// Half of the looks see nothing: that does not begin the minute anew.
#[test]
fn a_blind_look_now_and_then_does_not_keep_it_from_a_person() {
    fn now_and_then(now: Timestamp) -> Snapshot {
        let snapshot = by_status_alone(now);
        if (now.as_second() / 5) % 2 == 0 {
            return snapshot;
        }
        blind_to(snapshot, Source::Pods, "timed out")
    }
    let mut story = started(by_status_alone);
    story.hear("cart-1-a");
    story.world.look = now_and_then;
    story.pass(90);
    let waits = story.last().waiting_for.clone().unwrap_or_default();
    assert!(waits.contains("confidence"), "{:?}", story.last());
}
