//! One GET: bounded in time and size, with the server's `Date` beside the answer.

use crate::clock::{Clock, within};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio_util::bytes::Bytes;
use tower::BoxError;

/// Largest answer that is read: a page of objects of the size that etcd allows stays below it
/// in practice, and a hostile one cannot fill the memory.
const MAX_ANSWER: usize = 256 << 20;

/// Why a GET gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The API server refused it.
    #[error("{code} {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The request could not be sent or its answer not be read.
    #[error("cannot reach the API server: {0}")]
    Transport(String),
    /// The answer is not what the API promises.
    #[error("cannot decode the answer")]
    Decode(#[source] serde_json::Error),
}

impl FetchError {
    /// Whether the server said that the object, or the resource, does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether the version that was asked for is no longer kept (410).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }
}

/// An answer to a GET.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The body.
    pub(crate) body: Bytes,
    /// When the request was sent: the answer is at least as new.
    pub(crate) asked_at: Timestamp,
    /// The server's clock minus ours, where its `Date` header tells.
    pub(crate) skew: Option<SignedDuration>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, FetchError> {
        serde_json::from_slice(&self.body).map_err(FetchError::Decode)
    }
}

/// GETs a path as JSON.
pub(crate) async fn fetch(
    client: &Client,
    clock: &dyn Clock,
    limit: Duration,
    path: &str,
) -> Result<Answer, FetchError> {
    fetch_as(client, clock, limit, path, "application/json").await
}

/// GETs a path in the form that `accept` asks for.
pub(crate) async fn fetch_as(
    client: &Client,
    clock: &dyn Clock,
    limit: Duration,
    path: &str,
    accept: &str,
) -> Result<Answer, FetchError> {
    let asked_at = clock.now();
    within(clock, limit, async {
        let (status, date, body) = send(client, path, accept).await?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        let skew = date.and_then(|date| skew(&date, asked_at, clock.now()));
        Ok(Answer {
            body,
            asked_at,
            skew,
        })
    })
    .await
    .unwrap_or(Err(FetchError::NoAnswer(limit)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a GET by the read-only client; kube's typed requests hide the Date header"
)]
async fn send(
    client: &Client,
    path: &str,
    accept: &str,
) -> Result<(StatusCode, Option<HeaderValue>, Bytes), FetchError> {
    let transport = |error: BoxError| FetchError::Transport(chain(error.as_ref()));
    let request = Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .map_err(|error| transport(error.into()))?;
    let answer = client
        .send(request)
        .await
        .map_err(|error| transport(error.into()))?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(transport)?.to_bytes();
    Ok((parts.status, parts.headers.get(header::DATE).cloned(), body))
}

fn refused(status: StatusCode, body: &[u8]) -> FetchError {
    let message = serde_json::from_slice::<Status>(body)
        .map(|status| status.message)
        .ok()
        .filter(|message| !message.is_empty());
    FetchError::Refused {
        code: status.as_u16(),
        message: message
            .unwrap_or_else(|| status.canonical_reason().unwrap_or("refused").to_owned()),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many libraries repeat the cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The server's clock minus ours: its `Date` (cut to the second) against the middle of the request.
fn skew(date: &HeaderValue, asked: Timestamp, answered: Timestamp) -> Option<SignedDuration> {
    let server = DateTimeParser::new().parse_timestamp(date).ok()?;
    let server = server.checked_add(SignedDuration::from_millis(500)).ok()?;
    let middle = asked.checked_add(answered.duration_since(asked) / 2).ok()?;
    Some(server.duration_since(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_measured_against_the_middle_of_the_request() {
        let date = HeaderValue::from_static("Sun, 22 Nov 2026 08:00:10 GMT");
        let asked: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let answered: Timestamp = "2026-11-22T08:00:01Z".parse().unwrap();
        assert_eq!(
            skew(&date, asked, answered),
            Some(SignedDuration::from_secs(10))
        );
        assert_eq!(
            skew(&HeaderValue::from_static("soon"), asked, answered),
            None
        );
    }
}
