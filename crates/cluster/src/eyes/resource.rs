//! What is watched: one line each.

use super::Shared;
use super::fetch::{Answer, FetchError};
use super::reader::{Form, Reader};
use super::scan::{Found, list_once};
use super::watch::watch;
use futures::future::BoxFuture;
use nightshift_core::world::{
    ConfigMapMeta, ControllerRevision, EndpointSlice, Event, HorizontalPodAutoscaler, Kind, Meta,
    NamespaceObject, Node, Object, Pod, PodDisruptionBudget, Service, Source, Workload,
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// One of core's narrow types that lists and watches decode into.
pub(super) trait Watched: DeserializeOwned + Clone + Send + 'static {
    /// The object as the world keeps it. Items of lists carry no kind, so it is said here.
    fn into_object(self, kind: &Kind) -> Object;
    /// Its metadata.
    fn meta(&self) -> &Meta;
}

macro_rules! watched {
    ($($type:ident),+ $(,)?) => {$(
        impl Watched for $type {
            fn into_object(self, _kind: &Kind) -> Object {
                Object::from(self)
            }

            fn meta(&self) -> &Meta {
                &self.metadata
            }
        }
    )+};
}
watched!(
    Pod,
    Node,
    Event,
    NamespaceObject,
    ControllerRevision,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    Service,
    EndpointSlice,
    ConfigMapMeta,
);

impl Watched for Workload {
    fn into_object(mut self, kind: &Kind) -> Object {
        self.kind = kind.clone();
        Object::from(self)
    }

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// One watched resource.
pub(super) struct Resource {
    pub(super) source: Source,
    pub(super) kind: Kind,
    /// Path over all namespaces.
    pub(super) path: &'static str,
    pub(super) form: Form,
    /// Lists and watches it for ever.
    pub(super) watch: fn(Arc<Shared>, &'static Self) -> BoxFuture<'static, ()>,
    /// Decodes one object of it.
    pub(super) decode: fn(&Answer, &Kind) -> Result<Object, FetchError>,
    /// Lists it once.
    pub(super) list: for<'a> fn(&'a Reader, &'static Self) -> BoxFuture<'a, Found>,
}

impl Resource {
    const fn of<T: Watched>(source: Source, kind: Kind, path: &'static str) -> Self {
        Self {
            source,
            kind,
            path,
            form: Form::Full,
            watch: |shared, resource| Box::pin(watch::<T>(shared, resource)),
            decode: |answer, kind| Ok(answer.json::<T>()?.into_object(kind)),
            list: |reader, resource| Box::pin(list_once::<T>(reader, resource)),
        }
    }

    const fn metadata_only(mut self) -> Self {
        self.form = Form::Metadata;
        self
    }

    /// Its path inside one namespace; over all for an empty one.
    pub(super) fn list_path(&self, namespace: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((group, plural)) if !namespace.is_empty() => {
                format!("{group}/namespaces/{namespace}/{plural}")
            }
            _ => self.path.to_owned(),
        }
    }

    /// Path of one object.
    pub(super) fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.list_path(namespace))
    }
}

/// The resource of a kind, if it is watched.
pub(super) fn resource_of(kind: &Kind) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.kind == *kind)
}

/// Everything that is watched.
pub(super) static RESOURCES: [Resource; 15] = [
    Resource::of::<Pod>(Source::Pods, Kind::Pod, "/api/v1/pods"),
    Resource::of::<Node>(Source::Nodes, Kind::Node, "/api/v1/nodes"),
    Resource::of::<Event>(Source::Events, Kind::Event, "/api/v1/events"),
    Resource::of::<NamespaceObject>(Source::Namespaces, Kind::Namespace, "/api/v1/namespaces"),
    Resource::of::<Workload>(
        Source::Deployments,
        Kind::Deployment,
        "/apis/apps/v1/deployments",
    ),
    Resource::of::<Workload>(
        Source::ReplicaSets,
        Kind::ReplicaSet,
        "/apis/apps/v1/replicasets",
    ),
    Resource::of::<Workload>(
        Source::StatefulSets,
        Kind::StatefulSet,
        "/apis/apps/v1/statefulsets",
    ),
    Resource::of::<Workload>(
        Source::DaemonSets,
        Kind::DaemonSet,
        "/apis/apps/v1/daemonsets",
    ),
    Resource::of::<ControllerRevision>(
        Source::ControllerRevisions,
        Kind::ControllerRevision,
        "/apis/apps/v1/controllerrevisions",
    ),
    Resource::of::<Workload>(Source::Jobs, Kind::Job, "/apis/batch/v1/jobs"),
    Resource::of::<HorizontalPodAutoscaler>(
        Source::HorizontalPodAutoscalers,
        Kind::HorizontalPodAutoscaler,
        "/apis/autoscaling/v2/horizontalpodautoscalers",
    ),
    Resource::of::<PodDisruptionBudget>(
        Source::PodDisruptionBudgets,
        Kind::PodDisruptionBudget,
        "/apis/policy/v1/poddisruptionbudgets",
    ),
    Resource::of::<Service>(Source::Services, Kind::Service, "/api/v1/services"),
    Resource::of::<EndpointSlice>(
        Source::EndpointSlices,
        Kind::EndpointSlice,
        "/apis/discovery.k8s.io/v1/endpointslices",
    ),
    Resource::of::<ConfigMapMeta>(Source::ConfigMaps, Kind::ConfigMap, "/api/v1/configmaps")
        .metadata_only(),
];
