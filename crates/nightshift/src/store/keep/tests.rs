//! Retention on real SQLite files.

use super::*;
use crate::journal;
use crate::replay::replay;
use crate::store::Commit;
use crate::store::tests::{At, CLUSTER, decision, incident, step, store};
use nightshift_core::engine::{Checkpoint, Decision, Engine, Input};
use nightshift_core::history::ActOutcome;
use nightshift_core::incident::Phase;
use nightshift_core::plan::Action;
use std::collections::BTreeMap;

const DAY: i64 = 24 * 60;

fn horizon(day: i64) -> Horizon {
    Horizon {
        incidents: At::minutes(day * DAY),
        journal: At::minutes(day * DAY),
    }
}

async fn append(store: &Store, epoch: u64, day: i64, input: &Input, decision: &Decision) {
    let commit = Commit {
        cluster: &CLUSTER.into(),
        leader_epoch: epoch,
        at: At::minutes(day * DAY),
        input,
        decision,
        analyses: &BTreeMap::new(),
    };
    store.append(&[commit]).await.unwrap();
}

async fn drop_all(store: &Store, day: i64) -> Dropped {
    let mut all = Dropped::default();
    loop {
        let round = store
            .drop_old(&CLUSTER.into(), &horizon(day))
            .await
            .unwrap();
        if round.is_empty() {
            return all;
        }
        all = all.and(round);
    }
}

#[tokio::test]
async fn whole_old_incidents_go_and_the_rest_still_verifies() {
    let (store, _folder) = store().await;
    let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    for (day, id, phase) in [
        (0, "old", Phase::Closed),
        (0, "open", Phase::Waiting),
        (10, "new", Phase::Closed),
    ] {
        let done = decision(vec![incident(id, id, phase, day * DAY)]);
        append(&store, epoch, day, &Input::Tick, &done).await;
    }
    let dropped = drop_all(&store, 5).await;
    assert_eq!((dropped.incidents, dropped.inputs), (1, 0));
    let ids = |left: crate::store::Page| {
        let ids = left.incidents.into_iter().map(|i| i.id.to_string());
        ids.collect::<Vec<_>>()
    };
    let left = store
        .incidents(&crate::store::Filter::default(), 9, 0)
        .await;
    assert_eq!(ids(left.unwrap()), ["new", "open"]);
    store.verify(&CLUSTER.into()).await.unwrap();
    for table in ["incident_events", "incident_keys", "outbox"] {
        let count = format!("SELECT COUNT(*) FROM {table} WHERE incident_id = 'old'");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(count, 0, "{table}");
    }
}

/// A journal of an engine that runs for days and says from time to time what it knows.
async fn ran(store: &Store, days: i64) {
    let leader_epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    let mut engine = Engine::new();
    let first = Checkpoint {
        cluster: CLUSTER.into(),
        leader_epoch,
        ..Checkpoint::default()
    };
    for day in 0..days {
        let start = if day == 0 {
            first.clone()
        } else {
            engine.checkpoint()
        };
        let rejected = Input::Rejected {
            why: format!("day {day}"),
            alert: String::new(),
        };
        for input in [Input::Start(Box::new(start)), rejected] {
            let decision = engine.handle(input.clone(), At::minutes(day * DAY));
            append(store, leader_epoch, day, &input, &decision).await;
        }
    }
}

#[tokio::test]
async fn the_journal_goes_up_to_a_start_and_what_is_left_replays() {
    let (store, _folder) = store().await;
    ran(&store, 6).await;
    let dropped = drop_all(&store, 4).await;
    // Day 3 holds the newest start from before day 4.
    assert_eq!(dropped.inputs, 6);
    let mut file = Vec::new();
    let count = journal::export(&store, &CLUSTER.into(), &mut file).await;
    assert_eq!(count.unwrap(), 6);
    let replayed = replay(file.as_slice()).unwrap();
    assert!(replayed.same());
    assert_eq!(replayed.rows.len(), 6);
    // The facts of the oldest days went too, and the newest one stays however old it is.
    assert_eq!(dropped.others, 4);
    assert_eq!(drop_all(&store, 400).await.others, 1);
    store.verify(&CLUSTER.into()).await.unwrap();
}

