//! What a kubelet writes into a pod's status (`kubelet_pods.go`, `status/generate.go`).

use super::run::{ContainerRun, Doing, PodRun, Stage};
use super::spec::{PodSpec, RestartPolicy};
use super::status::{
    Condition, Conditions, ContainerStatus, Ip, Own, Phase, PodStatus, State, foreign,
};
use crate::cluster::Cluster;
use crate::object::{Object, Raw};
use jiff::Timestamp;
use std::sync::Arc;

impl PodRun {
    /// Writes the status when it says something new.
    pub(super) fn report(&mut self, cluster: &mut Cluster) {
        let Some(stored) = cluster.store.get(&self.key).cloned() else {
            return;
        };
        if stored.meta.uid != self.uid {
            return;
        }
        let now = cluster.now();
        self.phase = self.next_phase();
        if self.phase.is_over() {
            cluster.machines.give_back(self);
        }
        self.set_conditions(now);
        let mut foreign = match self.last_status() {
            Some(status) if !self.was_overwritten(&stored) => {
                Arc::clone(&status.conditions.foreign)
            }
            _ => foreign(&stored),
        };
        self.observe(&mut foreign);
        let host = cluster.machines.address(&self.node);
        let status = self.status(host, foreign);
        let status = Raw::value(status);
        if cluster.write_status(&self.key, status.clone()).is_some() {
            self.wrote = Some(status);
        }
    }

    /// Has somebody else written into the status?
    pub(super) fn was_overwritten(&self, pod: &Object) -> bool {
        self.wrote.is_some() && self.wrote.as_ref() != pod.fields.get("status")
    }

    /// The status that was written last.
    fn last_status(&self) -> Option<&PodStatus> {
        self.wrote.as_ref()?.as_value()
    }

    /// That the pod is scheduled is said of its present state.
    fn observe(&self, foreign: &mut Arc<[Condition]>) {
        let generation = Some(self.generation);
        let old =
            |one: &Condition| one.r#type == "PodScheduled" && one.observed_generation != generation;
        if let Some(index) = foreign.iter().position(old)
            && let Some(one) = Arc::make_mut(foreign).get_mut(index)
        {
            one.observed_generation = generation;
        }
    }

    fn status(&self, host: Arc<str>, foreign: Arc<[Condition]>) -> PodStatus {
        let (reason, message) = self.fate.clone().unwrap_or_default();
        let conditions = Conditions {
            generation: self.generation,
            own: self.conditions(),
            foreign,
        };
        // A pod that was rejected has no containers.
        let some = if self.start_time.is_some() {
            self.containers.len()
        } else {
            0
        };
        let each = || {
            let all = self.containers.iter().enumerate().take(some);
            all.map(|(index, run)| container(&self.spec, index, run))
        };
        let mut inits: Vec<ContainerStatus> = each().take(self.inits()).collect();
        for (status, run) in inits.iter_mut().zip(&self.containers) {
            status.ready |= run.is_done();
        }
        let ip = if self.spec.host_network && self.start_time.is_some() {
            Arc::clone(&host)
        } else {
            Arc::clone(&self.ip)
        };
        let ips = |ip: &Arc<str>| {
            let ip = Some(Arc::clone(ip)).filter(|ip| !ip.is_empty());
            ip.map(|ip| [Ip { ip }])
        };
        PodStatus {
            phase: self.phase,
            reason,
            message,
            observed_generation: self.generation,
            conditions,
            host_ips: ips(&host),
            host_ip: host,
            pod_ips: ips(&ip),
            pod_ip: ip,
            start_time: self.start_time,
            init_container_statuses: inits,
            container_statuses: each().skip(self.inits()).collect(),
            qos_class: self.spec.qos(),
        }
    }

    /// Are all init containers through, sidecars running?
    pub(super) fn is_initialized(&self) -> bool {
        self.spec
            .init_containers
            .iter()
            .zip(&self.containers)
            .all(|(spec, run)| {
                if spec.is_sidecar() {
                    run.started || run.restarts > 0
                } else {
                    run.is_done()
                }
            })
    }

