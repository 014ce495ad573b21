//! One input, or some that came together, one transaction.

use super::chain::{self, Chain};
use super::{Store, StoreError, signed, to_json, unsigned, word};
use crate::journal::{self, Line, Seq};
use jiff::Timestamp;
use nightshift_core::analysis;
use nightshift_core::engine::{Decision, Effect, Input};
use nightshift_core::history::{ALWAYS_KEPT, ActOutcome, Refusal};
use nightshift_core::ids::{ClusterUid, Digest, IncidentId, PermitId};
use nightshift_core::incident::Incident;
use nightshift_core::plan::Step;
use nightshift_core::record::{Batch, Entry, EntryKind, Notice};
use nightshift_core::signal::SignalBody;
use serde_json::value::RawValue;
use sqlx::{Sqlite, Transaction};
use std::collections::BTreeMap;

/// Everything that becomes durable together with one input.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The cluster.
    pub cluster: &'a ClusterUid,
    /// Epoch of the leader that decided.
    pub leader_epoch: u64,
    /// The time that the engine was told.
    pub at: Timestamp,
    /// The input.
    pub input: &'a Input,
    /// What the engine decided on it.
    pub decision: &'a Decision,
    /// Analyses (Markdown) that were written anew for incidents of the decision.
    pub analyses: &'a BTreeMap<IncidentId, String>,
}

type Tx = Transaction<'static, Sqlite>;