#[tokio::test]
async fn a_fact_that_was_changed_after_the_oldest_went_is_noticed() {
    let (store, _folder) = store().await;
    ran(&store, 4).await;
    drop_all(&store, 2).await;
    let change =
        "UPDATE incident_events SET text = 'x' WHERE n = (SELECT MIN(n) FROM incident_events)";
    sqlx::query(change).execute(&store.pool).await.unwrap();
    let found = store.verify(&CLUSTER.into()).await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_round_is_bounded() {
    let (store, _folder) = store().await;
    let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    let names: Vec<String> = (0..=INCIDENTS).map(|n| format!("inc-{n}")).collect();
    let old = names.iter().map(|id| incident(id, id, Phase::Closed, 0));
    append(&store, epoch, 0, &Input::Tick, &decision(old.collect())).await;
    let round = store.drop_old(&CLUSTER.into(), &horizon(5)).await.unwrap();
    assert_eq!(i64::try_from(round.incidents).unwrap(), INCIDENTS);
    assert_eq!(drop_all(&store, 5).await.incidents, 1);
}

async fn act(store: &Store, n: i64, node: &str, action: Action, result: Option<&ActOutcome>) {
    let mut step = step();
    step.action = action;
    step.target.uid = node.into();
    sqlx::query(
        "INSERT INTO intents (cluster, permit, leader_epoch, seq, incident_id, owner, step, at,
             at_ms, result) VALUES ($1, $2, 1, $3, 'inc', $4, $5, $6, $7, $8)",
    )
    .bind(CLUSTER)
    .bind(format!("p{n:03}"))
    .bind(n)
    .bind(serde_json::to_string(&step.check.owner).unwrap())
    .bind(serde_json::to_string(&step).unwrap())
    .bind(At::minutes(n).to_string())
    .bind(At::minutes(n).as_millisecond())
    .bind(result.map(|result| serde_json::to_string(result).unwrap()))
    .execute(&store.pool)
    .await
    .unwrap();
}

/// Permits that a start loads.
async fn loaded(store: &Store, day: i64) -> Vec<String> {
    let loaded = store
        .checkpoint(&CLUSTER.into(), At::minutes(day * DAY))
        .await;
    let acts = loaded.unwrap().history.acts;
    acts.iter().map(|act| act.permit.to_string()).collect()
}

#[tokio::test]
async fn open_permits_standing_cordons_and_the_newest_acts_stay_whatever_their_age() {
    let (store, _folder) = store().await;
    let done = ActOutcome::Done {
        generation: 1,
        resource_version: "1".to_owned(),
    };
    let unknown = ActOutcome::Unknown { why: String::new() };
    act(&store, 1, "n1", Action::Cordon, Some(&done)).await;
    act(&store, 2, "n2", Action::Cordon, Some(&done)).await;
    act(&store, 3, "n2", Action::Uncordon, Some(&done)).await;
    act(&store, 4, "a", Action::DeletePod, None).await;
    act(&store, 5, "b", Action::DeletePod, Some(&unknown)).await;
    act(&store, 6, "c", Action::DeletePod, Some(&done)).await;
    let newest = i64::try_from(ALWAYS_KEPT).unwrap();
    for n in 7..7 + newest {
        act(&store, n, "d", Action::DeletePod, Some(&done)).await;
    }
    let dropped = drop_all(&store, 400).await;
    assert_eq!(
        dropped.others, 3,
        "the ended cordon with its end, and one old act"
    );
    let left = loaded(&store, 400).await;
    assert_eq!(left[..3], ["p001", "p004", "p005"]);
    assert_eq!(left.len(), 3 + ALWAYS_KEPT);
}

#[tokio::test]
async fn an_incident_with_a_write_of_unknown_fate_is_kept() {
    let (store, _folder) = store().await;
    let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    let done = decision(vec![incident("inc", "cart", Phase::Closed, 0)]);
    append(&store, epoch, 0, &Input::Tick, &done).await;
    act(&store, 1, "a", Action::DeletePod, None).await;
    assert!(drop_all(&store, 400).await.is_empty());
    let answer = Input::Acted {
        permit: "p001".into(),
        outcome: ActOutcome::Expired,
    };
    append(&store, epoch, 0, &answer, &Decision::default()).await;
    assert_eq!(drop_all(&store, 400).await.incidents, 1);
}

#[tokio::test]
async fn facts_of_another_cluster_are_not_touched() {
    let (store, _folder) = store().await;
    ran(&store, 4).await;
    let other = ClusterUid::from("another");
    assert!(
        store
            .drop_old(&other, &horizon(400))
            .await
            .unwrap()
            .is_empty()
    );
}
