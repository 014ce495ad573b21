//! A frozen picture of the part of the cluster that an incident needs, and of what was not seen.

use super::{
    ConfigMapMeta, ControllerRevision, EndpointSlice, Event, HorizontalPodAutoscaler, Kind,
    LimitRange, NamespaceObject, Node, ObjectRef, Pod, PodDisruptionBudget, ResourceQuota, Service,
    VerticalPodAutoscaler, Workload,
};
use crate::ids::{ClusterUid, Digest, Uid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something that can be looked at, each with its own coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each variant is the Kubernetes resource of that name"
)]
pub enum Source {
    Pods,
    Nodes,
    Events,
    Namespaces,
    Deployments,
    ReplicaSets,
    StatefulSets,
    DaemonSets,
    ControllerRevisions,
    Jobs,
    HorizontalPodAutoscalers,
    PodDisruptionBudgets,
    Services,
    EndpointSlices,
    ConfigMaps,
    ResourceQuotas,
    LimitRanges,
    WebhookConfigurations,
    ApiServices,
    VerticalPodAutoscalers,
    /// Logs of the subject's containers, this run's and the previous one's.
    Logs,
    /// The API server's clock against ours (`Date` header): over 5 s apart is blind.
    Clock,
}

/// How well a source was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coverage {
    /// Looked at; the newest answer or bookmark is this old.
    Seen {
        /// Age in milliseconds when the snapshot was taken.
        age_ms: u64,
    },
    /// Not seen, with the reason (silent watch, no right, no answer, ...).
    Blind {
        /// Why.
        why: String,
    },
}

/// What a snapshot is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// One object: for a pod or workload its topmost owner with all revisions, pods, their nodes,
    /// events, budgets, scalers and ConfigMaps; for a node its pods, events and the other nodes.
    Of(ObjectRef),
    /// Everything.
    Cluster,
}

/// The picture. Lists hold what is in scope, in order of namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Which cluster.
    pub cluster: ClusterUid,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whether the scope's own objects were read from the API server for this snapshot.
    pub fresh: bool,
    /// What was looked at and how old it is. A source that is not listed was not looked at.
    pub coverage: BTreeMap<Source, Coverage>,
    /// Pods.
    pub pods: Vec<Arc<Pod>>,
    /// Nodes.
    pub nodes: Vec<Arc<Node>>,
    /// Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs.
    pub workloads: Vec<Arc<Workload>>,
    /// Events about objects in scope.
    pub events: Vec<Arc<Event>>,
    /// Namespaces in scope.
    pub namespaces: Vec<Arc<NamespaceObject>>,
    /// Revisions of StatefulSets and DaemonSets.
    pub controller_revisions: Vec<Arc<ControllerRevision>>,
    /// Digests of the full pod templates (without `pod-template-hash`) of the revisions in scope,
    /// by the uid of the ReplicaSet or ControllerRevision; only in fresh snapshots. A roll back is
    /// bound to this digest, so that no template text passes through the record.
    pub template_digests: BTreeMap<Uid, Digest>,
    /// Autoscalers.
    pub hpas: Vec<Arc<HorizontalPodAutoscaler>>,
    /// Vertical autoscalers.
    pub vpas: Vec<Arc<VerticalPodAutoscaler>>,
    /// Disruption budgets.
    pub pdbs: Vec<Arc<PodDisruptionBudget>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// Endpoint slices.
    pub endpoint_slices: Vec<Arc<EndpointSlice>>,
    /// Metadata of the ConfigMaps that the pods in scope use.
    pub config_maps: Vec<Arc<ConfigMapMeta>>,
    /// Quotas of the scope's namespace; only in fresh snapshots.
    pub quotas: Vec<ResourceQuota>,
    /// Limit ranges of the scope's namespace; only in fresh snapshots.
    pub limit_ranges: Vec<LimitRange>,
    /// Namespaces that serve admission webhooks or API services; only in fresh snapshots.
    pub guarded_namespaces: GuardedNamespaces,
    /// Memory in bytes that pods outside the scope request on the nodes of the scope's pods, by node.
    /// A node that is not listed is not known.
    pub neighbours: BTreeMap<String, u64>,
    /// Logs that were asked for.
    pub logs: Vec<Logs>,
}

