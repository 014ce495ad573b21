//! Retention: what is old is dropped, in bounded rounds, and what is left still verifies and replays.

use super::load::ActRow;
use super::{Store, StoreError};
use jiff::Timestamp;
use nightshift_core::history::{ALWAYS_KEPT, Act, History};
use nightshift_core::ids::{ClusterUid, PermitId};
use sqlx::{Sqlite, Transaction};

/// Incidents that one round drops at most.
const INCIDENTS: i64 = 50;
/// Rows of any other kind that one round drops at most: a row of the journal may hold a snapshot of
/// some hundred kilobytes, and the engine's commits wait while a round runs.
const ROWS: i64 = 200;

/// What is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Incidents that were closed before this, and facts from before it, are dropped.
    pub incidents: Timestamp,
    /// The journal is dropped up to its newest start before this.
    pub journal: Timestamp,
}

/// How many rows one round dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Incidents, each with its whole record.
    pub incidents: u64,
    /// Inputs of the journal.
    pub inputs: u64,
    /// Facts about the cluster, intents, notices and known good revisions.
    pub others: u64,
}

impl Dropped {
    /// Whether there was nothing to drop.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            incidents: self.incidents + other.incidents,
            inputs: self.inputs + other.inputs,
            others: self.others + other.others,
        }
    }
}

type Tx = Transaction<'static, Sqlite>;

impl Store {
    /// Drops some of what is old, the oldest first, in one transaction. To be called again until
    /// nothing is left to drop.
    pub async fn drop_old(
        &self,
        cluster: &ClusterUid,
        horizon: &Horizon,
    ) -> Result<Dropped, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let dropped = Dropped {
            incidents: incidents(&mut tx, cluster, horizon.incidents).await?,
            inputs: journal(&mut tx, cluster, horizon.journal).await?,
            others: facts(&mut tx, cluster, horizon.incidents).await?
                + acts(&mut tx, cluster, horizon.incidents).await?
                + turns(&mut tx, cluster, horizon.incidents).await?,
        };
        tx.commit().await?;
        Ok(dropped)
    }
}

