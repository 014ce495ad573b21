//! `POST /alertmanager`: 200 means that every alert of the body is durable, nothing less.

use super::Problem;
use super::bounds::ALERTS_AT_ONCE;
use crate::intake::alertmanager::{self, MAX_BODY};
use crate::shell::Handle;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use nightshift_core::engine::Input;
use serde::Serialize;

/// What became of the alerts of one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Taken {
    /// Recorded; what they lead to shows under `/api/incidents`.
    accepted: usize,
    /// Recorded as not usable.
    rejected: usize,
}

pub(super) async fn take(
    State(agent): State<Handle>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Taken>, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(MAX_BODY),
        _ => Problem::bad_request(rejection.body_text(), "send the whole body"),
    })?;
    let heard_at = agent.clock().now();
    let inputs = alertmanager::read(&body, heard_at).map_err(|error| {
        let help =
            "send Alertmanager's webhook body, version 4: point a webhook_config at this path";
        Problem::bad_request(error.to_string(), help)
    })?;
    let is_rejected = |input: &&Input| matches!(input, Input::Rejected { .. });
    let rejected = inputs.iter().filter(is_rejected).count();
    let taken = Taken {
        accepted: inputs.len() - rejected,
        rejected,
    };
    for some in inputs.chunks(ALERTS_AT_ONCE) {
        // One part that is not durable fails them all: Alertmanager sends the group again, and what
        // was recorded already is known by its fingerprints.
        agent.submit(some.to_vec()).await?;
    }
    if taken.rejected > 0 {
        tracing::warn!(
            rejected = taken.rejected,
            "alerts could not be used, see the record"
        );
    }
    Ok(Json(taken))
}
