//! Reads with one set of limits, and what they tell about the API server's clock on the way.

use super::fetch::{Answer, FetchError, fetch_as};
use super::{Limits, MAX_SKEW};
use crate::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use nightshift_core::world::Coverage;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Objects in one page of a list. Fewer than kubectl's 500: at the start some fifteen lists are read
/// side by side, and what their pages take stays in the allocator's hands for long.
const PAGE: usize = 200;

/// Pages of one list: a million objects, more than etcd's recommended 8 GiB hold.
const MAX_PAGES: usize = 5000;

/// Times that a list is begun anew because its pages expired under way.
const MAX_RESTARTS: usize = 3;

/// How the form of an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole objects.
    Full,
    /// Metadata only (`PartialObjectMetadata`): data never leaves the API server.
    Metadata,
}

impl Form {
    pub(super) fn of_list(self) -> &'static str {
        match self {
            Self::Full => "application/json",
            Self::Metadata => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        }
    }

    pub(super) fn of_watch(self) -> &'static str {
        match self {
            Self::Full => "application/json",
            Self::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        }
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
struct List<T> {
    metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "null_as_empty")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

fn null_as_empty<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A complete list.
#[derive(Debug)]
pub(super) struct Listed {
    /// Version to watch from.
    pub(super) version: String,
    /// When the first page was asked for: everything listed is at least as new.
    pub(super) asked_at: Timestamp,
}

/// The newest measurement of the API server's clock.
#[derive(Clone, Copy, Debug)]
struct Measured {
    skew: SignedDuration,
    at: Timestamp,
}

/// Everything that is needed to read.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    measured: Mutex<Option<Measured>>,
}

impl Reader {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            client,
            clock,
            limits,
            measured: Mutex::new(None),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// GETs within `limit`.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &str,
        limit: Duration,
    ) -> Result<Answer, FetchError> {
        let answer = fetch_as(&self.client, self.clock.as_ref(), limit, path, accept).await?;
        if let Some(skew) = answer.skew {
            let at = answer.asked_at;
            *self.measured.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Measured { skew, at });
        }
        Ok(answer)
    }

    /// Lists page by page, handing each page on as it comes. `begin` is called before the first
    /// page, and again when the list has to begin anew because its pages expired (410).
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        selector: &str,
        form: Form,
        mut page: impl FnMut(Page<T>),
    ) -> Result<Listed, FetchError> {
        let asked_at = self.now();
        let mut token = String::new();
        let mut restarts = 0;
        page(Page::Begin);
        for _ in 0..MAX_PAGES {
            let path = list_path(path, selector, &token);
            let answer = self.get(&path, form.of_list(), self.limits.request).await;
            let list: List<T> = match answer.and_then(|answer| answer.json()) {
                Err(error) if error.is_gone() && restarts < MAX_RESTARTS => {
                    restarts += 1;
                    token.clear();
                    page(Page::Begin);
                    continue;
                }
                list => list?,
            };
            page(Page::Items(list.items));
            if list.metadata.r#continue.is_empty() {
                return Ok(Listed {
                    version: list.metadata.resource_version,
                    asked_at,
                });
            }
            token = list.metadata.r#continue;
        }
        Err(FetchError::Transport(format!(
            "the list has more than {MAX_PAGES} pages"
        )))
    }

    /// How well the API server's clock is known to agree with ours.
    pub(super) fn clock_coverage(&self, now: Timestamp) -> Coverage {
        let measured = *self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Measured { skew, at }) = measured else {
            let why = "the API server's clock was not measured yet".to_owned();
            return Coverage::Blind { why };
        };
        let age = now.duration_since(at);
        if skew.abs() > MAX_SKEW {
            let why = format!(
                "the API server's clock is {:.1} s from ours",
                skew.as_secs_f64()
            );
            Coverage::Blind { why }
        } else if age.unsigned_abs() > self.limits.silence {
            let why = format!(
                "the API server's clock was last measured {} s ago",
                age.as_secs()
            );
            Coverage::Blind { why }
        } else {
            seen(age)
        }
    }
}

/// What [`Reader::list`] hands on.
pub(super) enum Page<T> {
    /// A list begins: what came before does not count.
    Begin,
    /// The next objects.
    Items(Vec<T>),
}

/// Seen, that long ago.
pub(super) fn seen(age: SignedDuration) -> Coverage {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(0);
    Coverage::Seen { age_ms }
}

fn list_path(path: &str, selector: &str, token: &str) -> String {
    let mut path = format!("{path}?limit={PAGE}");
    if !selector.is_empty() {
        path.push('&');
        path.push_str(selector);
    }
    if !token.is_empty() {
        path.push_str("&continue=");
        path.push_str(&encoded(token));
    }
    path
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 0xF];
            let digits = digits.map(|digit| char::from_digit(digit.into(), 16));
            encoded.push('%');
            encoded.extend(digits.into_iter().flatten().map(|c| c.to_ascii_uppercase()));
        }
    }
    encoded
}
