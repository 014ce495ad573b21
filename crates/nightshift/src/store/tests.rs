//! Tests of the store on real SQLite files.

use super::*;
use crate::journal::{self, Seq};
use jiff::{SignedDuration, Timestamp};
use nightshift_core::diagnose::FaultClass;
use nightshift_core::engine::{Decision, Input};
use nightshift_core::history::{ALWAYS_KEPT, History, Refusal};
use nightshift_core::ids::{Digest, IncidentId};
use nightshift_core::incident::{Fingerprint, Incident, Outcome, Phase};
use nightshift_core::plan::{Action, Author, Check, Step};
use nightshift_core::record::{Batch, Entry, EntryKind, Notice, NoticeKind};
use nightshift_core::signal::{Alert, Signal, SignalBody};
use nightshift_core::world::{Kind, ObjectRef};
use std::collections::BTreeMap;
use tempfile::TempDir;

pub(crate) const CLUSTER: &str = "cluster-uid";

/// Times of a test: minutes after a fixed moment.
pub(crate) struct At;

impl At {
    pub(crate) fn minutes(minutes: i64) -> Timestamp {
        let start: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        start + SignedDuration::from_mins(minutes)
    }
}

pub(crate) fn url(folder: &TempDir) -> String {
    format!("sqlite://{}?mode=rwc", folder.path().join("t.db").display())
}

pub(crate) async fn store() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Store::open(&url(&folder)).await.unwrap(), folder)
}

pub(crate) fn commit<'a>(
    cluster: &'a ClusterUid,
    leader_epoch: u64,
    input: &'a Input,
    decision: &'a Decision,
) -> Commit<'a> {
    static NONE: BTreeMap<IncidentId, String> = BTreeMap::new();
    Commit {
        cluster,
        leader_epoch,
        at: At::minutes(0),
        input,
        decision,
        analyses: &NONE,
    }
}

pub(crate) async fn append(
    store: &Store,
    epoch: u64,
    input: &Input,
    decision: &Decision,
) -> Result<Seq, StoreError> {
    let cluster = ClusterUid::from(CLUSTER);
    store
        .append(&[commit(&cluster, epoch, input, decision)])
        .await
}

fn object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef {
        kind,
        namespace: "demo".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}").into(),
    }
}

pub(crate) fn step() -> Step {
    let owner = object(Kind::Deployment, "cart");
    Step {
        id: "step-1".into(),
        incident: "inc-1".into(),
        action: Action::DeletePod,
        target: object(Kind::Pod, "cart-a"),
        basis: Digest::of("basis"),
        undo: None,
        check: Check {
            class: FaultClass::CrashLoop,
            owner,
            time_to_failure_ms: 1_000,
        },
        author: Author::Rule,
        runbook: "RB_CRASHLOOP".into(),
        runbook_step: "delete".to_owned(),
        is_undo: false,
        asks: Vec::new(),
    }
}

pub(crate) fn incident(id: &str, owner: &str, phase: Phase, opened: i64) -> Incident {
    let owner = object(Kind::Deployment, owner);
    let opened_at = At::minutes(opened);
    let fingerprint = Fingerprint {
        cluster: CLUSTER.into(),
        owner: owner.uid.clone(),
        class: FaultClass::CrashLoop,
    };
    let subject = object(Kind::Pod, &format!("{}-a", owner.name));
    Incident {
        id: id.into(),
        closed_at: (phase == Phase::Closed).then_some(opened_at),
        phase,
        ..Incident::open(fingerprint, owner, subject, opened_at)
    }
}

fn entry(incident: Option<&str>, text: &str) -> Entry {
    Entry {
        incident: incident.map(Into::into),
        kind: EntryKind::Opened,
        text: text.to_owned(),
        body: serde_json::json!({ "a": [1, 2] }),
    }
}

