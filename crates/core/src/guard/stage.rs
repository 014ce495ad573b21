//! Scenes for tests: steps that every gate passes, and ways to spoil them.

use super::gates;
use super::{Rehearsal, Ruling, Scene, Verdict};
use crate::diagnose::{Confidence, Diagnosis, FaultClass};
use crate::history::{ActOutcome, History};
use crate::ids::{PermitId, RunbookId};
use crate::plan::{self, Action, Check, Draft, MemoryChange, Step};
use crate::policy::{Autonomy, Policy};
use crate::testkit::{World, reference, world};
use crate::world::{
    Coverage, GuardedNamespaces, Kind, Node, ObjectRef, Pod, Snapshot, Source, Workload,
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A scene that owns its parts.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) policy: Policy,
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Timestamp,
    pub(crate) history: History,
    pub(crate) diagnosis: Option<Diagnosis>,
    pub(crate) rehearsal: Option<Rehearsal>,
    pub(crate) step: Step,
}

pub(crate) fn done() -> ActOutcome {
    ActOutcome::Done {
        generation: 2,
        resource_version: "2".to_owned(),
    }
}

pub(crate) fn refused() -> ActOutcome {
    ActOutcome::Refused {
        why: "403 Forbidden".to_owned(),
    }
}

fn nodes() -> World {
    world("2026-01-05T10:00:00Z").node("node1").node("node2")
}

fn bad_node() -> World {
    let at = world("2026-01-05T10:00:00Z");
    let node1 = at
        .node("node1")
        .condition("Ready", "Unknown", "NodeStatusUnknown", 120);
    node1.node("node2")
}

fn cart(world: World) -> World {
    world
        .deployment("demo", "cart")
        .revision(1)
        .memory("", "256Mi")
        .revision(2)
        .image("img.test/cart:2")
}

impl Stage {
    fn of(
        snapshot: Snapshot,
        target: &ObjectRef,
        action: Action,
        check: (FaultClass, ObjectRef),
    ) -> Self {
        let (class, owner) = check;
        let since = snapshot.taken_at - SignedDuration::from_secs(60);
        let object = plan::target(&snapshot, target).expect("the target is in the world");
        let check = Check {
            class,
            owner: owner.clone(),
            time_to_failure_ms: 5_000,
        };
        let step = Step::new(Draft {
            incident: &"incident-1".into(),
            action,
            target: &object,
            check,
            runbook: &RunbookId::from("RB_TEST"),
            runbook_step: "act",
            asks: Vec::new(),
        });
        let diagnosis = Diagnosis {
            class,
            reason: String::new(),
            owner,
            subject: target.clone(),
            container: None,
            since,
            persistence: SignedDuration::ZERO,
            path: Vec::new(),
            changes: Vec::new(),
            evidence: Vec::new(),
            confidence: Confidence(90),
            confidence_rows: Vec::new(),
            blind: Vec::new(),
        };
        Self {
            policy: Policy {
                autonomy: Autonomy::Auto,
                dry_run: false,
                ..Policy::default()
            },
            now: snapshot.taken_at,
            snapshot,
            history: History::default(),
            diagnosis: Some(diagnosis),
            rehearsal: Some(Rehearsal::Accepted { diff: Vec::new() }),
            step: step.expect("the target has what the action changes"),
        }
    }

    fn on_cart(action: impl FnOnce(&Snapshot) -> Action, class: FaultClass) -> Self {
        let snapshot = cart(nodes())
            .pod("cart-2-a")
            .crash_loop(137, "OOMKilled", 10, 3)
            .snapshot();
        let owner = reference(Kind::Deployment, "demo", "cart");
        let action = action(&snapshot);
        Self::of(snapshot, &owner, action, (class, owner.clone()))
    }

    /// Raise the memory limit of Deployment demo/cart.
    pub(crate) fn memory() -> Self {
        let change = |from: Option<&str>, to: &str| MemoryChange {
            from: from.map(Into::into),
            to: Some(to.into()),
        };
        let action = Action::SetMemory {
            container: "app".to_owned(),
            limit: change(Some("256Mi"), "512Mi"),
            request: change(None, "256Mi"),
        };
        Self::on_cart(|_| action, FaultClass::OomKilled)
    }

