//! Small worlds for tests, written as prose. Only for tests: not in the agent.
//!
//! Every call adds to the world or describes the thing that was added last; describing what is not
//! there is a mistake in the test and panics:
//!
//! ```
//! # use nightshift_core::{testkit, world::Source};
//! let snapshot = testkit::world("2026-01-05T10:00:00Z")
//!     .node("node1")
//!     .deployment("demo", "cart")
//!     .revision(1)
//!     .pod("cart-1-a")
//!     .revision(2)
//!     .image("img.test/cart:2")
//!     .pod("cart-2-a")
//!     .waiting("ImagePullBackOff", "Back-off pulling image \"img.test/cart:2\"")
//!     .event("Failed", "Error: ErrImagePull")
//!     .unseen(Source::Nodes)
//!     .snapshot();
//! ```

#![expect(
    clippy::missing_panics_doc,
    reason = "a test that describes nonsense stops, as the first lines say"
)]

mod pods;
mod things;
mod workloads;

use crate::ids::{Digest, Uid};
use crate::world::meta::OwnerReference;
use crate::world::{
    ConfigMapMeta, ControllerRevision, Coverage, Event, Kind, Meta, Node, ObjectRef, Pod, Snapshot,
    Source, Workload,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Age of an object for which [`World::age`] says nothing, in seconds.
pub const AGE: i64 = 3600;

/// Name of the container that every template begins with.
pub const APP: &str = "app";

/// Every source that a snapshot may cover.
pub const SOURCES: [Source; 22] = [
    Source::Pods,
    Source::Nodes,
    Source::Events,
    Source::Namespaces,
    Source::Deployments,
    Source::ReplicaSets,
    Source::StatefulSets,
    Source::DaemonSets,
    Source::ControllerRevisions,
    Source::Jobs,
    Source::HorizontalPodAutoscalers,
    Source::PodDisruptionBudgets,
    Source::Services,
    Source::EndpointSlices,
    Source::ConfigMaps,
    Source::ResourceQuotas,
    Source::LimitRanges,
    Source::WebhookConfigurations,
    Source::ApiServices,
    Source::VerticalPodAutoscalers,
    Source::Logs,
    Source::Clock,
];

/// A world that is empty, all of it seen just now, at `at` (RFC 3339).
pub fn world(at: &str) -> World {
    let taken_at = at.parse().expect("an RFC 3339 time");
    World {
        snapshot: Snapshot {
            cluster: "cluster-uid".into(),
            taken_at,
            fresh: true,
            coverage: SOURCES
                .into_iter()
                .map(|source| (source, Coverage::Seen { age_ms: 0 }))
                .collect(),
            ..Snapshot::default()
        },
        workloads: Vec::new(),
        replica_sets: Vec::new(),
        revisions: Vec::new(),
        pods: Vec::new(),
        nodes: Vec::new(),
        events: Vec::new(),
        config_maps: Vec::new(),
        container: APP.to_owned(),
        last: Last::Nothing,
    }
}

/// Reference to an object of a test world: its uid follows from its kind and name.
pub fn reference(kind: Kind, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        uid: format!("{kind}-{namespace}-{name}").to_lowercase().into(),
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// A world being described.
#[derive(Clone, Debug)]
#[must_use]
pub struct World {
    snapshot: Snapshot,
    workloads: Vec<Workload>,
    replica_sets: Vec<Workload>,
    revisions: Vec<ControllerRevision>,
    pods: Vec<Pod>,
    nodes: Vec<Node>,
    events: Vec<Event>,
    config_maps: Vec<ConfigMapMeta>,
    container: String,
    last: Last,
}

#[derive(Clone, Copy, Debug)]
enum Last {
    Nothing,
    Workload,
    ReplicaSet,
    Revision,
    Pod,
    Node,
    ConfigMap,
}

/// The end of the description.
impl World {
    /// The source was not seen: its watch is silent.
    pub fn unseen(mut self, source: Source) -> Self {
        let why = "silent for 90 s".to_owned();
        self.snapshot
            .coverage
            .insert(source, Coverage::Blind { why });
        self
    }

    /// The snapshot comes from the watches, not from fresh reads.
    pub fn from_watch(mut self) -> Self {
        self.snapshot.fresh = false;
        self
    }

    /// The snapshot, with the counts that controllers would have set.
    pub fn snapshot(mut self) -> Snapshot {
        self.count();
        let mut snapshot = self.snapshot;
        if snapshot.fresh {
            let sets = self.replica_sets.iter();
            let of_sets = sets.map(|r| (r.metadata.uid.clone(), Digest::of(&r.spec.template)));
            let revisions = self.revisions.iter();
            let of_revisions =
                revisions.map(|r| (r.metadata.uid.clone(), Digest::of(&r.data.spec.template)));
            snapshot.template_digests = of_sets.chain(of_revisions).collect();
        }
        self.workloads.append(&mut self.replica_sets);
        snapshot.workloads = arcs(self.workloads, |o| &o.metadata);
        snapshot.pods = arcs(self.pods, |o| &o.metadata);
        snapshot.nodes = arcs(self.nodes, |o| &o.metadata);
        let nodes = snapshot.nodes.iter().map(|n| n.metadata.name.clone());
        snapshot.neighbours = nodes.map(|name| (name, 0)).collect();
        snapshot.events = arcs(self.events, |o| &o.metadata);
        snapshot.controller_revisions = arcs(self.revisions, |o| &o.metadata);
        snapshot.config_maps = arcs(self.config_maps, |o| &o.metadata);
        snapshot
    }

    fn meta(&self, of: &ObjectRef) -> Meta {
        Meta {
            name: of.name.clone(),
            namespace: of.namespace.clone(),
            uid: of.uid.clone(),
            resource_version: "1".to_owned(),
            creation_timestamp: Some(self.ago(AGE)),
            ..Meta::default()
        }
    }

    fn ago(&self, seconds: i64) -> Timestamp {
        self.snapshot.taken_at - SignedDuration::from_secs(seconds)
    }

    fn count(&mut self) {
        let pods = |uid: &Uid| -> (i64, i64) {
            let of_owner = |pod: &&Pod| pod.metadata.controller().is_some_and(|o| o.uid == *uid);
            let mine = self.pods.iter().filter(of_owner);
            mine.fold((0, 0), |(all, ready), pod| {
                (all + 1, ready + i64::from(pod.is_ready()))
            })
        };
        let mut newest = BTreeMap::new();
        let mut total = BTreeMap::new();
        for set in &mut self.replica_sets {
            let (all, ready) = pods(&set.metadata.uid);
            set.spec.replicas = Some(all);
            set.status.replicas = all;
            set.status.ready_replicas = ready;
            set.status.available_replicas = ready;
            let owner = set.metadata.controller().map(|o| o.uid.clone());
            let owner = owner.unwrap_or_default();
            let sum: &mut (i64, i64) = total.entry(owner.clone()).or_default();
            *sum = (sum.0 + all, sum.1 + ready);
            newest.insert(owner, all);
        }
        for workload in &mut self.workloads {
            let uid = &workload.metadata.uid;
            let direct = pods(uid);
            let (all, ready) = total.get(uid).copied().unwrap_or(direct);
            let status = &mut workload.status;
            if status.observed_generation != 0 {
                continue;
            }
            status.observed_generation = workload.metadata.generation;
            status.replicas = all;
            status.ready_replicas = ready;
            status.available_replicas = ready;
            status.updated_replicas = newest.get(uid).copied().unwrap_or(all);
            status.unavailable_replicas = all - ready;
            if workload.kind == Kind::DaemonSet {
                status.desired_number_scheduled = all;
                status.number_ready = ready;
                status.number_available = ready;
                status.updated_number_scheduled = all;
            }
        }
    }
}

fn controlled_by(owner: &ObjectRef) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: true,
    }
}

