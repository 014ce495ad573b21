//! `rollback_deployment`: back to the newest revision that is known to be good. Works for
//! Deployments, StatefulSets and DaemonSets.

use super::{Proposal, Run, Tool, WRITE_FIELDS, owner};
use crate::plan::{Action, Revision, RevisionRef, current, revisions};
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{ConfigMapMeta, Field, Object, Pod, Source, Workload};
use jiff::Timestamp;
use std::sync::Arc;

pub(in crate::runbook) const ROLLBACK_DEPLOYMENT: Tool = Tool {
    names: &["rollback_deployment"],
    fields: WRITE_FIELDS,
    needs: &[
        Source::Pods,
        Source::ReplicaSets,
        Source::ControllerRevisions,
    ],
    params: &[],
    run: Run::Write(propose),
    repeats: false,
};

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    match owner::template_owner(cx) {
        Ok(workload) => roll_back(cx, def, workload).unwrap_or_else(Proposal::Person),
        Err(why) => Proposal::Person(why),
    }
}

fn roll_back(
    cx: &Context<'_>,
    def: &RunbookStep,
    workload: &Arc<Workload>,
) -> Result<Proposal, String> {
    let all = revisions(cx.snapshot, workload);
    let now = current(workload, &all).ok_or_else(|| {
        let name = workload.reference();
        format!("the controller has not caught up with {name}: its current revision is unknown")
    })?;
    let older = all.iter().filter(|revision| revision.number < now.number);
    let good = older
        .filter(|revision| revision.digest.is_none() || revision.digest != now.digest)
        .find_map(|revision| Some((revision, known_good(cx, revision)?)));
    let Some((good, proved_at)) = good else {
        return Ok(Proposal::Pass(
            "no earlier revision is known to be good".to_owned(),
        ));
    };
    let unbound = |revision: &Revision<'_>| {
        format!(
            "the template of revision {} was not read: a roll back cannot be bound to it",
            revision.number
        )
    };
    let action = Action::RollBack {
        from: now.bound().ok_or_else(|| unbound(now))?,
        to: good.bound().ok_or_else(|| unbound(good))?,
    };
    let mut asks = edited_since(cx, good, proved_at);
    if !cx.came_with_revision() {
        asks.push("the fault did not come with the newest revision".to_owned());
    }
    let target = Object::Workload(workload.clone());
    Ok(owner::propose(cx, def, action, &target, asks))
}

/// Since when the revision is known to be good: it still has ready pods (the time is when the newest
/// of them started), or the record saw it fully available for 10 minutes. Never one that we rolled
/// away from.
fn known_good(cx: &Context<'_>, revision: &Revision<'_>) -> Option<Timestamp> {
    let left_it =
        |from: &RevisionRef| from.uid == *revision.uid() || Some(&from.template) == revision.digest;
    let left = cx.history.acts.iter().any(|act| match &act.step.action {
        Action::RollBack { from, .. } => left_it(from),
        Action::SetImage { .. }
        | Action::SetMemory { .. }
        | Action::DeletePod
        | Action::Evict
        | Action::Cordon
        | Action::Uncordon => false,
    });
    if left {
        return None;
    }
    let ready = revision.pods(cx.snapshot).filter(|pod| pod.is_ready());
    let newest = ready.map(|pod| started(pod)).max();
    newest.or_else(|| cx.history.known_good.get(revision.uid()).copied())
}

/// When the oldest of the pod's containers started: all of them work with what they read then or
/// later. An unknown time is as old as can be, so that every edit counts as later.
fn started(pod: &Pod) -> Timestamp {
    let running = pod
        .container_statuses()
        .filter_map(|c| c.state.running.as_ref());
    let oldest = running.filter_map(|running| running.started_at).min();
    oldest.or(pod.status.start_time).unwrap_or(Timestamp::MIN)
}

/// Why the older revision may not work as it did: a ConfigMap that it uses was edited since, or it
/// cannot be told.
fn edited_since(cx: &Context<'_>, revision: &Revision<'_>, proved_at: Timestamp) -> Vec<String> {
    let used = revision.template.spec.config_maps();
    if used.is_empty() {
        return Vec::new();
    }
    let blind = cx.snapshot.blind_to(&[Source::ConfigMaps]);
    if let Some((_, why)) = blind.first() {
        return vec![format!("ConfigMaps were not seen: {why}")];
    }
    let namespace = &revision.meta.namespace;
    let mut asks = Vec::new();
    for name in used {
        let map = cx
            .snapshot
            .config_maps
            .iter()
            .find(|map| map.metadata.name == name && map.metadata.namespace == *namespace);
        match map.map(|map| edited_at(map)) {
            Some(Some(at)) if at <= proved_at => {}
            Some(Some(at)) => asks.push(format!(
                "ConfigMap {name} was edited at {at}, after revision {} was last seen good at {proved_at}",
                revision.number
            )),
            Some(None) => asks.push(format!("it is unknown when ConfigMap {name} was edited")),
            None => asks.push(format!(
                "ConfigMap {name}, which revision {} uses, was not seen",
                revision.number
            )),
        }
    }
    asks
}

/// When somebody last wrote the ConfigMap's data; without that, when it was created.
fn edited_at(map: &ConfigMapMeta) -> Option<Timestamp> {
    let managers = map.metadata.managed_fields.iter();
    let edits = managers
        .filter(|m| m.touches.contains(&Field::Data))
        .filter_map(|m| m.time);
    edits.max().or(map.metadata.creation_timestamp)
}
