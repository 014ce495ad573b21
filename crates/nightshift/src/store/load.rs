//! Reads: what a restart needs, and what people ask for.

use super::{Store, StoreError, from_json, unsigned, word};
use crate::journal::{Line, Seq};
use jiff::{SignedDuration, Timestamp};
use nightshift_core::analysis::kin_keys;
use nightshift_core::diagnose::FaultClass;
use nightshift_core::engine::Checkpoint;
use nightshift_core::history::{Act, History, MAX_ACTS, MAX_OOM_KILLS, Refusal};
use nightshift_core::ids::{ClusterUid, Digest, IncidentId, PermitId, Uid};
use nightshift_core::incident::{Incident, Phase};
use nightshift_core::record::{Entry, EntryKind};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, QueryBuilder};
use std::collections::BTreeMap;

/// Closed incidents and known good revisions that are older are not loaded: no rule looks further
/// back.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Closed incidents that a start loads at most: the newest.
const MAX_CLOSED: i64 = 1_000;

/// Which incidents; a field that is `None` asks for all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this cluster.
    pub cluster: Option<ClusterUid>,
    /// In this phase.
    pub phase: Option<Phase>,
    /// `true`: not closed; `false`: closed.
    pub open: Option<bool>,
    /// Of this class.
    pub class: Option<FaultClass>,
    /// Of an owner in this namespace.
    pub namespace: Option<String>,
    /// Whose newest alert has this name.
    pub alert_name: Option<String>,
}

/// Some incidents, newest first, and how many there are in all.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The incidents.
    pub incidents: Vec<Incident>,
    /// How many match, shown or not.
    pub total: u64,
}

/// One row of an incident's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The input of the journal that it was recorded with.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its place in the incident's hash chain.
    pub hash: Digest,
}

/// All that is kept of one incident.
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// The incident.
    pub incident: Incident,
    /// Its record, oldest first.
    pub events: Vec<Recorded>,
    /// The analysis in Markdown, once one was written.
    pub analysis: Option<String>,
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Counts {
    /// Incidents that are not closed.
    pub open: i64,
    /// Incidents that wait for a person.
    pub waiting: i64,
    /// Notices that are not delivered yet.
    pub undelivered: i64,
    /// Notices that were given up.
    pub dead: i64,
}

