//! What the controllers make of objects.

mod budgets;
mod deployments;
mod nodes;
mod sets;

use super::{Check, joined};

/// All checks of this group.
pub fn checks() -> Vec<Check> {
    joined(&[
        deployments::CHECKS,
        sets::CHECKS,
        budgets::CHECKS,
        nodes::CHECKS,
    ])
}
