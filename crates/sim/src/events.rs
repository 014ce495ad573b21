//! Events, as the recorders of client-go write them: counted, merged when they are alike, held back
//! when there are too many (`client-go/tools/record/events_cache.go`, `client-go/tools/events`).

mod correlate;
mod expiry;
mod saying;

pub use expiry::Expiry;

use crate::cluster::Cluster;
use crate::object::{self, Fields, Key, Object};
use crate::resources::ids;
use correlate::Heard;
use jiff::Timestamp;
use saying::{How, Saying};
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long an Event lives after its last write (`--event-ttl`).
pub const TTL: Duration = Duration::from_hours(1);

/// A series that was not seen for so long is over (`finishTime`).
const SERIES_ENDS: Duration = Duration::from_mins(6);
/// So often a going series is written again (`refreshTime`).
const SERIES_REFRESH: Duration = Duration::from_mins(30);

/// Is it expected, or something to look at?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum EventType {
    Normal,
    Warning,
}

/// Who says it (`core/v1 EventSource`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `kubelet`, `deployment-controller`, ...
    pub component: Cow<'static, str>,
    /// The node's name; empty for a controller.
    pub host: Arc<str>,
}

impl Source {
    /// A controller, which says no host.
    pub fn controller(component: impl Into<Cow<'static, str>>) -> Self {
        Self {
            component: component.into(),
            host: Arc::default(),
        }
    }

    /// The kubelet of a node.
    pub fn kubelet(host: &Arc<str>) -> Self {
        Self {
            component: "kubelet".into(),
            host: Arc::clone(host),
        }
    }
}

/// What an Event is about (`core/v1 ObjectReference`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// The object, shared by all that is said about it.
    #[serde(flatten)]
    pub object: Arc<Referred>,
    /// The part of it, such as `spec.containers{main}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_path: Option<Arc<str>>,
}

/// The object that a [`Reference`] is to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields of core/v1 ObjectReference")]
pub struct Referred {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub api_version: Arc<str>,
    /// 0 means none.
    #[serde(
        serialize_with = "object::revision::serialize",
        skip_serializing_if = "object::is_zero"
    )]
    pub resource_version: u64,
}

impl From<Referred> for Reference {
    fn from(object: Referred) -> Self {
        Self {
            object: Arc::new(object),
            field_path: None,
        }
    }
}

impl Reference {
    /// The object as it is now.
    pub fn of(object: &Object) -> Self {
        Self::from(Referred {
            kind: Arc::clone(&object.kind),
            namespace: Arc::clone(&object.meta.namespace),
            name: Arc::clone(&object.meta.name),
            uid: Arc::clone(&object.meta.uid),
            api_version: Arc::clone(&object.api_version),
            resource_version: object.meta.resource_version,
        })
    }

    /// A node, as its kubelet refers to it: with its name for the uid (`kubelet.go`, `nodeRef`).
    pub fn node(name: &Arc<str>) -> Self {
        Self::from(Referred {
            kind: "Node".into(),
            name: Arc::clone(name),
            uid: Arc::clone(name),
            api_version: "v1".into(),
            ..Referred::default()
        })
    }

    /// A part of the object.
    #[must_use]
    pub fn at(&self, field_path: &str) -> Self {
        Self {
            object: Arc::clone(&self.object),
            field_path: Some(field_path.into()),
        }
    }

    fn event_key(&self, name: Arc<str>) -> Key {
        let namespace = if self.object.namespace.is_empty() {
            "default".into()
        } else {
            Arc::clone(&self.object.namespace)
        };
        Key {
            resource: ids::EVENTS,
            namespace,
            name,
        }
    }
}

/// What the recorders of all components remember.
#[derive(Debug, Default)]
pub struct Recorder {
    heard: Heard,
    series: BTreeMap<String, Series>,
    /// Makes names different that are made in one moment of virtual time.
    sequence: u16,
}