pub(crate) fn decision(incidents: Vec<Incident>) -> Decision {
    Decision {
        batch: Batch {
            entries: incidents
                .iter()
                .map(|i| entry(Some(i.id.as_str()), "opened"))
                .collect(),
            notices: incidents
                .iter()
                .filter(|i| i.phase == Phase::Waiting)
                .map(|i| Notice {
                    key: format!("{}-waiting", i.id),
                    incident: i.id.clone(),
                    kind: NoticeKind::Waiting,
                    title: "waits for a person".to_owned(),
                    text: "why".to_owned(),
                })
                .collect(),
            incidents,
            ..Batch::default()
        },
        effects: Vec::new(),
    }
}

/// A store with three incidents of two workloads, stored with two inputs.
pub(crate) async fn filled() -> (Store, TempDir, u64) {
    let (store, folder) = store().await;
    let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    let first = decision(vec![
        incident("inc-1", "cart", Phase::Closed, 0),
        incident("inc-2", "pay", Phase::Waiting, 1),
    ]);
    let second = decision(vec![incident("inc-3", "cart", Phase::Open, 2)]);
    for done in [first, second] {
        append(&store, epoch, &Input::Tick, &done).await.unwrap();
    }
    (store, folder, epoch)
}

impl Store {
    /// What a damaged disk or somebody with a text editor does.
    pub(crate) async fn break_one_row(&self) {
        sqlx::query("UPDATE incident_events SET text = 'other' WHERE n = 1")
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

/// How many inputs are in the journal.
async fn inputs(store: &Store) -> usize {
    let lines = store.journal(&CLUSTER.into(), Seq(0), 99).await;
    lines.unwrap().len()
}

#[tokio::test]
async fn a_restart_loads_the_same_checkpoint() {
    let (store, folder, epoch) = filled().await;
    let good = Input::KnownGood {
        workload: object(Kind::Deployment, "cart"),
        revision: object(Kind::ReplicaSet, "cart-1"),
        after: jiff::SignedDuration::from_mins(10),
    };
    append(&store, epoch, &good, &Decision::default())
        .await
        .unwrap();
    let before = store
        .checkpoint(&CLUSTER.into(), At::minutes(9))
        .await
        .unwrap();
    store.close().await;

    let store = Store::open(&url(&folder)).await.unwrap();
    let after = store
        .checkpoint(&CLUSTER.into(), At::minutes(9))
        .await
        .unwrap();
    assert_eq!(after, before);
    let ids = |list: &[Incident]| list.iter().map(|i| i.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&after.open), ["inc-2", "inc-3"]);
    assert_eq!(ids(&after.closed), ["inc-1"]);
    assert_eq!(
        after.history.known_good.get(&"uid-cart-1".into()),
        Some(&At::minutes(0))
    );
    assert_eq!(store.take_lead(&CLUSTER.into()).await.unwrap(), epoch + 1);
}

#[tokio::test]
async fn a_restart_knows_which_workloads_were_killed_for_their_memory() {
    let (store, _folder, epoch) = filled().await;
    let mut killed = incident("inc-4", "reports", Phase::Closed, 4);
    killed.fingerprint.class = FaultClass::OomKilled;
    let mut merged = incident("inc-5", "search", Phase::Closed, 5);
    merged.fingerprint.class = FaultClass::OomKilled;
    merged.outcome = Some(Outcome::Merged("inc-4".into()));
    let done = decision(vec![killed.clone(), merged]);
    append(&store, epoch, &Input::Tick, &done).await.unwrap();
    let loaded = store.checkpoint(&CLUSTER.into(), At::minutes(9)).await;
    let kills = loaded.unwrap().history.oom_kills;
    let owners: Vec<_> = kills.into_keys().collect();
    assert_eq!(owners, [killed.owner.to_string()]);
}

#[tokio::test]
async fn a_restart_knows_the_newest_refused_rehearsals_and_their_place() {
    let (store, _folder, epoch) = filled().await;
    let mut history = History::default();
    for minute in 0..i64::try_from(ALWAYS_KEPT).unwrap() + 7 {
        let refusal = Refusal {
            at: At::minutes(minute),
            after: (minute % 2 == 0).then(|| "permit-1".into()),
        };
        history.keep_refused_rehearsal(refusal.clone());
        let refused = Decision {
            batch: Batch {
                refused_rehearsal: Some(refusal),
                ..Batch::default()
            },
            effects: Vec::new(),
        };
        append(&store, epoch, &Input::Tick, &refused).await.unwrap();
    }
    let loaded = store.checkpoint(&CLUSTER.into(), At::minutes(9)).await;
    let known = loaded.unwrap().history.refused_rehearsals;
    assert_eq!(known.len(), ALWAYS_KEPT);
    assert_eq!(known, history.refused_rehearsals);
}

#[tokio::test]
async fn a_former_leader_can_record_nothing() {
    let (store, _folder, old) = filled().await;
    let new = store.take_lead(&CLUSTER.into()).await.unwrap();
    let before = inputs(&store).await;
    let late = decision(vec![incident("inc-9", "late", Phase::Open, 3)]);
    let refused = append(&store, old, &Input::Tick, &late).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Fenced { ours, newest } if ours == old && newest == new),
        "{refused}"
    );
    assert_eq!(inputs(&store).await, before);
    assert!(store.incident(&"inc-9".into()).await.unwrap().is_none());
    append(&store, new, &Input::Tick, &late).await.unwrap();
}

