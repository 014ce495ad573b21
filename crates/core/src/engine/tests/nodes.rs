//! Nodes: cordons and drains.

use super::*;

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
