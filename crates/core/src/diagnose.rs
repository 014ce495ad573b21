//! Why: detectors turn a snapshot into findings; findings join into one diagnosis an owner.

mod alerts;
mod change;
pub mod class;
pub mod confidence;
pub mod detectors;
pub mod evidence;
pub mod health;
pub mod join;
#[cfg(test)]
mod properties;
pub mod symptom;
pub mod view;

pub use class::FaultClass;
pub use detectors::{DETECTORS, Detector, Report, detect};
pub use evidence::{Change, ChangeKind, Confidence, Diagnosis, Evidence, EvidenceSource, Finding};
pub use health::{Health, look, restarted_since, restarts};
pub use join::{Diagnosed, diagnose};
pub use symptom::is_symptom;
pub use view::View;
