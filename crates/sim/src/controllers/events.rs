//! Events that controllers write.

use crate::cluster::Cluster;
use crate::object::Object;
use crate::resources::ids;
use serde_json::json;

/// Something went as it should.
pub(super) fn normal(
    cluster: &mut Cluster,
    component: &str,
    about: &Object,
    reason: &str,
    message: &str,
) {
    write(cluster, component, about, ("Normal", reason), message);
}

/// Something is wrong.
pub(super) fn warning(
    cluster: &mut Cluster,
    component: &str,
    about: &Object,
    reason: &str,
    message: &str,
) {
    write(cluster, component, about, ("Warning", reason), message);
}

fn write(
    cluster: &mut Cluster,
    component: &str,
    about: &Object,
    (kind, reason): (&str, &str),
    message: &str,
) {
    let namespace = match &*about.meta.namespace {
        "" => "default",
        namespace => namespace,
    };
    let moment = cluster.uid();
    let name = format!("{}.{}", about.meta.name, moment.get(..8).unwrap_or(""));
    let mut event = Object::new(cluster.resources.get(ids::EVENTS), namespace, &name);
    let now = cluster.now_seconds();
    event.set(
        "involvedObject",
        &json!({
            "kind": about.kind, "namespace": about.meta.namespace, "name": about.meta.name,
            "uid": about.meta.uid, "apiVersion": about.api_version,
            "resourceVersion": about.meta.resource_version.to_string(),
        }),
    );
    event.set("reason", &reason);
    event.set("message", &message);
    event.set("type", &kind);
    event.set("count", &1);
    event.set("firstTimestamp", &now);
    event.set("lastTimestamp", &now);
    event.set("source", &json!({"component": component}));
    event.set("reportingComponent", &component);
    event.set("reportingInstance", &"");
    cluster.create(ids::EVENTS, event).ok();
}
