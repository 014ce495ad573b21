//! One generic webhook: `POST` with a JSON body and the header `Idempotency-Key`. Every status of
//! 2xx is a delivery.

use super::NotDelivered;
use crate::store::QueuedNotice;
use jiff::Timestamp;
use nightshift_core::record::NoticeKind;
use serde::Serialize;
use std::time::Duration;

/// Until the connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the answer is there.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The receiver.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: String,
    cluster_name: String,
}

/// The body. Fields are added, never renamed: scripts read them.
#[derive(Serialize)]
struct Body<'a> {
    key: &'a str,
    incident: &'a str,
    kind: NoticeKind,
    cluster: &'a str,
    cluster_name: &'a str,
    title: &'a str,
    text: &'a str,
    at: Timestamp,
}

impl Webhook {
    /// A webhook. No redirect is followed: the receiver is the one that was configured.
    pub fn new(url: &str, cluster_name: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("nightshift/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            cluster_name: cluster_name.to_owned(),
        })
    }

    /// Posts the notice once.
    pub(super) async fn deliver(&self, queued: &QueuedNotice) -> Result<(), NotDelivered> {
        let notice = &queued.notice;
        let answer = self
            .client
            .post(&self.url)
            .header("Idempotency-Key", &notice.key)
            .json(&Body {
                key: &notice.key,
                incident: notice.incident.as_str(),
                kind: notice.kind,
                cluster: queued.cluster.as_str(),
                cluster_name: &self.cluster_name,
                title: &notice.title,
                text: &notice.text,
                at: queued.created_at,
            })
            .send()
            .await
            .map_err(|error| NotDelivered(chain(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(NotDelivered(format!("the receiver answered {status}")))
        }
    }
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
