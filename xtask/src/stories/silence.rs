//! Each watch goes silent in turn behind a proxy that keeps its connections open: the source is
//! reported blind, nothing is closed meanwhile, and it sees again when the requests flow.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Story, tag};
use crate::agent::{self, Agent, Settings};
use crate::faults::{FAULTS, PATIENCE, Stage};
use crate::lab::{Identity, Lab, Silence, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "pods_and_events_dropped_silently_are_blind",
        long: false,
        play: |lab| each_goes_silent(lab, &SOURCES[..2]),
    },
    Story {
        name: "each_watch_dropped_silently_is_blind",
        long: true,
        play: |lab| each_goes_silent(lab, &SOURCES[2..]),
    },
];

/// Resource as in the path, and the source's name in the metric.
const SOURCES: [(&str, &str); 15] = [
    ("pods", "Pods"),
    ("events", "Events"),
    ("nodes", "Nodes"),
    ("namespaces", "Namespaces"),
    ("deployments", "Deployments"),
    ("replicasets", "ReplicaSets"),
    ("statefulsets", "StatefulSets"),
    ("daemonsets", "DaemonSets"),
    ("controllerrevisions", "ControllerRevisions"),
    ("jobs", "Jobs"),
    ("horizontalpodautoscalers", "HorizontalPodAutoscalers"),
    ("poddisruptionbudgets", "PodDisruptionBudgets"),
    ("services", "Services"),
    ("endpointslices", "EndpointSlices"),
    ("configmaps", "ConfigMaps"),
];

fn each_goes_silent(lab: &Lab, sources: &[(&str, &str)]) -> Result<()> {
    let proxied = lab.start_proxy(Identity::Agent)?;
    let settings = Settings::recommend()
        .with("KUBECONFIG", &proxied.display().to_string())
        .with("NIGHTSHIFT_SOURCE_SILENCE", "8s");
    let agent = Agent::start(lab, settings)?;
    let fault = FAULTS
        .iter()
        .find(|f| f.name() == "image_pull")
        .context("image_pull is a fault")?;
    let stage = Stage::new(lab, "mute", &tag())?;
    fault.prepare(&stage)?;
    fault.inject(&stage)?;
    agent.await_incident(&stage.name, &["waiting"], PATIENCE)?;
    for (resource, source) in sources {
        lab.silence(resource, Silence::Everything)?;
        let blind = await_blind(lab, source, true);
        // Whatever the cluster looks like meanwhile, the incident is not closed as healthy.
        let open = agent.await_incident(&stage.name, &["waiting"], Duration::from_secs(2));
        lab.flow()?;
        blind?;
        open.with_context(|| format!("the incident did not outlive silent {resource}"))?;
        await_blind(lab, source, false)?;
    }
    stage.remove()
}

/// Waits until the agent says so of a source in its metrics: silence is noticed after 8 s, and the probe
/// is given up 10 s later.
pub(super) fn await_blind(lab: &Lab, source: &str, blind: bool) -> Result<()> {
    let line = format!(
        "nightshift_source_blind{{source=\"{source}\"}} {}",
        u8::from(blind)
    );
    until(&line, PATIENCE, || {
        let metrics = lab.fetch_url(&format!("{}/metrics", agent::URL))?;
        let found = metrics.lines().any(|metric| metric == line);
        Ok(if found {
            Ok(())
        } else {
            Err("not so yet".to_owned())
        })
    })
}
