//! The world as core sees it: narrow Kubernetes types that watches decode straight into, and the
//! frozen [`Snapshot`] that every decision is made from. Only fields that some rule reads are kept.

pub mod map;
pub mod meta;
pub mod node;
pub mod object;
pub mod other;
pub mod pod;
pub mod quantity;
pub mod snapshot;
pub mod store;
pub mod workload;

pub use map::Map;
pub use meta::{Field, ManagedField, Meta, OwnerReference};
pub use node::{Node, NodeCondition, Taint};
pub use object::{Kind, Object, ObjectRef};
pub use other::{
    ConfigMapMeta, ControllerRevision, EndpointSlice, Event, HorizontalPodAutoscaler, LimitRange,
    NamespaceObject, PodDisruptionBudget, ResourceQuota, Service, VerticalPodAutoscaler,
};
pub use pod::{Container, ContainerState, ContainerStatus, Pod, PodSpec, PodTemplate};
pub use quantity::Quantity;
pub use snapshot::{Coverage, GuardedNamespaces, Logs, Scope, Snapshot, Source};
pub use store::World;
pub use workload::Workload;