fn arcs<T>(mut objects: Vec<T>, meta: impl Fn(&T) -> &Meta) -> Vec<Arc<T>> {
    objects.sort_by_key(|o| (meta(o).namespace.clone(), meta(o).name.clone()));
    objects.into_iter().map(Arc::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_climbs_to_its_deployment_and_the_counts_follow_from_the_pods() {
        let snapshot = world("2026-01-05T10:00:00Z")
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .revision(2)
            .image("img.test/cart:2")
            .pod("cart-2-a")
            .waiting("ImagePullBackOff", "Back-off pulling image")
            .snapshot();
        let owner = reference(Kind::Deployment, "demo", "cart");
        assert_eq!(snapshot.pods_of(&owner).count(), 2);
        assert_eq!(snapshot.replica_sets_of(&owner).count(), 2);
        let deployment = snapshot.workload(&owner.uid).expect("the deployment");
        assert_eq!(deployment.revision(), Some(2));
        let status = &deployment.status;
        assert_eq!(
            (
                status.replicas,
                status.ready_replicas,
                status.updated_replicas
            ),
            (2, 1, 1)
        );
        let images: Vec<_> = snapshot
            .pods
            .iter()
            .map(|pod| pod.spec.containers[0].image.as_str())
            .collect();
        assert_eq!(images, ["img.test/cart:1", "img.test/cart:2"]);
        assert_eq!(snapshot.template_digests.len(), 2);
    }

    #[test]
    fn every_source_is_covered_until_it_is_unseen() {
        let seen = world("2026-01-05T10:00:00Z");
        assert!(seen.clone().snapshot().covers(&SOURCES));
        let blind = seen.unseen(Source::Nodes).snapshot();
        assert_eq!(blind.blind_to(&SOURCES).len(), 1);
    }
}
