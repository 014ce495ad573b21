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

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::runbook::scene::{AT, Scene};
    use crate::testkit::{World, world};

    fn says(world: World) -> String {
        Scene::new(FaultClass::CrashLoop, world)
            .tool("delete_pod")
            .says()
    }

    fn stuck(world: World) -> String {
        let tool = "delete_pod\n    with:\n      pod: stuck";
        Scene::new(FaultClass::CrashLoop, world).tool(tool).says()
    }

    fn cart() -> World {
        world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
    }

    /// Revision 2 was broken, revision 3 is the repair; `db-1` is still of revision 2.
    fn db() -> World {
        world(AT)
            .stateful_set("demo", "db")
            .revision(1)
            .pod("db-0")
            .revision(2)
            .pod("db-1")
            .unready()
            .revision(3)
    }

    #[test]
    fn a_pod_that_a_controller_makes_anew_may_be_deleted() {
        assert_eq!(says(cart().unready()), "delete_pod:demo/cart-1-a");
        let agent = world(AT)
            .daemon_set("demo", "agent")
            .revision(1)
            .pod("agent-a")
            .unready();
        assert_eq!(says(agent), "delete_pod:demo/agent-a");
    }

    #[test]
    fn a_pod_that_nothing_would_bring_back_is_never_deleted() {
        let mirror = world(AT)
            .bare_pod("demo", "static")
            .unready()
            .edit_pod(|pod| {
                let note = "kubernetes.io/config.mirror".to_owned();
                pod.metadata.annotations.insert(note, "x".into());
            });
        let table = [
            (
                world(AT).bare_pod("demo", "alone").unready(),
                "nothing would bring it back",
            ),
            (mirror, "made by its kubelet from a file"),
            (
                world(AT).job("demo", "load").pod("load-a").unready(),
                "counts its failures",
            ),
            (
                cart().unready().owned_by("Rollout", "cart"),
                "which is not built in",
            ),
        ];
        for (world, why) in table {
            let says = says(world);
            assert!(
                says.starts_with("person: it: ") && says.contains(why),
                "{says}"
            );
        }
    }

    #[test]
    fn a_pod_that_is_leaving_is_left_alone() {
        let leaving = cart().unready().edit_pod(|pod| {
            pod.metadata.deletion_timestamp = pod.metadata.creation_timestamp;
        });
        assert!(says(leaving).contains("is being deleted already"));
    }

    #[test]
    fn a_repaired_stateful_set_loses_the_pod_that_it_waits_for() {
        assert_eq!(stuck(db()), "delete_pod:demo/db-1");
    }

    #[test]
    fn no_other_pod_counts_as_stuck() {
        let parallel = db().edit_workload(|w| w.spec.pod_management_policy = "Parallel".into());
        let behind = db().edit_workload(|w| {
            w.metadata.generation = 5;
            w.status.observed_generation = 4;
        });
        let young = world(AT)
            .stateful_set("demo", "db")
            .revision(1)
            .pod("db-0")
            .revision(2);
        let young = young.pod("db-1").unready();
        let table = [
            (cart().unready(), "not an OrderedReady StatefulSet"),
            (parallel, "not an OrderedReady StatefulSet"),
            (behind, "has not caught up"),
            (young, "no unready pod of an older revision is left"),
        ];
        for (world, why) in table {
            let says = stuck(world);
            assert!(says.contains(why), "{says}");
        }
    }
}
