//! What no rule reads is dropped before an object is kept: most of a pod's decoded size is plain
//! environment, managers of its fields and room that growing lists have reserved.

use crate::world::pod::PodStatus;
use crate::world::{
    ConfigMapMeta, Container, ControllerRevision, EndpointSlice, Event, HorizontalPodAutoscaler,
    Meta, NamespaceObject, Node, Object, Pod, PodDisruptionBudget, PodSpec, Service, Workload,
};
use std::sync::Arc;

/// Who changed what last is asked of nodes, ConfigMaps and of workloads that nobody else manages.
fn without_managers(meta: &mut Meta) {
    meta.managed_fields = Vec::new();
    meta.owner_references.shrink_to_fit();
}

fn trim_spec(spec: &mut PodSpec) {
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        trim_container(container);
    }
    spec.containers.shrink_to_fit();
    spec.init_containers.shrink_to_fit();
    spec.volumes.retain(|volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.empty_dir.is_some()
            || volume.host_path.is_some()
            || volume.persistent_volume_claim.is_some()
    });
    for projected in spec.volumes.iter_mut().filter_map(|v| v.projected.as_mut()) {
        let names =
            |s: &crate::world::pod::ProjectedSource| s.config_map.is_some() || s.secret.is_some();
        projected.sources.retain(names);
        projected.sources.shrink_to_fit();
    }
    spec.volumes.shrink_to_fit();
    spec.tolerations.shrink_to_fit();
}

fn trim_container(container: &mut Container) {
    container.env.retain(|variable| {
        variable.value_from.as_ref().is_some_and(|source| {
            source.config_map_key_ref.is_some() || source.secret_key_ref.is_some()
        })
    });
    container.env.shrink_to_fit();
    container.env_from.shrink_to_fit();
}

fn trim_status(status: &mut PodStatus) {
    status.conditions.shrink_to_fit();
    status.container_statuses.shrink_to_fit();
    status.init_container_statuses.shrink_to_fit();
}

impl From<Pod> for Object {
    fn from(mut pod: Pod) -> Self {
        without_managers(&mut pod.metadata);
        trim_spec(&mut pod.spec);
        trim_status(&mut pod.status);
        Self::Pod(Arc::new(pod))
    }
}

impl From<Workload> for Object {
    fn from(mut workload: Workload) -> Self {
        if workload.metadata.controller().is_some() {
            without_managers(&mut workload.metadata);
        }
        trim_spec(&mut workload.spec.template.spec);
        workload.status.conditions.shrink_to_fit();
        Self::Workload(Arc::new(workload))
    }
}

impl From<ControllerRevision> for Object {
    fn from(mut revision: ControllerRevision) -> Self {
        without_managers(&mut revision.metadata);
        trim_spec(&mut revision.data.spec.template.spec);
        Self::ControllerRevision(Arc::new(revision))
    }
}

impl From<Node> for Object {
    fn from(node: Node) -> Self {
        Self::Node(Arc::new(node))
    }
}

impl From<ConfigMapMeta> for Object {
    fn from(map: ConfigMapMeta) -> Self {
        Self::ConfigMap(Arc::new(map))
    }
}

macro_rules! without_managers {
    ($($type:ident => $variant:ident),+ $(,)?) => {$(
        impl From<$type> for Object {
            fn from(mut object: $type) -> Self {
                without_managers(&mut object.metadata);
                Self::$variant(Arc::new(object))
            }
        }
    )+};
}
without_managers!(
    NamespaceObject => Namespace,
    HorizontalPodAutoscaler => HorizontalPodAutoscaler,
    PodDisruptionBudget => PodDisruptionBudget,
    Service => Service,
    EndpointSlice => EndpointSlice,
    Event => Event,
);
