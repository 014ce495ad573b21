//! What the counters need to remember between inputs.

use nightshift_core::engine::{ALERT_INCIDENTS, Checkpoint, FAULT_INCIDENTS};
use nightshift_core::history::History;
use nightshift_core::ids::IncidentId;
use nightshift_core::incident::{Incident, Phase};
use nightshift_core::policy::Policy;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) incidents: BTreeMap<IncidentId, KnownIncident>,
    /// Intents and results: the action of a permit, and the circuit breaker.
    pub(super) history: History,
    pub(super) policy: Policy,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownIncident {
    pub(super) is_waiting: bool,
    pub(super) is_diagnosed: bool,
}

impl Known {
    /// Open incidents by what opened them: its word, how many may be, how many are.
    pub(super) fn counts(&self) -> [(&'static str, usize, usize); 2] {
        let incidents = self.incidents.values();
        let faults = incidents.filter(|incident| incident.is_diagnosed).count();
        [
            ("alerts", ALERT_INCIDENTS, self.incidents.len() - faults),
            ("faults", FAULT_INCIDENTS, faults),
        ]
    }
}

impl KnownIncident {
    pub(super) fn of(incident: &Incident) -> Self {
        Self {
            is_waiting: incident.phase == Phase::Waiting,
            is_diagnosed: !incident.is_alert_only(),
        }
    }
}

pub(super) fn started(known: &mut Known, checkpoint: &Checkpoint) {
    let open = checkpoint.open.iter();
    known.incidents = open.map(|i| (i.id.clone(), KnownIncident::of(i))).collect();
    known.history = checkpoint.history.clone();
    known.policy = checkpoint.policy.clone();
}
