//! Patches of the four kinds that Kubernetes knows, and `managedFields`: who has written what.

mod apply;
mod declared;
mod managers;
mod owned;
mod strategic;

use crate::object::{Fields, Object};
use crate::resources::Resource;
use crate::schema::read::{self, Directive};
use crate::schema::{Schema, Type};
use crate::status::{Cause, Details, Reason, Status};
use jiff::Timestamp;
use managers::{Manager, Managers};
use owned::{Difference, Owned};
use serde_json::{Map, Value};

/// Most operations of one JSON patch (`maxJSONPatchOperations` in the API server).
const MAX_OPERATIONS: usize = 10_000;

/// Longest name of a field manager.
const MAX_MANAGER: usize = 128;

/// How a patch is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Strategic merge.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchKind {
    /// By the content type. 415 when there is no such patch, or not of this resource.
    pub fn of(row: &Resource, content_type: &str) -> Result<Self, Status> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        Ok(match media {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" if row.custom => {
                return Err(Status::new(
                    Reason::UnsupportedMediaType,
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ));
            }
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            _ => {
                let message = "415: Unsupported Media Type";
                let status = Status::new(Reason::UnsupportedMediaType, message);
                return Err(status.with_details(Details::default()));
            }
        })
    }
}

/// Who writes, for `managedFields`.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'name> {
    /// Name of the field manager (see [`manager_name`]).
    pub manager: &'name str,
    /// Subresource that is written to; empty for the object itself.
    pub subresource: &'name str,
    /// The object is the outcome of [`apply()`], which has noted its fields already: [`track`] leaves
    /// them alone.
    pub applied: bool,
    /// The time, in whole seconds.
    pub now: Timestamp,
}

/// The field manager's name: the one that was given, or the first part of the `User-Agent`.
pub fn manager_name(field_manager: Option<&str>, user_agent: &str) -> String {
    let name = match field_manager {
        Some(name) if !name.is_empty() => name,
        _ => user_agent.split('/').next().unwrap_or_default(),
    };
    let name = if name.is_empty() { "unknown" } else { name };
    let printable = name.chars().filter(|c| !c.is_control());
    printable.take(MAX_MANAGER).collect()
}

/// What an object becomes by a patch (of any kind but apply), and what there is to warn of. Versions,
/// names and rules of the kind are for the caller to check, as after an update.
pub(crate) fn patched(
    kind: &Type,
    old: &Object,
    patch: PatchKind,
    body: &[u8],
    directive: Directive,
) -> Result<(Object, Vec<String>), Status> {
    let (sent, mut found) = read::text(&Type::Any, body)
        .map_err(|why| Status::bad_request(format!("error decoding patch: {why}")))?;
    let mut value = old.to_value();
    match (patch, sent, &mut value) {
        (PatchKind::Json, Value::Array(operations), value) => json_patch(value, operations)?,
        (PatchKind::Json, other, _) => {
            return Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
                json_type(&other)
            )));
        }
        (PatchKind::Strategic, Value::Object(patch), Value::Object(target)) => {
            strategic::merge(target, patch, kind.schema()).map_err(|why| strategic_error(&why))?;
        }
        (_, patch @ Value::Object(_), value) => json_patch::merge(value, &patch),
        (_, other, _) => {
            return Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                json_type(&other)
            )));
        }
    }
    let (read, wrong) = read::value(kind, &value);
    found.add(wrong);
    let warnings = directive.judge(found);
    let warnings = warnings.map_err(|why| not_an_object(&value.to_string(), &why))?;
    let new = Object::from_value(read);
    let new = new.map_err(|why| not_an_object(&value.to_string(), &why.to_string()))?;
    Ok((new, warnings))
}

/// What an object becomes by server-side apply; `old` is `None` when it is created by it. The body
/// is YAML or JSON. 409 with the conflicting fields, unless `force`.
pub fn apply(
    row: &Resource,
    old: Option<&Object>,
    body: &[u8],
    writer: &Writer<'_>,
    force: bool,
) -> Result<Object, Status> {
    let yaml = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(body).map_err(|why| yaml(why.to_string()))?;
    let config: Value = serde_saphyr::from_str(text).map_err(|why| yaml(why.to_string()))?;
    let Value::Object(mut config) = config else {
        return Err(yaml("an object is needed".to_owned()));
    };
    let managed = config
        .get("metadata")
        .and_then(|one| one.get("managedFields"));
    if managed.is_some_and(|one| one.as_array().is_none_or(|list| !list.is_empty())) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    declared::check(row, &config)?;
    config.insert("apiVersion".to_owned(), (*row.api_version()).into());
    config.insert("kind".to_owned(), (*row.kind).into());
    apply::apply(row, old, config, writer, force)
}

