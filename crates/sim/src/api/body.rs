//! Bodies: JSON, YAML or protobuf that has to be an object of one kind.

use super::request::Request;
use crate::object::Object;
use crate::resources::Resource;
use crate::schema::read::{self, Found};
use crate::schema::{Type, proto};
use crate::status::{Reason, Status};
use axum::body::Bytes;
use serde_json::{Value, json};
use std::borrow::Cow;

/// How many characters of a broken body the answer repeats.
const SHOWN: usize = 32;
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// An object as it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The object.
    pub(super) object: Object,
    /// What there is to warn of.
    pub(super) warnings: Vec<String>,
}

/// The request with a body that is JSON, if it was protobuf.
pub(super) fn translated(request: &Request) -> Result<Cow<'_, Request>, Status> {
    if media(request) != PROTOBUF || request.body.is_empty() {
        return Ok(Cow::Borrowed(request));
    }
    let value = proto::decode(&request.body).map_err(|why| {
        let shown: String = hex::encode(&request.body).chars().take(SHOWN).collect();
        Status::bad_request(format!(
            "the object provided is unrecognized: {why} ({shown} ...)"
        ))
    })?;
    Ok(Cow::Owned(Request {
        body: Bytes::from(value.to_string()),
        content_type: "application/json".to_owned(),
        ..request.clone()
    }))
}

fn media(request: &Request) -> &str {
    let media = request.content_type.split(';').next().unwrap_or_default();
    media.trim()
}

/// Reads the body as a type, whatever kind it says to be.
fn typed(request: &Request, name: &str, kind: &Type) -> Result<(Value, Found), Status> {
    let parsed = match media(request) {
        "" | "application/json" => read::text(kind, &request.body).map_err(|e| e.to_string()),
        "application/yaml" => std::str::from_utf8(&request.body)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_saphyr::from_str(text).map_err(|e| e.to_string()))
            .map(|value| read::value(kind, &value)),
        _ => {
            return Err(Status::new(
                Reason::UnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
            ));
        }
    };
    parsed.map_err(|why| {
        let text = String::from_utf8_lossy(&request.body);
        let (why, shown) = if text.trim().is_empty() {
            ("unexpected end of JSON input".to_owned(), "<empty>".to_owned())
        } else {
            (why, text.chars().take(SHOWN).collect())
        };
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {name}): couldn't get version/kind; json parse error: {why} ({shown})"
        ))
    })
}

/// Reads the body as one of the kinds that are not kept: options, reviews, `Scale`, `Eviction`,
/// `Binding`.
pub(super) fn value(request: &Request, kind: &str) -> Result<Value, Status> {
    let directive = request.directive("CreateOptions")?;
    let known = Type::of_name(kind).unwrap_or_default();
    let (value, found) = typed(request, kind, &known)?;
    let judged = directive.judge(found);
    judged.map_err(|why| {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
        let sent = if text("kind").is_empty() {
            kind
        } else {
            text("kind")
        };
        Status::bad_request(format!(
            "{sent} in version {version:?} cannot be handled as a {kind}: {why}"
        ))
    })?;
    Ok(value)
}

/// Reads the body as an object of this resource. Kind and version may be left out.
pub(super) fn object(request: &Request, row: &Resource, options: &str) -> Result<Sent, Status> {
    let directive = request.directive(options)?;
    let (mut value, found) = typed(request, &row.kind, &Type::of_row(row))?;
    let expected = row.api_version();
    let refused = |why: &str| not_handled(row, &row.version, &row.kind, why);
    if let Some(map) = value.as_object_mut() {
        for (name, default) in [("apiVersion", &*expected), ("kind", &*row.kind)] {
            let sent = map.entry(name).or_insert(Value::Null);
            if sent.is_null() || sent == "" {
                *sent = json!(default);
            }
        }
        check_kind(map, row, &expected)?;
    }
    let warnings = directive.judge(found).map_err(|why| refused(&why))?;
    let object = Object::from_value(value).map_err(|why| refused(&format!("json: {why}")))?;
    Ok(Sent { object, warnings })
}

