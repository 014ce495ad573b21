//! A snapshot with its look-ups, each built once: what detectors and the joining of their findings
//! read, so that a look at a whole cluster stays linear.

use super::evidence::{Evidence, EvidenceSource};
use crate::ids::Uid;
use crate::world::pod::Terminated;
use crate::world::{
    ConfigMapMeta, ContainerStatus, ControllerRevision, Event, Kind, Logs, Meta, Node, ObjectRef,
    Pod, Snapshot, Workload,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An Event this young agrees with a status of now. It is the API server's default life of an
/// Event; the scheduler renews its own only every 30 minutes.
const AGREES_FOR: SignedDuration = SignedDuration::from_hours(1);

/// An Event this young shows a fault by itself. The kubelet sends at least one in five minutes for
/// a fault that lasts, however many it has sent before.
const SHOWS_FOR: SignedDuration = SignedDuration::from_mins(10);

/// A container that has run this long since its last restart is stable; the kubelet forgets its
/// back-off after the same time.
const STABLE_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// And one that has run shorter than this never is.
const UNSTABLE_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Longest owner chain that is climbed: a cyclic one must not loop.
const MAX_CHAIN: usize = 8;

/// Longest text of one fact, in characters.
const MAX_FACT: usize = 300;

/// A snapshot with its look-ups.
#[derive(Debug)]
pub struct View<'a> {
    /// What was seen.
    pub snapshot: &'a Snapshot,
    workloads: BTreeMap<&'a Uid, &'a Arc<Workload>>,
    children: BTreeMap<&'a Uid, Vec<&'a Arc<Workload>>>,
    revisions: BTreeMap<&'a Uid, Vec<&'a Arc<ControllerRevision>>>,
    nodes: BTreeMap<&'a str, &'a Arc<Node>>,
    events: BTreeMap<(&'a Kind, &'a str, &'a str), Vec<&'a Event>>,
    logs: BTreeMap<&'a Uid, Vec<&'a Logs>>,
    config_maps: BTreeMap<(&'a str, &'a str), &'a Arc<ConfigMapMeta>>,
    owners: BTreeMap<&'a Uid, (ObjectRef, &'a Arc<Pod>)>,
    pods: BTreeMap<Uid, Vec<&'a Arc<Pod>>>,
}