/// 422: an apply has to name its field manager.
pub fn manager_required() -> Status {
    let cause = Cause {
        reason: "FieldValueRequired".to_owned(),
        message: "Required value: is required for apply patch".to_owned(),
        field: "fieldManager".to_owned(),
    };
    let message = format!(
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: {}",
        cause.message
    );
    Status::new(Reason::Invalid, message).with_details(Details {
        group: "meta.k8s.io".to_owned(),
        kind: "PatchOptions".to_owned(),
        causes: vec![cause],
        ..Details::default()
    })
}

/// Notes in `managedFields` what a create, an update or a patch changed. To be called when `new` has
/// its defaults, and before it is written. Does nothing when nothing was changed.
pub fn track(row: &Resource, old: Option<&Object>, new: &mut Object, writer: &Writer<'_>) {
    if writer.applied {
        return;
    }
    let known = if new.meta.managed_fields.is_empty() {
        old
    } else {
        Some(&*new)
    };
    let mut managers = Managers::read(known);
    let schema = schema_of(row);
    let (before, after) = changed_fields(row, old, new, writer);
    let difference = Difference::between(&before, &after, schema);
    if difference.changed.is_empty() && difference.removed.is_empty() {
        if let Some(old) = old.filter(|_| new.meta.managed_fields.is_empty()) {
            new.meta.managed_fields.clone_from(&old.meta.managed_fields);
        }
        return;
    }
    let mine = managers.take(writer, "Update", row);
    managers.lose(&difference);
    let mut fields = mine.map_or_else(Owned::default, |mine| mine.fields);
    fields.subtract(&difference.removed);
    fields.add(&difference.changed);
    if !fields.is_empty() {
        managers.put(Manager::new(
            row,
            writer,
            "Update",
            Some(writer.now),
            fields,
        ));
    }
    new.meta.managed_fields = managers.written().into();
}

/// The top-level fields that differ, of both states: most writes change only one.
fn changed_fields(
    row: &Resource,
    old: Option<&Object>,
    new: &Object,
    writer: &Writer<'_>,
) -> (Map<String, Value>, Map<String, Value>) {
    let none = Fields::default();
    let old_fields = old.map_or(&none, |old| &old.fields);
    let wanted = |name: &str| match writer.subresource {
        "status" => name == "status",
        _ => name != "status" || !row.has("status"),
    };
    let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let (mut before, mut after) = (Map::new(), Map::new());
    for (name, raw) in old_fields.iter().filter(|(name, _)| wanted(name)) {
        if new.fields.get(name) != Some(raw) {
            before.insert(name.to_owned(), read(&raw.text()));
        }
    }
    for (name, raw) in new.fields.iter().filter(|(name, _)| wanted(name)) {
        if old_fields.get(name) != Some(raw) {
            after.insert(name.to_owned(), read(&raw.text()));
        }
    }
    if writer.subresource != "status" {
        let meta = |object: &Object| {
            let mut meta = object.meta.clone();
            meta.managed_fields.clear();
            serde_json::to_value(meta).unwrap_or_default()
        };
        if let Some(old) = old {
            before.insert("metadata".to_owned(), meta(old));
        }
        after.insert("metadata".to_owned(), meta(new));
    }
    (before, after)
}

fn schema_of(row: &Resource) -> Schema {
    Type::of_row(row).schema()
}

fn json_patch(value: &mut Value, operations: Vec<Value>) -> Result<(), Status> {
    if operations.len() > MAX_OPERATIONS {
        return Err(Status::new(
            Reason::RequestEntityTooLarge,
            format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            ),
        ));
    }
    let operations: json_patch::Patch =
        serde_json::from_value(Value::Array(operations)).map_err(|_| rejected())?;
    for operation in &operations.0 {
        if !finds_nothing(value, operation) {
            json_patch::patch(value, std::slice::from_ref(operation)).map_err(|_| rejected())?;
        }
    }
    Ok(())
}

/// Does a `test` for null find its object, and the field not in it? That passes in Go's library
/// (`evanphx/json-patch`), and kube-rs and controller-runtime rely on it.
fn finds_nothing(value: &Value, operation: &json_patch::PatchOperation) -> bool {
    let json_patch::PatchOperation::Test(test) = operation else {
        return false;
    };
    let path = test.path.as_str();
    let parent = path
        .rsplit_once('/')
        .map(|(parent, _)| value.pointer(parent));
    let parent = parent.flatten().is_some_and(Value::is_object);
    test.value.is_null() && parent && value.pointer(path).is_none()
}

/// 422 without causes: what a failed `test` gets, and any operation that cannot be done.
fn rejected() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::new(Reason::Invalid, message).with_details(Details::default())
}

