//! Alerts: joined, suppressed, silent, and in floods.

use super::*;

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