impl Store {
    /// Makes the commits durable in their order, all or none; returns the number of the last. Effects
    /// may run only after it returned `Ok`.
    ///
    /// Fails with [`StoreError::Fenced`] when a newer leader has written for the cluster, and with
    /// [`StoreError::Corrupt`] when a permit was recorded before: no write is intended twice.
    pub async fn append(&self, commits: &[Commit<'_>]) -> Result<Seq, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut newest = Seq(0);
        for commit in commits {
            newest = put(&mut tx, commit).await?;
        }
        tx.commit().await?;
        Ok(newest)
    }

    /// Stores an analysis that a person asked for, and records that it was written.
    pub async fn put_analysis(
        &self,
        cluster: &ClusterUid,
        id: &IncidentId,
        text: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let (next, _) = next_seq(&mut tx, cluster).await?;
        let mut chain = Chain::load(&mut tx, cluster, Seq(next.0 - 1), at).await?;
        put_analysis(&mut tx, &mut chain, cluster, id, text).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// One input with all that was decided on it; returns its number.
async fn put(tx: &mut Tx, commit: &Commit<'_>) -> Result<Seq, StoreError> {
    fence(tx, commit).await?;
    let (seq, prev) = next_seq(tx, commit.cluster).await?;
    let heads = put_batch(tx, commit, seq).await?;
    put_intents(tx, commit, seq).await?;
    put_facts(tx, commit).await?;
    put_line(tx, commit, seq, prev, heads).await?;
    Ok(seq)
}

/// Refuses a commit of a leader that another has followed.
async fn fence(tx: &mut Tx, commit: &Commit<'_>) -> Result<(), StoreError> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT epoch FROM leader WHERE cluster = $1")
        .bind(commit.cluster.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let newest = unsigned(newest.unwrap_or(0))?;
    // An epoch that was never given out is no lead either.
    if commit.leader_epoch == newest {
        Ok(())
    } else {
        Err(StoreError::Fenced {
            ours: commit.leader_epoch,
            newest,
        })
    }
}

async fn next_seq(tx: &mut Tx, cluster: &ClusterUid) -> Result<(Seq, Digest), StoreError> {
    let last: Option<(i64, String)> = sqlx::query_as(
        "SELECT seq, hash FROM journal WHERE cluster = $1 ORDER BY seq DESC LIMIT 1",
    )
    .bind(cluster.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    match last {
        None => Ok((Seq(1), journal::genesis(cluster))),
        Some((seq, hash)) => Ok((Seq(unsigned(seq)? + 1), chain::stored(hash)?)),
    }
}

/// The decision's rows; returns the new head of each chain that was added to.
async fn put_batch(
    tx: &mut Tx,
    commit: &Commit<'_>,
    seq: Seq,
) -> Result<BTreeMap<String, Digest>, StoreError> {
    let Batch {
        entries,
        incidents,
        notices,
        refused_rehearsal,
    } = &commit.decision.batch;
    let mut chain = Chain::load(tx, commit.cluster, seq, commit.at).await?;
    for entry in entries {
        chain.add(tx, entry).await?;
    }
    for incident in incidents {
        put_incident(tx, incident).await?;
    }
    for (id, text) in commit.analyses {
        put_analysis(tx, &mut chain, commit.cluster, id, text).await?;
    }
    for notice in notices {
        put_notice(tx, commit, notice).await?;
    }
    if let Some(refusal) = refused_rehearsal {
        put_refusal(tx, commit.cluster, seq, refusal).await?;
    }
    Ok(chain.into_heads())
}

async fn put_incident(tx: &mut Tx, incident: &Incident) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO incidents (id, cluster, owner_uid, class, namespace, owner, phase, opened_at,
             closed_at, alert_name, action_taken, action_recommended, action_error, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (cluster, id) DO UPDATE SET owner_uid = excluded.owner_uid,
             class = excluded.class, namespace = excluded.namespace, owner = excluded.owner,
             phase = excluded.phase, opened_at = excluded.opened_at,
             closed_at = excluded.closed_at, alert_name = excluded.alert_name,
             action_taken = excluded.action_taken,
             action_recommended = excluded.action_recommended,
             action_error = excluded.action_error, body = excluded.body",
    )
    .bind(incident.id.as_str())
    .bind(incident.fingerprint.cluster.as_str())
    .bind(incident.fingerprint.owner.as_str())
    .bind(word(&incident.fingerprint.class)?)
    .bind(&incident.owner.namespace)
    .bind(incident.owner.to_string())
    .bind(word(&incident.phase)?)
    .bind(incident.opened_at.as_millisecond())
    .bind(incident.closed_at.map(Timestamp::as_millisecond))
    .bind(alert_name(incident))
    .bind(incident.action_taken.as_deref())
    .bind(incident.action_recommended.as_deref())
    .bind(incident.action_error.as_deref())
    .bind(to_json(incident)?)
    .execute(&mut **tx)
    .await?;
    put_keys(tx, incident).await
}

/// The name of the newest alert, which lists are filtered by.
fn alert_name(incident: &Incident) -> Option<&str> {
    let mut signals = incident.alerts.iter().rev();
    signals.find_map(|signal| match &signal.body {
        SignalBody::Alert(alert) => Some(alert.name.as_str()),
        SignalBody::Watch => None,
    })
}

async fn put_keys(tx: &mut Tx, incident: &Incident) -> Result<(), StoreError> {
    let cluster = incident.fingerprint.cluster.as_str();
    sqlx::query("DELETE FROM incident_keys WHERE cluster = $1 AND incident_id = $2")
        .bind(cluster)
        .bind(incident.id.as_str())
        .execute(&mut **tx)
        .await?;
    for key in analysis::kin_keys(incident) {
        sqlx::query("INSERT INTO incident_keys (cluster, key, incident_id) VALUES ($1, $2, $3)")
            .bind(cluster)
            .bind(key)
            .bind(incident.id.as_str())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn put_analysis(
    tx: &mut Tx,
    chain: &mut Chain,
    cluster: &ClusterUid,
    id: &IncidentId,
    text: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE incidents SET analysis = $3 WHERE cluster = $1 AND id = $2")
        .bind(cluster.as_str())
        .bind(id.as_str())
        .bind(text)
        .execute(&mut **tx)
        .await?;
    let entry = Entry {
        incident: Some(id.clone()),
        kind: EntryKind::Analysis,
        text: "Analysis written".to_owned(),
        body: serde_json::json!({ "sha256": Digest::of_bytes(text.as_bytes()) }),
    };
    chain.add(tx, &entry).await
}

/// The same notice again changes nothing: its key says that people have it already.
async fn put_notice(tx: &mut Tx, commit: &Commit<'_>, notice: &Notice) -> Result<(), StoreError> {
    let now = commit.at.as_millisecond();
    sqlx::query(
        "INSERT INTO outbox (key, cluster, incident_id, kind, title, text, created_at, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (key) DO NOTHING",
    )
    .bind(&notice.key)
    .bind(commit.cluster.as_str())
    .bind(notice.incident.as_str())
    .bind(notice.kind.word())
    .bind(&notice.title)
    .bind(&notice.text)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The newest refused rehearsals are kept, as many as the engine remembers.
async fn put_refusal(
    tx: &mut Tx,
    cluster: &ClusterUid,
    seq: Seq,
    refusal: &Refusal,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO refused_rehearsals (cluster, seq, at, after_permit) VALUES ($1, $2, $3, $4)",
    )
    .bind(cluster.as_str())
    .bind(signed(seq.0)?)
    .bind(refusal.at.to_string())
    .bind(refusal.after.as_ref().map(PermitId::as_str))
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "DELETE FROM refused_rehearsals WHERE cluster = $1 AND seq <=
             (SELECT seq FROM refused_rehearsals WHERE cluster = $1 ORDER BY seq DESC
                  LIMIT 1 OFFSET $2)",
    )
    .bind(cluster.as_str())
    .bind(i64::try_from(ALWAYS_KEPT).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One intent for each permit that was given.
async fn put_intents(tx: &mut Tx, commit: &Commit<'_>, seq: Seq) -> Result<(), StoreError> {
    for effect in &commit.decision.effects {
        if let Effect::Act(permit) = effect {
            let intent = Intent {
                permit: permit.id(),
                leader_epoch: permit.leader_epoch(),
                step: permit.step(),
            };
            put_intent(tx, commit, seq, &intent).await?;
        }
    }
    Ok(())
}

/// What is recorded of a permit before it is used.
struct Intent<'a> {
    permit: &'a PermitId,
    leader_epoch: u64,
    step: &'a Step,
}

async fn put_intent(
    tx: &mut Tx,
    commit: &Commit<'_>,
    seq: Seq,
    intent: &Intent<'_>,
) -> Result<(), StoreError> {
    let step = intent.step;
    let incidents = &commit.decision.batch.incidents;
    let owner = incidents
        .iter()
        .find(|incident| incident.id == step.incident)
        .map_or(&step.check.owner, |incident| &incident.owner);
    let done = sqlx::query(
        "INSERT INTO intents (cluster, permit, leader_epoch, seq, incident_id, owner, step, at,
             at_ms)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE NOT EXISTS
             (SELECT 1 FROM leader WHERE cluster = $1 AND epoch > $3)",
    )
    .bind(commit.cluster.as_str())
    .bind(intent.permit.as_str())
    .bind(signed(intent.leader_epoch)?)
    .bind(signed(seq.0)?)
    .bind(step.incident.as_str())
    .bind(to_json(owner)?)
    .bind(to_json(step)?)
    .bind(commit.at.to_string())
    .bind(commit.at.as_millisecond())
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        // The permit itself is older than the lead that the commit claims.
        return Err(StoreError::Fenced {
            ours: intent.leader_epoch,
            newest: commit.leader_epoch,
        });
    }
    Ok(())
}

/// Facts that history is rebuilt from, taken from the input itself.
async fn put_facts(tx: &mut Tx, commit: &Commit<'_>) -> Result<(), StoreError> {
    match commit.input {
        Input::Acted { permit, outcome } => put_result(tx, commit.cluster, permit, outcome).await,
        Input::KnownGood { revision, .. } => {
            sqlx::query(
                "INSERT INTO known_good (cluster, revision, at, at_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (cluster, revision) DO UPDATE SET at = excluded.at,
                     at_ms = excluded.at_ms",
            )
            .bind(commit.cluster.as_str())
            .bind(revision.uid.as_str())
            .bind(commit.at.to_string())
            .bind(commit.at.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(())
        }
        Input::Start(_)
        | Input::Signal(_)
        | Input::Rejected { .. }
        | Input::Observed { .. }
        | Input::NotObserved { .. }
        | Input::Rehearsed { .. }
        | Input::Stopping
        | Input::Tick => Ok(()),
    }
}

async fn put_result(
    tx: &mut Tx,
    cluster: &ClusterUid,
    permit: &PermitId,
    outcome: &ActOutcome,
) -> Result<(), StoreError> {
    // As in the engine's memory: a final answer is never replaced by a later one.
    sqlx::query(
        "UPDATE intents SET result = $3 WHERE cluster = $1 AND permit = $2
             AND (result IS NULL OR result LIKE '{\"unknown\"%')",
    )
    .bind(cluster.as_str())
    .bind(permit.as_str())
    .bind(to_json(outcome)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn put_line(
    tx: &mut Tx,
    commit: &Commit<'_>,
    seq: Seq,
    prev: Digest,
    heads: BTreeMap<String, Digest>,
) -> Result<(), StoreError> {
    let line = Line {
        cluster: commit.cluster.clone(),
        seq,
        at: commit.at,
        leader_epoch: commit.leader_epoch,
        decision: journal::digest(commit.decision),
        heads,
        prev,
        input: RawValue::from_string(to_json(commit.input)?)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?,
    };
    sqlx::query(
        "INSERT INTO journal (cluster, seq, at, leader_epoch, input, decision_digest, heads,
             prev_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(line.cluster.as_str())
    .bind(signed(seq.0)?)
    .bind(line.at.to_string())
    .bind(signed(line.leader_epoch)?)
    .bind(line.input.get())
    .bind(line.decision.as_str())
    .bind(to_json(&line.heads)?)
    .bind(line.prev.as_str())
    .bind(line.hash().as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{self, At, CLUSTER};
    use nightshift_core::history::Act;

    async fn intend(store: &Store, epoch: u64, permit: &str) -> Result<(), StoreError> {
        let (input, decision) = (Input::Tick, Decision::default());
        let cluster = ClusterUid::from(CLUSTER);
        let commit = tests::commit(&cluster, epoch, &input, &decision);
        let step = tests::step();
        let intent = Intent {
            permit: &PermitId::from(permit),
            leader_epoch: epoch,
            step: &step,
        };
        let mut tx = store.pool.begin_with("BEGIN IMMEDIATE").await?;
        put_intent(&mut tx, &commit, Seq(1), &intent).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn acts(store: &Store) -> Vec<Act> {
        let now = At::minutes(60);
        let loaded = store.checkpoint(&CLUSTER.into(), now).await.unwrap();
        loaded.history.acts
    }

    #[tokio::test]
    async fn a_final_answer_is_not_replaced_by_a_later_one() {
        let (store, _folder) = tests::store().await;
        let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
        intend(&store, epoch, "p1").await.unwrap();
        let unknown = |why: &str| ActOutcome::Unknown {
            why: why.to_owned(),
        };
        let not_done = ActOutcome::NotDone { why: String::new() };
        for outcome in [
            unknown("first"),
            unknown("second"),
            not_done.clone(),
            unknown("late"),
        ] {
            let answer = Input::Acted {
                permit: "p1".into(),
                outcome,
            };
            tests::append(&store, epoch, &answer, &Decision::default())
                .await
                .unwrap();
        }
        assert_eq!(acts(&store).await[0].outcome, Some(not_done));
    }

    #[tokio::test]
    async fn an_intent_is_in_the_history_before_and_after_its_result() {
        let (store, _folder) = tests::store().await;
        let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
        intend(&store, epoch, "p1").await.unwrap();
        intend(&store, epoch, "p2").await.unwrap();
        let outcome = ActOutcome::Done {
            generation: 7,
            resource_version: "42".to_owned(),
        };
        let answer = Input::Acted {
            permit: "p1".into(),
            outcome: outcome.clone(),
        };
        tests::append(&store, epoch, &answer, &Decision::default())
            .await
            .unwrap();

        let acts = acts(&store).await;
        let found: Vec<_> = acts
            .iter()
            .map(|act| (act.permit.as_str(), &act.outcome))
            .collect();
        assert_eq!(found, [("p1", &Some(outcome)), ("p2", &None)]);
        assert_eq!(acts[0].step, tests::step());
        assert_eq!(acts[0].at, At::minutes(0));
    }

    #[tokio::test]
    async fn an_intent_of_an_older_epoch_is_refused() {
        let (store, _folder) = tests::store().await;
        let old = store.take_lead(&CLUSTER.into()).await.unwrap();
        let new = store.take_lead(&CLUSTER.into()).await.unwrap();
        let refused = intend(&store, old, "p1").await.unwrap_err();
        assert!(matches!(refused, StoreError::Fenced { .. }), "{refused}");
        assert!(acts(&store).await.is_empty());
        intend(&store, new, "p1").await.unwrap();
    }

    #[tokio::test]
    async fn no_permit_is_recorded_twice() {
        let (store, _folder) = tests::store().await;
        let epoch = store.take_lead(&CLUSTER.into()).await.unwrap();
        intend(&store, epoch, "p1").await.unwrap();
        let refused = intend(&store, epoch, "p1").await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    }
}
