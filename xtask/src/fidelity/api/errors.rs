//! Refusals: code, reason, message, details.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use super::{config_map, idle_deployment};
use crate::fidelity::Check;
use crate::fidelity::room::{MERGE_PATCH, Room, same, shaped};

pub(super) const CHECKS: &[Check] = &[
    Check::new("create: already exists", already_exists),
    Check::new("get, patch, put, delete: not found", not_found),
    Check::new("resource or group that is not there", unknown_resource),
    Check::new("namespace that is not there", unknown_namespace),
    Check::new("put: stale resourceVersion", stale_put),
    Check::new("put: names in URL and body differ", other_name),
    Check::new("post: body that cannot be read", broken_body),
    Check::new("post: names are validated", bad_names),
    Check::new("post: resourceVersion set", version_set),
    Check::new("media types that are not known", media_types),
    Check::new("method not allowed", method_not_allowed),
    Check::new("field that is not known, strict", strict_fields),
];

fn already_exists(room: &Room) -> Result<()> {
    room.create("configmaps", &config_map("one"))?;
    let status = room.post("configmaps", &config_map("one"))?.refused(
        409,
        "AlreadyExists",
        "configmaps \"one\" already exists",
    )?;
    same!(
        status["details"],
        json!({ "name": "one", "kind": "configmaps" })
    );
    room.create("deployments", &idle_deployment("one"))?;
    let message = "deployments.apps \"one\" already exists";
    room.post("deployments", &idle_deployment("one"))?
        .refused(409, "AlreadyExists", message)?;
    Ok(())
}

fn not_found(room: &Room) -> Result<()> {
    let message = "configmaps \"none\" not found";
    let status = room
        .read("configmaps/none")?
        .refused(404, "NotFound", message)?;
    same!(
        status["details"],
        json!({ "name": "none", "kind": "configmaps" })
    );
    same!(status["metadata"], json!({}));
    room.patch(MERGE_PATCH, "configmaps/none", &json!({}))?
        .refused(404, "NotFound", message)?;
    room.put("configmaps/none", &config_map("none"))?
        .refused(404, "NotFound", message)?;
    room.delete("configmaps/none")?
        .refused(404, "NotFound", message)?;
    let message = "deployments.apps \"none\" not found";
    let status = room
        .read("deployments/none")?
        .refused(404, "NotFound", message)?;
    same!(
        status["details"],
        json!({ "name": "none", "group": "apps", "kind": "deployments" })
    );
    Ok(())
}

fn unknown_resource(room: &Room) -> Result<()> {
    let message = "the server could not find the requested resource";
    room.read("things")?.refused(404, "NotFound", message)?;
    let answer = room.read("/apis/nothing.example/v1/things")?;
    same!(answer.code, 404);
    same!(answer.text, "404 page not found\n");
    Ok(())
}

fn unknown_namespace(room: &Room) -> Result<()> {
    let message = "namespaces \"nowhere\" not found";
    let answer = room.post("/api/v1/namespaces/nowhere/configmaps", &config_map("one"))?;
    answer.refused(404, "NotFound", message)?;
    let list = room.get("/api/v1/namespaces/nowhere/configmaps")?;
    same!(list["items"], json!([]));
    Ok(())
}

fn stale_put(room: &Room) -> Result<()> {
    let message = "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; \
        please apply your changes to the latest version and try again";
    let old = room.create("configmaps", &config_map("one"))?;
    room.merge("configmaps/one", &json!({ "data": { "a": "2" } }))?;
    let status = room
        .put("configmaps/one", &old)?
        .refused(409, "Conflict", message)?;
    same!(
        status["details"],
        json!({ "name": "one", "kind": "configmaps" })
    );
    // Without a version the last writer wins.
    let written = room.put("configmaps/one", &config_map("one"))?.is(200)?;
    same!(written["data"]["a"], "1");
    same!(written["metadata"]["uid"], old["metadata"]["uid"]);
    Ok(())
}