#[derive(Debug)]
struct Series {
    key: Key,
    count: u32,
    last: Timestamp,
    written: Timestamp,
}

impl Recorder {
    /// Forgets what has not been heard for so long that it makes no difference.
    fn forget(&mut self, now: Timestamp) {
        self.heard.forget(now);
        self.series
            .retain(|_, series| passed(series.last, now) <= SERIES_ENDS);
    }

    /// Does it remember nothing?
    fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.series.is_empty()
    }

    fn name(&mut self, about: &Reference, now: Timestamp) -> Arc<str> {
        self.sequence = self.sequence.wrapping_add(1);
        let nanos = now.as_nanosecond().saturating_add(self.sequence.into());
        format!("{}.{nanos:x}", about.object.name).into()
    }
}

impl Cluster {
    /// Says an Event (core/v1) as client-go's recorder does: the same event again only counts, ten
    /// messages of one reason within ten minutes are merged, and a source says at most 25 events
    /// about an object at once and one more every five minutes.
    pub fn event(
        &mut self,
        source: Source,
        about: &Reference,
        kind: EventType,
        reason: impl Into<Cow<'static, str>>,
        message: &str,
    ) {
        let now = self.now();
        let recorder = &mut self.recorder;
        let fresh = recorder.name(about, now);
        let reason = reason.into();
        let heard = correlate::Said {
            source: &source,
            about,
            kind,
            reason: &reason,
            message,
        };
        let Some(result) = recorder.heard.correlate(&heard, now, fresh) else {
            return;
        };
        let key = about.event_key(Arc::clone(&result.name));
        if result.count > 1 && self.store.get(&key).is_some() {
            let last = seconds(now);
            self.modify(&key, |event| {
                event.set("count", &result.count);
                event.set("lastTimestamp", &last);
                event.set("message", &result.message);
            });
            return;
        }
        let saying = Saying {
            source,
            about: about.clone(),
            kind,
            reason,
            message: result.message.into(),
            first: result.first,
            last: now,
            how: How::Counted(result.count),
        };
        self.write_event(&key, saying);
    }

    /// Says an Event as the scheduler does, with the recorder of events.k8s.io: a time in
    /// microseconds, an action, and a series when it comes again about the same state of the object.
    /// (What a series counted since its last write is written every half hour, not at its end.)
    pub fn event_series(
        &mut self,
        controller: &'static str,
        about: &Reference,
        kind: EventType,
        action_and_reason: (&'static str, &'static str),
        message: &str,
    ) {
        let now = self.now();
        let (action, reason) = action_and_reason;
        let id = format!(
            "{controller}/{kind:?}/{action}/{reason}/{}/{}/{}",
            about.object.uid, about.object.name, about.object.resource_version
        );
        let recorder = &mut self.recorder;
        if let Some(series) = recorder.series.get_mut(&id)
            && passed(series.last, now) <= SERIES_ENDS
        {
            series.count = series.count.saturating_add(1);
            series.last = now;
            if series.count == 2 || passed(series.written, now) >= SERIES_REFRESH {
                series.written = now;
                let (key, count) = (series.key.clone(), series.count);
                let series = json!({"count": count, "lastObservedTime": micros(now)});
                self.modify(&key, |event| event.set("series", &series));
            }
            return;
        }
        let name = recorder.name(about, now);
        let key = about.event_key(name);
        let series = Series {
            key: key.clone(),
            count: 1,
            last: now,
            written: now,
        };
        recorder.series.insert(id, series);
        let saying = Saying {
            source: Source::controller(controller),
            about: about.clone(),
            kind,
            reason: reason.into(),
            message: message.into(),
            first: now,
            last: now,
            how: How::Action(action),
        };
        self.write_event(&key, saying);
    }