impl<'a> View<'a> {
    /// Builds the look-ups.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut view = Self {
            snapshot,
            workloads: BTreeMap::new(),
            children: BTreeMap::new(),
            revisions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            events: BTreeMap::new(),
            logs: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            owners: BTreeMap::new(),
            pods: BTreeMap::new(),
        };
        for workload in &snapshot.workloads {
            view.workloads.insert(&workload.metadata.uid, workload);
            if let Some(owner) = workload.metadata.controller() {
                view.children.entry(&owner.uid).or_default().push(workload);
            }
        }
        for revision in &snapshot.controller_revisions {
            if let Some(owner) = revision.metadata.controller() {
                view.revisions.entry(&owner.uid).or_default().push(revision);
            }
        }
        for node in &snapshot.nodes {
            view.nodes.insert(&node.metadata.name, node);
        }
        for event in &snapshot.events {
            let about = &event.involved_object;
            let key = (&about.kind, &*about.namespace, &*about.name);
            view.events.entry(key).or_default().push(event);
        }
        for logs in &snapshot.logs {
            view.logs.entry(&logs.pod.uid).or_default().push(logs);
        }
        for map in &snapshot.config_maps {
            let key = (&*map.metadata.namespace, &*map.metadata.name);
            view.config_maps.insert(key, map);
        }
        for pod in &snapshot.pods {
            let owner = view.topmost(pod.reference(), Some(&pod.metadata));
            view.pods.entry(owner.uid.clone()).or_default().push(pod);
            view.owners.insert(&pod.metadata.uid, (owner, pod));
        }
        view
    }

    /// When the snapshot was taken: the only clock that there is.
    pub fn now(&self) -> Timestamp {
        self.snapshot.taken_at
    }

    fn topmost(&self, object: ObjectRef, meta: Option<&Meta>) -> ObjectRef {
        let mut top = object;
        let mut meta = meta;
        for _ in 0..MAX_CHAIN {
            // The Node that owns a mirror pod does not control it.
            let owner = meta.and_then(Meta::controller);
            let Some(owner) = owner.filter(|owner| owner.kind != Kind::Node) else {
                break;
            };
            top = ObjectRef {
                kind: owner.kind.clone(),
                namespace: top.namespace,
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            };
            meta = self.workloads.get(&top.uid).map(|w| &w.metadata);
        }
        top
    }

    /// The topmost owner of a pod, workload or node, as far as the snapshot shows it.
    pub fn owner(&self, object: &ObjectRef) -> ObjectRef {
        if let Some((owner, _)) = self.owners.get(&object.uid) {
            return owner.clone();
        }
        let meta = self.workloads.get(&object.uid).map(|w| &w.metadata);
        self.topmost(object.clone(), meta)
    }

    /// Pods whose topmost owner is `owner` (or that are it).
    pub fn pods_of(&self, owner: &ObjectRef) -> &[&'a Arc<Pod>] {
        self.pods.get(&owner.uid).map_or(&[], Vec::as_slice)
    }

    /// The pod with that uid.
    pub fn pod(&self, uid: &Uid) -> Option<&'a Arc<Pod>> {
        self.owners.get(uid).map(|(_, pod)| *pod)
    }

    /// Pods that should be running: not over and not being deleted.
    pub fn live_pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.snapshot.pods.iter().map(|pod| &**pod).filter(|pod| {
            pod.metadata.deletion_timestamp.is_none() && pod.status.phase != "Succeeded"
        })
    }

    /// Of each pod that should be running what `judge` finds first among its containers.
    pub fn first_of_each_pod<T>(
        &self,
        judge: impl Fn(&'a Pod, &'a ContainerStatus) -> Option<T>,
    ) -> Vec<T> {
        self.live_pods()
            .filter_map(|pod| {
                let mut containers = pod.container_statuses();
                containers.find_map(|container| judge(pod, container))
            })
            .collect()
    }

    /// The workload with that uid.
    pub fn workload(&self, uid: &Uid) -> Option<&'a Arc<Workload>> {
        self.workloads.get(uid).copied()
    }

    /// Workloads that this one controls: the ReplicaSets of a Deployment.
    pub fn children(&self, owner: &Uid) -> &[&'a Arc<Workload>] {
        self.children.get(owner).map_or(&[], Vec::as_slice)
    }

    /// ControllerRevisions of a StatefulSet or DaemonSet.
    pub fn revisions(&self, owner: &Uid) -> &[&'a Arc<ControllerRevision>] {
        self.revisions.get(owner).map_or(&[], Vec::as_slice)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&'a Arc<Node>> {
        self.nodes.get(name).copied()
    }

    /// Metadata of that ConfigMap.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&'a Arc<ConfigMapMeta>> {
        self.config_maps.get(&(namespace, name)).copied()
    }

    /// Log of the run of a container before its last restart.
    pub fn previous_log(&self, pod: &Uid, container: &str) -> Option<&'a Logs> {
        let logs = self.logs.get(pod)?;
        logs.iter()
            .find(|log| log.previous && log.container == container)
            .copied()
    }

    /// Events of one of these reasons that are young enough to agree with a status of now, newest
    /// first.
    pub fn agreeing(&self, object: &ObjectRef, reasons: &[&str]) -> Vec<&'a Event> {
        self.young(object, reasons, AGREES_FOR)
    }

    /// Events of one of these reasons that are young enough to show a fault by themselves, newest
    /// first.
    pub fn showing(&self, object: &ObjectRef, reasons: &[&str]) -> Vec<&'a Event> {
        self.young(object, reasons, SHOWS_FOR)
    }

    fn young(&self, object: &ObjectRef, reasons: &[&str], age: SignedDuration) -> Vec<&'a Event> {
        let key = (&object.kind, &*object.namespace, &*object.name);
        let all = self.events.get(&key).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<&'a Event> = Vec::new();
        for event in all.iter().copied() {
            // The kubelet writes a node's name where its uid belongs.
            let uid = &event.involved_object.uid;
            let same = *uid == object.uid
                || uid.as_str().is_empty()
                || uid.as_str() == event.involved_object.name;
            let seen = event.last_seen();
            let young = seen.is_some_and(|seen| self.now().duration_since(seen) <= age);
            if same && young && reasons.contains(&event.reason.as_str()) {
                found.push(event);
            }
        }
        found.sort_by_key(|event| std::cmp::Reverse((event.last_seen(), &event.metadata.name)));
        found
    }

    /// The newest event of one of these reasons after `after`, as evidence against a finding: a
    /// status that is older than it may be stale.
    pub fn against(&self, object: &ObjectRef, reasons: &[&str], after: Timestamp) -> Vec<Evidence> {
        let events = self.agreeing(object, reasons);
        let newest = events.first().filter(|e| e.last_seen() > Some(after));
        newest
            .map(|event| Evidence::event(event, object).against())
            .into_iter()
            .collect()
    }

    /// How the container last ended, while that still tells something about now: it waits in its
    /// back-off, or has not run long enough since. An end of days ago, with a container that is
    /// stable since, is history.
    pub fn last_end<'c>(&self, container: &'c ContainerStatus) -> Option<&'c Terminated> {
        let age = |at: Option<Timestamp>| at.map(|at| self.now().duration_since(at));
        if let Some(end) = &container.state.terminated {
            let recent = age(end.finished_at).is_none_or(|age| age <= STABLE_AFTER);
            return recent.then_some(end);
        }
        let end = container.last_state.terminated.as_ref()?;
        let backing_off = container
            .state
            .waiting
            .as_ref()
            .is_some_and(|w| w.reason == "CrashLoopBackOff");
        if backing_off {
            return Some(end);
        }
        let Some(running) = &container.state.running else {
            let recent = age(end.finished_at).is_none_or(|age| age <= STABLE_AFTER);
            return recent.then_some(end);
        };
        let run = match (end.started_at, end.finished_at) {
            (Some(start), Some(finish)) => finish.duration_since(start),
            _ => STABLE_AFTER,
        };
        let needed = run.saturating_mul(2).clamp(UNSTABLE_FOR, STABLE_AFTER);
        let stable = age(running.started_at).is_some_and(|ran| ran > needed);
        (!stable).then_some(end)
    }

    /// Since when a container that never ran, or not since its last end, has been waiting.
    pub fn waiting_since(&self, pod: &Pod, container: &ContainerStatus) -> Timestamp {
        let end = container.last_state.terminated.as_ref();
        end.and_then(|end| end.finished_at)
            .or(pod.status.start_time)
            .or(pod.metadata.creation_timestamp)
            .unwrap_or(self.now())
            .min(self.now())
    }

    /// How long ago that was.
    pub fn age(&self, at: Timestamp) -> SignedDuration {
        self.now().duration_since(at)
    }
}

