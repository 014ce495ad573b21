//! What is left to do for people.

use crate::diagnose::FaultClass;
use crate::history::ActOutcome;
use crate::incident::{Incident, Phase};
use crate::plan::Action;

pub(super) fn section(incident: &Incident) -> Vec<String> {
    let mut lines = Vec::new();
    if incident.phase == Phase::Waiting {
        lines.push("- [ ] Decide what to do; the incident closes by itself once it is healthy.");
    }
    let done = incident.attempts.iter().any(|attempt| {
        matches!(attempt.outcome, Some(ActOutcome::Done { .. })) && !attempt.is_undo
    });
    if let (Some(step), true) = (&incident.step, done) {
        lines.extend(after(&step.action));
    }
    if incident
        .diagnosis
        .as_ref()
        .is_some_and(|diagnosis| !diagnosis.blind.is_empty())
    {
        lines.push("- [ ] Let the agent see what it could not see (rights, silent watches).");
    }
    lines.push(by_class(incident.fingerprint.class));
    lines.into_iter().map(str::to_owned).collect()
}

/// What our write leaves to do.
fn after(action: &Action) -> Option<&'static str> {
    match action {
        Action::SetImage { .. } | Action::SetMemory { .. } => {
            Some("- [ ] Carry the change over to the manifest's source; it is only in the cluster.")
        }
        Action::RollBack { .. } => {
            Some("- [ ] Mend the revision that was rolled back before it is rolled out again.")
        }
        Action::Cordon => Some("- [ ] Mend or replace the node; it takes no new pods until then."),
        Action::DeletePod | Action::Evict | Action::Uncordon => None,
    }
}

/// What keeps a fault of that class from coming back.
fn by_class(class: FaultClass) -> &'static str {
    match class {
        FaultClass::ImagePullFailure => {
            "- [ ] Check that images exist and can be pulled before a rollout; pin them by digest."
        }
        FaultClass::OomKilled => {
            "- [ ] Look at the memory use over days: set the limit from it, or find the leak."
        }
        FaultClass::CrashLoop => "- [ ] Find in the previous log why the process ends.",
        FaultClass::ConfigMissing => {
            "- [ ] Deliver ConfigMaps and Secrets with the workload that names them."
        }
        FaultClass::ContainerStuck => "- [ ] Check volumes and the node's container runtime.",
        FaultClass::ProbeFailure => "- [ ] Check the probe's time-outs against the start-up time.",
        FaultClass::Unschedulable => "- [ ] Check requests and constraints against the nodes.",
        FaultClass::RolloutStuck => "- [ ] Find what keeps the new revision from becoming ready.",
        FaultClass::NodeNotReady => "- [ ] Check the node's kubelet, network and machine.",
        FaultClass::NodePressure => "- [ ] Find what uses up the node; set requests and limits.",
        FaultClass::NodeCordoned => "- [ ] Ask who cordoned the node, and why.",
        FaultClass::Unexplained => "- [ ] Check whether the alert means what it says.",
    }
}
