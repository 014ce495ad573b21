//! The kubelets of all nodes: what happens to a pod once it has a node.
//!
//! A pod that runs and is well costs nothing while time passes: what probes will find, when a
//! container ends and when a back-off is over is computed, and only then is the pod looked at again.
//!
//! Left out: preStop and postStart hooks, static pods, resize, ephemeral containers, device plugins,
//! image garbage collection. The status of a pod has no `resources` of its own.

mod admit;
mod backoff;
mod config;
mod container;
mod crash;
mod images;
mod life;
pub(crate) mod machines;
mod needs;
pub(crate) mod node;
mod probe;
mod report;
mod run;
mod spec;
mod start;
mod status;
mod sync;

pub use images::ImageFault;
pub use life::{LogLine, MAX_LINES};
pub use machines::Pressure;
pub(crate) use spec::PodSpec;
pub use status::Phase;
pub(crate) use status::PodStatus;

use crate::cluster::{Cluster, Todo};
use crate::controllers::{Controller, Facts};
use crate::events::passed;
use crate::object::{Key, Object};
use crate::pod_spec::{self, node_of};
use crate::resources::ids;
use crate::status::{Reason, Status};
use crate::store::{Change, ChangeKind, Store};
use run::{PodRun, Stage};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use sync::Sync;

/// All kubelets.
#[derive(Debug, Default)]
pub struct Kubelets;

impl Controller for Kubelets {
    fn heard(&mut self, change: &Change, _: &Store, todo: &mut Todo) {
        let same = |name: &str| {
            let old = change.old.as_ref().and_then(|old| old.fields.get(name));
            old.is_some() && old == change.new.fields.get(name)
        };
        match change.resource {
            ids::PODS => {
                let old = change
                    .old
                    .as_ref()
                    .filter(|_| change.kind == ChangeKind::Modified);
                let quiet = old.is_some_and(|old| {
                    old.meta.deletion_timestamp == change.new.meta.deletion_timestamp
                        && old.meta.deletion_grace_period_seconds
                            == change.new.meta.deletion_grace_period_seconds
                        && old.meta.uid == change.new.meta.uid
                });
                if !(quiet && same("spec")) {
                    todo.now(change.key());
                }
            }
            ids::NODES if !same("spec") => todo.now(change.key()),
            // Whose endpoints they are is found when it is looked at.
            ids::ENDPOINT_SLICES if !same("endpoints") => todo.now(change.key()),
            ids::SERVICES if change.kind != ChangeKind::Modified => todo.now(change.key()),
            _ => {}
        }
    }

    fn nudged(&mut self, key: &Key, todo: &mut Todo) {
        todo.now(key.clone());
    }

    fn reconcile(&mut self, key: &Key, cluster: &mut Cluster) -> Option<Duration> {
        match key.resource {
            ids::PODS => reconcile_pod(cluster, key),
            ids::NODES => node::reconcile(cluster, key),
            ids::ENDPOINT_SLICES => {
                let name = if let Some(slice) = cluster.store.get(key) {
                    slice.meta.labels.get(needs::SERVICE_NAME)?.as_str().into()
                } else {
                    // It is gone with its labels; its name begins with the service's.
                    let name = key
                        .name
                        .rsplit_once('-')
                        .map_or(&*key.name, |(name, _)| name);
                    name.into()
                };
                cluster.wake_dependents(&(Arc::clone(&key.namespace), name));
                None
            }
            ids::SERVICES => {
                cluster.wake_dependents(&(Arc::clone(&key.namespace), Arc::clone(&key.name)));
                None
            }
            _ => None,
        }
    }
}

fn reconcile_pod(cluster: &mut Cluster, key: &Key) -> Option<Duration> {
    let stored = cluster.store.get(key).cloned();
    let mut known = cluster.machines.pods.remove(key);
    let other = |pod: &PodRun| {
        let same = |object: &Arc<Object>| object.meta.uid == pod.uid;
        !stored.as_ref().is_some_and(same)
    };
    if let Some(mut pod) = known.take_if(|pod| other(pod)) {
        forget(cluster, &mut pod);
    }
    let stored = stored?;
    let mut pod = match known {
        Some(pod) => pod,
        None => adopt(cluster, key, &stored)?,
    };
    if !cluster.machines.works(&pod.node) {
        cluster.machines.pods.insert(key.clone(), pod);
        return None;
    }
    if pod.generation != stored.meta.generation {
        pod.generation = stored.meta.generation;
        // The images of a running pod may be changed.
        if pod.stage == Stage::Going && stored.meta.deletion_timestamp.is_none() {
            pod.spec = pod_spec::running(&stored);
        }
    }
    let overwritten = pod.was_overwritten(&stored);
    let has_needs = pod.has_needs();
    let mut sync = Sync::new(cluster, &mut pod);
    if stored.meta.deletion_timestamp.is_some() && !sync.pod.deleted {
        sync.delete();
    }
    if has_needs {
        for index in 0..sync.pod.containers.len() {
            sync.look_at_needs(index);
        }
    }
    sync.run();
    if overwritten && pod.stage != Stage::Over {
        pod.report(cluster);
    }
    let now = cluster.now();
    let wait = pod.due().map(|at| passed(now, at));
    if cluster.store.get(key).is_some() {
        cluster.machines.pods.insert(key.clone(), pod);
    } else {
        forget(cluster, &mut pod);
    }
    wait
}

