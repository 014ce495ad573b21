//! What happens by itself: controllers, scheduler and kubelets, each a [`Controller`] in one list.

mod common;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod events;
mod garbage;
mod job;
mod namespaces;
mod nodes;
mod placement;
mod pods;
mod quota;
mod replicaset;
mod revisions;
mod statefulset;
mod volumes;

use crate::cluster::{Cluster, Todo};
use crate::events::Expiry;
use crate::kubelet::Kubelets;
use crate::object::Key;
use crate::scheduler::Scheduler;
use crate::store::{Change, Store};
use std::fmt::Debug;
use std::time::Duration;

pub(crate) use pods::Facts;

/// Something that brings the cluster nearer to what its objects ask for.
///
/// It is told of every change, says which objects to look at, and is called with one at a time.
/// It keeps no truth of its own that the store does not have, but what a real one would lose at a
/// restart too (a kubelet's running containers excepted).
pub trait Controller: Debug + Send {
    /// An object changed: which keys need a look. Called for every change: has to be cheap.
    fn heard(&mut self, change: &Change, store: &Store, todo: &mut Todo);

    /// Somebody asks for a look at an object for a reason that is no change of it
    /// (`Cluster::nudge`).
    fn nudged(&mut self, _: &Key, _: &mut Todo) {}

    /// Looks at one object, and changes what has to change. `Some` asks for another look after so
    /// long.
    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration>;

    /// How long it takes from a change to the look, in the cluster's time.
    fn latency(&self) -> Duration {
        Duration::from_millis(5)
    }
}

/// Every controller, in the order in which they hear of a change.
pub fn all() -> Vec<Box<dyn Controller>> {
    let mut all = manager();
    all.push(Box::<Expiry>::default());
    all.push(Box::<Scheduler>::default());
    all.push(Box::<Kubelets>::default());
    all
}

/// What runs in `kube-controller-manager`.
fn manager() -> Vec<Box<dyn Controller>> {
    vec![
        Box::<deployment::Deployments>::default(),
        Box::<replicaset::ReplicaSets>::default(),
        Box::<statefulset::StatefulSets>::default(),
        Box::<daemonset::DaemonSets>::default(),
        Box::<job::Jobs>::default(),
        Box::<cronjob::CronJobs>::default(),
        Box::<endpoints::Endpoints>::default(),
        Box::<disruption::Disruption>::default(),
        Box::<volumes::Volumes>::default(),
        Box::<nodes::Nodes>::default(),
        Box::<quota::Quotas>::default(),
        Box::<namespaces::Namespaces>::default(),
        Box::<garbage::GarbageCollector>::default(),
    ]
}

#[cfg(test)]
mod tests;
