//! The outbox: notices are claimed, delivered, tried again, and never silently dropped.

use super::{Store, StoreError, from_json, unsigned};
use jiff::{SignedDuration, Timestamp};
use nightshift_core::ids::{ClusterUid, IncidentId};
use nightshift_core::record::Notice;
use serde::Serialize;
use sqlx::FromRow;

/// A notice that was claimed for delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedNotice {
    /// The cluster.
    pub cluster: ClusterUid,
    /// The notice.
    pub notice: Notice,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Which attempt this is, from 1 on.
    pub attempt: u64,
}

/// A notice that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadNotice {
    /// The notice.
    pub notice: Notice,
    /// How often it was tried.
    pub attempts: u64,
    /// Why the last attempt failed.
    pub error: String,
}

impl Store {
    /// Claims notices that are due, oldest first. A claim ends after `lease`: a notice whose
    /// delivery was cut short by a crash is delivered again, with the same key.
    pub async fn claim_notices(
        &self,
        now: Timestamp,
        lease: SignedDuration,
        limit: u32,
    ) -> Result<Vec<QueuedNotice>, StoreError> {
        let until = now.saturating_add(lease).unwrap_or(now);
        let mut rows: Vec<Row> = sqlx::query_as(
            "UPDATE outbox SET next_at = $2, attempts = attempts + 1 WHERE key IN
                 (SELECT key FROM outbox WHERE delivered_at IS NULL AND dead_at IS NULL
                      AND next_at <= $1 ORDER BY next_at, key LIMIT $3)
             RETURNING key, cluster, incident_id, kind, title, text, created_at, attempts, last_error",
        )
        .bind(now.as_millisecond())
        .bind(until.as_millisecond())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.sort_by(|a, b| (a.created_at, &a.key).cmp(&(b.created_at, &b.key)));
        rows.into_iter().map(Row::claimed).collect()
    }

    /// The notice was delivered.
    pub async fn notice_delivered(&self, key: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE outbox SET delivered_at = $2 WHERE key = $1")
            .bind(key)
            .bind(now.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The delivery failed: it is tried again at that time.
    pub async fn notice_failed(
        &self,
        key: &str,
        error: &str,
        again_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE outbox SET last_error = $2, next_at = $3 WHERE key = $1")
            .bind(key)
            .bind(error)
            .bind(again_at.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The notice is given up; it stays visible in [`Store::dead_notices`] and in metrics.
    pub async fn notice_dead(
        &self,
        key: &str,
        error: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE outbox SET last_error = $2, dead_at = $3 WHERE key = $1")
            .bind(key)
            .bind(error)
            .bind(now.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notices that were given up, newest first.
    pub async fn dead_notices(&self, limit: u32) -> Result<Vec<DeadNotice>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT key, cluster, incident_id, kind, title, text, created_at, attempts, last_error
             FROM outbox WHERE dead_at IS NOT NULL ORDER BY dead_at DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Row::dead).collect()
    }
}

fn millis(value: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[derive(FromRow)]
struct Row {
    key: String,
    cluster: String,
    incident_id: String,
    kind: String,
    title: String,
    text: String,
    created_at: i64,
    attempts: i64,
    last_error: Option<String>,
}

impl Row {
    fn notice(self) -> Result<Notice, StoreError> {
        Ok(Notice {
            key: self.key,
            incident: IncidentId::from(self.incident_id),
            kind: from_json(&format!("\"{}\"", self.kind))?,
            title: self.title,
            text: self.text,
        })
    }

    fn claimed(self) -> Result<QueuedNotice, StoreError> {
        Ok(QueuedNotice {
            cluster: ClusterUid::from(self.cluster.clone()),
            created_at: millis(self.created_at)?,
            attempt: unsigned(self.attempts)?,
            notice: self.notice()?,
        })
    }

    fn dead(self) -> Result<DeadNotice, StoreError> {
        Ok(DeadNotice {
            attempts: unsigned(self.attempts)?,
            error: self.last_error.clone().unwrap_or_default(),
            notice: self.notice()?,
        })
    }
}
