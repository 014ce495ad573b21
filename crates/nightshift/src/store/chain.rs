//! The hash chains: one per incident, anchored in the journal's own.

use super::{Store, StoreError, from_json, signed, to_json, unsigned, word};
use crate::journal::{self, PAGE, Seq};
use jiff::Timestamp;
use nightshift_core::ids::{ClusterUid, Digest, IncidentId};
use nightshift_core::record::Entry;
use sqlx::{Sqlite, Transaction};
use std::collections::BTreeMap;

/// Reads a digest that was stored as text.
pub(super) fn stored(hash: String) -> Result<Digest, StoreError> {
    serde_json::from_value(serde_json::Value::String(hash))
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub(super) fn journal_changed(seq: Seq) -> StoreError {
    StoreError::Corrupt(format!("row {seq} of the journal is not what was written"))
}

/// Name of an entry's chain: its incident, or nothing for facts about the cluster.
fn name(incident: Option<&IncidentId>) -> &str {
    incident.map_or("", IncidentId::as_str)
}

fn genesis(cluster: &ClusterUid, chain: &str) -> Digest {
    Digest::of(&("nightshift incident", cluster, chain))
}

/// Everything that a row says, as the hash sees it.
#[derive(serde::Serialize)]
struct Sealed<'a> {
    prev: &'a Digest,
    cluster: &'a str,
    incident: &'a str,
    at: &'a str,
    kind: &'a str,
    text: &'a str,
    body: &'a str,
}

/// Adds rows to the chains of one cluster inside one transaction.
pub(super) struct Chain {
    cluster: ClusterUid,
    seq: Seq,
    at: Timestamp,
    next: u64,
    heads: BTreeMap<String, Digest>,
}

impl Chain {
    pub(super) async fn load(
        tx: &mut Transaction<'static, Sqlite>,
        cluster: &ClusterUid,
        seq: Seq,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let last: Option<i64> =
            sqlx::query_scalar("SELECT MAX(n) FROM incident_events WHERE cluster = $1")
                .bind(cluster.as_str())
                .fetch_one(&mut **tx)
                .await?;
        Ok(Self {
            cluster: cluster.clone(),
            seq,
            at,
            next: unsigned(last.unwrap_or(0))? + 1,
            heads: BTreeMap::new(),
        })
    }

    /// Appends the entry to its incident's chain.
    pub(super) async fn add(
        &mut self,
        tx: &mut Transaction<'static, Sqlite>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let chain = name(entry.incident.as_ref());
        let prev = match self.heads.get(chain) {
            Some(head) => head.clone(),
            None => head_of(tx, &self.cluster, chain).await?,
        };
        let (at, kind) = (self.at.to_string(), word(&entry.kind)?);
        let body = to_json(&entry.body)?;
        let hash = Digest::of(&Sealed {
            prev: &prev,
            cluster: self.cluster.as_str(),
            incident: chain,
            at: &at,
            kind: &kind,
            text: &entry.text,
            body: &body,
        });
        sqlx::query(
            "INSERT INTO incident_events (cluster, n, seq, incident_id, at, kind, text, body,
                 prev_hash, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.cluster.as_str())
        .bind(signed(self.next)?)
        .bind(signed(self.seq.0)?)
        .bind(chain)
        .bind(at)
        .bind(kind)
        .bind(&entry.text)
        .bind(body)
        .bind(prev.as_str())
        .bind(hash.as_str())
        .execute(&mut **tx)
        .await?;
        self.next += 1;
        self.heads.insert(chain.to_owned(), hash);
        Ok(())
    }

    /// Last hash of every chain that was added to: the anchors for the journal.
    pub(super) fn into_heads(self) -> BTreeMap<String, Digest> {
        self.heads
    }
}

async fn head_of(
    tx: &mut Transaction<'static, Sqlite>,
    cluster: &ClusterUid,
    chain: &str,
) -> Result<Digest, StoreError> {
    let head: Option<String> = sqlx::query_scalar(
        "SELECT hash FROM incident_events WHERE cluster = $1 AND incident_id = $2
         ORDER BY n DESC LIMIT 1",
    )
    .bind(cluster.as_str())
    .bind(chain)
    .fetch_optional(&mut **tx)
    .await?;
    head.map_or_else(|| Ok(genesis(cluster, chain)), stored)
}

#[derive(sqlx::FromRow)]
struct EventRow {
    n: i64,
    incident_id: String,
    at: String,
    kind: String,
    text: String,
    body: String,
    prev_hash: String,
    hash: String,
}

impl Store {
    /// Computes every hash of the cluster's record anew. [`StoreError::Corrupt`] names the first row
    /// that is not what was written. Incidents that retention dropped whole are not missed.
    pub async fn verify(&self, cluster: &ClusterUid) -> Result<(), StoreError> {
        let anchors = self.verify_journal(cluster).await?;
        self.verify_events(cluster).await?;
        for (chain, (seq, head)) in anchors {
            self.verify_anchor(cluster, &chain, seq, &head).await?;
        }
        Ok(())
    }

