//! Why: detectors turn a snapshot into findings; findings join into one diagnosis an owner.

pub mod class;
pub mod detectors;
pub mod evidence;
pub mod symptom;
pub mod view;

pub use class::FaultClass;
pub use detectors::{DETECTORS, Detector, Report, detect};
pub use evidence::{Change, ChangeKind, Confidence, Diagnosis, Evidence, EvidenceSource, Finding};
pub use symptom::is_symptom;
pub use view::View;