    /// Set the image of Deployment demo/cart.
    pub(crate) fn image() -> Self {
        let action = Action::SetImage {
            container: "app".to_owned(),
            from: "img.test/cart:2".to_owned(),
            to: "img.test/cart:1".to_owned(),
        };
        Self::on_cart(|_| action, FaultClass::ImagePullFailure)
    }

    /// Roll Deployment demo/cart back.
    pub(crate) fn roll_back() -> Self {
        let action = |snapshot: &Snapshot| {
            let owner = reference(Kind::Deployment, "demo", "cart");
            let workload = snapshot.workload(&owner.uid).expect("the deployment");
            let all = plan::revisions(snapshot, workload);
            let bound = |index: usize| all[index].bound().expect("a digest");
            Action::RollBack {
                from: bound(0),
                to: bound(1),
            }
        };
        Self::on_cart(action, FaultClass::CrashLoop)
    }

    /// Delete the unready pod of StatefulSet demo/db.
    pub(crate) fn delete_pod() -> Self {
        let snapshot = nodes()
            .stateful_set("demo", "db")
            .revision(1)
            .revision(2)
            .pod("db-0")
            .crash_loop(1, "Error", 10, 3)
            .snapshot();
        let pod = reference(Kind::Pod, "demo", "db-0");
        let owner = reference(Kind::StatefulSet, "demo", "db");
        Self::of(
            snapshot,
            &pod,
            Action::DeletePod,
            (FaultClass::CrashLoop, owner),
        )
    }

    /// Evict one of two ready pods from the node that is not ready.
    pub(crate) fn evict() -> Self {
        let world = cart(bad_node()).replicas(2);
        let snapshot = world
            .pod("cart-2-a")
            .on("node1")
            .pod("cart-2-b")
            .on("node2")
            .snapshot();
        let pod = reference(Kind::Pod, "demo", "cart-2-a");
        let node = reference(Kind::Node, "", "node1");
        Self::of(
            snapshot,
            &pod,
            Action::Evict,
            (FaultClass::NodeNotReady, node),
        )
    }

    /// Cordon the node that is not ready.
    pub(crate) fn cordon() -> Self {
        let node = reference(Kind::Node, "", "node1");
        let check = (FaultClass::NodeNotReady, node.clone());
        Self::of(bad_node().snapshot(), &node, Action::Cordon, check)
    }

    /// Uncordon the node that we cordoned two minutes ago.
    pub(crate) fn uncordon() -> Self {
        let node = reference(Kind::Node, "", "node1");
        let check = (FaultClass::NodeCordoned, node.clone());
        let world = world("2026-01-05T10:00:00Z");
        let snapshot = world.node("node1").cordoned().node("node2").snapshot();
        Self::of(snapshot, &node, Action::Uncordon, check).with(|s| {
            let cordon = Step {
                action: Action::Cordon,
                ..s.step.clone()
            };
            s.act(120, cordon, Some(done()));
        })
    }

