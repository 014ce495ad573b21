//! Several things are broken at once: what a look shows of another one says little of it.

use super::*;

/// A workload that is killed for memory, and beside it a node that somebody has cordoned.
fn both(now: Timestamp) -> Snapshot {
    backing_off(killed(now, 5))
        .node("node2")
        .cordoned()
        .managed("kubectl-cordon", &[crate::world::Field::Unschedulable], 90)
        .event(
            "NodeNotSchedulable",
            "Node node2 status is now: NodeNotSchedulable",
        )
        .seen(90, 90, 1)
        .snapshot()
}

/// One that ends by itself, again and again.
fn crashing(now: Timestamp) -> testkit::World {
    testkit::world(&now.to_string())
        .node("node1")
        .deployment("demo", "cart")
        .revision(1)
        .pod("cart-1-a")
        .crash_loop(1, "Error", 5, 4)
}

fn with_its_last_words(now: Timestamp) -> testkit::World {
    crashing(now).previous_log(&["fatal: this release is broken"])
}

/// A look at a workload takes nodes in trouble along, without their Events; one at a node the pods
/// on it, and there are none.
fn narrow(mut whole: Snapshot, scope: &Scope) -> Snapshot {
    let is_node = matches!(scope, Scope::Of(it) if it.kind == Kind::Node);
    whole
        .events
        .retain(|event| (event.involved_object.kind == Kind::Node) == is_node);
    if is_node {
        whole.pods.clear();
        whole.workloads.clear();
    }
    whole
}

fn story() -> Driver {
    let mut story = Driver::new(Autonomy::Recommend, both);
    story.world.narrow = narrow;
    story
}

fn looks(story: &Driver) -> usize {
    let inputs = story.journal.iter();
    inputs
        .filter(|(input, ..)| matches!(input, Input::Observed { .. }))
        .count()
}

#[test]
fn what_is_seen_beside_gets_a_look_of_its_own_and_is_diagnosed_by_that() {
    let mut story = story();
    story.hear("cart-1-a");
    let open: Vec<_> = story.engine.open_incidents().collect();
    let said = open.iter().map(|incident| {
        let diagnosis = incident.diagnosis.as_ref();
        let confidence = diagnosis.map_or(0, |diagnosis| diagnosis.confidence.0);
        (incident.fingerprint.class, confidence)
    });
    let mut said: Vec<_> = said.collect();
    said.sort_unstable();
    let wanted = [(FaultClass::OomKilled, 85), (FaultClass::NodeCordoned, 92)];
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(wanted.iter().all(|one| said.contains(one)), "{said:?}");
}

#[test]
fn what_happens_to_one_of_two_broken_things_is_no_news_of_the_other() {
    let mut story = story();
    story.hear("cart-1-a");
    story.pass(10);
    let (diagnosed, looked) = (story.count(EntryKind::Diagnosed), looks(&story));
    for _ in 0..10 {
        story.hear("cart-1-a");
        story.pass(5);
    }
    let rows = story.count(EntryKind::Diagnosed);
    assert_eq!(rows, diagnosed, "nothing is new");
    // Ten of the workload, and what each of the two wants by itself.
    assert!(looks(&story) - looked <= 14, "{}", looks(&story) - looked);
}

#[test]
fn a_look_without_logs_takes_nothing_from_one_with_logs() {
    let with_logs = |now| backing_off(with_its_last_words(now)).snapshot();
    let mut story = Driver::new(Autonomy::Recommend, with_logs);
    story.hear("cart-1-a");
    story.pass(20);
    let rows = story.count(EntryKind::Diagnosed);
    let said = |story: &Driver| format!("{:?}", story.last().diagnosis);
    assert!(said(&story).contains("this release is broken"));
    // The watch goes on, and reads no logs.
    story.world.look = |now| backing_off(crashing(now)).snapshot();
    for _ in 0..5 {
        story.pass(20);
        story.hear("cart-1-a");
    }
    assert_eq!(story.count(EntryKind::Diagnosed), rows);
    assert!(said(&story).contains("this release is broken"));
}

/// Two cordoned nodes show each other, and there is room for neither.
#[test]
fn where_no_incident_can_be_opened_what_is_seen_beside_is_not_looked_at() {
    fn nodes(now: Timestamp) -> Snapshot {
        let world = testkit::world(&now.to_string());
        let world = world.node("node1").cordoned().node("node2").cordoned();
        world.snapshot()
    }
    let mut story = Driver::new(Autonomy::Recommend, oom);
    story.hear("cart-1-a");
    let mut full = Checkpoint {
        running: None,
        ..story.engine.checkpoint()
    };
    let one = full.open.pop().expect("an incident");
    full.open = (0..FAULT_INCIDENTS)
        .map(|number| {
            let mut other = one.clone();
            other.id = format!("inc-{number}").into();
            other.owner.uid = format!("uid-{number}").into();
            other.fingerprint.owner = other.owner.uid.clone();
            other
        })
        .collect();
    story.engine = Engine::new();
    // Without the looks that each of them wants at a start.
    story.engine.handle(Input::Start(Box::new(full)), story.now);
    story.engine.run.looks.clear();
    story.world.look = nodes;
    let looked = looks(&story);
    story.hear_of(testkit::reference(Kind::Node, "", "node1"));
    assert_eq!(looks(&story) - looked, 1);
}

#[test]
fn what_is_new_replaces_a_diagnosis_with_logs_even_without_them() {
    let with_logs = |now| with_its_last_words(now).snapshot();
    let mut story = Driver::new(Autonomy::Recommend, with_logs);
    story.hear("cart-1-a");
    story.pass(20);
    story.world.look = |now| {
        let both = crashing(now).pod("cart-1-b").crash_loop(1, "Error", 5, 4);
        both.snapshot()
    };
    story.hear("cart-1-a");
    story.pass(5);
    let path = story
        .last()
        .diagnosis
        .clone()
        .map(|diagnosis| diagnosis.path);
    assert!(path.is_some_and(|path| path[0].starts_with("2 of 2")));
}
