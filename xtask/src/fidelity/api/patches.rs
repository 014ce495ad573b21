//! JSON patch, merge patch, strategic merge patch.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{config_map, idle_deployment, version};
use crate::fidelity::Check;
use crate::fidelity::room::{JSON_PATCH, MERGE_PATCH, Room, same};

pub(super) const CHECKS: &[Check] = &[
    Check::new("json patch: operations and escapes", json_operations),
    Check::new("json patch: refusals", json_refusals),
    Check::new("merge patch: null removes, lists are replaced", merging),
    Check::new("patch: resourceVersion is a precondition", preconditions),
    Check::new("patch: what changes nothing writes nothing", no_change),
    Check::new("patch: generation follows spec", generation),
    Check::new("strategic: containers and env by name", by_name),
    Check::new(
        "strategic: ports, mounts and volumes by their keys",
        by_other_keys,
    ),
    Check::new("strategic: $patch and primitive lists", directives),
    Check::new("strategic: tolerations are replaced", atomic_lists),
    Check::new("strategic: strategy keeps only its keys", retain_keys),
];

fn json_operations(room: &Room) -> Result<()> {
    room.create("configmaps", &config_map("it"))?;
    let operations = json!([
        { "op": "test", "path": "/data/a", "value": "1" },
        { "op": "add", "path": "/metadata/labels", "value": { "example.com/x": "1" } },
        { "op": "replace", "path": "/metadata/labels/example.com~1x", "value": "2" },
        { "op": "copy", "from": "/data/a", "path": "/data/b" },
        { "op": "move", "from": "/data/a", "path": "/data/c" },
    ]);
    let found = room
        .patch(JSON_PATCH, "configmaps/it", &operations)?
        .is(200)?;
    same!(found["data"], json!({ "b": "1", "c": "1" }));
    same!(found["metadata"]["labels"], json!({ "example.com/x": "2" }));
    Ok(())
}

fn json_refusals(room: &Room) -> Result<()> {
    let made = room.create("configmaps", &config_map("it"))?;
    let message = "the server rejected our request due to an error in our request";
    for operation in [
        json!({ "op": "test", "path": "/data/a", "value": "2" }),
        json!({ "op": "remove", "path": "/data/none" }),
        json!({ "op": "jump", "path": "/data/a" }),
    ] {
        let answer = room.patch(JSON_PATCH, "configmaps/it", &json!([operation]))?;
        let status = answer.refused(422, "Invalid", message)?;
        same!(status["details"], json!({}));
    }
    room.patch(JSON_PATCH, "configmaps/it", &json!({ "a": 1 }))?
        .status(400, "BadRequest")?;
    same!(room.get("configmaps/it")?, made);
    Ok(())
}

fn merging(room: &Room) -> Result<()> {
    let mut made = config_map("it");
    made["metadata"]["finalizers"] = json!(["example.com/a"]);
    room.create("configmaps", &made)?;
    let change = json!({
        "metadata": { "finalizers": ["example.com/b"] },
        "data": { "a": null, "b": "2", "none": null },
    });
    let found = room.merge("configmaps/it", &change)?;
    same!(found["data"], json!({ "b": "2" }));
    same!(found["metadata"]["finalizers"], json!(["example.com/b"]));
    let found = room.merge(
        "configmaps/it",
        &json!({ "metadata": { "finalizers": null }, "data": null }),
    )?;
    same!(found.get("data"), None);
    same!(found["metadata"].get("finalizers"), None);
    let message = "the name of the object (two) does not match the name on the URL (it)";
    let renamed = room.patch(
        MERGE_PATCH,
        "configmaps/it",
        &json!({ "metadata": { "name": "two" } }),
    )?;
    renamed.refused(400, "BadRequest", message)?;
    Ok(())
}

