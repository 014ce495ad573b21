//! SIGTERM while a write is out: it has reached the API server, and its answer has not come.
//!
//! A StatefulSet that is stuck needs two writes, so that a step that must not begin is known: the
//! second.

use super::super::judge::Write;
use super::ordered::{NOWHERE, ORDERS, is_repaired};
use super::road::Way;
use super::stage::{AUTO, CLOSED, Stage, image};
use nightshift_core::incident::Outcome;
use nightshift_core::record::EntryKind;

/// When the write that is out is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Never,
    AfterTheSignal,
}

/// The entries of the first write, after the agent was stopped and started again.
async fn stopped(answer: Answer) -> Vec<String> {
    let mut stage = Stage::start(AUTO).await;
    stage.way(Way::Held("statefulsets"));
    stage.carry_out(&[image(ORDERS, NOWHERE)]);
    let one = [Write::done("patch", "statefulsets", "orders-db")];
    stage
        .until("the write", async || {
            let writes = stage.writes();
            (writes == one)
                .then_some(())
                .ok_or_else(|| format!("{writes:?}"))
        })
        .await;
    stage.ask_to_end();
    if answer == Answer::AfterTheSignal {
        stage.way(Way::Open);
    }
    stage.ended().await;
    assert_eq!(stage.writes(), one, "after SIGTERM");

    stage.start_agent(AUTO, None).await;
    let closed = stage.await_incident("orders-db", CLOSED).await;
    assert_eq!(closed.outcome, Some(Outcome::Fixed));
    is_repaired(&stage, 2);
    let rows = stage.detail(&closed).await.events;
    stage.end().await;
    let entries = rows.into_iter().map(|row| row.entry);
    let entries = entries.filter(|entry| entry.kind == EntryKind::Result);
    entries.map(|entry| entry.text).collect()
}

/// In fast time the time to stop is over before a write without an answer is given up, so that mostly
/// nothing at all is on the record about the write that is read back.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_a_write_is_out_leaves_a_recorded_intent() {
    let results = stopped(Answer::Never).await;
    let both = ["done", "done"].map(str::to_owned);
    assert!(results.ends_with(&both), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_a_write_is_out_lets_it_finish() {
    let results = stopped(Answer::AfterTheSignal).await;
    assert_eq!(results, ["done", "done"]);
}
