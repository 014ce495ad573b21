//! Watches: order, resuming, selectors, bookmarks, the end.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{config_map, config_maps, version};
use crate::fidelity::Check;
use crate::fidelity::room::{Room, same, text};

const NAMED: &str = "configmaps?fieldSelector=metadata.name%3Dit";

pub(super) const CHECKS: &[Check] = &[
    Check::new("watch: added, modified, deleted in order", order),
    Check::new("watch: goes on where it was left", resume),
    Check::new("watch: an object enters and leaves a selection", selection),
    Check::new("watch: begins with what is there", begins),
    Check::new("watch: initial events end with a bookmark", initial_events),
    Check::new("watch: a bookmark before the time is over", bookmark),
    Check::new("watch: metadata and tables", forms),
    Check::new("watch: one object, by its old path too", one_object),
];

fn order(room: &Room) -> Result<()> {
    let start = version(&room.get("configmaps")?);
    let mut watch = room.watch(&format!("{NAMED}&resourceVersion={start}"))?;
    let made = room.create("configmaps", &config_map("it"))?;
    room.create("configmaps", &config_map("other"))?;
    let changed = room.merge("configmaps/it", &json!({ "data": { "a": "2" } }))?;
    room.delete("configmaps/it")?.is(200)?;
    same!(watch.expect("ADDED")?, made);
    same!(watch.expect("MODIFIED")?, changed);
    let last = watch.expect("DELETED")?;
    same!(last["data"]["a"], "2");
    let versions = [made, changed, last].map(|object| version(&object).parse::<u64>());
    let [a, b, c] = versions;
    ensure!(a? < b.clone()? && b? < c?, "the versions do not rise");
    Ok(())
}

fn resume(room: &Room) -> Result<()> {
    let first = room.create("configmaps", &config_map("it"))?;
    for value in ["2", "3", "4"] {
        room.merge("configmaps/it", &json!({ "data": { "a": value } }))?;
    }
    let mut watch = room.watch(&format!("{NAMED}&resourceVersion={}", version(&first)))?;
    let second = watch.expect("MODIFIED")?;
    same!(second["data"]["a"], "2");
    drop(watch);
    let mut watch = room.watch(&format!("{NAMED}&resourceVersion={}", version(&second)))?;
    same!(watch.expect("MODIFIED")?["data"]["a"], "3");
    same!(watch.expect("MODIFIED")?["data"]["a"], "4");
    Ok(())
}

fn selection(room: &Room) -> Result<()> {
    let start = version(&config_maps(room, &["it"])?);
    let mut watch = room.watch(&format!(
        "configmaps?labelSelector=on&resourceVersion={start}"
    ))?;
    room.merge(
        "configmaps/it",
        &json!({ "metadata": { "labels": { "on": "1" } } }),
    )?;
    room.merge(
        "configmaps/it",
        &json!({ "metadata": { "labels": { "on": "2" } } }),
    )?;
    let out = room.merge(
        "configmaps/it",
        &json!({ "metadata": { "labels": { "on": null } } }),
    )?;
    same!(watch.expect("ADDED")?["metadata"]["labels"]["on"], "1");
    same!(watch.expect("MODIFIED")?["metadata"]["labels"]["on"], "2");
    let left = watch.expect("DELETED")?;
    // Its last look within the selection, at the version of the change.
    same!(left["metadata"]["labels"]["on"], "2");
    same!(version(&left), version(&out));
    Ok(())
}

fn begins(room: &Room) -> Result<()> {
    config_maps(room, &["b", "a"])?;
    for query in ["configmaps", "configmaps?resourceVersion=0"] {
        let mut watch = room.watch(query)?;
        let mut names: Vec<String> = Vec::new();
        for _ in 0..3 {
            names.push(text(&watch.expect("ADDED")?["metadata"]["name"]));
        }
        names.sort();
        same!(names, ["a", "b", "kube-root-ca.crt"]);
    }
    Ok(())
}

fn initial_events(room: &Room) -> Result<()> {
    config_maps(room, &["a", "b"])?;
    let query = "configmaps?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = room.watch(query)?;
    for _ in 0..3 {
        watch.expect("ADDED")?;
    }
    let mark = watch.expect("BOOKMARK")?;
    same!(mark["kind"], "ConfigMap");
    same!(
        mark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    ensure!(version(&mark).parse::<u64>()? > 0, "{mark}");
    room.merge("configmaps/a", &json!({ "data": { "a": "2" } }))?;
    watch.expect("MODIFIED")?;
    Ok(())
}

fn bookmark(room: &Room) -> Result<()> {
    let start = version(&config_maps(room, &["it"])?);
    let query = "allowWatchBookmarks=true&timeoutSeconds=6";
    // It is due two seconds before the end (`cacher.go`): a server that is late ends a watch without.
    room.wait("a watch with a bookmark", |room| {
        let mut watch = room.watch(&format!("configmaps?resourceVersion={start}&{query}"))?;
        let mut marked = false;
        // The server ends the watch in time, without an error.
        while let Some(line) = watch.line()? {
            let event: Value = serde_json::from_str(&line)?;
            ensure!(event["type"] == "BOOKMARK", "{event}");
            same!(event["object"]["kind"], "ConfigMap");
            ensure!(
                version(&event["object"]).parse::<u64>()? >= start.parse()?,
                "{event}"
            );
            marked = true;
        }
        Ok(marked)
    })
}

fn forms(room: &Room) -> Result<()> {
    config_maps(room, &["it"])?;
    let path = room.path(&format!("{NAMED}&watch=true"));
    let admin = &room.target.admin;
    for (form, kind) in [
        ("PartialObjectMetadata", "PartialObjectMetadata"),
        ("Table", "Table"),
    ] {
        let form = format!("application/json;as={form};g=meta.k8s.io;v=v1");
        let mut watch = admin
            .request(reqwest::Method::GET, &path)
            .accept(&form)
            .stream()?;
        same!(watch.expect("ADDED")?["kind"], kind);
    }
    Ok(())
}

fn one_object(room: &Room) -> Result<()> {
    config_maps(room, &["it", "other"])?;
    let mut watch = room.watch(NAMED)?;
    same!(watch.expect("ADDED")?["metadata"]["name"], "it");
    let old = format!("/api/v1/watch/namespaces/{}/configmaps/it", room.namespace);
    let mut watch = room
        .target
        .admin
        .request(reqwest::Method::GET, &old)
        .stream()?;
    same!(watch.expect("ADDED")?["metadata"]["name"], "it");
    Ok(())
}