fn preconditions(room: &Room) -> Result<()> {
    let old = room.create("configmaps", &config_map("it"))?;
    let new = room.merge("configmaps/it", &json!({ "data": { "a": "2" } }))?;
    let message = "Operation cannot be fulfilled on configmaps \"it\": the object has been modified; \
        please apply your changes to the latest version and try again";
    let merge = |found: &Value| json!({ "metadata": { "resourceVersion": version(found) }, "data": { "a": "3" } });
    room.patch(MERGE_PATCH, "configmaps/it", &merge(&old))?
        .refused(409, "Conflict", message)?;
    let replace = |found: &Value| {
        json!([
            { "op": "replace", "path": "/metadata/resourceVersion", "value": version(found) },
            { "op": "add", "path": "/data/b", "value": "1" },
        ])
    };
    let stale = room.patch(JSON_PATCH, "configmaps/it", &replace(&old))?;
    stale.refused(409, "Conflict", message)?;
    let found = room
        .patch(JSON_PATCH, "configmaps/it", &replace(&new))?
        .is(200)?;
    same!(found["data"], json!({ "a": "2", "b": "1" }));
    Ok(())
}

fn no_change(room: &Room) -> Result<()> {
    let made = room.create("configmaps", &config_map("it"))?;
    let again = room.merge("configmaps/it", &json!({ "data": { "a": "1" } }))?;
    same!(version(&again), version(&made));
    let put = room.put("configmaps/it", &made)?.is(200)?;
    same!(version(&put), version(&made));
    Ok(())
}

fn generation(room: &Room) -> Result<()> {
    let mut wanted = idle_deployment("it");
    wanted["spec"]["paused"] = json!(true);
    let made = room.create("deployments", &wanted)?;
    same!(made["metadata"]["generation"], 1);
    let labelled = room.merge(
        "deployments/it",
        &json!({ "metadata": { "labels": { "a": "b" } } }),
    )?;
    same!(labelled["metadata"]["generation"], 1);
    let changed = room.merge(
        "deployments/it",
        &json!({ "spec": { "minReadySeconds": 1 } }),
    )?;
    same!(changed["metadata"]["generation"], 2);
    Ok(())
}