fn other_name(room: &Room) -> Result<()> {
    room.create("configmaps", &config_map("one"))?;
    let message = "the name of the object (two) does not match the name on the URL (one)";
    room.put("configmaps/one", &config_map("two"))?
        .refused(400, "BadRequest", message)?;
    let mut moved = config_map("one");
    moved["metadata"]["namespace"] = json!("other");
    let message =
        "the namespace of the provided object does not match the namespace sent on the request";
    room.put("configmaps/one", &moved)?
        .refused(400, "BadRequest", message)?;
    Ok(())
}

fn broken_body(room: &Room) -> Result<()> {
    for body in ["{nope", "", "[]", "{\"metadata\":[]}"] {
        let request = room
            .target
            .admin
            .request(Method::POST, &room.path("configmaps"));
        request
            .body("application/json", body.to_owned())
            .send()?
            .status(400, "BadRequest")?;
    }
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" } });
    let status = room.post("configmaps", &pod)?.status(400, "BadRequest")?;
    let begin = "Pod in version \"v1\" cannot be handled as a ConfigMap";
    shaped(&status["message"], begin, "")?;
    let mut wrong = config_map("x");
    wrong["data"]["a"] = json!(1);
    room.post("configmaps", &wrong)?.status(400, "BadRequest")?;
    Ok(())
}

fn bad_names(room: &Room) -> Result<()> {
    let status = room
        .post("configmaps", &config_map("Not_Good"))?
        .status(422, "Invalid")?;
    let begin = "ConfigMap \"Not_Good\" is invalid: metadata.name: Invalid value: \"Not_Good\": \
        a lowercase RFC 1123 subdomain must consist of";
    shaped(&status["message"], begin, "")?;
    same!(status["details"]["kind"], "ConfigMap");
    same!(
        status["details"]["causes"][0]["reason"],
        "FieldValueInvalid"
    );
    same!(status["details"]["causes"][0]["field"], "metadata.name");
    let message = "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required";
    let status = room
        .post("configmaps", &json!({}))?
        .refused(422, "Invalid", message)?;
    same!(
        status["details"]["causes"][0]["reason"],
        "FieldValueRequired"
    );
    // A Service's name is a label of DNS, and a Namespace's too.
    let service = json!({ "metadata": { "name": "a.b" }, "spec": { "ports": [{ "port": 80 }] } });
    room.post("services", &service)?.status(422, "Invalid")?;
    Ok(())
}

fn version_set(room: &Room) -> Result<()> {
    let mut made = config_map("x");
    made["metadata"]["resourceVersion"] = json!("5");
    let message = "resourceVersion should not be set on objects to be created";
    room.post("configmaps", &made)?.refused(500, "", message)?;
    Ok(())
}

fn media_types(room: &Room) -> Result<()> {
    let admin = &room.target.admin;
    let request = admin.request(Method::POST, &room.path("configmaps"));
    let body = config_map("one").to_string();
    request
        .body("text/plain", body)
        .send()?
        .status(415, "UnsupportedMediaType")?;
    room.create("configmaps", &config_map("one"))?;
    let patched = room.patch("application/json", "configmaps/one", &json!({}))?;
    patched.status(415, "UnsupportedMediaType")?;
    let request = admin.request(Method::GET, &room.path("configmaps"));
    same!(request.accept("text/plain").send()?.code, 406);
    // YAML is understood.
    let request = admin.request(Method::POST, &room.path("configmaps"));
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\ndata: {b: '2'}\n";
    let made = request
        .body("application/yaml", yaml.to_owned())
        .send()?
        .is(201)?;
    same!(made["data"]["b"], "2");
    Ok(())
}

fn method_not_allowed(room: &Room) -> Result<()> {
    room.create("configmaps", &config_map("one"))?;
    let message = "the server does not allow this method on the requested resource";
    let answer = room.post("configmaps/one", &config_map("one"))?;
    answer.refused(405, "MethodNotAllowed", message)?;
    Ok(())
}

fn strict_fields(room: &Room) -> Result<()> {
    let mut made = config_map("one");
    made["extra"] = json!(1);
    let message = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
        unknown field \"extra\"";
    let answer = room.post("configmaps?fieldValidation=Strict", &made)?;
    answer.refused(400, "BadRequest", message)?;
    // Without Strict it is dropped.
    let kept = room.create("configmaps", &made)?;
    same!(kept.get("extra"), None);
    Ok(())
}
