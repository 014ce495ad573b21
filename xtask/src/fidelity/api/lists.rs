//! Lists: selectors, pages, versions, and what the server itself writes into objects.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{config_map, config_maps, idle_pod, version};
use crate::fidelity::Check;
use crate::fidelity::room::{Room, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("list: shape and order", shape),
    Check::new("list: label selectors", labels),
    Check::new("list: field selectors", fields),
    Check::new("list: selectors that cannot be read", bad_selectors),
    Check::new("list: pages are one picture", pages),
    Check::new("list: resourceVersion and resourceVersionMatch", versions),
    Check::new("list: resourceVersion of the future", future_version),
    Check::new("list: options that cannot be read", bad_options),
    Check::new("list: metadata only", partial),
    Check::new("create: generateName", generate_name),
    Check::new("create: metadata is the server's", server_metadata),
];

fn shape(room: &Room) -> Result<()> {
    config_maps(room, &["b", "a"])?;
    let list = room.get("configmaps")?;
    same!(list["kind"], "ConfigMapList");
    same!(list["apiVersion"], "v1");
    ensure!(
        version(&list).parse::<u64>().is_ok(),
        "no version: {}",
        list["metadata"]
    );
    let names = room.names("configmaps")?;
    same!(names, ["a", "b", "kube-root-ca.crt"]);
    // Items of a list carry no kind.
    same!(list["items"][0].get("kind"), None);
    let everywhere = room.get("/api/v1/configmaps?labelSelector=nobody%3Dhas")?;
    same!(everywhere["items"], json!([]));
    Ok(())
}

fn labels(room: &Room) -> Result<()> {
    for (name, tier, team) in [
        ("a", "web", "red"),
        ("b", "db", "red"),
        ("c", "web", "blue"),
    ] {
        let mut made = config_map(name);
        made["metadata"]["labels"] = json!({ "tier": tier, "team": team, name: "" });
        room.create("configmaps", &made)?;
    }
    for (selector, wanted) in [
        ("tier%3Dweb", "a c"),
        ("tier%3D%3Dweb,team!%3Dblue", "a"),
        ("tier%20in%20(db,%20web),team%20notin%20(red)", "c"),
        ("b", "b"),
        ("team,!b", "a c"),
        ("tier!%3Dweb", "b kube-root-ca.crt"),
        ("tier%20notin%20(web)", "b kube-root-ca.crt"),
        ("tier%20in%20(nobody)", ""),
    ] {
        let names = room.names(&format!("configmaps?labelSelector={selector}"))?;
        ensure!(names.join(" ") == wanted, "{selector}: {names:?}");
    }
    Ok(())
}

fn fields(room: &Room) -> Result<()> {
    config_maps(room, &["a", "b"])?;
    let one = room.names("configmaps?fieldSelector=metadata.name%3Da")?;
    same!(one, ["a"]);
    let others = room.names("configmaps?fieldSelector=metadata.name!%3Da")?;
    same!(others, ["b", "kube-root-ca.crt"]);
    room.create("pods", &idle_pod("idle"))?;
    for (selector, wanted) in [
        ("status.phase%3DPending", 1),
        ("status.phase!%3DPending", 0),
        ("spec.nodeName%3D", 1),
        ("spec.schedulerName%3Dnobody,spec.restartPolicy%3DAlways", 1),
    ] {
        let found = room.names(&format!("pods?fieldSelector={selector}"))?.len();
        ensure!(found == wanted, "{selector}: {found}");
    }
    Ok(())
}

fn bad_selectors(room: &Room) -> Result<()> {
    let message =
        "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    let answer = room.read("configmaps?fieldSelector=data.a%3D1")?;
    answer.refused(400, "BadRequest", message)?;
    let message = "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt";
    let answer = room.read("configmaps?labelSelector=a%20b%20c")?;
    answer.refused(400, "BadRequest", message)?;
    Ok(())
}

fn pages(room: &Room) -> Result<()> {
    config_maps(room, &["a", "b", "c", "e"])?;
    let first = room.get("configmaps?limit=2")?;
    same!(first["items"][1]["metadata"]["name"], "b");
    same!(first["metadata"]["remainingItemCount"], 3);
    config_maps(room, &["d"])?;
    let token = text(&first["metadata"]["continue"]);
    let second = room.get(&format!("configmaps?limit=2&continue={token}"))?;
    same!(second["items"][0]["metadata"]["name"], "c");
    same!(second["items"][1]["metadata"]["name"], "e");
    same!(version(&second), version(&first));
    let token = text(&second["metadata"]["continue"]);
    let last = room.get(&format!("configmaps?limit=2&continue={token}"))?;
    same!(last["items"].as_array().map(Vec::len), Some(1));
    same!(last["metadata"].get("continue"), None);
    same!(last["metadata"].get("remainingItemCount"), None);
    Ok(())
}

