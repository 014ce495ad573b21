//! What a node knows of a pod that runs on it: what a real one keeps in its runtime and its caches.

use super::admit::Requests;
use super::backoff::Backoff;
use super::life::Instance;
use super::probe::Probing;
use super::spec::PodSpec;
use super::status::{Ended, Phase, Since, State};
use crate::behaviour::Behaviour;
use crate::events::Reference;
use crate::object::{Key, Object, Raw, Shared};
use crate::pod_spec;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A pod on a node.
#[derive(Debug)]
pub(crate) struct PodRun {
    pub(super) key: Key,
    pub(super) uid: Arc<str>,
    pub(super) node: Arc<str>,
    /// Shared by the pods of a template.
    pub(super) spec: Arc<PodSpec>,
    /// The sum of what its containers ask for.
    pub(super) asks: Requests,
    pub(super) priority: i64,
    pub(super) annotations: Shared<BTreeMap<String, String>>,
    pub(super) reference: Reference,
    pub(super) generation: u64,
    pub(super) stage: Stage,
    pub(super) start_time: Option<Timestamp>,
    pub(super) ip: Arc<str>,
    pub(super) containers: Vec<ContainerRun>,
    pub(super) phase: Phase,
    /// `PodReadyToStartContainers`, `Initialized`, `Ready`, `ContainersReady`.
    pub(super) since: [Since; 4],
    /// Why the node has given it up: `Evicted`, `OutOfcpu`, ...
    pub(super) fate: Option<(String, String)>,
    /// It is to go from the API server when it has ended.
    pub(super) deleted: bool,
    /// The status that was written last.
    pub(super) wrote: Option<Raw>,
    /// What of its node counts as its own.
    pub(super) counted: Requests,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// Not looked at yet.
    Fresh,
    /// Its volumes are being mounted.
    Mounting(Mounting),
    /// Its sandbox is being made.
    Sandbox(Timestamp),
    /// Its containers are looked after.
    Going,
    /// Its containers are being ended.
    Stopping,
    /// Everything has ended; the last words are written then.
    Finishing(Timestamp),
    /// Nothing will happen to it any more.
    Over,
}

/// Volumes that are not there yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mounting {
    /// The next attempt.
    pub(super) again: Timestamp,
    /// The wait before it.
    pub(super) wait: Duration,
    /// When the pod's worker loses patience and says so.
    pub(super) patience: Timestamp,
}

/// A container on a node.
#[derive(Debug)]
pub(super) struct ContainerRun {
    pub(super) doing: Doing,
    /// What the status says.
    pub(super) shown: State,
    pub(super) restarts: u32,
    /// How its latest instance ended.
    pub(super) last: Option<Arc<Ended>>,
    /// How the one before ended.
    pub(super) before: Option<Arc<Ended>>,
    pub(super) crash: Backoff,
    pub(super) pull: Backoff,
    /// What the registry said last.
    pub(super) pull_error: String,
    /// Empty before its first instance.
    pub(super) id: Arc<str>,
    pub(super) behaviour: Arc<Behaviour>,
    pub(super) probes: Vec<Probing>,
    pub(super) started: bool,
    pub(super) ready: bool,
    pub(super) current: Option<Instance>,
    pub(super) previous: Option<Box<Instance>>,
}

/// What happens next to a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doing {
    /// It is not its turn.
    Nothing,
    /// Its image is being pulled.
    Pulling { since: Timestamp, done: Timestamp },
    /// The kubelet looks at it again.
    Waiting(For, Timestamp),
    /// It has been made, and starts.
    Starting(Timestamp),
    /// It runs, until the planned end.
    Running(Option<End>),
    /// It was told to end.
    Stopping { end: End, restart: bool },
    /// It will never run again.
    Over,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The image, or its configuration: the start is tried again.
    Start,
    /// The back-off after a crash.
    Crash,
}

/// The end of an instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    /// When it ends.
    pub(super) at: Timestamp,
    /// When the kubelet sees it (its look at the runtime comes every second).
    pub(super) noticed: Timestamp,
    pub(super) code: i32,
    pub(super) reason: &'static str,
}

impl PodRun {
    pub(super) fn new(key: Key, pod: &Object) -> Self {
        let spec = pod_spec::running(pod);
        let init = !spec.init_containers.is_empty();
        let reason = if init {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let containers = spec.all().map(|_| ContainerRun::new(reason)).collect();
        Self {
            key,
            uid: Arc::clone(&pod.meta.uid),
            node: pod_spec::node_of(pod),
            asks: Requests::of(&spec),
            priority: spec.priority,
            spec,
            annotations: pod.meta.annotations.clone(),
            reference: Reference::of(pod),
            generation: pod.meta.generation,
            stage: Stage::Fresh,
            start_time: None,
            ip: "".into(),
            containers,
            phase: Phase::Pending,
            since: [Since::default(); 4],
            fate: None,
            deleted: false,
            wrote: None,
            counted: Requests::default(),
        }
    }

    /// `name_namespace(uid)`, as a kubelet writes a pod's name in its texts.
    pub(super) fn text(&self) -> String {
        format!("{}_{}({})", self.key.name, self.key.namespace, self.uid)
    }

    /// How many of the containers are init containers; they come first.
    pub(super) fn inits(&self) -> usize {
        self.spec.init_containers.len()
    }

    /// When something is due; `None` when only a change from outside can do something.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Fresh | Stage::Over => None,
            Stage::Mounting(mounting) => Some(mounting.again.min(mounting.patience)),
            Stage::Sandbox(at) | Stage::Finishing(at) => Some(at),
            Stage::Going | Stage::Stopping => {
                let each = self.containers.iter().zip(self.spec.all());
                each.filter_map(|(run, spec)| run.due(spec, &self.ip)).min()
            }
        }
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self, now: Timestamp) -> i64 {
        let each = self.containers.iter().map(|one| one.memory(now));
        each.fold(0, i64::saturating_add)
    }
}

impl ContainerRun {
    fn new(reason: &'static str) -> Self {
        Self {
            doing: Doing::Nothing,
            shown: State::waiting(reason, ""),
            restarts: 0,
            last: None,
            before: None,
            crash: Backoff::default(),
            pull: Backoff::default(),
            pull_error: String::new(),
            id: Arc::default(),
            behaviour: Behaviour::healthy(),
            probes: Vec::new(),
            started: false,
            ready: false,
            current: None,
            previous: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.doing, Doing::Running(_) | Doing::Stopping { .. })
    }

    /// It ended well and stays so.
    pub(super) fn is_done(&self) -> bool {
        self.doing == Doing::Over && self.last.as_ref().is_some_and(|end| end.exit_code == 0)
    }

    pub(super) fn memory(&self, now: Timestamp) -> i64 {
        match &self.current {
            Some(instance) if self.is_running() => {
                let running = crate::events::passed(instance.started, now);
                self.behaviour.memory.after(running)
            }
            _ => 0,
        }
    }

    fn due(&self, spec: &super::spec::Container, ip: &str) -> Option<Timestamp> {
        match &self.doing {
            Doing::Nothing | Doing::Over => None,
            Doing::Pulling { done: at, .. } | Doing::Waiting(_, at) | Doing::Starting(at) => {
                Some(*at)
            }
            Doing::Stopping { end, .. } => Some(end.noticed),
            Doing::Running(end) => {
                let end = end.as_ref().map(|end| end.noticed);
                let world = super::probe::World::of(self, spec, ip)?;
                let running = self.probes.iter().filter(|one| one.runs(self.started));
                let probes = running.filter_map(|one| one.due(&world)).min();
                end.into_iter().chain(probes).min()
            }
        }
    }
}