impl Sync<'_> {
    /// The API server wants it gone.
    fn delete(&mut self) {
        self.pod.deleted = true;
        match self.pod.stage {
            Stage::Over => self.pod.stage = Stage::Finishing(self.now),
            Stage::Stopping | Stage::Finishing(_) => {}
            Stage::Fresh | Stage::Mounting(_) | Stage::Sandbox(_) | Stage::Going => self.end_all(),
        }
    }
}

/// A pod that was not known is new on its node.
fn adopt(cluster: &mut Cluster, key: &Key, pod: &Object) -> Option<Box<PodRun>> {
    let machine = cluster.machines.nodes.get_mut(&node_of(pod))?;
    if Facts::of(pod).finished() && pod.meta.deletion_timestamp.is_none() {
        return None;
    }
    machine.pods.insert(key.clone());
    let mut run = Box::new(PodRun::new(key.clone(), pod));
    cluster.machines.count(&mut run);
    Some(run)
}

fn forget(cluster: &mut Cluster, pod: &mut PodRun) {
    cluster.machines.leave(pod);
    if pod.has_needs() {
        for pods in cluster.machines.dependents.values_mut() {
            pods.remove(&pod.key);
        }
    }
}

impl Cluster {
    fn wake_dependents(&mut self, service: &machines::Service) {
        let pods: Option<&BTreeSet<Key>> = self.machines.dependents.get(service);
        for key in pods.cloned().unwrap_or_default() {
            self.nudge(key);
        }
    }

    /// The log of a container: of its present instance, or of the one before. At most
    /// [`MAX_LINES`] lines, oldest first.
    ///
    /// # Errors
    /// 400 in the words of the API server and the kubelet when there is no such container or
    /// instance, 404 when there is no such pod, 503 when the node's kubelet does not answer.
    pub fn logs(&self, pod: &Key, container: &str, previous: bool) -> Result<Vec<LogLine>, Status> {
        let row = self.resources.get(ids::PODS);
        let stored = self
            .store
            .get(pod)
            .ok_or_else(|| Status::not_found(row, &pod.name))?;
        let bad = |why: &str| {
            Err(Status::bad_request(format!(
                "{why} container \"{container}\" in pod \"{}\"",
                pod.name
            )))
        };
        let waiting = |reason: &str| {
            // `validateContainerLogStatus` in `kubelet_pods.go`.
            let why = match reason {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                other => other,
            };
            Err(Status::bad_request(format!(
                "container \"{container}\" in pod \"{}\" is waiting to start: {why}",
                pod.name
            )))
        };
        let (spec, node) = (pod_spec::running(stored), node_of(stored));
        let Some(place) = spec.all().position(|one| one.name == container) else {
            return Err(Status::bad_request(format!(
                "container {container} is not valid for pod {}",
                pod.name
            )));
        };
        if node.is_empty() {
            return Ok(Vec::new());
        }
        if !self.machines.works(&node) {
            let address = self.machines.address(&node);
            let why = format!(
                "Get \"https://{address}:10250/containerLogs/{}/{}/{container}\": dial tcp {address}:10250: connect: connection refused",
                pod.namespace, pod.name
            );
            return Err(Status::new(Reason::InternalError, why));
        }
        let Some(run) = self
            .machines
            .pods
            .get(pod)
            .and_then(|one| one.containers.get(place))
        else {
            return waiting("ContainerCreating");
        };
        let instance = if previous {
            run.ended_before()
        } else {
            run.current.as_ref()
        };
        match (instance, &run.shown) {
            (Some(instance), _) => Ok(instance.lines(self.now())),
            (None, _) if previous => bad("previous terminated").map_err(|mut status: Status| {
                status.message.push_str(" not found");
                status
            }),
            (None, status::State::Waiting(waits)) => waiting(waits.reason),
            (None, _) => waiting("ContainerCreating"),
        }
    }
}

impl run::ContainerRun {
    /// The instance that `--previous` means: the last that has ended before a present one, which may
    /// itself be over while the container waits in its back-off.
    fn ended_before(&self) -> Option<&life::Instance> {
        let present = self.current.as_ref()?;
        match (&self.shown, present.ended) {
            (status::State::Waiting(_), Some(_)) => Some(present),
            _ => self.previous.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
