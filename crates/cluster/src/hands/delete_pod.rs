//! Delete a pod that a controller will make anew, with the grace period that the pod asks for.

use super::live::Live;
use super::wire::Draft;

pub(super) fn draft(live: &Live) -> Draft {
    Draft::Delete {
        path: live.path.clone(),
        only: live.only(),
    }
}