/// A Deployment with two containers.
fn pair(room: &Room) -> Result<()> {
    let mut wanted = idle_deployment("it");
    wanted["spec"]["template"]["spec"]["containers"] = json!([
        {
            "name": "main", "image": "img.test/app:1", "args": ["a", "b"],
            "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "1" }],
            "ports": [{ "containerPort": 80 }, { "containerPort": 53, "protocol": "UDP" }],
            "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
        },
        { "name": "side", "image": "img.test/app:1" },
    ]);
    wanted["spec"]["template"]["spec"]["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
    wanted["spec"]["template"]["spec"]["tolerations"] =
        json!([{ "key": "a", "operator": "Exists" }, { "key": "b", "operator": "Exists" }]);
    room.create("deployments", &wanted).map(drop)
}

/// Patches the pod template's spec strategically and returns it.
fn change(room: &Room, spec: &Value) -> Result<Value> {
    let patch = json!({ "spec": { "template": { "spec": spec } } });
    let mut found = room.strategic("deployments/it", &patch)?;
    Ok(found["spec"]["template"]["spec"].take())
}

/// One word an item of a list.
fn words(list: &Value, key: &str) -> String {
    let items = list.as_array().into_iter().flatten();
    let words: Vec<_> = items
        .map(|item| item[key].to_string().replace('"', ""))
        .collect();
    words.join(" ")
}

fn by_name(room: &Room) -> Result<()> {
    pair(room)?;
    let spec = change(
        room,
        &json!({ "containers": [{
        "name": "main", "args": ["c"],
        "env": [{ "name": "B", "value": "2" }, { "name": "C", "value": "3" }],
    }] }),
    )?;
    same!(words(&spec["containers"], "name"), "main side");
    let main = &spec["containers"][0];
    same!(main["image"], "img.test/app:1");
    same!(main["args"], json!(["c"]));
    let mut env = [("A", "1"), ("B", "2"), ("C", "3")]
        .map(|(name, value)| json!({ "name": name, "value": value }));
    let mut found = main["env"].as_array().cloned().unwrap_or_default();
    let by_name = |one: &Value| one["name"].to_string();
    found.sort_by_key(by_name);
    env.sort_by_key(by_name);
    same!(found, env);
    // A new container comes first, and an order that is asked for is kept.
    let spec = change(
        room,
        &json!({ "containers": [{ "name": "new", "image": "x" }] }),
    )?;
    same!(words(&spec["containers"], "name"), "new main side");
    let order = json!([{ "name": "side" }, { "name": "main" }, { "name": "new" }]);
    let spec = change(room, &json!({ "$setElementOrder/containers": order }))?;
    same!(words(&spec["containers"], "name"), "side main new");
    Ok(())
}

fn by_other_keys(room: &Room) -> Result<()> {
    pair(room)?;
    let spec = change(
        room,
        &json!({
            "containers": [{
                "name": "main",
                "ports": [{ "containerPort": 80, "name": "http" }],
                "volumeMounts": [{ "name": "v", "mountPath": "/v", "readOnly": true }],
            }],
            "volumes": [{ "name": "v", "emptyDir": null, "configMap": { "name": "c" } }],
        }),
    )?;
    let main = &spec["containers"][0];
    same!(words(&main["ports"], "containerPort"), "80 53");
    same!(main["ports"][0]["name"], "http");
    same!(main["ports"][0]["protocol"], "TCP");
    same!(
        main["volumeMounts"],
        json!([{ "name": "v", "mountPath": "/v", "readOnly": true }])
    );
    same!(spec["volumes"][0].get("emptyDir"), None);
    same!(spec["volumes"][0]["configMap"]["name"], "c");
    Ok(())
}

fn directives(room: &Room) -> Result<()> {
    pair(room)?;
    let spec = change(
        room,
        &json!({ "containers": [{ "name": "side", "$patch": "delete" }] }),
    )?;
    same!(words(&spec["containers"], "name"), "main");
    let spec = change(
        room,
        &json!({ "containers": [
        { "name": "only", "image": "x" }, { "$patch": "replace" },
    ] }),
    )?;
    same!(words(&spec["containers"], "name"), "only");
    let spec = change(
        room,
        &json!({ "containers": [{ "name": "only", "$patch": "replace", "image": "y" }] }),
    );
    ensure!(
        spec.is_err() || spec.is_ok_and(|spec| spec["containers"][0]["image"] == "y"),
        "not replaced"
    );
    let finalizers = |list: Value| json!({ "metadata": list });
    room.strategic(
        "deployments/it",
        &finalizers(json!({ "finalizers": ["example.com/a"] })),
    )?;
    let two = room.strategic(
        "deployments/it",
        &finalizers(json!({ "finalizers": ["example.com/b"] })),
    )?;
    // What is new comes first.
    same!(
        two["metadata"]["finalizers"],
        json!(["example.com/b", "example.com/a"])
    );
    let one = json!({ "$deleteFromPrimitiveList/finalizers": ["example.com/a"] });
    let one = room.strategic("deployments/it", &finalizers(one))?;
    same!(one["metadata"]["finalizers"], json!(["example.com/b"]));
    room.strategic("deployments/it", &finalizers(json!({ "finalizers": null })))
        .map(drop)
}

fn atomic_lists(room: &Room) -> Result<()> {
    pair(room)?;
    let spec = change(
        room,
        &json!({ "tolerations": [{ "key": "c", "operator": "Exists" }] }),
    )?;
    same!(words(&spec["tolerations"], "key"), "c");
    let spec = change(room, &json!({ "nodeSelector": { "a": "1" } }))?;
    same!(spec["nodeSelector"], json!({ "a": "1" }));
    let spec = change(room, &json!({ "nodeSelector": { "b": "1" } }))?;
    same!(spec["nodeSelector"], json!({ "a": "1", "b": "1" }));
    Ok(())
}

fn retain_keys(room: &Room) -> Result<()> {
    let made = room.create("deployments", &idle_deployment("it"))?;
    let defaults = json!({ "maxSurge": "25%", "maxUnavailable": "25%" });
    same!(made["spec"]["strategy"]["rollingUpdate"], defaults);
    let change = json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } });
    let found = room.strategic("deployments/it", &change)?;
    same!(found["spec"]["strategy"], json!({ "type": "Recreate" }));
    Ok(())
}