impl Store {
    /// What the engine needs to go on. The caller adds what is not in the store: version, epoch,
    /// policy and runbooks.
    pub async fn checkpoint(
        &self,
        cluster: &ClusterUid,
        now: Timestamp,
    ) -> Result<Checkpoint, StoreError> {
        let since = now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        let open: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM incidents WHERE cluster = $1 AND phase <> 'closed'
             ORDER BY opened_at, id",
        )
        .bind(cluster.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut closed: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM incidents WHERE cluster = $1 AND phase = 'closed' AND closed_at >= $2
             ORDER BY closed_at DESC, id DESC LIMIT $3",
        )
        .bind(cluster.as_str())
        .bind(since.as_millisecond())
        .bind(MAX_CLOSED)
        .fetch_all(&self.pool)
        .await?;
        closed.reverse();
        let mut history = History {
            acts: self.acts(cluster).await?,
            known_good: self.known_good(cluster, since).await?,
            refused_rehearsals: self.refused_rehearsals(cluster).await?,
            ..History::default()
        };
        for incident in self.oom_kills(cluster, since).await? {
            history.record_closed(&incident);
        }
        Ok(Checkpoint {
            cluster: cluster.clone(),
            open: bodies(&open)?,
            closed: bodies(&closed)?,
            history,
            ..Checkpoint::default()
        })
    }

    /// The newest acts and, whatever their age, those that some rule still rests on: writes without
    /// a final answer (the open permits: at most one a workload and node) and turns of nodes (which
    /// say what is cordoned by us). Oldest first.
    async fn acts(&self, cluster: &ClusterUid) -> Result<Vec<Act>, StoreError> {
        let newest: Vec<ActRow> = sqlx::query_as(
            "SELECT seq, permit, incident_id, owner, step, at, result FROM intents
             WHERE cluster = $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(cluster.as_str())
        .bind(i64::try_from(MAX_ACTS).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let kept: Vec<ActRow> = sqlx::query_as(
            "SELECT seq, permit, incident_id, owner, step, at, result FROM intents
             WHERE cluster = $1 AND (result IS NULL OR result LIKE '{\"unknown\"%'
                 OR step LIKE '%\"action\":\"Cordon\"%' OR step LIKE '%\"action\":\"Uncordon\"%')",
        )
        .bind(cluster.as_str())
        .fetch_all(&self.pool)
        .await?;
        let rows = newest.into_iter().chain(kept);
        let rows: BTreeMap<_, _> = rows
            .map(|row| ((row.seq, row.permit.clone()), row))
            .collect();
        rows.into_values().map(ActRow::read).collect()
    }

    /// Closed incidents that were OOM kills, the newest.
    async fn oom_kills(
        &self,
        cluster: &ClusterUid,
        since: Timestamp,
    ) -> Result<Vec<Incident>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM incidents WHERE cluster = $1 AND phase = 'closed' AND class = $2
                 AND closed_at >= $3 ORDER BY closed_at DESC LIMIT $4",
        )
        .bind(cluster.as_str())
        .bind(word(&FaultClass::OomKilled)?)
        .bind(since.as_millisecond())
        .bind(i64::try_from(MAX_OOM_KILLS).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        bodies(&found)
    }

    async fn refused_rehearsals(&self, cluster: &ClusterUid) -> Result<Vec<Refusal>, StoreError> {
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT at, after_permit FROM refused_rehearsals WHERE cluster = $1 ORDER BY seq",
        )
        .bind(cluster.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(at, after)| {
                Ok(Refusal {
                    at: time(&at)?,
                    after: after.map(PermitId::from),
                })
            })
            .collect()
    }

    async fn known_good(
        &self,
        cluster: &ClusterUid,
        since: Timestamp,
    ) -> Result<BTreeMap<Uid, Timestamp>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT revision, at FROM known_good WHERE cluster = $1 AND at_ms >= $2",
        )
        .bind(cluster.as_str())
        .bind(since.as_millisecond())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(revision, at)| Ok((Uid::from(revision), time(&at)?)))
            .collect()
    }

    /// Incidents that match, newest first.
    pub async fn incidents(
        &self,
        filter: &Filter,
        limit: u32,
        offset: u32,
    ) -> Result<Page, StoreError> {
        let cluster = filter.cluster.as_ref().map(ClusterUid::as_str);
        let phase = filter.phase.as_ref().map(word).transpose()?;
        let open = filter.open.map(i64::from);
        let class = filter.class.as_ref().map(word).transpose()?;
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM incidents WHERE ($1 IS NULL OR cluster = $1)
                 AND ($2 IS NULL OR phase = $2)
                 AND ($3 IS NULL OR (CASE WHEN phase = 'closed' THEN 0 ELSE 1 END) = $3)
                 AND ($4 IS NULL OR class = $4) AND ($5 IS NULL OR namespace = $5)
                 AND ($6 IS NULL OR alert_name = $6)
             ORDER BY opened_at DESC, id DESC LIMIT $7 OFFSET $8",
        )
        .bind(cluster)
        .bind(phase.as_deref())
        .bind(open)
        .bind(class.as_deref())
        .bind(filter.namespace.as_deref())
        .bind(filter.alert_name.as_deref())
        .bind(i64::from(limit))
        .bind(i64::from(offset))
        .fetch_all(&self.pool)
        .await?;
        let total: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM incidents WHERE ($1 IS NULL OR cluster = $1)
                 AND ($2 IS NULL OR phase = $2)
                 AND ($3 IS NULL OR (CASE WHEN phase = 'closed' THEN 0 ELSE 1 END) = $3)
                 AND ($4 IS NULL OR class = $4) AND ($5 IS NULL OR namespace = $5)
                 AND ($6 IS NULL OR alert_name = $6)",
        )
        .bind(cluster)
        .bind(phase.as_deref())
        .bind(open)
        .bind(class.as_deref())
        .bind(filter.namespace.as_deref())
        .bind(filter.alert_name.as_deref())
        .fetch_one(&self.pool)
        .await?;
        Ok(Page {
            incidents: bodies(&found)?,
            total: unsigned(total)?,
        })
    }

    /// One incident with its record, or `None` where there is none of that id.
    pub async fn incident(&self, id: &IncidentId) -> Result<Option<Detail>, StoreError> {
        let row: Option<(String, String, Option<String>)> =
            sqlx::query_as("SELECT cluster, body, analysis FROM incidents WHERE id = $1 LIMIT 1")
                .bind(id.as_str())
                .fetch_optional(&self.pool)
                .await?;
        let Some((cluster, body, analysis)) = row else {
            return Ok(None);
        };
        let events: Vec<EventRow> = sqlx::query_as(
            "SELECT seq, at, kind, text, body, hash FROM incident_events
             WHERE cluster = $1 AND incident_id = $2 ORDER BY n",
        )
        .bind(cluster)
        .bind(id.as_str())
        .fetch_all(&self.pool)
        .await?;
        Ok(Some(Detail {
            incident: from_json(&body)?,
            events: events
                .into_iter()
                .map(|row| row.read(id))
                .collect::<Result<_, _>>()?,
            analysis,
        }))
    }

    /// Earlier incidents that are [`alike`](nightshift_core::analysis::alike), newest first.
    pub async fn past_like(
        &self,
        incident: &Incident,
        limit: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        let cluster = incident.fingerprint.cluster.as_str();
        let mut query = QueryBuilder::new("SELECT body FROM incidents WHERE cluster = ");
        query
            .push_bind(cluster)
            .push(" AND id <> ")
            .push_bind(incident.id.as_str())
            .push(" AND opened_at <= ")
            .push_bind(incident.opened_at.as_millisecond())
            .push(" AND id IN (SELECT incident_id FROM incident_keys WHERE cluster = ")
            .push_bind(cluster)
            .push(" AND key IN (");
        let mut keys = query.separated(", ");
        for key in kin_keys(incident) {
            keys.push_bind(key);
        }
        query
            .push(")) ORDER BY opened_at DESC, id DESC LIMIT ")
            .push_bind(i64::from(limit));
        let found: Vec<String> = query.build_query_scalar().fetch_all(&self.pool).await?;
        bodies(&found)
    }

    /// Lines of the cluster's journal from `from` on, oldest first.
    pub async fn journal(
        &self,
        cluster: &ClusterUid,
        from: Seq,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError> {
        let rows = self.journal_rows(cluster, from, limit).await?;
        rows.into_iter()
            .map(|(line, hash)| {
                let seq = line.seq;
                let whole = (line.hash() == hash).then_some(line);
                whole.ok_or_else(|| super::chain::journal_changed(seq))
            })
            .collect()
    }

    /// Numbers for metrics, of one cluster.
    pub async fn counts(&self, cluster: &ClusterUid) -> Result<Counts, StoreError> {
        Ok(sqlx::query_as(
            "SELECT
                 (SELECT COUNT(*) FROM incidents WHERE cluster = $1 AND phase <> 'closed') AS open,
                 (SELECT COUNT(*) FROM incidents WHERE cluster = $1 AND phase = 'waiting')
                     AS waiting,
                 (SELECT COUNT(*) FROM outbox WHERE cluster = $1 AND delivered_at IS NULL
                     AND dead_at IS NULL) AS undelivered,
                 (SELECT COUNT(*) FROM outbox WHERE cluster = $1 AND dead_at IS NOT NULL) AS dead",
        )
        .bind(cluster.as_str())
        .fetch_one(&self.pool)
        .await?)
    }
}