fn strategic_error(why: &strategic::BadPatch) -> Status {
    use strategic::BadPatch;
    match why {
        BadPatch::PrimitiveList | BadPatch::RetainKeys | BadPatch::Order => {
            Status::bad_request(why.to_string())
        }
        BadPatch::ListOfLists => rejected(),
        BadPatch::NoMergeKey { .. } | BadPatch::Directive { .. } => {
            Status::new(Reason::InternalError, why.to_string())
        }
    }
}

/// 422: after the patch it is no longer an object of its kind.
fn not_an_object(text: &str, why: &str) -> Status {
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {text:?}: {why}"),
        field: "patch".to_owned(),
    };
    let message = format!(" \"\" is invalid: patch: {}", cause.message);
    Status::new(Reason::Invalid, message).with_details(Details {
        causes: vec![cause],
        ..Details::default()
    })
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{ResourceId, Resources, ids};
    use proptest::prelude::*;
    use serde_json::json;

    fn writer(manager: &str) -> Writer<'_> {
        Writer {
            manager,
            subresource: "",
            applied: false,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn row(resource: ResourceId) -> Resource {
        Resources::default().get(resource).clone()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test hands in what it has just written"
    )]
    fn map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "n"}, "data": data})
    }

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn send(kind: PatchKind, body: &Value) -> Result<Value, Status> {
        let old = object(map(json!({"a": "1"})));
        let (new, _) = patched(
            &Type::of_row(&row(ids::CONFIGMAPS)),
            &old,
            kind,
            body.to_string().as_bytes(),
            Directive::Strict,
        )?;
        Ok(new.to_value()["data"].clone())
    }

    fn applies(
        old: Option<&Object>,
        who: &str,
        data: Value,
        force: bool,
    ) -> Result<Object, Status> {
        let body = map(data).to_string();
        apply(
            &row(ids::CONFIGMAPS),
            old,
            body.as_bytes(),
            &writer(who),
            force,
        )
    }

    fn owners(object: &Object) -> Vec<(String, String, Value)> {
        let each = object.meta.managed_fields.iter();
        each.map(|one| {
            let fields = serde_json::from_str(&one.fields_v1.as_ref().unwrap().text()).unwrap();
            (one.manager.clone(), one.operation.clone(), fields)
        })
        .collect()
    }

    fn owner(name: &str, operation: &str, fields: Value) -> (String, String, Value) {
        (name.to_owned(), operation.to_owned(), fields)
    }

    #[test]
    fn json_patches_are_answered_as_the_recorded_server_does() {
        let rejected = "the server rejected our request due to an error in our request";
        let table = [
            (
                json!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "2"}]),
                Ok(json!({"a": "2"})),
            ),
            (
                json!([{"op": "test", "path": "/data/a", "value": "2"}]),
                Err((422, rejected)),
            ),
            (
                json!([{"op": "remove", "path": "/data/zz"}]),
                Err((422, rejected)),
            ),
            (
                json!([{"op": "test", "path": "/data/zz", "value": null}, {"op": "add", "path": "/data/zz", "value": "3"}]),
                Ok(json!({"a": "1", "zz": "3"})),
            ),
            (
                json!([{"op": "test", "path": "/zz/a", "value": null}]),
                Err((422, rejected)),
            ),
            (
                json!([{"op": "jump", "path": "/data/zz"}]),
                Err((422, rejected)),
            ),
            (
                json!({"a": 1}),
                Err((
                    400,
                    "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
                )),
            ),
        ];
        for (body, wanted) in table {
            let got = send(PatchKind::Json, &body);
            let got = got.map_err(|status| (status.code, status.message));
            assert_eq!(
                got,
                wanted.map_err(|(code, text): (u16, &str)| (code, text.to_owned())),
                "{body}"
            );
        }
    }

    #[test]
    fn merge_patches_merge() {
        let body = json!({"data": {"a": null, "b": "2"}});
        assert_eq!(send(PatchKind::Merge, &body), Ok(json!({"b": "2"})));
        assert_eq!(send(PatchKind::Strategic, &body), Ok(json!({"b": "2"})));
        assert_eq!(send(PatchKind::Merge, &json!([])).unwrap_err().code, 400);
    }

    #[test]
    fn content_types_name_the_kind_of_patch() {
        let known = |custom, media| {
            let row = Resource {
                custom,
                ..row(ids::CONFIGMAPS)
            };
            PatchKind::of(&row, media).map_err(|status| status.code)
        };
        assert_eq!(
            known(false, "application/strategic-merge-patch+json"),
            Ok(PatchKind::Strategic)
        );
        assert_eq!(
            known(true, "application/strategic-merge-patch+json"),
            Err(415)
        );
        assert_eq!(
            known(true, "application/apply-patch+yaml; x"),
            Ok(PatchKind::Apply)
        );
        assert_eq!(known(false, "application/json"), Err(415));
    }

    #[test]
    fn managers_are_named_by_the_client() {
        assert_eq!(manager_name(Some("me"), "kubectl/v1"), "me");
        assert_eq!(
            manager_name(None, "kubectl/v1.36.3 (linux/amd64)"),
            "kubectl"
        );
        assert_eq!(manager_name(Some(""), ""), "unknown");
    }

    #[test]
    fn appliers_share_fight_and_give_up_as_the_recorded_ones() {
        let one = applies(None, "alice", json!({"a": "1", "b": "1"}), false).unwrap();
        assert_eq!(
            owners(&one),
            [owner(
                "alice",
                "Apply",
                json!({"f:data": {"f:a": {}, "f:b": {}}})
            )]
        );
        let refused = applies(Some(&one), "bob", json!({"a": "2", "b": "2"}), false).unwrap_err();
        assert_eq!(refused.code, 409);
        assert_eq!(
            refused.message,
            "Apply failed with 2 conflicts: conflicts with \"alice\":\n- .data.a\n- .data.b"
        );
        let refused = applies(Some(&one), "bob", json!({"a": "2"}), false).unwrap_err();
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"alice\": .data.a"
        );
        let cause = &refused.details.unwrap().causes[0];
        assert_eq!(
            (cause.reason.as_str(), cause.field.as_str()),
            ("FieldManagerConflict", ".data.a")
        );
        let forced = applies(Some(&one), "bob", json!({"a": "2"}), true).unwrap();
        assert_eq!(
            owners(&forced),
            [
                owner("alice", "Apply", json!({"f:data": {"f:b": {}}})),
                owner("bob", "Apply", json!({"f:data": {"f:a": {}}})),
            ]
        );
        let given = applies(Some(&forced), "alice", json!({}), false).unwrap();
        assert_eq!(given.to_value()["data"], json!({"a": "2"}));
        assert_eq!(
            owners(&given)[0],
            owner("alice", "Apply", json!({"f:data": {}}))
        );
    }

    #[test]
    fn an_update_takes_fields_and_an_apply_meets_it() {
        let row = row(ids::CONFIGMAPS);
        let old = applies(None, "bob", json!({"a": "2"}), false).unwrap();
        let mut new = old.clone();
        new.set("data", &json!({"a": "2", "c": "1"}));
        track(&row, Some(&old), &mut new, &writer("kubectl-edit"));
        assert_eq!(
            owners(&new)[1],
            owner("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}}))
        );
        let refused = applies(Some(&new), "bob", json!({"a": "2", "c": "3"}), false).unwrap_err();
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.c"
        );
        let mut back = new.clone();
        back.set("data", &json!({"a": "3"}));
        track(&row, Some(&new), &mut back, &writer("other"));
        assert_eq!(
            owners(&back),
            [owner("other", "Update", json!({"f:data": {"f:a": {}}}))]
        );
    }

    #[test]
    fn old_updaters_become_one() {
        let row = row(ids::CONFIGMAPS);
        let mut now = object(map(json!({})));
        for index in 0..15 {
            let old = now.clone();
            let mut data: Map<String, Value> = now.field("data").unwrap();
            data.insert(format!("k{index}"), json!("1"));
            now.set("data", &data);
            track(&row, Some(&old), &mut now, &writer(&format!("m{index:02}")));
        }
        let names: Vec<String> = owners(&now).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), 10);
        assert!(names.contains(&"ancient-changes".to_owned()));
    }

    fn data() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-d]", "[0-2]", 0..4).prop_map(|data| json!(data))
    }

    proptest! {
        #[test]
        fn the_same_apply_twice_changes_nothing(first in data(), second in data(), third in data()) {
            let one = applies(None, "alice", first, true).unwrap();
            let two = applies(Some(&one), "bob", second, true).unwrap();
            let three = applies(Some(&two), "alice", third.clone(), true).unwrap();
            let four = applies(Some(&three), "alice", third, false).unwrap();
            prop_assert_eq!(four, three);
        }

        #[test]
        fn no_body_makes_it_panic(body in "\\PC{0,60}", kind in 0..3_usize) {
            let kind = [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic][kind];
            let old = object(map(json!({"a": "1"})));
            let row = row(ids::CONFIGMAPS);
            let of = Type::of_row(&row);
            if let Err(status) = patched(&of, &old, kind, body.as_bytes(), Directive::Warn) {
                prop_assert!(status.code >= 400);
            }
            if let Err(status) = apply(&row, Some(&old), body.as_bytes(), &writer("x"), false) {
                prop_assert!(status.code >= 400);
            }
        }
    }
}
