//! Whose fault it is, whom a change has to be made on, and what the tools share.

use super::{MAX_LINES, Proposal};
use crate::plan::{Action, Check, Draft, Step};
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Container, ContainerStatus, Kind, Node, Object, ObjectRef, Pod, Workload};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Events and container ends older than this say nothing about the present fault. The API server
/// keeps events for an hour too.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// Whether it was so lately; a fact without a time counts as recent.
pub(super) fn is_recent(cx: &Context<'_>, at: Option<Timestamp>) -> bool {
    at.is_none_or(|at| cx.snapshot.taken_at.duration_since(at) <= RECENT)
}

/// The topmost owner of the object that shows the fault.
pub(super) fn topmost(cx: &Context<'_>) -> ObjectRef {
    cx.snapshot.topmost_owner(&cx.diagnosis.subject)
}

/// The owner's pods that are not being deleted.
pub(super) fn pods<'a>(cx: &Context<'a>) -> impl Iterator<Item = &'a Arc<Pod>> {
    let owner = topmost(cx);
    let snapshot = cx.snapshot;
    snapshot.pods.iter().filter(move |pod| {
        pod.metadata.deletion_timestamp.is_none()
            && snapshot.topmost_owner(&pod.reference()).uid == owner.uid
    })
}

/// What is to be said of the containers of the owner's pods, a line each, as the results of a tool:
/// whether there is anything, and the first lines.
pub(super) fn lines(
    cx: &Context<'_>,
    say: impl Fn(&Pod, &ContainerStatus) -> Option<String>,
) -> (bool, Vec<String>) {
    let mut lines = Vec::new();
    for pod in pods(cx) {
        let containers = pod.container_statuses();
        lines.extend(containers.filter_map(|container| say(pod, container)));
    }
    let found = !lines.is_empty();
    lines.truncate(MAX_LINES);
    (found, lines)
}

/// The pod that shows the fault, or else the first of the owner's pods that is not ready.
pub(super) fn pod<'a>(cx: &Context<'a>) -> Option<&'a Arc<Pod>> {
    let shown = cx.snapshot.pod(&cx.diagnosis.subject.uid);
    shown.or_else(|| pods(cx).find(|pod| !pod.is_ready()))
}

/// The node that the incident is about.
pub(super) fn node<'a>(cx: &Context<'a>) -> Option<&'a Arc<Node>> {
    let subject = &cx.diagnosis.subject;
    let node = cx.snapshot.node(&subject.name)?;
    (subject.kind == Kind::Node && node.metadata.uid == subject.uid).then_some(node)
}

/// The workload whose template has to be changed, or why no template of it can be.
pub(super) fn template_owner<'a>(cx: &Context<'a>) -> Result<&'a Arc<Workload>, String> {
    let owner = topmost(cx);
    match &owner.kind {
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
            let seen = cx.snapshot.workload(&owner.uid);
            seen.ok_or_else(|| format!("{owner} was not seen, or is of another API group"))
        }
        Kind::Job | Kind::CronJob => Err(format!("{owner}: the template of a Job is immutable")),
        Kind::ReplicaSet => Err(format!(
            "{owner} has no owner: a change of its template would not reach its pods"
        )),
        Kind::Pod => Err(format!("{owner} has no controller: there is no template")),
        Kind::Other(_) => Err(format!(
            "{owner} is a custom resource: its controller would undo a change of what it owns"
        )),
        Kind::Node
        | Kind::Namespace
        | Kind::ControllerRevision
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event => Err(format!("{owner} has no pod template")),
    }
}

/// The container of that name in the workload's template.
pub(super) fn in_template<'a>(workload: &'a Workload, name: &str) -> Result<&'a Container, String> {
    let found = workload.spec.template.spec.container(name);
    found.ok_or_else(|| {
        format!(
            "container {name} is not in the template of {}: something adds it to the pods (an injected sidecar)",
            workload.reference()
        )
    })
}

/// A step on `target`, or a person when the target lacks what it changes.
pub(super) fn propose(
    cx: &Context<'_>,
    def: &RunbookStep,
    action: Action,
    target: &Object,
    asks: Vec<String>,
) -> Proposal {
    let step = Step::new(Draft {
        incident: &cx.incident.id,
        action,
        target,
        check: Check {
            class: cx.diagnosis.class,
            owner: topmost(cx),
            time_to_failure_ms: time_to_failure_ms(cx),
        },
        runbook: &cx.runbook.id,
        runbook_step: &def.name,
        asks,
    });
    step.map_or_else(
        || {
            Proposal::Person(format!(
                "{} lacks what would be changed",
                target.reference()
            ))
        },
        |step| Proposal::Step(Box::new(step)),
    )
}

/// The longest run of a container of the pod at fault before it ended; 0 when none ended.
fn time_to_failure_ms(cx: &Context<'_>) -> u64 {
    let run = |container: &ContainerStatus| {
        let end = container.state.terminated.as_ref();
        let end = end.or(container.last_state.terminated.as_ref())?;
        let ran = end.finished_at?.duration_since(end.started_at?);
        u64::try_from(ran.as_millis()).ok()
    };
    let runs = pod(cx).into_iter().flat_map(|pod| pod.container_statuses());
    runs.filter_map(run).max().unwrap_or(0)
}
