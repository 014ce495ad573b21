//! Typed names and ids: nothing that identifies is ever a bare `String`.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl<T: Into<String>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

text_id! {
    /// A cluster's identity: the uid of its `kube-system` namespace. Part of every id, row and permit.
    ClusterUid,
    /// `metadata.uid` of an object.
    Uid,
    /// An incident's id; stays the same when its class is corrected.
    IncidentId,
    /// A permit's id; the intent, the write and its result carry it.
    PermitId,
    /// A plan step's id: derived from the incident and the step's content.
    StepId,
    /// The id of one piece of evidence inside a diagnosis (`E1`, `E2`, ...).
    EvidenceId,
    /// A runbook's id, for example `RB_OOM`.
    RunbookId,
    /// A signal's fingerprint: the alert's own, or derived (never the fingerprint of an incident).
    SignalFingerprint,
}

/// SHA-256 over the canonical JSON of a value, in hex: basis, chain and decision digests.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Digest of a value's JSON. Field order is the type's, map order is sorted: stable.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        let bytes = serde_json::to_vec(value).expect("core's own types always serialize");
        Self::of_bytes(&bytes)
    }

    /// Digest of raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The digest in hex.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first `n` hex digits, for ids that people read.
    pub fn short(&self, n: usize) -> &str {
        self.0.get(..n).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