    /// `getPhase`.
    fn next_phase(&self) -> Phase {
        if self.phase.is_over() || self.fate.is_some() {
            return if self.phase.is_over() {
                self.phase
            } else {
                Phase::Failed
            };
        }
        let ended = matches!(self.stage, Stage::Over);
        let (inits, main) = self
            .containers
            .split_at(self.inits().min(self.containers.len()));
        let policy = self.spec.restart_policy;
        let failed_init = inits
            .iter()
            .any(|run| run.doing == Doing::Over && !run.is_done());
        if ended {
            let well = main
                .iter()
                .all(|run| run.last.as_ref().is_some_and(|end| end.exit_code == 0));
            return if well && !failed_init {
                Phase::Succeeded
            } else {
                Phase::Failed
            };
        }
        if !self.is_initialized() && main.iter().all(|run| run.id.is_empty()) {
            return Phase::Pending;
        }
        let never = policy == RestartPolicy::Never;
        let waits = |run: &ContainerRun| {
            matches!(run.shown, State::Waiting(_)) && (run.last.is_none() || never)
        };
        if main.iter().any(waits) {
            Phase::Pending
        } else {
            Phase::Running
        }
    }

    fn set_conditions(&mut self, now: Timestamp) {
        let main_ready = self
            .spec
            .all()
            .zip(&self.containers)
            .skip(self.inits())
            .all(|(_, run)| run.ready);
        let sidecars = self.spec.init_containers.iter().zip(&self.containers);
        let sidecars_ready = sidecars
            .filter(|(spec, _)| spec.is_sidecar())
            .all(|(_, run)| run.ready);
        let ready =
            main_ready && sidecars_ready && self.start_time.is_some() && !self.phase.is_over();
        let sandbox = matches!(
            self.stage,
            Stage::Going | Stage::Stopping | Stage::Finishing(_)
        );
        let initialized = self.is_initialized() || self.phase == Phase::Succeeded;
        let values = [sandbox, initialized, ready, ready];
        for (since, value) in self.since.iter_mut().zip(values) {
            since.set(value, now);
        }
    }

    fn conditions(&self) -> [Own; 4] {
        let over = self.is_completed();
        let mut index = 0;
        self.since.map(|since| {
            let (reason, message) = match (index, since.value) {
                (1, _) if over && self.phase != Phase::Failed => ("PodCompleted", String::new()),
                (2 | 3, false) if self.phase == Phase::Failed => ("PodFailed", String::new()),
                (2 | 3, false) if over => ("PodCompleted", String::new()),
                (1, false) => ("ContainersNotInitialized", self.incomplete()),
                (2 | 3, false) => ("ContainersNotReady", self.unready()),
                _ => ("", String::new()),
            };
            index += 1;
            Own {
                since,
                reason,
                message: message.into(),
            }
        })
    }

    /// All main containers ended well and stay so.
    fn is_completed(&self) -> bool {
        self.phase == Phase::Succeeded
            || (self.containers.len() > self.inits()
                && self
                    .containers
                    .iter()
                    .skip(self.inits())
                    .all(ContainerRun::is_done))
    }

    fn incomplete(&self) -> String {
        let each = self.spec.init_containers.iter().zip(&self.containers);
        let names = each.filter(|(spec, run)| {
            if spec.is_sidecar() {
                !run.started && run.restarts == 0
            } else {
                !run.is_done()
            }
        });
        let names: Vec<&str> = names.map(|(spec, _)| spec.name.as_str()).collect();
        format!("containers with incomplete status: [{}]", names.join(" "))
    }

    fn unready(&self) -> String {
        let each = self.spec.all().zip(&self.containers).enumerate();
        let counts = each.filter(|(index, (spec, run))| {
            !run.ready && (*index >= self.inits() || spec.is_sidecar())
        });
        let names: Vec<&str> = counts.map(|(_, (spec, _))| spec.name.as_str()).collect();
        format!("containers with unready status: [{}]", names.join(" "))
    }
}

fn container(spec: &Arc<PodSpec>, index: usize, run: &ContainerRun) -> ContainerStatus {
    let ended = matches!(run.shown, State::Terminated(_));
    let last = if ended { &run.before } else { &run.last };
    ContainerStatus {
        spec: Arc::clone(spec),
        index,
        state: run.shown.clone(),
        last_state: last.clone().map_or(State::Nothing {}, State::Terminated),
        ready: run.ready,
        restart_count: run.restarts,
        id: Arc::clone(&run.id),
        started: run.started && run.is_running(),
    }
}
