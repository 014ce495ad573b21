//! `delete_pod`: a pod that its controller makes anew, never one without a controller.

use super::{Param, Proposal, Run, Tool, WRITE_FIELDS, owner};
use crate::plan::{Action, current, revisions};
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Kind, Object, Pod, Source};
use std::sync::Arc;

pub(in crate::runbook) const DELETE_POD: Tool = Tool {
    names: &["delete_pod"],
    fields: WRITE_FIELDS,
    needs: &[Source::Pods],
    params: &[Param {
        name: "pod",
        accepts: |text| matches!(text, "subject" | STUCK),
        form: "`subject` (the pod that shows the fault) or `stuck` (the unready pod of an older \
               revision that an OrderedReady StatefulSet waits for)",
    }],
    run: Run::Write(propose),
    repeats: false,
};

const STUCK: &str = "stuck";

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let stuck = def.with.get("pod").is_some_and(|which| which == STUCK);
    let pod = if stuck { stuck_pod(cx) } else { subject(cx) };
    match pod {
        Ok(pod) => {
            let target = Object::Pod(pod.clone());
            owner::propose(cx, def, Action::DeletePod, &target, Vec::new())
        }
        Err(proposal) => proposal,
    }
}

/// The pod that shows the fault.
fn subject<'a>(cx: &Context<'a>) -> Result<&'a Arc<Pod>, Proposal> {
    let pod = cx.snapshot.pod(&cx.diagnosis.subject.uid);
    let pod = pod.ok_or_else(|| Proposal::Pass("no pod shows the fault".to_owned()))?;
    let name = pod.reference();
    let person = |why: String| Err(Proposal::Person(why));
    if pod.is_mirror() {
        return person(format!("{name} is made by its kubelet from a file"));
    }
    let owner = owner::topmost(cx);
    match &owner.kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => {}
        Kind::Job | Kind::CronJob => {
            return person(format!(
                "{name} belongs to {owner}, which counts its failures"
            ));
        }
        Kind::Pod => {
            return person(format!(
                "{name} has no controller: nothing would bring it back"
            ));
        }
        Kind::Other(_)
        | Kind::Node
        | Kind::Namespace
        | Kind::ControllerRevision
        | Kind::HorizontalPodAutoscaler
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ConfigMap
        | Kind::Event => {
            return person(format!("{name} belongs to {owner}, which is not built in"));
        }
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Err(Proposal::Pass(format!("{name} is being deleted already")));
    }
    if pod.is_ready() {
        return Err(Proposal::Pass(format!("{name} is ready")));
    }
    Ok(pod)
}

/// An OrderedReady StatefulSet changes nothing while one of its pods is not ready, not even the pod
/// of the broken revision itself: after its template was repaired that pod has to be deleted
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback>).
fn stuck_pod<'a>(cx: &Context<'a>) -> Result<&'a Arc<Pod>, Proposal> {
    let pass = |why: &str| Err(Proposal::Pass(why.to_owned()));
    let Ok(workload) = owner::template_owner(cx) else {
        return pass("not a workload with a template");
    };
    // An empty policy is the default, OrderedReady.
    let ordered = workload.spec.pod_management_policy != "Parallel";
    if workload.kind != Kind::StatefulSet || !ordered {
        return pass("not an OrderedReady StatefulSet");
    }
    let all = revisions(cx.snapshot, workload);
    let Some(now) = current(workload, &all) else {
        return pass("the controller has not caught up with the repaired template");
    };
    let left = owner::pods(cx).find(|pod| !pod.is_ready() && !now.made(pod));
    left.ok_or_else(|| Proposal::Pass("no unready pod of an older revision is left".to_owned()))
}