/// Whether an event concerns that container (or says nothing about containers).
pub(super) fn concerns(event: &Event, container: &str) -> bool {
    let path = &event.involved_object.field_path;
    path.is_empty()
        || path
            .rsplit_once('{')
            .is_some_and(|(_, name)| name.trim_end_matches('}') == container)
}

/// The newest event that says that the container was started again: the kubelet's back-off, or a
/// start that is not the first.
pub(super) fn restart_event<'a>(
    view: &View<'a>,
    pod: &ObjectRef,
    container: &str,
) -> Option<&'a Event> {
    let events = view.agreeing(pod, &["BackOff", "Started"]);
    let says = |e: &&Event| match e.reason.as_str() {
        "BackOff" => e.message.contains("restarting"),
        _ => is_restart(e),
    };
    let mut events = events.into_iter().filter(|e| concerns(e, container));
    events.find(says)
}

/// Whether the event says that a container was started not for the first time.
pub(super) fn is_restart(event: &Event) -> bool {
    event.reason == "Started" && event.times() > 1
}

/// When an event was first seen, whichever form it has.
pub(super) fn first_seen(event: &Event) -> Option<Timestamp> {
    event
        .first_timestamp
        .or(event.event_time)
        .or(event.metadata.creation_timestamp)
}

impl Evidence {
    fn new(source: EvidenceSource, object: ObjectRef, at: Option<Timestamp>, fact: &str) -> Self {
        let line = fact.split_whitespace().collect::<Vec<_>>().join(" ");
        Self {
            id: crate::ids::EvidenceId::default(),
            source,
            object,
            fact: line.chars().take(MAX_FACT).collect(),
            at,
            supports: true,
        }
    }

    /// A fact of an object's spec or status.
    pub(super) fn status(object: ObjectRef, at: Option<Timestamp>, fact: &str) -> Self {
        Self::new(EvidenceSource::Status, object, at, fact)
    }

    /// An Event.
    pub(super) fn event(event: &Event, object: &ObjectRef) -> Self {
        let fact = match event.times() {
            1 => format!("{}: {}", event.reason, event.message),
            times => format!("{} ({times} times): {}", event.reason, event.message),
        };
        let at = event.last_seen();
        Self::new(EvidenceSource::Event, object.clone(), at, &fact)
    }

