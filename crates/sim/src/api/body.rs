//! Bodies: JSON or YAML that has to be an object of one kind.

use super::request::Request;
use crate::object::Object;
use crate::resources::Resource;
use crate::status::{Reason, Status};
use serde_json::{Value, json};

/// How many characters of a broken body the answer repeats.
const SHOWN: usize = 32;

/// Reads the body as JSON or YAML, whatever it is.
pub(super) fn value(request: &Request, kind: &str) -> Result<Value, Status> {
    let media = request.content_type.split(';').next().unwrap_or_default();
    let parsed = match media.trim() {
        "" | "application/json" => serde_json::from_slice(&request.body).map_err(|e| e.to_string()),
        "application/yaml" => std::str::from_utf8(&request.body)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_saphyr::from_str(text).map_err(|e| e.to_string())),
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
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {why} ({shown})"
        ))
    })
}

/// Reads the body as an object of this resource. Kind and version may be left out.
pub(super) fn object(request: &Request, row: &Resource) -> Result<Value, Status> {
    let mut value = value(request, &row.kind)?;
    let expected = row.api_version();
    let Some(map) = value.as_object_mut() else {
        return Err(not_handled(
            row,
            &expected,
            &row.kind,
            "json: cannot unmarshal into Go value of type map[string]interface {}",
        ));
    };
    for (name, default) in [("apiVersion", expected.as_str()), ("kind", &*row.kind)] {
        let sent = map.entry(name).or_insert(Value::Null);
        if sent.is_null() || sent == "" {
            *sent = json!(default);
        }
    }
    check_kind(map, row, &expected)?;
    Ok(value)
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
        return Err(not_handled(row, version, kind, &why));
    }
    Ok(())
}

/// Turns a value into an object; 400 where its metadata has a wrong type.
pub(super) fn parse(value: Value, row: &Resource) -> Result<Object, Status> {
    Object::from_value(value)
        .map_err(|why| not_handled(row, &row.api_version(), &row.kind, &format!("json: {why}")))
}

/// 400: not of the kind that it should be.
pub(super) fn not_handled(row: &Resource, version: &str, kind: &str, why: &str) -> Status {
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
        object(&post("/", body), row).unwrap_err().message
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
        let value = object(&request, row).unwrap();
        assert_eq!(value["kind"], "ConfigMap");
        assert_eq!(value["metadata"]["name"], "a");
    }
}