impl Snapshot {
    /// Sources among `needs` that were not seen, with the reason.
    pub fn blind_to(&self, needs: &[Source]) -> Vec<(Source, String)> {
        let mut blind = Vec::new();
        for need in needs {
            match self.coverage.get(need) {
                Some(Coverage::Seen { .. }) => {}
                Some(Coverage::Blind { why }) => blind.push((*need, why.clone())),
                None => blind.push((*need, "was not looked at".to_owned())),
            }
        }
        blind
    }

    /// Whether all of `needs` were seen.
    pub fn covers(&self, needs: &[Source]) -> bool {
        self.blind_to(needs).is_empty()
    }

    /// The pod with that uid.
    pub fn pod(&self, uid: &Uid) -> Option<&Arc<Pod>> {
        self.pods.iter().find(|pod| pod.metadata.uid == *uid)
    }

    /// The workload with that uid.
    pub fn workload(&self, uid: &Uid) -> Option<&Arc<Workload>> {
        self.workloads
            .iter()
            .find(|workload| workload.metadata.uid == *uid)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.metadata.name == name)
    }

    /// Events about the object, by uid, or by kind and name where the event has no uid.
    pub fn events_of<'a>(&'a self, object: &'a ObjectRef) -> impl Iterator<Item = &'a Arc<Event>> {
        self.events.iter().filter(move |event| {
            let about = &event.involved_object;
            about.uid == object.uid
                || (about.kind == object.kind
                    && about.name == object.name
                    && (about.uid.as_str().is_empty() || about.uid.as_str() == about.name))
        })
    }

    /// Climbs `ownerReferences` with `controller: true` as far as the snapshot shows. The last
    /// reference may name an object that is not in the snapshot (a custom resource). The Node that
    /// owns a mirror pod is not its controller: such a pod stands for itself.
    pub fn topmost_owner(&self, object: &ObjectRef) -> ObjectRef {
        let mut top = object.clone();
        // Owner chains are two or three long; the bound only keeps a cyclic one from looping.
        for _ in 0..8 {
            let meta = self
                .workload(&top.uid)
                .map(|w| &w.metadata)
                .or_else(|| self.pod(&top.uid).map(|p| &p.metadata));
            let owner = meta.and_then(|m| m.controller());
            let Some(owner) = owner.filter(|owner| owner.kind != Kind::Node) else {
                break;
            };
            top = ObjectRef {
                kind: owner.kind.clone(),
                namespace: top.namespace,
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            };
        }
        top
    }

    /// Pods whose topmost owner is `owner` (or that are it).
    pub fn pods_of<'a>(&'a self, owner: &'a ObjectRef) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.pods
            .iter()
            .filter(move |pod| self.topmost_owner(&pod.reference()).uid == owner.uid)
    }

    /// ReplicaSets that `deployment` controls.
    pub fn replica_sets_of<'a>(
        &'a self,
        deployment: &'a ObjectRef,
    ) -> impl Iterator<Item = &'a Arc<Workload>> {
        self.workloads.iter().filter(move |workload| {
            workload
                .metadata
                .controller()
                .is_some_and(|owner| owner.uid == deployment.uid)
        })
    }
}

/// Namespaces whose workloads the API server itself depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardedNamespaces {
    /// Services behind admission webhooks live here.
    pub webhooks: BTreeSet<String>,
    /// Services behind aggregated API services live here.
    pub api_services: BTreeSet<String>,
}

/// The end of one container's log, bounded and redacted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// The pod.
    pub pod: ObjectRef,
    /// The container.
    pub container: String,
    /// Whether this is the log of the run before the last restart.
    pub previous: bool,
    /// Lines, oldest first.
    pub lines: Vec<String>,
}
