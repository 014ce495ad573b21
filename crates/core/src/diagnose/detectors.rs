//! The detectors: one file each, one line in [`DETECTORS`].

use super::Finding;
use crate::world::{Snapshot, Source};

/// Concludes from one snapshot, without a clock: time is `snapshot.taken_at`.
pub trait Detector: Sync {
    /// Name, for findings and reports.
    fn name(&self) -> &'static str;
    /// What must have been seen; otherwise the detector is blind, which is never health.
    fn needs(&self) -> &'static [Source];
    /// Findings over everything in the snapshot.
    fn detect(&self, snapshot: &Snapshot) -> Vec<Finding>;
}

/// All detectors.
pub static DETECTORS: &[&dyn Detector] = &[];

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
    let mut report = Report::default();
    for detector in DETECTORS {
        let missing = snapshot.blind_to(detector.needs());
        if missing.is_empty() {
            report.findings.extend(detector.detect(snapshot));
        } else {
            report.blind.push((detector.name(), missing));
        }
    }
    report
}
