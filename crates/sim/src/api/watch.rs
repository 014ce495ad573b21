//! `watch`: a cursor in the store's log. A watch holds no queue: whoever reads slowly falls behind,
//! and in the end is told that what it asks for is gone.

use super::accept::Shape;
use super::call::Call;
use super::list;
use super::render::Renderer;
use super::request::{Query, invalid_options};
use super::select::Selection;
use super::view::View;
use crate::cluster::Cluster;
use crate::object::Object;
use crate::resources::ResourceId;
use crate::status::{Reason, Status};
use crate::store::{Change, ChangeKind};
use axum::body::Bytes;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// At most so many bytes are written in one go.
const CHUNK: usize = 128 * 1024;
/// How long a watch lasts that does not say: the least that the real one takes
/// (`--min-request-timeout`).
const TIMEOUT: Duration = Duration::from_mins(30);

/// Latest events as text, so that a hundred watchers do not write each a hundred times.
#[derive(Debug, Default)]
pub struct Cache(BTreeMap<(u64, ResourceId), Bytes>);

/// How many events are kept as text.
const CACHED: usize = 512;

impl Cache {
    fn get(&mut self, key: (u64, ResourceId), write: impl FnOnce() -> String) -> Bytes {
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        let text = Bytes::from(write());
        self.0.insert(key, text.clone());
        if self.0.len() > CACHED {
            self.0.pop_first();
        }
        text
    }
}

/// What a watch has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Events, a line each.
    Events(Bytes),
    /// Nothing new.
    Wait,
    /// Nothing any more.
    End,
}

/// A watch.
#[derive(Debug)]
pub struct Watch {
    renderer: Renderer,
    view: View,
    stored: ResourceId,
    namespace: Option<String>,
    name: Option<String>,
    selection: Selection,
    cursor: u64,
    initial: VecDeque<Arc<Object>>,
    /// The bookmark that ends the initial events is still to be sent.
    announce: bool,
    /// Something was sent: the columns of a Table are known.
    begun: bool,
    failed: Option<Status>,
    /// Bookmarks are wanted.
    pub bookmarks: bool,
    /// How long it lasts.
    pub timeout: Duration,
}

impl Watch {
    /// Begins a watch.
    pub(super) fn new(cluster: &Cluster, call: &Call<'_>) -> Result<Self, Status> {
        let query = &call.request.query;
        let send_initial = initial_events(query)?;
        let version = query.get("resourceVersion").unwrap_or_default();
        let wanted = list::parse_revision(version)?;
        let present = cluster.store.revision();
        if wanted > present {
            return Err(list::too_large(wanted, present));
        }
        let seconds = query.number("timeoutSeconds")?.unwrap_or(0);
        let timeout = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let mut watch = Self {
            renderer: call.renderer(cluster),
            view: call.view.clone(),
            stored: call.target.stored,
            namespace: call.target.namespace.clone(),
            name: call.target.name.clone(),
            selection: call.selection.clone(),
            cursor: wanted,
            initial: VecDeque::new(),
            announce: send_initial == Some(true),
            begun: false,
            failed: None,
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: timeout.map_or(TIMEOUT, Duration::from_secs),
        };
        if send_initial.unwrap_or(wanted == 0) {
            let all = cluster.store.list(watch.stored, watch.namespace.as_deref());
            let picked = all.filter(|one| watch.picks(one));
            watch.initial = picked.cloned().collect();
            watch.cursor = present;
        } else if wanted == 0 {
            watch.cursor = present;
        } else if let Err(why) = cluster.store.changes_since(wanted) {
            watch.failed = Some(Status::new(Reason::Expired, why.to_string()));
        }
        Ok(watch)
    }

    /// What there is to say now.
    pub fn next(&mut self, cluster: &Cluster, cache: &mut Cache) -> Next {
        let mut out: Vec<u8> = Vec::new();
        self.renderer.now = cluster.now();
        while out.len() < CHUNK
            && let Some(object) = self.initial.pop_front()
        {
            let shown = self.view.show(&object);
            out.extend_from_slice(self.line("ADDED", &shown).as_bytes());
        }
        if self.initial.is_empty() && self.announce {
            self.announce = false;
            out.extend_from_slice(self.bookmark(cluster, true).as_bytes());
        }
        if self.initial.is_empty() && self.failed.is_none() {
            self.follow(cluster, cache, &mut out);
        }
        if !out.is_empty() {
            return Next::Events(out.into());
        }
        match self.failed.take() {
            Some(status) => {
                // After an error comes nothing: an empty status marks the end.
                self.failed = Some(Status::new(Reason::Unknown, ""));
                if status.message.is_empty() {
                    return Next::End;
                }
                let text = serde_json::to_string(&status).unwrap_or_default();
                Next::Events(format!("{{\"type\":\"ERROR\",\"object\":{text}}}\n").into())
            }
            None => Next::Wait,
        }
    }

