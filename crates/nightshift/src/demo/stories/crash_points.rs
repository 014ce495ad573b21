//! The agent is killed at named points of a write and started again on its record: no write is done
//! twice, and no incident is lost. Counted in the audit lines.

use super::stage::{AUTO, CLOSED, Stage, fault};
use nightshift_cluster::failpoint::Trap;

async fn killed_at(point: &'static str) {
    let mut stage = Stage::without_agent();
    let trap = Trap::at(point);
    stage.start_agent(AUTO, Some(&trap)).await;
    let fault = fault("image_not_found");
    let scene = stage.broken(&fault);
    stage.await_sprung(&trap).await;
    stage.kill();
    stage.start_agent(AUTO, None).await;
    stage.await_incident("catalog", CLOSED).await;
    assert_eq!(stage.incidents().await.len(), 1);
    assert_eq!(stage.judge(fault.right, fault.target, scene), Ok(()));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_intent() {
    killed_at("before_intent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_intent() {
    killed_at("after_intent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_send() {
    killed_at("before_send").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_commit_with_the_answer_lost() {
    killed_at("after_commit_answer_lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_result() {
    killed_at("before_result").await;
}
