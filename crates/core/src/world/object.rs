//! Kinds, references, and the sum of everything that can be watched.

use super::{
    ConfigMapMeta, ControllerRevision, EndpointSlice, Event, HorizontalPodAutoscaler, Meta,
    NamespaceObject, Node, Pod, PodDisruptionBudget, Service, Workload,
};
use crate::ids::Uid;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A kind of object. Unknown kinds (custom resources) keep their name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each variant is the Kubernetes kind of that name"
)]
pub enum Kind {
    Pod,
    Node,
    Namespace,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    ControllerRevision,
    Job,
    CronJob,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    Service,
    EndpointSlice,
    ConfigMap,
    Event,
    #[serde(untagged)]
    Other(String),
}

impl Default for Kind {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Other(name) = self {
            f.write_str(name)
        } else {
            write!(f, "{self:?}")
        }
    }
}

/// Which object: kind, namespace, name and the uid of the incarnation that was meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(default)]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid; empty only where a signal named an object that was not looked up yet.
    #[serde(default)]
    pub uid: Uid,
}

impl ObjectRef {
    /// Reference to the object that carries `meta`.
    pub fn of(kind: Kind, meta: &Meta) -> Self {
        Self {
            kind,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }
    }

    /// Same object regardless of its uid (an alert does not know uids).
    pub fn same_name(&self, other: &Self) -> bool {
        self.kind == other.kind && self.namespace == other.namespace && self.name == other.name
    }
}

/// `Deployment demo/my-app`, `Node node1`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// One watched object. `Arc`, so that a snapshot shares what the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant holds the narrow type of that name"
)]
pub enum Object {
    Pod(Arc<Pod>),
    Node(Arc<Node>),
    Namespace(Arc<NamespaceObject>),
    Workload(Arc<Workload>),
    ControllerRevision(Arc<ControllerRevision>),
    HorizontalPodAutoscaler(Arc<HorizontalPodAutoscaler>),
    PodDisruptionBudget(Arc<PodDisruptionBudget>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    ConfigMap(Arc<ConfigMapMeta>),
    Event(Arc<Event>),
}

impl Object {
    /// The object's metadata.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Pod(o) => &o.metadata,
            Self::Node(o) => &o.metadata,
            Self::Namespace(o) => &o.metadata,
            Self::Workload(o) => &o.metadata,
            Self::ControllerRevision(o) => &o.metadata,
            Self::HorizontalPodAutoscaler(o) => &o.metadata,
            Self::PodDisruptionBudget(o) => &o.metadata,
            Self::Service(o) => &o.metadata,
            Self::EndpointSlice(o) => &o.metadata,
            Self::ConfigMap(o) => &o.metadata,
            Self::Event(o) => &o.metadata,
        }
    }

    /// The object's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::Node(_) => Kind::Node,
            Self::Namespace(_) => Kind::Namespace,
            Self::Workload(o) => o.kind.clone(),
            Self::ControllerRevision(_) => Kind::ControllerRevision,
            Self::HorizontalPodAutoscaler(_) => Kind::HorizontalPodAutoscaler,
            Self::PodDisruptionBudget(_) => Kind::PodDisruptionBudget,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Event(_) => Kind::Event,
        }
    }

    /// Reference to the object.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::of(self.kind(), self.meta())
    }

    /// Whether both say the same but for their version and who wrote it when.
    pub fn same_content(&self, other: &Self) -> bool {
        let rest = match (self, other) {
            (Self::Pod(a), Self::Pod(b)) => a.spec == b.spec && a.status == b.status,
            (Self::Node(a), Self::Node(b)) => a.spec == b.spec && a.status == b.status,
            (Self::Workload(a), Self::Workload(b)) => a.spec == b.spec && a.status == b.status,
            (Self::HorizontalPodAutoscaler(a), Self::HorizontalPodAutoscaler(b)) => {
                a.spec == b.spec
            }
            (Self::PodDisruptionBudget(a), Self::PodDisruptionBudget(b)) => {
                a.spec == b.spec && a.status == b.status
            }
            (Self::Service(a), Self::Service(b)) => a.spec == b.spec,
            (Self::EndpointSlice(a), Self::EndpointSlice(b)) => a.endpoints == b.endpoints,
            // What is left either has nothing but metadata, or is made new with each change.
            _ => self == other,
        };
        rest && self.meta().same_content(other.meta())
    }
}