    /// Returns the newest anchor of each chain.
    async fn verify_journal(
        &self,
        cluster: &ClusterUid,
    ) -> Result<BTreeMap<String, (Seq, Digest)>, StoreError> {
        let mut anchors = BTreeMap::new();
        let mut expected: Option<(Seq, Digest)> = None;
        let mut next = Seq(0);
        loop {
            let page = self.journal_rows(cluster, next, PAGE).await?;
            if page.is_empty() {
                return Ok(anchors);
            }
            for (line, hash) in page {
                let (seq, prev) = expected.take().unwrap_or_else(|| match line.seq {
                    Seq(1) => (Seq(1), journal::genesis(cluster)),
                    // Retention dropped the oldest part.
                    later => (later, line.prev.clone()),
                });
                if line.seq != seq || line.prev != prev || line.hash() != hash {
                    return Err(journal_changed(line.seq));
                }
                next = Seq(seq.0 + 1);
                expected = Some((next, hash));
                for (chain, head) in line.heads {
                    anchors.insert(chain, (line.seq, head));
                }
            }
        }
    }

    async fn verify_events(&self, cluster: &ClusterUid) -> Result<(), StoreError> {
        let mut heads: BTreeMap<String, Digest> = BTreeMap::new();
        let mut after = 0_i64;
        loop {
            let rows: Vec<EventRow> = sqlx::query_as(
                "SELECT n, incident_id, at, kind, text, body, prev_hash, hash FROM incident_events
                 WHERE cluster = $1 AND n > $2 ORDER BY n LIMIT $3",
            )
            .bind(cluster.as_str())
            .bind(after)
            .bind(i64::from(PAGE))
            .fetch_all(&self.pool)
            .await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                after = row.n;
                let prev = match heads.remove(&row.incident_id) {
                    Some(head) => head,
                    // Retention drops the oldest facts about the cluster; incidents go whole.
                    None if row.incident_id.is_empty() => stored(row.prev_hash.clone())?,
                    None => genesis(cluster, &row.incident_id),
                };
                let computed = Digest::of(&Sealed {
                    prev: &prev,
                    cluster: cluster.as_str(),
                    incident: &row.incident_id,
                    at: &row.at,
                    kind: &row.kind,
                    text: &row.text,
                    body: &row.body,
                });
                if prev.as_str() != row.prev_hash || computed.as_str() != row.hash {
                    return Err(StoreError::Corrupt(format!(
                        "row {} of incident_events is not what was written",
                        row.n
                    )));
                }
                heads.insert(row.incident_id, computed);
            }
        }
    }

    /// The anchored row must be there, unless its whole incident was dropped.
    async fn verify_anchor(
        &self,
        cluster: &ClusterUid,
        chain: &str,
        seq: Seq,
        head: &Digest,
    ) -> Result<(), StoreError> {
        let (rows, found): (i64, i64) = sqlx::query_as(
            "SELECT COUNT(*), COUNT(CASE WHEN hash = $3 THEN 1 END) FROM incident_events
             WHERE cluster = $1 AND incident_id = $2",
        )
        .bind(cluster.as_str())
        .bind(chain)
        .bind(head.as_str())
        .fetch_one(&self.pool)
        .await?;
        let known: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM incidents WHERE cluster = $1 AND id = $2")
                .bind(cluster.as_str())
                .bind(chain)
                .fetch_one(&self.pool)
                .await?;
        let dropped_whole = rows == 0 && known == 0 && !chain.is_empty();
        if found > 0 || dropped_whole {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "events of incident `{chain}` are missing: row {seq} of the journal speaks of them"
        )))
    }

    /// Journal rows with the hash that was stored with each.
    pub(super) async fn journal_rows(
        &self,
        cluster: &ClusterUid,
        from: Seq,
        limit: u32,
    ) -> Result<Vec<(journal::Line, Digest)>, StoreError> {
        let rows: Vec<JournalRow> = sqlx::query_as(
            "SELECT seq, at, leader_epoch, input, decision_digest, heads, prev_hash, hash
             FROM journal WHERE cluster = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
        )
        .bind(cluster.as_str())
        .bind(signed(from.0)?)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|row| row.read(cluster)).collect()
    }
}

#[derive(sqlx::FromRow)]
struct JournalRow {
    seq: i64,
    at: String,
    leader_epoch: i64,
    input: String,
    decision_digest: String,
    heads: String,
    prev_hash: String,
    hash: String,
}

impl JournalRow {
    fn read(self, cluster: &ClusterUid) -> Result<(journal::Line, Digest), StoreError> {
        let corrupt = |error: &dyn std::error::Error| {
            StoreError::Corrupt(format!("row {} of the journal: {error}", self.seq))
        };
        let line = journal::Line {
            cluster: cluster.clone(),
            seq: Seq(unsigned(self.seq)?),
            at: self.at.parse().map_err(|e: jiff::Error| corrupt(&e))?,
            leader_epoch: unsigned(self.leader_epoch)?,
            decision: stored(self.decision_digest)?,
            heads: from_json(&self.heads)?,
            prev: stored(self.prev_hash)?,
            input: serde_json::value::RawValue::from_string(self.input)
                .map_err(|e| StoreError::Corrupt(e.to_string()))?,
        };
        Ok((line, stored(self.hash)?))
    }
}
