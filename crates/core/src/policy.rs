//! What the owner of the cluster allows: validated configuration, read by gates and engine.

use crate::world::GuardedNamespaces;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the guard may pass without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Autonomy {
    /// Record only.
    Observe,
    /// Propose; an approval records agreement, nothing is written.
    #[default]
    Recommend,
    /// Every step asks.
    Approve,
    /// Asks where a gate asks.
    Auto,
}

/// The policy. `Default` is what a fresh installation gets: it writes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Autonomy.
    pub autonomy: Autonomy,
    /// Writes nothing at any autonomy.
    pub dry_run: bool,
    /// Action words that may be used at all.
    pub allowed_actions: BTreeSet<String>,
    /// Namespaces that are never written to, beside `kube-system` and `*-system`.
    pub protected_namespaces: BTreeSet<String>,
    /// Nightshift's own namespace, never written to.
    pub own_namespace: Option<String>,
    /// The node the agent runs on, never cordoned or drained.
    pub own_node: Option<String>,
    /// Least confidence in percent for acting alone (exclusive).
    pub confidence_over: u8,
    /// Each detector's least persistence is multiplied by this, in percent. 100 is as documented;
    /// tests and demonstrations use less.
    pub persistence_percent: u32,
    /// Verification: shortest stable time.
    pub stable_min: SignedDuration,
    /// Verification: longest stable time.
    pub stable_max: SignedDuration,
    /// Verification: after this, not fixed.
    pub verify_timeout: SignedDuration,
    /// Same action on the same owner: at most this often within `same_action_window`.
    pub same_action_max: u32,
    /// See `same_action_max`.
    pub same_action_window: SignedDuration,
    /// A second OOM kill of a workload that we gave more memory within this time is a person's case.
    pub oom_again_window: SignedDuration,
    /// Circuit breaker: failures in a row that open it.
    pub breaker_failures: u32,
    /// Circuit breaker: open for.
    pub breaker_open_for: SignedDuration,
    /// How long a permit is good for.
    pub permit_ttl: SignedDuration,
    /// A snapshot older than this is no basis for a write.
    pub snapshot_max_age: SignedDuration,
}

impl Policy {
    /// Whether a write may follow from any plan.
    pub fn may_write(&self) -> bool {
        !self.dry_run && self.autonomy >= Autonomy::Approve
    }

    /// Why the namespace is never written to: it is the system's, our own, a configured one, or one that
    /// the API server itself depends on.
    pub fn protects(&self, namespace: &str, guarded: &GuardedNamespaces) -> Option<String> {
        let why = if namespace.starts_with("kube-") || namespace.ends_with("-system") {
            format!("{namespace} is a system namespace")
        } else if self.own_namespace.as_deref() == Some(namespace) {
            format!("{namespace} is Nightshift's own namespace")
        } else if self.protected_namespaces.contains(namespace) {
            format!("{namespace} is listed under protected_namespaces")
        } else if guarded.webhooks.contains(namespace) {
            format!("an admission webhook is served from {namespace}")
        } else if guarded.api_services.contains(namespace) {
            format!("an API service is served from {namespace}")
        } else {
            return None;
        };
        Some(why)
    }
}

impl Default for Policy {
    fn default() -> Self {
        let words = [
            "patch_image",
            "patch_memory_limit",
            "rollback",
            "delete_pod",
            "evict",
            "cordon",
            "uncordon",
        ];
        Self {
            autonomy: Autonomy::Recommend,
            dry_run: true,
            allowed_actions: words.map(str::to_owned).into(),
            protected_namespaces: BTreeSet::new(),
            own_namespace: None,
            own_node: None,
            confidence_over: 75,
            persistence_percent: 100,
            stable_min: SignedDuration::from_secs(30),
            stable_max: SignedDuration::from_mins(10),
            verify_timeout: SignedDuration::from_mins(10),
            same_action_max: 2,
            same_action_window: SignedDuration::from_hours(1),
            oom_again_window: SignedDuration::from_hours(7 * 24),
            breaker_failures: 3,
            breaker_open_for: SignedDuration::from_secs(300),
            permit_ttl: SignedDuration::from_secs(30),
            snapshot_max_age: SignedDuration::from_secs(30),
        }
    }
}