/// Whole incidents. One with a write whose fate is not known is not over.
async fn incidents(
    tx: &mut Tx,
    cluster: &ClusterUid,
    before: Timestamp,
) -> Result<u64, StoreError> {
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM incidents WHERE cluster = $1 AND phase = 'closed' AND closed_at < $2
             AND NOT EXISTS (SELECT 1 FROM intents WHERE intents.cluster = $1
                 AND intents.incident_id = incidents.id
                 AND (result IS NULL OR result LIKE '{\"unknown\"%'))
         ORDER BY closed_at LIMIT $3",
    )
    .bind(cluster.as_str())
    .bind(before.as_millisecond())
    .bind(INCIDENTS)
    .fetch_all(&mut **tx)
    .await?;
    for id in &old {
        for part in [
            "DELETE FROM incident_events WHERE cluster = $1 AND incident_id = $2",
            "DELETE FROM incident_keys WHERE cluster = $1 AND incident_id = $2",
            "DELETE FROM outbox WHERE cluster = $1 AND incident_id = $2",
            "DELETE FROM incidents WHERE cluster = $1 AND id = $2",
        ] {
            sqlx::query(part)
                .bind(cluster.as_str())
                .bind(id)
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
}

/// The journal before a start: a replay begins at one.
async fn journal(tx: &mut Tx, cluster: &ClusterUid, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM journal WHERE cluster = $1 AND seq IN
             (SELECT seq FROM journal WHERE cluster = $1 AND seq <
                  (SELECT MAX(seq) FROM journal WHERE cluster = $1 AND at < $2
                       AND substr(input, 1, 8) = '{\"Start\"')
              ORDER BY seq LIMIT $3)",
    )
    .bind(cluster.as_str())
    .bind(before.to_string())
    .bind(ROWS)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// The oldest rows about the cluster itself (the newest one stays: the journal names it), notices
/// that were delivered, and revisions that were good long ago.
async fn facts(tx: &mut Tx, cluster: &ClusterUid, before: Timestamp) -> Result<u64, StoreError> {
    let events = sqlx::query(
        "DELETE FROM incident_events WHERE cluster = $1 AND n IN
             (SELECT n FROM incident_events WHERE cluster = $1 AND incident_id = '' AND at < $2
                  AND n < (SELECT MAX(n) FROM incident_events WHERE cluster = $1
                      AND incident_id = '')
              ORDER BY n LIMIT $3)",
    )
    .bind(cluster.as_str())
    .bind(before.to_string())
    .bind(ROWS)
    .execute(&mut **tx)
    .await?;
    let mut dropped = events.rows_affected();
    for part in [
        "DELETE FROM outbox WHERE cluster = $1 AND key IN
             (SELECT key FROM outbox WHERE cluster = $1 AND delivered_at < $2 LIMIT $3)",
        "DELETE FROM known_good WHERE cluster = $1 AND revision IN
             (SELECT revision FROM known_good WHERE cluster = $1 AND at_ms < $2 LIMIT $3)",
    ] {
        let done = sqlx::query(part)
            .bind(cluster.as_str())
            .bind(before.as_millisecond())
            .bind(ROWS)
            .execute(&mut **tx)
            .await?;
        dropped += done.rows_affected();
    }
    Ok(dropped)
}

/// Writes with a final answer, but for the newest ones, which the breaker counts whatever their age.
async fn acts(tx: &mut Tx, cluster: &ClusterUid, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM intents WHERE cluster = $1 AND permit IN
             (SELECT permit FROM intents WHERE cluster = $1 AND at_ms < $2
                  AND result IS NOT NULL AND result NOT LIKE '{\"unknown\"%'
                  AND step NOT LIKE '%\"action\":\"Cordon\"%'
                  AND step NOT LIKE '%\"action\":\"Uncordon\"%'
                  AND seq < (SELECT seq FROM intents WHERE cluster = $1 ORDER BY seq DESC
                      LIMIT 1 OFFSET $3)
              ORDER BY seq LIMIT $4)",
    )
    .bind(cluster.as_str())
    .bind(before.as_millisecond())
    .bind(i64::try_from(ALWAYS_KEPT - 1).unwrap_or(i64::MAX))
    .bind(ROWS)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Turns of nodes that no longer say what is cordoned by us. All of them at once: an uncordon must
/// not go before the cordons that it ended.
async fn turns(tx: &mut Tx, cluster: &ClusterUid, before: Timestamp) -> Result<u64, StoreError> {
    let rows: Vec<ActRow> = sqlx::query_as(
        "SELECT seq, permit, incident_id, owner, step, at, result FROM intents
         WHERE cluster = $1 AND (step LIKE '%\"action\":\"Cordon\"%'
             OR step LIKE '%\"action\":\"Uncordon\"%') ORDER BY seq",
    )
    .bind(cluster.as_str())
    .fetch_all(&mut **tx)
    .await?;
    let acts: Vec<Act> = rows
        .into_iter()
        .map(ActRow::read)
        .collect::<Result<_, _>>()?;
    let history = History {
        acts,
        ..History::default()
    };
    let stands = |act: &Act| {
        let standing = history.our_cordon(&act.step.target.uid);
        standing.is_some_and(|cordon| cordon.permit == act.permit)
    };
    let old = |act: &&Act| act.at < before && !act.is_out() && !stands(act);
    let old: Vec<&PermitId> = history
        .acts
        .iter()
        .filter(old)
        .map(|act| &act.permit)
        .collect();
    for permit in &old {
        sqlx::query("DELETE FROM intents WHERE cluster = $1 AND permit = $2")
            .bind(cluster.as_str())
            .bind(permit.as_str())
            .execute(&mut **tx)
            .await?;
    }
    Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