fn bodies(texts: &[String]) -> Result<Vec<Incident>, StoreError> {
    texts.iter().map(|text| from_json(text)).collect()
}

fn time(text: &str) -> Result<Timestamp, StoreError> {
    text.parse()
        .map_err(|error| StoreError::Corrupt(format!("`{text}` is not a time: {error}")))
}

#[derive(FromRow)]
pub(super) struct ActRow {
    seq: i64,
    permit: String,
    incident_id: String,
    owner: String,
    step: String,
    at: String,
    result: Option<String>,
}

impl ActRow {
    pub(super) fn read(self) -> Result<Act, StoreError> {
        Ok(Act {
            permit: PermitId::from(self.permit),
            incident: IncidentId::from(self.incident_id),
            owner: from_json(&self.owner)?,
            step: from_json(&self.step)?,
            at: time(&self.at)?,
            outcome: self.result.as_deref().map(from_json).transpose()?,
        })
    }
}

#[derive(FromRow)]
struct EventRow {
    seq: i64,
    at: String,
    kind: String,
    text: String,
    body: String,
    hash: String,
}

impl EventRow {
    fn read(self, id: &IncidentId) -> Result<Recorded, StoreError> {
        let kind: EntryKind = from_json(&format!("\"{}\"", self.kind))?;
        Ok(Recorded {
            seq: Seq(unsigned(self.seq)?),
            at: time(&self.at)?,
            entry: Entry {
                incident: Some(id.clone()),
                kind,
                text: self.text,
                body: from_json(&self.body)?,
            },
            hash: super::chain::stored(self.hash)?,
        })
    }
}