#[tokio::test]
async fn an_epoch_that_was_never_given_out_is_no_lead() {
    let (store, _folder) = store().await;
    let refused = append(&store, 1, &Input::Tick, &Decision::default()).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })));
}

#[tokio::test]
async fn clusters_share_nothing_but_the_file() {
    let (store, _folder, _) = filled().await;
    let other = ClusterUid::from("other");
    let epoch = store.take_lead(&other).await.unwrap();
    assert_eq!(epoch, 1);
    let (input, nothing) = (Input::Tick, Decision::default());
    let seq = store
        .append(&[commit(&other, epoch, &input, &nothing)])
        .await;
    assert_eq!(seq.unwrap(), Seq(1));
    let loaded = store.checkpoint(&other, At::minutes(9)).await.unwrap();
    assert!(loaded.open.is_empty() && loaded.closed.is_empty());
    assert_eq!(store.clusters().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_untouched_record_verifies() {
    let (store, _folder, epoch) = filled().await;
    let about_all = Decision {
        batch: Batch {
            entries: vec![entry(None, "blind"), entry(Some("inc-2"), "again")],
            ..Batch::default()
        },
        effects: Vec::new(),
    };
    append(&store, epoch, &Input::Tick, &about_all)
        .await
        .unwrap();
    store.verify(&CLUSTER.into()).await.unwrap();
}

#[tokio::test]
async fn every_changed_column_is_noticed() {
    let changes: &[&'static str] = &[
        "UPDATE incident_events SET text = 'closed' WHERE n = 2",
        "UPDATE incident_events SET body = '{\"a\":[1,3]}' WHERE n = 1",
        "UPDATE incident_events SET at = '2026-01-05T10:00:01Z' WHERE n = 1",
        "UPDATE incident_events SET kind = 'final' WHERE n = 3",
        "UPDATE incident_events SET incident_id = 'inc-1' WHERE n = 2",
        "UPDATE incident_events SET hash = prev_hash WHERE n = 2",
        "UPDATE journal SET at = '2026-01-05T10:00:01Z' WHERE seq = 1",
        "UPDATE journal SET input = '\"Stopping\"' WHERE seq = 2",
        "UPDATE journal SET leader_epoch = 2 WHERE seq = 1",
        "UPDATE journal SET decision_digest = prev_hash WHERE seq = 1",
        "UPDATE journal SET heads = '{}' WHERE seq = 2",
        "DELETE FROM incident_events WHERE n = 1",
        // The last row of a chain has no follower: its anchor in the journal misses it.
        "DELETE FROM incident_events WHERE n = 3",
    ];
    for &change in changes {
        let (store, _folder, _) = filled().await;
        sqlx::query(change).execute(&store.pool).await.unwrap();
        let found = store.verify(&CLUSTER.into()).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{change}");
    }
}

#[tokio::test]
async fn a_whole_incident_may_be_dropped() {
    let (store, _folder, _) = filled().await;
    for change in [
        "DELETE FROM incident_events WHERE incident_id = 'inc-1'",
        "DELETE FROM incidents WHERE id = 'inc-1'",
    ] {
        sqlx::query(change).execute(&store.pool).await.unwrap();
    }
    store.verify(&CLUSTER.into()).await.unwrap();
}

#[tokio::test]
async fn a_damaged_journal_is_not_handed_out() {
    let (store, _folder, _) = filled().await;
    sqlx::query("UPDATE journal SET input = '\"Stopping\"' WHERE seq = 2")
        .execute(&store.pool)
        .await
        .unwrap();
    let read = store.journal(&CLUSTER.into(), Seq(0), 10).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_record_with_a_changed_event_is_not_exported() {
    let (store, _folder, _) = filled().await;
    sqlx::query("UPDATE incident_events SET text = 'closed' WHERE n = 2")
        .execute(&store.pool)
        .await
        .unwrap();
    let exported = journal::export(&store, &CLUSTER.into(), &mut Vec::new()).await;
    assert!(matches!(
        exported,
        Err(journal::ExportError::Store(StoreError::Corrupt(_)))
    ));
}

#[tokio::test]
async fn an_exported_journal_is_the_same_chain() {
    let (store, _folder, _) = filled().await;
    let mut out = Vec::new();
    let count = journal::export(&store, &CLUSTER.into(), &mut out)
        .await
        .unwrap();
    assert_eq!(count, 2);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text
        .lines()
        .map(|line| journal::Line::parse(line).unwrap())
        .collect();
    assert_eq!(lines[0].0.prev, journal::genesis(&CLUSTER.into()));
    assert_eq!(lines[1].0.prev, lines[0].1);
}

#[tokio::test]
async fn a_commit_is_whole_or_not_at_all() {
    let (store, _folder, epoch) = filled().await;
    sqlx::query("DROP TABLE outbox")
        .execute(&store.pool)
        .await
        .unwrap();
    let done = decision(vec![incident("inc-9", "x", Phase::Waiting, 3)]);
    append(&store, epoch, &Input::Tick, &done)
        .await
        .unwrap_err();
    assert_eq!(inputs(&store).await, 2);
    assert!(store.incident(&"inc-9".into()).await.unwrap().is_none());
    store.verify(&CLUSTER.into()).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_is_not_available() {
    let (store, _folder, epoch) = filled().await;
    store.close().await;
    let refused = append(&store, epoch, &Input::Tick, &Decision::default()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert!(store.ping().await.is_err());
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let refused = Store::open("sqlite:///nope/t.db?mode=rwc")
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the database /nope/t.db cannot be opened"
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.db"), "this is not a database, really").unwrap();
    let refused = Store::open(&url(&folder)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    let refused = Store::open("mysql://elsewhere").await.unwrap_err();
    assert!(matches!(refused, StoreError::Url(_)), "{refused:?}");
}

#[tokio::test]
async fn reading_makes_nothing_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Store::open_to_read(&url(&folder)).await.unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let (store, folder, epoch) = filled().await;
    // Beside a running agent, and after it.
    for is_running in [true, false] {
        if !is_running {
            store.close().await;
        }
        let reader = Store::open_to_read(&url(&folder)).await.unwrap();
        let page = reader.incidents(&Filter::default(), 9, 0).await.unwrap();
        assert_eq!(page.total, 3);
        reader.verify(&CLUSTER.into()).await.unwrap();
        let refused = append(&reader, epoch, &Input::Tick, &Decision::default()).await;
        refused.unwrap_err();
        reader.close().await;
    }
}

#[tokio::test]
async fn tables_of_another_version_are_not_read() {
    let (store, folder, _) = filled().await;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version > 1")
        .execute(&store.pool)
        .await
        .unwrap();
    let refused = Store::open_to_read(&url(&folder)).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::OtherVersion { found: 1, .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn incidents_are_found_by_what_is_asked() {
    let (store, _folder, _) = filled().await;
    let found = async |filter: Filter, limit, offset| {
        let page = store.incidents(&filter, limit, offset).await.unwrap();
        let ids: Vec<_> = page.incidents.iter().map(|i| i.id.to_string()).collect();
        (ids.join(" "), page.total)
    };
    let all = Filter::default;
    assert_eq!(found(all(), 10, 0).await, ("inc-3 inc-2 inc-1".into(), 3));
    assert_eq!(found(all(), 1, 1).await, ("inc-2".into(), 3));
    let open = Filter {
        open: Some(true),
        ..all()
    };
    assert_eq!(found(open, 10, 0).await, ("inc-3 inc-2".into(), 2));
    let waiting = Filter {
        phase: Some(Phase::Waiting),
        ..all()
    };
    assert_eq!(found(waiting, 10, 0).await, ("inc-2".into(), 1));
    let elsewhere = Filter {
        namespace: Some("elsewhere".to_owned()),
        ..all()
    };
    assert_eq!(found(elsewhere, 10, 0).await, (String::new(), 0));
}

#[tokio::test]
async fn an_incident_comes_with_its_record_and_its_past() {
    let (store, _folder, _) = filled().await;
    let id = IncidentId::from("inc-3");
    store
        .put_analysis(&CLUSTER.into(), &id, "# Why", At::minutes(5))
        .await
        .unwrap();
    let detail = store.incident(&id).await.unwrap().unwrap();
    let kinds: Vec<_> = detail.events.iter().map(|e| e.entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Opened, EntryKind::Analysis]);
    assert_eq!(detail.analysis.as_deref(), Some("# Why"));
    store.verify(&CLUSTER.into()).await.unwrap();

    let past = store.past_like(&detail.incident, 50).await.unwrap();
    let ids: Vec<_> = past.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(ids, ["inc-1"], "the same workload, not the other one");
}

/// An alert with a label, as the intake makes it.
fn alert(name: &str, label: (&str, &str)) -> Signal {
    Signal {
        fingerprint: name.into(),
        subject: ObjectRef::default(),
        heard_at: At::minutes(0),
        body: SignalBody::Alert(Alert {
            name: name.to_owned(),
            firing: true,
            labels: [(label.0.to_owned(), label.1.to_owned())].into(),
            annotations: BTreeMap::new(),
            starts_at: None,
            runbook_hint: None,
        }),
    }
}

#[tokio::test]
async fn the_past_is_what_core_calls_alike() {
    let (store, _folder) = store().await;
    let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
    let mut all: Vec<Incident> = (0..5)
        .map(|n| incident(&format!("inc-{n}"), &format!("app-{n}"), Phase::Closed, n))
        .collect();
    // An older alert of the same name counts, not the newest one alone.
    all[0].alerts = vec![alert("PodDown", ("a", "b")), alert("Other", ("a", "b"))];
    all[2].alerts = vec![alert("Third", ("node", "n1"))];
    all[3].alerts = vec![alert("Fourth", ("node", "n2"))];
    all[4].alerts = vec![alert("PodDown", ("node", "n1")), alert("Last", ("a", "b"))];
    append(&store, epoch, &Input::Tick, &decision(all.clone()))
        .await
        .unwrap();
    for one in &all {
        let past = store.past_like(one, 9).await.unwrap();
        let mut expected: Vec<_> = all
            .iter()
            .filter(|other| other.id != one.id && other.opened_at <= one.opened_at)
            .filter(|other| nightshift_core::analysis::alike(one, other))
            .cloned()
            .collect();
        expected.reverse();
        assert_eq!(past, expected, "{}", one.id);
    }
    let last = store.past_like(&all[4], 9).await.unwrap();
    let ids: Vec<_> = last.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(ids, ["inc-2", "inc-0"]);
}

#[tokio::test]
async fn what_waits_for_people_is_counted() {
    let (store, _folder, _) = filled().await;
    let counts = store.counts(&CLUSTER.into()).await.unwrap();
    assert_eq!(
        counts,
        Counts {
            open: 2,
            waiting: 1,
            undelivered: 1,
            dead: 0
        }
    );
}
