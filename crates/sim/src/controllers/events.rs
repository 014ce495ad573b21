//! Events that controllers say: they name themselves and no host.

use crate::cluster::Cluster;
use crate::events::{EventType, Reference, Source};
use crate::object::Object;

/// Something went as it should.
pub(super) fn normal(
    cluster: &mut Cluster,
    component: &str,
    about: &Object,
    reason: &str,
    message: &str,
) {
    let (source, about) = (Source::controller(component), Reference::of(about));
    cluster.event(source, &about, EventType::Normal, reason, message);
}

/// Something is wrong.
pub(super) fn warning(
    cluster: &mut Cluster,
    component: &str,
    about: &Object,
    reason: &str,
    message: &str,
) {
    let (source, about) = (Source::controller(component), Reference::of(about));
    cluster.event(source, &about, EventType::Warning, reason, message);
}
