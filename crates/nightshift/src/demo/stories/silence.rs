//! Each watch goes silent in turn, on connections that stay open: the source is reported blind,
//! nothing is closed meanwhile, and it sees again when its requests are answered.

use super::road::Way;
use super::stage::{Stage, WAITING, fault};
use nightshift_core::incident::Phase;
use nightshift_core::world::Source;
use std::collections::BTreeSet;

/// Resource as in the path, and the source.
const SOURCES: [(&str, Source); 15] = [
    ("pods", Source::Pods),
    ("events", Source::Events),
    ("nodes", Source::Nodes),
    ("namespaces", Source::Namespaces),
    ("deployments", Source::Deployments),
    ("replicasets", Source::ReplicaSets),
    ("statefulsets", Source::StatefulSets),
    ("daemonsets", Source::DaemonSets),
    ("controllerrevisions", Source::ControllerRevisions),
    ("jobs", Source::Jobs),
    ("horizontalpodautoscalers", Source::HorizontalPodAutoscalers),
    ("poddisruptionbudgets", Source::PodDisruptionBudgets),
    ("services", Source::Services),
    ("endpointslices", Source::EndpointSlices),
    ("configmaps", Source::ConfigMaps),
];

const SETTINGS: &[(&str, &str)] = &[
    ("AGENT_MODE", "recommend"),
    ("NIGHTSHIFT_SOURCE_SILENCE", "20s"),
];

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_events_dropped_silently_are_blind() {
    each_goes_silent(&SOURCES[..2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_watch_dropped_silently_is_blind() {
    each_goes_silent(&SOURCES[2..]).await;
}

async fn each_goes_silent(sources: &[(&'static str, Source)]) {
    let stage = Stage::start(SETTINGS).await;
    let all: BTreeSet<Source> = SOURCES.iter().map(|(_, source)| *source).collect();
    let watched = stage.sources().into_iter().map(|(source, _)| source);
    let watched: BTreeSet<Source> = watched.filter(|one| *one != Source::Clock).collect();
    assert_eq!(watched, all, "every watch has its turn");
    stage.carry_out(&fault("image_not_found").deeds);
    stage.await_incident("catalog", WAITING).await;
    for (resource, source) in sources {
        stage.way(Way::Mute(resource));
        await_sight(&stage, *source, false).await;
        // Whatever the cluster looks like meanwhile, the incident is not closed as healthy.
        let on_it = stage.incidents_on("catalog").await;
        assert!(
            on_it.iter().all(|one| one.phase == Phase::Waiting),
            "{resource}: {on_it:?}"
        );
        stage.way(Way::Open);
        await_sight(&stage, *source, true).await;
    }
    assert_eq!(stage.writes(), []);
    stage.end().await;
}

/// Waits until the agent sees a source, or does not see it.
pub(super) async fn await_sight(stage: &Stage, source: Source, sees: bool) {
    let what = format!("{source:?} seen: {sees}");
    let look = async || {
        let sources = stage.sources();
        let is_so = sources.contains(&(source, sees));
        is_so.then_some(()).ok_or_else(|| format!("{sources:?}"))
    };
    stage.until(&what, look).await;
}