fn versions(room: &Room) -> Result<()> {
    let old = config_maps(room, &["a", "b"])?;
    room.delete("configmaps/a")?.is(200)?;
    let at = version(&old);
    let exact = format!("configmaps?resourceVersion={at}&resourceVersionMatch=Exact");
    same!(room.names(&exact)?, ["a", "b", "kube-root-ca.crt"]);
    same!(version(&room.get(&exact)?), at);
    let newer = format!("configmaps?resourceVersion={at}&resourceVersionMatch=NotOlderThan");
    let found = version(&room.get(&newer)?);
    ensure!(
        found.parse::<u64>()? >= at.parse()?,
        "{found} is older than {at}"
    );
    let any = room.get("configmaps?resourceVersion=0")?;
    same!(any["kind"], "ConfigMapList");
    let one = room.get("configmaps/b?resourceVersion=0")?;
    same!(one["metadata"]["name"], "b");
    Ok(())
}

fn future_version(room: &Room) -> Result<()> {
    let answer = room.read("configmaps?resourceVersion=999999999&timeoutSeconds=1")?;
    let status = answer.status(504, "Timeout")?;
    crate::fidelity::room::shaped(
        &status["message"],
        "Timeout: Too large resource version: 999999999, current: ",
        "",
    )?;
    same!(
        status["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    same!(status["details"]["retryAfterSeconds"], 1);
    Ok(())
}

fn bad_options(room: &Room) -> Result<()> {
    for (query, begin) in [
        ("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("continue=abc", "invalid continue token: "),
        ("resourceVersion=abc", "invalid resource version: "),
    ] {
        let status = room
            .read(&format!("configmaps?{query}"))?
            .status(400, "BadRequest")?;
        crate::fidelity::room::shaped(&status["message"], begin, "")?;
    }
    let message = "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
        resourceVersionMatch is forbidden unless resourceVersion is provided";
    let answer = room.read("configmaps?resourceVersionMatch=Exact")?;
    answer.refused(422, "Invalid", message)?;
    Ok(())
}

fn partial(room: &Room) -> Result<()> {
    config_maps(room, &["a"])?;
    let form = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = room.get_as("configmaps?fieldSelector=metadata.name%3Da", form)?;
    same!(list["kind"], "PartialObjectMetadataList");
    same!(list["apiVersion"], "meta.k8s.io/v1");
    same!(list["items"][0]["kind"], "PartialObjectMetadata");
    same!(list["items"][0]["metadata"]["name"], "a");
    same!(list["items"][0].get("data"), None);
    let form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = room.get_as("configmaps/a", form)?;
    same!(one["kind"], "PartialObjectMetadata");
    Ok(())
}

fn generate_name(room: &Room) -> Result<()> {
    let wanted = json!({ "metadata": { "generateName": "run-" } });
    let names = [
        room.create("configmaps", &wanted)?,
        room.create("configmaps", &wanted)?,
    ]
    .map(|made| text(&made["metadata"]["name"]));
    ensure!(names[0] != names[1], "the same name twice: {names:?}");
    for name in names {
        let end = name.strip_prefix("run-").unwrap_or_default();
        let fits = end.len() == 5
            && end
                .chars()
                .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c));
        ensure!(
            fits,
            "{name} is not run- and five of the letters that make no words"
        );
    }
    Ok(())
}

fn server_metadata(room: &Room) -> Result<()> {
    let mut wanted = config_map("it");
    wanted["metadata"]["uid"] = json!("mine");
    wanted["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let made = room.create("configmaps", &wanted)?;
    let metadata = &made["metadata"];
    same!(text(&metadata["uid"]).len(), 36);
    ensure!(
        metadata["creationTimestamp"] != "2001-01-01T00:00:00Z",
        "{metadata}"
    );
    same!(
        text(&metadata["creationTimestamp"]).len(),
        "2001-01-01T00:00:00Z".len()
    );
    same!(metadata["namespace"], room.namespace.as_str());
    Ok(())
}
