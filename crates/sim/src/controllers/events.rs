//! Events that controllers say: they name themselves and no host.

use crate::cluster::Cluster;
use crate::events::{EventType, Reference, Source};
use crate::object::Object;
use std::borrow::Cow;

/// Something went as it should.
pub(super) fn normal(
    cluster: &mut Cluster,
    component: impl Into<Cow<'static, str>>,
    about: &Object,
    reason: impl Into<Cow<'static, str>>,
    message: &str,
) {
    let (source, about) = (Source::controller(component), Reference::of(about));
    cluster.event(source, &about, EventType::Normal, reason, message);
}

/// Something is wrong.
pub(super) fn warning(
    cluster: &mut Cluster,
    component: impl Into<Cow<'static, str>>,
    about: &Object,
    reason: impl Into<Cow<'static, str>>,
    message: &str,
) {
    let (source, about) = (Source::controller(component), Reference::of(about));
    cluster.event(source, &about, EventType::Warning, reason, message);
}
