//! Evict a pod through the eviction subresource, so that disruption budgets are honoured.

use super::live::Live;
use super::wire::Draft;

pub(super) fn draft(live: &Live) -> Draft {
    let meta = live.object.meta();
    Draft::Evict {
        path: live.path.clone(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        only: live.only(),
    }
}
