//! Every fault of the demo, in `auto`, in `recommend`, and without an agent.

use super::super::faults;
use super::super::judge::Right;
use super::stage::{self, RECOMMEND, Stage, WAITING};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn demo_every_ending_is_right() {
    let options = super::super::Options {
        once: true,
        seed: 3,
        speed: stage::speed(),
        agent_off: false,
        format: crate::output::Format::Table,
    };
    let wall = nightshift_cluster::SystemClock::default();
    let ending = super::super::run(&options, &wall).await;
    assert_eq!(ending.unwrap(), super::super::Ending::Right);
}

/// A judge that cannot say no proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn demo_with_the_agent_off_fails() {
    let stage = Stage::without_agent();
    for fault in faults::all() {
        let scene = stage.broken(&fault);
        stage.pass(Duration::from_mins(5)).await;
        let verdict = stage.judge(fault.right, fault.target, scene);
        // Left alone is what nobody does, too: for those the story waits for the agent's word.
        assert!(
            verdict.is_err() || fault.right == Right::LeftAlone,
            "{}",
            fault.name
        );
    }
}

/// With an account that could write: every fault ends with a person, who is told what the agent would
/// do where it would do something, and nothing is written.
#[tokio::test(flavor = "multi_thread")]
async fn recommend_writes_nothing() {
    let stage = Stage::start(RECOMMEND).await;
    for fault in faults::all() {
        stage.carry_out(&fault.deeds);
        // A healthy rollout under a false alarm is nobody's business.
        if fault.name == "false_alarm" {
            continue;
        }
        let waiting = stage.await_incident(fault.target.name(), WAITING).await;
        let is_recommended = waiting.action_recommended.is_some();
        let is_due = fault.right != Right::LeftAlone;
        assert!(is_recommended || !is_due, "{}: {waiting:?}", fault.name);
    }
    stage.pass(Duration::from_mins(2)).await;
    assert_eq!(stage.writes(), []);
    stage.end().await;
}
