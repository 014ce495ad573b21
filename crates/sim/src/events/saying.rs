//! What an Event says, as the recorder that wrote it keeps it.

use super::{EventType, Reference, Source, micros, seconds};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// All fields of a `core/v1 Event`: one small piece of memory, which is written as JSON only for a
/// client. Ten thousand pods that start have sixty thousand Events, and most are never read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Saying {
    pub(super) source: Source,
    pub(super) about: Reference,
    pub(super) kind: EventType,
    pub(super) reason: Cow<'static, str>,
    pub(super) message: Box<str>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) how: How,
}

/// In whose way it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// client-go's `tools/record`: it was seen so often, with times in whole seconds.
    Counted(u32),
    /// client-go's `tools/events`: it regards this action, with a time in microseconds.
    Action(&'static str),
}

/// In the order of the names, as all fields are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    event_time: Option<String>,
    first_timestamp: Option<Timestamp>,
    involved_object: &'a Reference,
    last_timestamp: Option<Timestamp>,
    message: &'a str,
    reason: &'a str,
    reporting_component: &'a str,
    reporting_instance: Cow<'a, str>,
    source: WireSource<'a>,
    r#type: EventType,
}

/// `core/v1 EventSource`.
#[derive(Default, Serialize)]
struct WireSource<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    component: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
}

impl Serialize for Saying {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let component = &*self.source.component;
        let common = Wire {
            action: None,
            count: None,
            event_time: None,
            first_timestamp: None,
            involved_object: &self.about,
            last_timestamp: None,
            message: &self.message,
            reason: &self.reason,
            reporting_component: component,
            reporting_instance: "".into(),
            source: WireSource::default(),
            r#type: self.kind,
        };
        let host = &*self.source.host;
        let wire = match self.how {
            How::Counted(count) => Wire {
                count: Some(count),
                first_timestamp: Some(seconds(self.first)),
                last_timestamp: Some(seconds(self.last)),
                reporting_instance: host.into(),
                source: WireSource { component, host },
                ..common
            },
            How::Action(action) => Wire {
                action: Some(action),
                event_time: Some(micros(self.last)),
                reporting_instance: format!("{component}-control-plane").into(),
                ..common
            },
        };
        wire.serialize(out)
    }
}
