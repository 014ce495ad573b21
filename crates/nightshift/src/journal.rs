//! The journal: every input in the order of one cluster, as JSON lines that a replay reads.
//!
//! A line's hash covers its every byte before the hash itself, the previous line's hash among them,
//! and the anchors of the incidents' own chains: a changed, lost or exchanged byte is noticed.

use crate::store::{Store, StoreError};
use jiff::Timestamp;
use nightshift_core::engine::Decision;
use nightshift_core::ids::{ClusterUid, Digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::Write;

/// Number of an input in its cluster's journal, from 1 on without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One input with the digest of what was decided on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The cluster.
    pub cluster: ClusterUid,
    /// Its number.
    pub seq: Seq,
    /// The time that the engine was told.
    pub at: Timestamp,
    /// Epoch of the leader that decided.
    pub leader_epoch: u64,
    /// Digest of the decision, see [`digest`].
    pub decision: Digest,
    /// Last hash of every chain of incident events that was added to, by incident id.
    pub heads: BTreeMap<String, Digest>,
    /// Hash of the line before; of the cluster's uid for the first.
    pub prev: Digest,
    /// The input as it was stored: raw, so that hashing does not depend on how it is read.
    pub input: Box<RawValue>,
}

/// Why a text is not a line of a journal.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It does not end with a hash.
    #[error("the line does not end with its hash")]
    NoHash,
    /// The hash is not that of the text.
    #[error("the line was changed: its hash is {found}, its text has {computed}")]
    Changed {
        /// As written in the line.
        found: String,
        /// As computed from its text.
        computed: Digest,
    },
    /// The text is not what a line holds.
    #[error("the line cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// Hash of the line before the first.
pub fn genesis(cluster: &ClusterUid) -> Digest {
    Digest::of(&("nightshift journal", cluster))
}

/// Digest of what was decided: the rows to store and the effects to run, in order.
pub fn digest(decision: &Decision) -> Digest {
    Digest::of(&(&decision.batch, &decision.effects))
}

const HASH_KEY: &str = ",\"hash\":\"";
/// A SHA-256 in hex.
const HASH_LEN: usize = 64;

impl Line {
    /// The line as text without its hash and closing brace: what the hash is made of.
    fn body(&self) -> String {
        let mut text = serde_json::to_string(self).expect("a line has only string keys");
        text.pop();
        text
    }

    /// The line's hash.
    pub fn hash(&self) -> Digest {
        Digest::of_bytes(self.body().as_bytes())
    }

    /// The line as it is written to a file, without the line feed.
    pub fn to_text(&self) -> String {
        let body = self.body();
        let hash = Digest::of_bytes(body.as_bytes());
        format!("{body}{HASH_KEY}{hash}\"}}")
    }

    /// Reads a line and its hash, and compares the hash with the text.
    pub fn parse(text: &str) -> Result<(Self, Digest), LineError> {
        let rest = text.strip_suffix("\"}").ok_or(LineError::NoHash)?;
        let (body, found) = rest.rsplit_once(HASH_KEY).ok_or(LineError::NoHash)?;
        if found.len() != HASH_LEN {
            return Err(LineError::NoHash);
        }
        let computed = Digest::of_bytes(body.as_bytes());
        if computed.as_str() != found {
            return Err(LineError::Changed {
                found: found.to_owned(),
                computed,
            });
        }
        let line = serde_json::from_str(&format!("{body}}}")).map_err(LineError::Unreadable)?;
        Ok((line, computed))
    }
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error("the journal could not be read")]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error("the journal could not be written")]
    Write(#[from] std::io::Error),
}

/// Lines that are read from the store at once: a line may hold a snapshot of some hundred kilobytes.
pub const PAGE: u32 = 64;

/// Writes the cluster's journal as JSON lines, oldest first, after the whole record was verified: what
/// is exported is what was written. Returns how many.
pub async fn export(
    store: &Store,
    cluster: &ClusterUid,
    out: &mut (impl Write + Send),
) -> Result<u64, ExportError> {
    store.verify(cluster).await?;
    let (mut next, mut count) = (Seq(0), 0);
    loop {
        let page = store.journal(cluster, next, PAGE).await?;
        let Some(last) = page.last() else {
            out.flush()?;
            return Ok(count);
        };
        next = Seq(last.seq.0 + 1);
        for line in &page {
            writeln!(out, "{}", line.to_text())?;
            count += 1;
        }
    }
}
