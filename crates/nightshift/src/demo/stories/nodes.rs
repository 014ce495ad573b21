//! A node is lost while other incidents are open.

use super::super::faults::{Deed, SHOP};
use super::stage::{AUTO, Stage, WAITING};
use nightshift_core::record::EntryKind;
use serde_json::json;

const NODE: &str = "node-3";

/// Three pods on it crash, and are a person's already. Their logs cannot be read any more, and that is
/// no reason to let a person wait for the drain.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_is_cordoned_and_its_drain_asked_for_while_other_incidents_are_open() {
    let stage = Stage::start(AUTO).await;
    let names = ["one", "two", "three"];
    for name in names {
        stage.apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": SHOP},
            "spec": {
                "nodeName": NODE,
                "containers": [{"name": name, "image": "shop.test/payments:2.7"}],
            },
        }));
    }
    for name in names {
        stage.await_incident(name, WAITING).await;
    }
    stage.carry_out(&[Deed::NodeSilent(NODE)]);
    let waiting = stage.await_incident(NODE, WAITING).await;
    let why = waiting.waiting_for.clone().unwrap_or_default();
    assert!(why.contains("a drain always asks a person"), "{why}");
    let detail = stage.detail(&waiting).await;
    let rows = |kind| {
        detail
            .events
            .iter()
            .filter(move |row| row.entry.kind == kind)
    };
    let texts = |kind| {
        rows(kind)
            .map(|row| row.entry.text.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(EntryKind::Blind), Vec::<String>::new());
    let planned = texts(EntryKind::Planned);
    assert_eq!(planned.len(), 2, "the cordon and one eviction: {planned:?}");
    let writes = stage.writes();
    assert!(
        writes.len() == 1 && writes[0].is_to("nodes", NODE),
        "{writes:?}"
    );
    stage.end().await;
}
