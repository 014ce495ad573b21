//! `list`: pages, revisions and selections.

use super::call::Call;
use super::render::ListMeta;
use super::request::{Query, invalid_options};
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::status::{Cause, Details, Reason, Status};
use crate::store::{Compacted, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a `continue` token says, as hexadecimal JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    /// Version of the token.
    v: String,
    /// Revision of the whole list.
    rv: u64,
    /// Namespace of the last object that was given.
    namespace: String,
    /// Its name.
    name: String,
}

/// From which revision the list is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Present,
    Exactly(u64),
}

/// Objects of a list, and its metadata.
#[derive(Debug)]
pub(super) struct Page {
    /// The objects as they are kept.
    pub(super) objects: Vec<Arc<Object>>,
    /// Metadata of the list.
    pub(super) meta: ListMeta,
}

/// Gathers one page.
pub(super) fn page(cluster: &Cluster, call: &Call<'_>) -> Result<Page, Status> {
    let query = &call.request.query;
    let token = token(query)?;
    let at = match &token {
        Some(token) => At::Exactly(token.rv),
        None => revision(query, cluster.store.revision())?,
    };
    let revision = match at {
        At::Present => cluster.store.revision(),
        At::Exactly(revision) => revision,
    };
    let namespace = call.target.namespace.as_deref();
    let all = objects_at(&cluster.store, &call.target.key(), namespace, revision)
        .map_err(|why| expired(token.is_some(), why))?;
    let limit = query.number("limit")?.unwrap_or(0);
    let limit = usize::try_from(limit).unwrap_or(0);
    let start = token
        .as_ref()
        .map(|one| (one.namespace.as_str(), one.name.as_str()));
    let after = |one: &&Arc<Object>| {
        start.is_none_or(|start| (&*one.meta.namespace, &*one.meta.name) > start)
    };
    let selected = |one: &&Arc<Object>| call.selection.matches(one);
    let mut rest = all.iter().filter(after);
    let mut objects: Vec<Arc<Object>> = Vec::new();
    let mut more = false;
    for object in rest.by_ref().filter(selected) {
        if limit > 0 && objects.len() == limit {
            more = true;
            break;
        }
        objects.push(cluster.as_read(call.target.stored, object));
    }
    let meta = ListMeta {
        resource_version: revision.to_string(),
        next: objects
            .last()
            .filter(|_| more)
            .and_then(|last| next(revision, last)),
        remaining_item_count: (more && call.selection.is_everything())
            .then(|| rest.count().saturating_add(1)),
    };
    Ok(Page { objects, meta })
}

/// What was there under a namespace and name, if anything.
type Before = BTreeMap<(Arc<str>, Arc<str>), Option<Arc<Object>>>;

/// The objects as they were at a revision.
fn objects_at(
    store: &Store,
    first: &Key,
    namespace: Option<&str>,
    revision: u64,
) -> Result<Vec<Arc<Object>>, Compacted> {
    let present = store.list(first.resource, namespace);
    if revision >= store.revision() {
        return Ok(present.cloned().collect());
    }
    let mut before: Before = BTreeMap::new();
    for change in store.changes_since(revision)? {
        let meta = &change.new.meta;
        let here = namespace.is_none_or(|namespace| *meta.namespace == *namespace);
        if change.resource == first.resource && here {
            let key = (Arc::clone(&meta.namespace), Arc::clone(&meta.name));
            before.entry(key).or_insert_with(|| change.old.clone());
        }
    }
    let key = |one: &Arc<Object>| (Arc::clone(&one.meta.namespace), Arc::clone(&one.meta.name));
    let unchanged = present.filter(|one| !before.contains_key(&key(one)));
    let mut all: Vec<Arc<Object>> = unchanged.cloned().collect();
    all.extend(before.values().flatten().cloned());
    all.sort_by_key(key);
    Ok(all)
}

fn next(revision: u64, last: &Object) -> Option<String> {
    let token = Token {
        v: "meta.k8s.io/v1".to_owned(),
        rv: revision,
        namespace: last.meta.namespace.to_string(),
        name: last.meta.name.to_string(),
    };
    Some(hex::encode(serde_json::to_vec(&token).ok()?))
}

fn token(query: &Query) -> Result<Option<Token>, Status> {
    let Some(text) = query.get("continue").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let broken = |why: &str| {
        Status::bad_request(format!(
            "invalid continue token: continue key is not valid: {why}"
        ))
    };
    let version = query.get("resourceVersion").unwrap_or_default();
    if !matches!(version, "" | "0") {
        return Err(Status::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let bytes = hex::decode(text).map_err(|why| broken(&why.to_string()))?;
    let token = serde_json::from_slice(&bytes).map_err(|why| broken(&why.to_string()))?;
    Ok(Some(token))
}

/// The rules of `resourceVersion` and `resourceVersionMatch` of a list
/// (`k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`).
fn revision(query: &Query, present: u64) -> Result<At, Status> {
    let matching = query.get("resourceVersionMatch").unwrap_or_default();
    let version = query.get("resourceVersion").unwrap_or_default();
    let refuse = |reason: &str, message: &str| {
        let message = message.to_owned();
        Err(invalid_options(
            "ListOptions",
            "resourceVersionMatch",
            reason,
            message,
        ))
    };
    match (matching, version) {
        ("", _) => {}
        (_, "") => {
            return refuse(
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        ("Exact", "0") => {
            return refuse(
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            );
        }
        ("Exact" | "NotOlderThan", _) => {}
        (other, _) => {
            return refuse(
                "FieldValueNotSupported",
                &format!(
                    "Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
                ),
            );
        }
    }
    let wanted = parse_revision(version)
        .map_err(|why| Status::bad_request(format!("invalid resource version: {}", why.message)))?;
    if wanted > present {
        return Err(too_large(wanted, present));
    }
    Ok(match matching {
        "Exact" => At::Exactly(wanted),
        _ => At::Present,
    })
}

/// A resourceVersion as it is sent; empty is 0.
pub(super) fn parse_revision(text: &str) -> Result<u64, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let message =
            format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
        let status = Status::new(Reason::Invalid, format!("resourceVersion: {message}"));
        status.with_details(Details {
            causes: vec![Cause {
                reason: "FieldValueInvalid".to_owned(),
                message,
                field: "resourceVersion".to_owned(),
            }],
            ..Details::default()
        })
    })
}

/// 504: a revision that is not yet there.
pub(super) fn too_large(wanted: u64, present: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {present}");
    Status::new(Reason::Timeout, message).with_details(Details {
        causes: vec![Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }],
        retry_after_seconds: Some(1),
        ..Details::default()
    })
}

fn expired(continued: bool, why: Compacted) -> Status {
    if continued {
        return Status::new(
            Reason::Expired,
            "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
        );
    }
    Status::new(Reason::Expired, why.to_string())
}
