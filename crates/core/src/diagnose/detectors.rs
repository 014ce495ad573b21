//! The detectors: one file each, one line in [`DETECTORS`].

mod config_missing;
mod container_stuck;
mod crash_loop;
mod image_pull;
mod node_cordoned;
mod node_not_ready;
mod node_pressure;
mod oom;
mod probe_failure;
mod rollout_stuck;
mod unschedulable;

use super::Finding;
use super::view::View;
use crate::world::{Kind, ObjectRef, Snapshot, Source};

/// Concludes from one snapshot, without a clock: time is `snapshot.taken_at`.
pub trait Detector: Sync {
    /// Name, for findings and reports.
    fn name(&self) -> &'static str;
    /// What must have been seen; otherwise the detector is blind, which is never health.
    fn needs(&self) -> &'static [Source];
    /// Findings over everything in the snapshot.
    fn detect(&self, view: &View<'_>) -> Vec<Finding>;
}

/// All detectors.
pub static DETECTORS: &[&dyn Detector] = &[
    &config_missing::ConfigMissing,
    &container_stuck::ContainerStuck,
    &crash_loop::CrashLoop,
    &image_pull::ImagePull,
    &node_cordoned::NodeCordoned,
    &node_not_ready::NodeNotReady,
    &node_pressure::NodePressure,
    &oom::Oom,
    &probe_failure::ProbeFailure,
    &rollout_stuck::RolloutStuck,
    &unschedulable::Unschedulable,
];

/// What the detectors said, and which of them could not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Findings of those that could see.
    pub findings: Vec<Finding>,
    /// Names of those that could not, with what was missing.
    pub blind: Vec<(&'static str, Vec<(Source, String)>)>,
}

/// Runs every detector that can see.
pub fn detect(snapshot: &Snapshot) -> Report {
    detect_in(&View::of(snapshot))
}

/// As [`detect`], on look-ups that exist already. A finding whose owner chain ends in a source that
/// was not seen is not reported: its owner, and so what a repair would touch, is unknown.
pub(super) fn detect_in(view: &View<'_>) -> Report {
    let mut report = Report::default();
    for detector in DETECTORS {
        let mut missing = view.snapshot.blind_to(detector.needs());
        if missing.is_empty() {
            for finding in detector.detect(view) {
                let cut = view.snapshot.blind_to(owner_sources(&finding.owner));
                if cut.is_empty() {
                    report.findings.push(finding);
                } else {
                    missing.extend(cut);
                }
            }
        }
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            report.blind.push((detector.name(), missing));
        }
    }
    // The order must not follow from that of the snapshot: journals replay to the same decisions.
    report.findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.class, f.since);
        let place = |f: &Finding| (f.subject.clone(), f.container.clone(), f.reason.clone());
        (key(a), place(a)).cmp(&(key(b), place(b)))
    });
    report
}

/// The sources that show an owner itself. Custom resources are not watched: none can be missing.
pub(super) fn owner_sources(owner: &ObjectRef) -> &'static [Source] {
    match &owner.kind {
        Kind::Pod => &[Source::Pods],
        Kind::Node => &[Source::Nodes],
        Kind::Deployment => &[Source::Deployments, Source::ReplicaSets],
        Kind::ReplicaSet => &[Source::ReplicaSets],
        Kind::StatefulSet => &[Source::StatefulSets],
        Kind::DaemonSet => &[Source::DaemonSets],
        Kind::Job => &[Source::Jobs],
        Kind::Namespace
        | Kind::ControllerRevision
        | Kind::CronJob
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event
        | Kind::Other(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    /// What one detector finds in a world, when all of them look.
    pub(super) fn found(detector: &dyn Detector, world: World) -> Vec<Finding> {
        let mut findings = detect(&world.snapshot()).findings;
        findings.retain(|finding| finding.detector == detector.name());
        findings
    }

    /// Whether one detector says that it could not see.
    pub(super) fn blind(detector: &dyn Detector, world: World) -> bool {
        let report = detect(&world.snapshot());
        let mine = |finding: &Finding| finding.detector == detector.name();
        let mut blind = report.blind.iter();
        blind.any(|(name, _)| *name == detector.name()) && !report.findings.iter().any(mine)
    }

    #[test]
    fn every_file_is_in_the_list_and_the_list_is_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/diagnose/detectors");
        let entries = std::fs::read_dir(folder).expect("the folder of detectors");
        let mut files: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect();
        files.sort();
        let names: Vec<_> = DETECTORS.iter().map(|detector| detector.name()).collect();
        assert_eq!(names, files);
    }
}