fn check_kind(
    map: &serde_json::Map<String, Value>,
    row: &Resource,
    expected: &str,
) -> Result<(), Status> {
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version != expected {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if kind != &*row.kind {
        let group = if row.group.is_empty() {
            "core"
        } else {
            &row.group
        };
        let why = format!(
            "converting (v1.{kind}) to ({group}.{}): unknown conversion",
            row.kind
        );
        let short = version.rsplit('/').next().unwrap_or_default();
        return Err(not_handled(row, short, kind, &why));
    }
    Ok(())
}

/// 400: not of the kind that it should be.
fn not_handled(row: &Resource, version: &str, kind: &str, why: &str) -> Status {
    Status::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {}: {why}",
        row.kind
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::post;
    use crate::resources::{Resources, ids};

    fn refused(body: &str) -> String {
        let resources = Resources::default();
        let row = resources.get(ids::CONFIGMAPS);
        let sent = object(&post("/", body), row, "CreateOptions");
        sent.unwrap_err().message
    }

    #[test]
    fn bodies_are_refused_in_the_words_of_the_real_one() {
        assert_eq!(
            refused(""),
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        );
        assert_eq!(
            refused(r#"{"apiVersion": "v1", "kind": "Pod"}"#),
            "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion"
        );
        assert!(refused("{nope").contains("({nope)"));
    }

    #[test]
    fn kind_and_version_may_be_left_out_and_yaml_is_read() {
        let resources = Resources::default();
        let row = resources.get(ids::CONFIGMAPS);
        let mut request = post("/", "metadata:\n  name: a\n");
        "application/yaml".clone_into(&mut request.content_type);
        let sent = object(&request, row, "CreateOptions").unwrap();
        assert_eq!(&*sent.object.kind, "ConfigMap");
        assert_eq!(&*sent.object.meta.name, "a");
    }

    #[test]
    fn a_field_that_is_not_known_is_refused_warned_of_or_dropped() {
        let resources = Resources::default();
        let row = resources.get(ids::CONFIGMAPS);
        let send = |query: &str| {
            let body = r#"{"metadata": {"name": "a"}, "extra": 1}"#;
            object(&post(&format!("/?{query}"), body), row, "CreateOptions")
        };
        let refused = send("fieldValidation=Strict").unwrap_err();
        assert_eq!(
            refused.message,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"extra\""
        );
        let warned = send("").unwrap();
        assert_eq!(warned.warnings, ["unknown field \"extra\""]);
        assert_eq!(warned.object.fields.keys().next(), None);
        assert!(send("fieldValidation=Ignore").unwrap().warnings.is_empty());
        let refused = send("fieldValidation=x").unwrap_err();
        assert_eq!(
            refused.message,
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"x\": supported values: \"Ignore\", \"Strict\", \"Warn\""
        );
    }

    #[test]
    fn protobuf_is_read_and_what_is_broken_gets_400() {
        let mut request = post("/", "");
        PROTOBUF.clone_into(&mut request.content_type);
        let meta = b"\x0A\x0D\x0A\x02v1\x12\x07Pod\x00\x00\x00\x00";
        request.body = Bytes::from([b"k8s\0".as_slice(), meta].concat());
        assert_eq!(translated(&request).unwrap_err().code, 400);
        let raw = b"k8s\0\x0A\x09\x0A\x02v1\x12\x03Pod\x12\x05\x0A\x03\x0A\x01a";
        request.body = Bytes::from_static(raw);
        let read = translated(&request).unwrap();
        let row = Resources::default().get(ids::PODS).clone();
        let sent = object(&read, &row, "CreateOptions").unwrap();
        assert_eq!(&*sent.object.meta.name, "a");
    }
}