    /// One good step of each kind.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::memory(),
            Self::image(),
            Self::roll_back(),
            Self::delete_pod(),
            Self::evict(),
            Self::cordon(),
            Self::uncordon(),
        ]
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn diagnosed(self, change: impl FnOnce(&mut Diagnosis)) -> Self {
        self.with(|s| s.diagnosed_as(change))
    }

    pub(crate) fn diagnosed_as(&mut self, change: impl FnOnce(&mut Diagnosis)) {
        if let Some(diagnosis) = &mut self.diagnosis {
            change(diagnosis);
        }
    }

    /// The step was done, and this takes it back.
    pub(crate) fn taken_back(self) -> Self {
        self.with(|s| {
            let step = s.step.clone();
            s.act(60, step.clone(), Some(done()));
            s.step.action = step.undo.expect("it can be taken back");
            s.step.is_undo = true;
        })
    }

    /// Something was done `ago` seconds ago, by the permits `permit-1`, `permit-2` and so on.
    pub(crate) fn act(&mut self, ago: i64, step: Step, outcome: Option<ActOutcome>) {
        let permit = PermitId::from(format!("permit-{}", self.history.acts.len() + 1));
        let at = self.now - SignedDuration::from_secs(ago);
        let (incident, owner) = (step.incident.clone(), step.check.owner.clone());
        self.history
            .record_intent(permit.clone(), incident, owner, step, at);
        if let Some(outcome) = outcome {
            self.history.record_outcome(&permit, outcome);
        }
    }

    pub(crate) fn blind(self, source: Source) -> Self {
        self.lose(source, false, false)
    }

    /// The source is not seen, its objects perhaps not there either, perhaps not even listed.
    pub(crate) fn lose(mut self, source: Source, emptied: bool, unlisted: bool) -> Self {
        let snapshot = &mut self.snapshot;
        if unlisted {
            snapshot.coverage.remove(&source);
        } else {
            let why = "silent for 90 s".to_owned();
            snapshot.coverage.insert(source, Coverage::Blind { why });
        }
        if emptied {
            empty(snapshot, source);
        }
        self
    }

    pub(crate) fn edit_pods(&mut self, change: impl Fn(&mut Pod)) {
        self.snapshot
            .pods
            .iter_mut()
            .for_each(|pod| change(Arc::make_mut(pod)));
    }

    pub(crate) fn edit_workloads(&mut self, change: impl Fn(&mut Workload)) {
        let workloads = self.snapshot.workloads.iter_mut();
        workloads.for_each(|workload| change(Arc::make_mut(workload)));
    }

    pub(crate) fn edit_nodes(&mut self, change: impl Fn(&mut Node)) {
        self.snapshot
            .nodes
            .iter_mut()
            .for_each(|node| change(Arc::make_mut(node)));
    }

    pub(crate) fn scene(&self) -> Scene<'_> {
        Scene {
            policy: &self.policy,
            snapshot: &self.snapshot,
            now: self.now,
            history: &self.history,
            diagnosis: self.diagnosis.as_ref(),
            rehearsal: self.rehearsal.as_ref(),
            step: &self.step,
        }
    }

    pub(crate) fn ruling(&self, gate: &str) -> Ruling {
        let mut rulings = gates::rule(&self.scene()).into_iter();
        rulings
            .find(|ruling| ruling.gate == gate)
            .expect("the gate is on the list")
    }

    /// Checks one gate's verdict, and that its reason holds `text`.
    #[track_caller]
    pub(crate) fn says(&self, gate: &str, verdict: Verdict, text: &str) {
        let ruling = self.ruling(gate);
        assert_eq!(ruling.verdict, verdict, "{ruling}");
        assert!(ruling.reason.contains(text), "{ruling}");
    }
}

fn empty(snapshot: &mut Snapshot, source: Source) {
    let mut keep = |kind: Kind| snapshot.workloads.retain(|w| w.kind != kind);
    match source {
        Source::Pods => snapshot.pods.clear(),
        Source::Nodes => snapshot.nodes.clear(),
        Source::Deployments => keep(Kind::Deployment),
        Source::ReplicaSets => keep(Kind::ReplicaSet),
        Source::StatefulSets => keep(Kind::StatefulSet),
        Source::DaemonSets => keep(Kind::DaemonSet),
        Source::Jobs => keep(Kind::Job),
        Source::ControllerRevisions => snapshot.controller_revisions.clear(),
        Source::HorizontalPodAutoscalers => snapshot.hpas.clear(),
        Source::VerticalPodAutoscalers => snapshot.vpas.clear(),
        Source::PodDisruptionBudgets => snapshot.pdbs.clear(),
        Source::WebhookConfigurations | Source::ApiServices => {
            snapshot.guarded_namespaces = GuardedNamespaces::default();
        }
        Source::Events
        | Source::Namespaces
        | Source::Services
        | Source::EndpointSlices
        | Source::ConfigMaps
        | Source::ResourceQuotas
        | Source::LimitRanges
        | Source::Logs
        | Source::Clock => {}
    }
}
