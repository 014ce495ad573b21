//! What the simulator does otherwise than the lab, with the reason.

/// Checks that fail on the simulator. One that passes nevertheless is an error: the list is stale.
pub const KNOWN: &[(&str, &str)] = &[];
