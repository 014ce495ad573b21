//! Pods and their containers.

use super::{APP, Last, World, controlled_by, reference};
use crate::world::pod::{
    Condition, Container, ContainerState, ContainerStatus, PodTemplate, Running, Terminated,
    Waiting,
};
use crate::world::{Kind, Logs, Pod, PodSpec, Workload};

impl World {
    /// A pod of the workload's newest revision: scheduled on `node1`, running and ready.
    pub fn pod(mut self, name: &str) -> Self {
        let owner = self.owner().clone();
        let of_owner = |meta: &&Workload| {
            meta.metadata.controller().map(|o| &o.uid) == Some(&owner.metadata.uid)
        };
        let replica_set = self.replica_sets.last().filter(of_owner).cloned();
        let revision = owner.status.update_revision.clone();
        let parent = replica_set.unwrap_or(owner);
        let mut labels = parent.metadata.labels.clone();
        if !revision.is_empty() {
            labels.insert("controller-revision-hash".to_owned(), revision);
        }
        let namespace = parent.metadata.namespace.clone();
        self = self.bare_pod(&namespace, name);
        let template: PodTemplate = parent.spec.template.clone();
        let pod = self.this_pod();
        pod.metadata.labels = labels;
        pod.metadata.owner_references = vec![controlled_by(&parent.reference())];
        pod.spec = PodSpec {
            node_name: pod.spec.node_name.clone(),
            ..template.spec
        };
        let image = pod.spec.containers.first().map(|c| c.image.clone());
        self.this_container().image = image.unwrap_or_default();
        self
    }

    /// A pod that no controller owns.
    pub fn bare_pod(mut self, namespace: &str, name: &str) -> Self {
        let mut pod = Pod {
            metadata: self.meta(&reference(Kind::Pod, namespace, name)),
            ..Pod::default()
        };
        let since = pod.metadata.creation_timestamp;
        let condition = |kind: &str| Condition {
            kind: kind.to_owned(),
            status: "True".to_owned(),
            last_transition_time: since,
            ..Condition::default()
        };
        pod.spec.node_name = "node1".into();
        pod.spec.restart_policy = "Always".into();
        pod.spec.containers = vec![Container {
            name: APP.to_owned(),
            image: format!("img.test/{name}:1"),
            ..Container::default()
        }];
        pod.status.phase = "Running".into();
        pod.status.start_time = since;
        pod.status.conditions = vec![condition("PodScheduled"), condition("Ready")];
        pod.status.container_statuses = vec![ContainerStatus {
            name: APP.to_owned(),
            ready: true,
            started: Some(true),
            state: ContainerState {
                running: Some(Running { started_at: since }),
                ..ContainerState::default()
            },
            ..ContainerStatus::default()
        }];
        self.pods.push(pod);
        APP.clone_into(&mut self.container);
        self.last = Last::Pod;
        self
    }

    /// The pod is bound to that node.
    pub fn on(mut self, node: &str) -> Self {
        node.clone_into(&mut self.this_pod().spec.node_name);
        self
    }

    /// The container waits with that reason, for example `ImagePullBackOff`; the pod is not ready.
    pub fn waiting(mut self, reason: &str, message: &str) -> Self {
        let container = self.this_container();
        container.started = Some(false);
        container.state = ContainerState {
            waiting: Some(Waiting {
                reason: reason.to_owned(),
                message: message.to_owned(),
            }),
            ..ContainerState::default()
        };
        if reason != "CrashLoopBackOff" {
            "Pending".clone_into(&mut self.this_pod().status.phase);
        }
        self.unready()
    }

    /// The container last ended `ago` seconds ago after a run of 5 s, and was restarted so often.
    pub fn ended(mut self, exit_code: i32, reason: &str, ago: i64, restarts: i64) -> Self {
        let finished = self.ago(ago);
        let started = self.ago(ago + 5);
        let container = self.this_container();
        container.restart_count = restarts;
        container.last_state.terminated = Some(Terminated {
            exit_code,
            reason: reason.to_owned(),
            started_at: Some(started),
            finished_at: Some(finished),
            ..Terminated::default()
        });
        if let Some(running) = &mut container.state.running {
            running.started_at = Some(finished);
        }
        self
    }

    /// As [`World::ended`], and now it waits in `CrashLoopBackOff`.
    pub fn crash_loop(self, exit_code: i32, reason: &str, ago: i64, restarts: i64) -> Self {
        self.ended(exit_code, reason, ago, restarts).waiting(
            "CrashLoopBackOff",
            "back-off 40s restarting failed container=app",
        )
    }

    /// The pod's container runs and is not ready.
    pub fn unready(mut self) -> Self {
        self.this_container().ready = false;
        let since = self.snapshot.taken_at;
        for condition in &mut self.this_pod().status.conditions {
            if condition.kind == "Ready" {
                condition.status = "False".into();
                condition.reason = "ContainersNotReady".into();
                condition.last_transition_time = condition.last_transition_time.or(Some(since));
            }
        }
        self
    }

    /// No node takes the pod; the scheduler's message says why.
    pub fn unscheduled(mut self, message: &str) -> Self {
        let pod = self.this_pod();
        pod.spec.node_name.clear();
        pod.status.container_statuses.clear();
        pod.status.start_time = None;
        pod.status.phase = "Pending".into();
        pod.status.conditions.truncate(1);
        for condition in &mut pod.status.conditions {
            condition.status = "False".into();
            condition.reason = "Unschedulable".into();
            message.clone_into(&mut condition.message);
        }
        self
    }

    /// Lines at the end of the container's log of the run before the last restart.
    pub fn previous_log(mut self, lines: &[&str]) -> Self {
        let logs = Logs {
            pod: self.this_pod().reference(),
            container: self.container.clone(),
            previous: true,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        self.snapshot.logs.push(logs);
        self
    }

    /// Changes the pod.
    pub fn edit_pod(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(self.this_pod());
        self
    }

    pub(super) fn this_pod(&mut self) -> &mut Pod {
        self.pods.last_mut().expect("a pod comes first")
    }

    pub(super) fn this_container(&mut self) -> &mut ContainerStatus {
        let name = self.container.clone();
        let pod = self.this_pod();
        let mut all = pod.status.container_statuses.iter_mut();
        all.find(|c| c.name == name)
            .expect("the pod has a container status")
    }
}