    /// A bookmark of the present revision.
    pub fn bookmark(&self, cluster: &Cluster, initial_events_end: bool) -> String {
        let mut meta = json!({"resourceVersion": self.seen(cluster).to_string()});
        if initial_events_end && let Some(map) = meta.as_object_mut() {
            let end = json!({"k8s.io/initial-events-end": "true"});
            map.insert("annotations".to_owned(), end);
        }
        let object = match self.renderer.shape {
            Shape::Plain => json!({
                "kind": self.renderer.row.kind,
                "apiVersion": self.renderer.row.api_version(),
                "metadata": meta,
            }),
            Shape::Partial => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
            }),
            Shape::Table(_) => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
                "columnDefinitions": null, "rows": [],
            }),
        };
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }

    /// Up to which revision everything was said.
    fn seen(&self, cluster: &Cluster) -> u64 {
        if self.initial.is_empty() {
            self.cursor
        } else {
            cluster.store.revision().min(self.cursor)
        }
    }

    fn follow(&mut self, cluster: &Cluster, cache: &mut Cache, out: &mut Vec<u8>) {
        let changes = match cluster.store.changes_since(self.cursor) {
            Ok(changes) => changes,
            Err(why) => {
                self.failed = Some(Status::new(Reason::Expired, why.to_string()));
                return;
            }
        };
        for change in changes {
            if out.len() >= CHUNK {
                return;
            }
            self.cursor = change.revision;
            if change.resource == self.stored {
                self.tell(change, cache, out);
            }
        }
    }

    fn tell(&mut self, change: &Change, cache: &mut Cache, out: &mut Vec<u8>) {
        let gone = change.kind == ChangeKind::Deleted;
        let before = change.old.as_ref().filter(|old| self.picks(old));
        let after = (!gone).then_some(&change.new).filter(|new| self.picks(new));
        let (kind, object) = match (before, after) {
            (None, None) => return,
            (None, Some(new)) => ("ADDED", Arc::clone(new)),
            (Some(_), Some(new)) => ("MODIFIED", Arc::clone(new)),
            (Some(_), None) if gone => ("DELETED", Arc::clone(&change.new)),
            // It left the selection: its last state in it, with the revision of its leaving.
            (Some(old), None) => {
                let mut last = Object::clone(old);
                last.meta.resource_version = change.revision;
                ("DELETED", Arc::new(last))
            }
        };
        let usual = match change.kind {
            ChangeKind::Added => "ADDED",
            ChangeKind::Modified => "MODIFIED",
            ChangeKind::Deleted => "DELETED",
        };
        let shown = self.view.show(&object);
        if kind == usual && self.renderer.shape == Shape::Plain {
            let key = (change.revision, self.stored);
            let plain = matches!(self.view, View::Stored);
            if plain {
                out.extend_from_slice(&cache.get(key, || self.line(kind, &shown)));
                return;
            }
        }
        out.extend_from_slice(self.line(kind, &shown).as_bytes());
    }

    fn line(&mut self, kind: &str, object: &Object) -> String {
        let first = !std::mem::replace(&mut self.begun, true);
        let text = self.renderer.event(object, first);
        format!("{{\"type\":\"{kind}\",\"object\":{text}}}\n")
    }

    fn picks(&self, object: &Object) -> bool {
        let here =
            |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|one| one == is);
        here(&self.namespace, &object.meta.namespace)
            && here(&self.name, &object.meta.name)
            && self.selection.matches(object)
    }
}

/// `sendInitialEvents` and what has to go with it
/// (`k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`).
fn initial_events(query: &Query) -> Result<Option<bool>, Status> {
    let matching = query.get("resourceVersionMatch").unwrap_or_default();
    let sent = query
        .get("sendInitialEvents")
        .map(|_| query.flag("sendInitialEvents"));
    let refuse = |field: &str, message: &str| {
        let message = format!("Forbidden: {message}");
        Err(invalid_options(
            "ListOptions",
            field,
            "FieldValueForbidden",
            message,
        ))
    };
    match (sent, matching) {
        (None, "") | (Some(_), "NotOlderThan") => Ok(sent),
        (None, _) => refuse(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (Some(_), _) => refuse(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
    }
}
