//! The live picture that the watches keep: narrow objects, indexed, nothing else.

use super::Object;

/// The live picture.
#[derive(Debug, Default)]
pub struct World {}

/// One change heard from a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Added or modified.
    Applied(Object),
    /// Deleted.
    Deleted(Object),
}