    /// A log line.
    pub(super) fn log(object: ObjectRef, at: Option<Timestamp>, fact: &str) -> Self {
        Self::new(EvidenceSource::Log, object, at, fact)
    }

    /// A change.
    pub(super) fn change(object: ObjectRef, at: Option<Timestamp>, fact: &str) -> Self {
        Self::new(EvidenceSource::Change, object, at, fact)
    }

    /// An alert.
    pub(super) fn alert(object: ObjectRef, at: Option<Timestamp>, fact: &str) -> Self {
        Self::new(EvidenceSource::Alert, object, at, fact)
    }

    /// The same fact, speaking against the finding.
    pub(super) fn against(mut self) -> Self {
        self.supports = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    const AT: &str = "2026-01-05T10:00:00Z";

    #[test]
    fn owners_are_climbed_as_the_snapshot_itself_does_it() {
        let snapshot = testkit::world(AT)
            .deployment("demo", "cart")
            .owned_by("Shop", "main")
            .revision(1)
            .pod("cart-1-a")
            .bare_pod("demo", "solo")
            .snapshot();
        let view = View::of(&snapshot);
        for pod in &snapshot.pods {
            let owner = view.owner(&pod.reference());
            assert_eq!(owner, snapshot.topmost_owner(&pod.reference()));
            assert_eq!(view.pods_of(&owner).len(), 1);
        }
        let deployment = testkit::reference(Kind::Deployment, "demo", "cart");
        assert_eq!(view.owner(&deployment).to_string(), "Shop demo/main");
    }

    #[test]
    fn a_cycle_of_owners_ends() {
        let mut snapshot = testkit::world(AT)
            .deployment("demo", "cart")
            .pod("a")
            .snapshot();
        let owner = snapshot.pods[0].metadata.owner_references.clone();
        for workload in &mut snapshot.workloads {
            Arc::make_mut(workload)
                .metadata
                .owner_references
                .clone_from(&owner);
        }
        let view = View::of(&snapshot);
        assert_eq!(view.owner(&snapshot.pods[0].reference()).name, "cart");
    }

    #[test]
    fn events_belong_to_one_incarnation_and_have_an_age() {
        let mut world = testkit::world(AT).deployment("demo", "cart").pod("cart-a");
        for age in [5, 1200, 7200] {
            world = world
                .event("Failed", "Failed to pull image")
                .seen(age, age, 1);
        }
        let mut snapshot = world.snapshot();
        let pod = snapshot.pods[0].reference();
        let counts = |snapshot: &Snapshot| {
            let view = View::of(snapshot);
            let agreeing = view.agreeing(&pod, &["Failed"]).len();
            (agreeing, view.showing(&pod, &["Failed"]).len())
        };
        assert_eq!(counts(&snapshot), (2, 1));
        for event in &mut snapshot.events {
            Arc::make_mut(event).involved_object.uid = "the-pod-before".into();
        }
        assert_eq!(counts(&snapshot), (0, 0));
        for event in &mut snapshot.events {
            Arc::make_mut(event).involved_object.uid = Uid::default();
        }
        assert_eq!(counts(&snapshot), (2, 1));
    }

    #[test]
    fn an_event_of_one_container_does_not_concern_another() {
        let mut event = Event::default();
        assert!(concerns(&event, "app"));
        event.involved_object.field_path = "spec.containers{app}".to_owned();
        assert!(concerns(&event, "app"));
        assert!(!concerns(&event, "sidecar"));
    }

    #[test]
    fn a_second_start_is_a_restart_and_a_first_one_is_not() {
        let world = testkit::world(AT).deployment("demo", "cart").pod("cart-a");
        let started = |times: i64| {
            let world = world.clone().event("Started", "Started container app");
            world.seen(60, 5, times).snapshot()
        };
        for (times, expected) in [(1, false), (2, true)] {
            let snapshot = started(times);
            let view = View::of(&snapshot);
            let event = restart_event(&view, &snapshot.pods[0].reference(), "app");
            assert_eq!(event.is_some(), expected);
        }
    }

    #[test]
    fn a_fact_is_one_bounded_line() {
        let text = "two\nlines ".repeat(200);
        let fact = Evidence::status(ObjectRef::default(), None, &text).fact;
        assert_eq!(fact.chars().count(), MAX_FACT);
        assert!(!fact.contains('\n'));
    }
}
