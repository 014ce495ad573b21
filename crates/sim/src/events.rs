//! Events, as the recorders of client-go write them: counted, merged when they are alike, held back
//! when there are too many (`client-go/tools/record/events_cache.go`, `client-go/tools/events`).

mod correlate;
mod expiry;

pub use expiry::Expiry;

use crate::cluster::Cluster;
use crate::object::{Key, Object, Raw};
use crate::resources::ids;
use correlate::{Correlated, Heard};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Source<'a> {
    /// `kubelet`, `deployment-controller`, ...
    pub component: &'a str,
    /// The node's name; empty for a controller.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub host: &'a str,
}

impl<'a> Source<'a> {
    /// A controller, which says no host.
    pub fn controller(component: &'a str) -> Self {
        Self {
            component,
            host: "",
        }
    }

    /// The kubelet of a node.
    pub fn kubelet(host: &'a str) -> Self {
        Self {
            component: "kubelet",
            host,
        }
    }
}

/// What an Event is about (`core/v1 ObjectReference`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields of core/v1 ObjectReference")]
pub struct Reference {
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
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

impl Reference {
    /// The object as it is now.
    pub fn of(object: &Object) -> Self {
        Self {
            kind: Arc::clone(&object.kind),
            namespace: Arc::clone(&object.meta.namespace),
            name: Arc::clone(&object.meta.name),
            uid: Arc::clone(&object.meta.uid),
            api_version: Arc::clone(&object.api_version),
            resource_version: object.meta.resource_version.to_string(),
            field_path: String::new(),
        }
    }

    /// A node, as its kubelet refers to it: with its name for the uid (`kubelet.go`, `nodeRef`).
    pub fn node(name: &str) -> Self {
        Self {
            kind: "Node".into(),
            name: name.into(),
            uid: name.into(),
            api_version: "v1".into(),
            ..Self::default()
        }
    }

    /// A part of the object, such as `spec.containers{main}`.
    #[must_use]
    pub fn at(&self, field_path: String) -> Self {
        Self {
            field_path,
            ..self.clone()
        }
    }

    fn event_key(&self, name: Arc<str>) -> Key {
        let namespace = if self.namespace.is_empty() {
            "default".into()
        } else {
            Arc::clone(&self.namespace)
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
        format!("{}.{nanos:x}", about.name).into()
    }
}

impl Cluster {
    /// Says an Event (core/v1) as client-go's recorder does: the same event again only counts, ten
    /// messages of one reason within ten minutes are merged, and a source says at most 25 events
    /// about an object at once and one more every five minutes.
    pub fn event(
        &mut self,
        source: Source<'_>,
        about: &Reference,
        kind: EventType,
        reason: &str,
        message: &str,
    ) {
        let now = self.now();
        let recorder = &mut self.recorder;
        let fresh = recorder.name(about, now);
        let heard = correlate::Said {
            source,
            about,
            kind,
            reason,
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
        let fields = core_fields(&heard, &result, now);
        self.write_event(&key, fields);
    }

    /// Says an Event as the scheduler does, with the recorder of events.k8s.io: a time in
    /// microseconds, an action, and a series when it comes again about the same state of the object.
    /// (What a series counted since its last write is written every half hour, not at its end.)
    pub fn event_series(
        &mut self,
        controller: &str,
        about: &Reference,
        kind: EventType,
        action_and_reason: (&str, &str),
        message: &str,
    ) {
        let now = self.now();
        let (action, reason) = action_and_reason;
        let id = format!(
            "{controller}/{kind:?}/{action}/{reason}/{}/{}/{}",
            about.uid, about.name, about.resource_version
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
        let instance = format!("{controller}-control-plane");
        self.write_event(
            &key,
            [
                ("involvedObject", Raw::of(about)),
                ("reason", Raw::of(&reason)),
                ("message", Raw::of(&message)),
                ("source", Raw::of(&json!({}))),
                ("firstTimestamp", Raw::of(&Value::Null)),
                ("lastTimestamp", Raw::of(&Value::Null)),
                ("type", Raw::of(&kind)),
                ("eventTime", Raw::of(&micros(now))),
                ("action", Raw::of(&action)),
                ("reportingComponent", Raw::of(&controller)),
                ("reportingInstance", Raw::of(&instance)),
            ],
        );
    }

    fn write_event<const N: usize>(&mut self, key: &Key, fields: [(&str, Option<Raw>); N]) {
        let row = self.resources.get(ids::EVENTS);
        let mut event = Object::new(row, "", "");
        event.meta.namespace = Arc::clone(&key.namespace);
        event.meta.name = Arc::clone(&key.name);
        let fields = fields.into_iter();
        event.fields = fields
            .filter_map(|(name, raw)| Some((name, raw?)))
            .collect();
        // A recorder that cannot write drops the event, too.
        drop(self.create(ids::EVENTS, event));
    }
}

fn core_fields(
    said: &correlate::Said<'_>,
    result: &Correlated,
    now: Timestamp,
) -> [(&'static str, Option<Raw>); 11] {
    let last = Raw::of(&seconds(now));
    let first = if result.first == now {
        last.clone()
    } else {
        Raw::of(&seconds(result.first))
    };
    [
        ("involvedObject", Raw::of(said.about)),
        ("reason", Raw::of(&said.reason)),
        ("message", Raw::of(&result.message)),
        ("source", Raw::of(&said.source)),
        ("firstTimestamp", first),
        ("lastTimestamp", last),
        ("count", Raw::of(&result.count)),
        ("type", Raw::of(&said.kind)),
        ("eventTime", Raw::of(&Value::Null)),
        ("reportingComponent", Raw::of(&said.source.component)),
        ("reportingInstance", Raw::of(&said.source.host)),
    ]
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

    fn cluster() -> Cluster {
        Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn pod() -> Reference {
        Reference {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "cart".into(),
            uid: "u".into(),
            api_version: "v1".into(),
            resource_version: "7".to_owned(),
            field_path: "spec.containers{main}".to_owned(),
        }
    }

    fn say(cluster: &mut Cluster, message: &str) {
        let node = Source::kubelet("n1");
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
        about.resource_version = "8".to_owned();
        say(&about);
        let events = all(&cluster);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["series"]["count"], 2);
        assert_eq!(events[0]["eventTime"], "2026-01-01T00:00:00.000000Z");
        assert!(events[1].get("series").is_none());
    }
}
