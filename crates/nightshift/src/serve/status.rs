//! Probes and metrics.

use super::Problem;
use crate::metrics::CONTENT_TYPE;
use crate::shell::Handle;
use crate::shell::Health;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use nightshift_core::world::Coverage;
use serde::Serialize;
use std::collections::BTreeMap;

/// Answer to `/readyz`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Readiness {
    /// Whether signals can be recorded; nothing else makes the agent unready, so that webhook and
    /// API stay up while the cluster cannot be seen.
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Sources of the cluster that are not seen now, with the reason.
    blind: BTreeMap<String, String>,
    /// What opens no more incidents now, `alerts` or `faults`, with why. It does not make the agent
    /// unready: what resolves these incidents comes in by the same webhook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    full: BTreeMap<&'static str, String>,
}

/// Alive as long as the engine is.
pub(super) async fn healthz(State(agent): State<Handle>) -> Result<&'static str, Problem> {
    match agent.health() {
        Health::Starting | Health::Recording | Health::NotRecording => Ok("ok\n"),
        Health::Stopped => Err(Problem::unavailable(
            "the engine has ended",
            "the process should end too: see its log",
        )),
    }
}

pub(super) async fn readyz(State(agent): State<Handle>) -> impl IntoResponse {
    let why = not_recording(&agent).await;
    let blind = agent
        .coverage()
        .into_iter()
        .filter_map(|(source, coverage)| match coverage {
            Coverage::Seen { .. } => None,
            Coverage::Blind { why } => Some((format!("{source:?}"), why)),
        });
    let readiness = Readiness {
        ready: why.is_none(),
        why,
        blind: blind.collect(),
        full: agent.metrics().full(),
    };
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}

async fn not_recording(agent: &Handle) -> Option<String> {
    match agent.health() {
        Health::Starting => Some("starting".to_owned()),
        Health::NotRecording => Some("the store does not take commits".to_owned()),
        Health::Stopped => Some("the engine has ended".to_owned()),
        Health::Recording => match agent.store().ping().await {
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        },
    }
}

pub(super) async fn metrics(State(agent): State<Handle>) -> impl IntoResponse {
    agent.metrics().set_coverage(&agent.coverage());
    agent
        .metrics()
        .set_recording(agent.health() == Health::Recording);
    match agent.store().counts(agent.cluster()).await {
        Ok(counts) => agent.metrics().set_notices(counts.undelivered, counts.dead),
        // The gauge below already says that the store is away; old numbers beat no metrics.
        Err(error) => tracing::debug!(%error, "notices could not be counted"),
    }
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        agent.metrics().render(agent.clock().now()),
    )
}
