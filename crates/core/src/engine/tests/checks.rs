//! Did it help, and what is taken back.

use super::*;

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