    /// Writes a new Event. There is nothing to be filled in but what identifies it.
    fn write_event(&mut self, key: &Key, saying: Saying) {
        let mut event = Object::new(self.resources.get(ids::EVENTS), "", "");
        event.meta.namespace = Arc::clone(&key.namespace);
        event.meta.name = Arc::clone(&key.name);
        event.fields = Fields::whole(saying);
        // A recorder that cannot write drops the event, too.
        if self.prepare(ids::EVENTS, &mut event).is_ok() {
            self.store.put(ids::EVENTS, event);
        }
    }
}

/// `metav1.Time`: whole seconds.
pub(crate) fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `metav1.MicroTime`.
pub(crate) fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// How long it is from one moment to a later one; nothing when it is not later.
pub(crate) fn passed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn cluster() -> Cluster {
        Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn pod() -> Reference {
        let pod = Referred {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "cart".into(),
            uid: "u".into(),
            api_version: "v1".into(),
            resource_version: 7,
        };
        Reference::from(pod).at("spec.containers{main}")
    }

    fn say(cluster: &mut Cluster, message: &str) {
        let node = Source::kubelet(&"n1".into());
        cluster.event(node, &pod(), EventType::Warning, "BackOff", message);
    }

    fn all(cluster: &Cluster) -> Vec<Value> {
        let events = cluster.store.list(ids::EVENTS, Some("shop"));
        events.map(|event| event.to_value()).collect()
    }

    #[test]
    fn the_same_event_again_is_counted() {
        let mut cluster = cluster();
        say(&mut cluster, "a");
        cluster.pass(Duration::from_secs(9));
        say(&mut cluster, "a");
        let events = all(&cluster);
        assert_eq!(events.len(), 1);
        let event = &events[0];
        assert_eq!(event["count"], 2);
        assert_eq!(event["firstTimestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(event["lastTimestamp"], "2026-01-01T00:00:09Z");
        assert_eq!(
            event["source"],
            json!({"component": "kubelet", "host": "n1"})
        );
        let name = event["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("cart.18"), "{name}");
    }

    #[test]
    fn ten_messages_of_one_reason_are_merged() {
        let mut cluster = cluster();
        for n in 0..12 {
            say(&mut cluster, &format!("attempt {n}"));
        }
        let events = all(&cluster);
        assert_eq!(events.len(), 10);
        let merged = events.iter().find(|one| one["count"] == 3).unwrap();
        assert_eq!(
            merged["message"],
            "(combined from similar events): attempt 11"
        );
    }

    #[test]
    fn more_than_25_at_once_are_dropped_and_one_more_comes_every_five_minutes() {
        let mut cluster = cluster();
        for _ in 0..40 {
            say(&mut cluster, "a");
        }
        assert_eq!(all(&cluster)[0]["count"], 25);
        cluster.pass(Duration::from_mins(5));
        say(&mut cluster, "a");
        // What was dropped has been counted, as the real recorder counts it.
        assert_eq!(all(&cluster)[0]["count"], 41);
    }

    #[test]
    fn an_event_goes_an_hour_after_its_last_write() {
        let mut cluster = cluster();
        say(&mut cluster, "a");
        cluster.pass(Duration::from_mins(50));
        say(&mut cluster, "a");
        cluster.pass(Duration::from_mins(55));
        assert_eq!(all(&cluster).len(), 1);
        cluster.pass(Duration::from_mins(7));
        assert_eq!(all(&cluster).len(), 0);
    }

    #[test]
    fn the_scheduler_says_a_series_about_the_same_state_of_a_pod() {
        let mut cluster = cluster();
        let mut say = |about: &Reference| {
            let what = ("Scheduling", "FailedScheduling");
            cluster.event_series("default-scheduler", about, EventType::Warning, what, "no");
        };
        let mut about = pod();
        say(&about);
        say(&about);
        say(&about);
        about.object = Arc::new(Referred {
            resource_version: 8,
            ..Referred::clone(&about.object)
        });
        say(&about);
        let events = all(&cluster);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["series"]["count"], 2);
        assert_eq!(events[0]["eventTime"], "2026-01-01T00:00:00.000000Z");
        assert!(events[1].get("series").is_none());
    }
}
