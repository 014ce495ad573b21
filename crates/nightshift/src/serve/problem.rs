//! Every error of the HTTP interface: a status, what was wrong, and what to do about it.

use crate::shell::SubmitError;
use crate::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Seconds after which a refused client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// An error as clients see it: `{"error": ..., "help": ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Status.
    #[serde(skip)]
    status: StatusCode,
    /// What was wrong, as a fragment.
    error: String,
    /// The next step.
    help: String,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            help: help.into(),
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, help)
    }

    /// 401: no token, or not the one for this path.
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "no bearer token that is good for this path",
            "send `Authorization: Bearer ...`: /alertmanager takes the intake's token, /api the \
             API's; neither is good for the other",
        )
    }

    /// 403: a browser page of another origin, or a name that does not mean this machine.
    pub fn not_local() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "without a token only direct requests from this machine are taken",
            "use http://127.0.0.1 or http://localhost, or configure a token",
        )
    }

    /// 404.
    pub fn not_found(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, help)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take that method",
            "docs/http.md lists every path with its method",
        )
    }

    /// 413: the body is larger than is read.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes"),
            "send fewer alerts at once: group_by more labels, or max_alerts of the webhook_config",
        )
    }

    /// 503: cannot be done now; the same request may succeed later.
    pub fn unavailable(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, help)
    }

    /// 500: a defect, or a record that nobody may act on.
    pub fn internal(error: impl Into<String>) -> Self {
        let help = "the agent's log says more; `nightshift doctor` checks the database";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error, help)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Clients learn what the store says; the log has the causes.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the store did not answer"
        );
        match error {
            StoreError::Unavailable(_) => {
                Self::unavailable(error.to_string(), "send it again in a few seconds")
            }
            StoreError::Corrupt(_)
            | StoreError::Fenced { .. }
            | StoreError::Open { .. }
            | StoreError::Url { .. }
            | StoreError::Migrate(_)
            | StoreError::OtherVersion { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        Self::unavailable(error.to_string(), "send it again: it may not be recorded")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
