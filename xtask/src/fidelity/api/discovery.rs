//! What there is: discovery, tables, kinds that users add, events by both names.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{config_maps, idle_deployment};
use crate::fidelity::Check;
use crate::fidelity::pods::{Does, pod};
use crate::fidelity::room::{Room, same, text};

pub(super) const CHECKS: &[Check] = &[
    Check::new("discovery: plain", plain),
    Check::new("discovery: aggregated", aggregated),
    Check::new("discovery: version, health, OpenAPI", version_and_health),
    Check::new("tables: columns of pods", pod_columns),
    Check::new("tables: columns of other kinds", other_columns),
    Check::new("tables: what each row carries", row_objects),
    Check::new("crd: a new kind is served", custom_kind),
    Check::new("events: two groups, one storage", events),
];

/// An entry of a list by a field.
fn entry<'l>(list: &'l Value, key: &str, wanted: &str) -> Result<&'l Value> {
    let mut items = list.as_array().into_iter().flatten();
    items
        .find(|item| item[key] == wanted)
        .with_context(|| format!("no {wanted}"))
}

fn plain(room: &Room) -> Result<()> {
    same!(room.get("/api")?["versions"], json!(["v1"]));
    let core = room.get("/api/v1")?;
    same!(core["kind"], "APIResourceList");
    same!(core["groupVersion"], "v1");
    let pods = entry(&core["resources"], "name", "pods")?;
    same!(pods["kind"], "Pod");
    same!(pods["singularName"], "pod");
    same!(pods["namespaced"], true);
    same!(pods["shortNames"], json!(["po"]));
    same!(pods["categories"], json!(["all"]));
    let verbs = [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ];
    same!(pods["verbs"], json!(verbs));
    let eviction = entry(&core["resources"], "name", "pods/eviction")?;
    same!(eviction["group"], "policy");
    same!(eviction["kind"], "Eviction");
    entry(&core["resources"], "name", "pods/log")?;
    let groups = room.get("/apis")?;
    same!(groups["kind"], "APIGroupList");
    for name in [
        "apps",
        "batch",
        "autoscaling",
        "policy",
        "networking.k8s.io",
        "discovery.k8s.io",
        "storage.k8s.io",
        "rbac.authorization.k8s.io",
        "coordination.k8s.io",
        "events.k8s.io",
        "authorization.k8s.io",
        "authentication.k8s.io",
        "admissionregistration.k8s.io",
        "apiregistration.k8s.io",
        "apiextensions.k8s.io",
    ] {
        entry(&groups["groups"], "name", name)?;
    }
    let apps = entry(&groups["groups"], "name", "apps")?;
    same!(
        apps["preferredVersion"],
        json!({ "groupVersion": "apps/v1", "version": "v1" })
    );
    let scale = room.get("/apis/apps/v1")?;
    let scale = entry(&scale["resources"], "name", "deployments/scale")?;
    same!(scale["group"], "autoscaling");
    same!(scale["kind"], "Scale");
    Ok(())
}

fn aggregated(room: &Room) -> Result<()> {
    let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    for (path, group, resource, short) in [
        ("/api", "", "pods", "po"),
        ("/apis", "apps", "deployments", "deploy"),
    ] {
        let list = room.get_as(path, form)?;
        same!(list["kind"], "APIGroupDiscoveryList");
        same!(list["apiVersion"], "apidiscovery.k8s.io/v2");
        let items = list["items"].as_array().context("no items")?;
        let found = items
            .iter()
            .find(|item| text(&item["metadata"]["name"]) == group);
        let version = &found.context("no group")?["versions"][0];
        same!(version["version"], "v1");
        same!(version["freshness"], "Current");
        let found = entry(&version["resources"], "resource", resource)?;
        same!(found["scope"], "Namespaced");
        same!(found["shortNames"], json!([short]));
        entry(&found["subresources"], "subresource", "status")?;
    }
    Ok(())
}

fn version_and_health(room: &Room) -> Result<()> {
    let version = room.get("/version")?;
    same!(version["major"], "1");
    ensure!(text(&version["gitVersion"]).starts_with("v1."), "{version}");
    for path in ["/healthz", "/readyz", "/livez"] {
        same!(room.read(path)?.text, "ok");
    }
    ensure!(
        room.read("/readyz?verbose")?
            .text
            .ends_with("readyz check passed\n"),
        "verbose"
    );
    let open = room.get("/openapi/v3")?;
    let apps = text(&open["paths"]["apis/apps/v1"]["serverRelativeURL"]);
    ensure!(apps.starts_with("/openapi/v3/apis/apps/v1?hash="), "{apps}");
    Ok(())
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// The names of a table's columns; those of `-o wide` in brackets.
fn columns(table: &Value) -> String {
    let all = table["columnDefinitions"].as_array().into_iter().flatten();
    let words: Vec<_> = all
        .map(|column| match column["priority"].as_i64() {
            Some(0) => text(&column["name"]),
            _ => format!("[{}]", text(&column["name"])),
        })
        .collect();
    words.join(" ")
}

fn pod_columns(room: &Room) -> Result<()> {
    room.create("pods", &pod("it", &Does::Serve))?;
    room.see("pods/it", "running", |it| {
        it["status"]["containerStatuses"][0]["ready"] == true
    })?;
    let table = room.get_as("pods", TABLE)?;
    same!(table["kind"], "Table");
    same!(
        columns(&table),
        "Name Ready Status Restarts Age [IP] [Node] [Nominated Node] [Readiness Gates]"
    );
    let cells = &table["rows"][0]["cells"];
    same!(cells[0], "it");
    same!(cells[1], "1/1");
    same!(cells[2], "Running");
    same!(cells[3], "0");
    same!(cells[7], "<none>");
    Ok(())
}

fn other_columns(room: &Room) -> Result<()> {
    for (path, wanted) in [
        (
            "/api/v1/nodes",
            "Name Status Roles Age Version [Internal-IP] [External-IP] [OS-Image] [Kernel-Version] [Container-Runtime]",
        ),
        (
            "deployments",
            "Name Ready Up-to-date Available Age [Containers] [Images] [Selector]",
        ),
        (
            "replicasets",
            "Name Desired Current Ready Age [Containers] [Images] [Selector]",
        ),
        ("statefulsets", "Name Ready Age [Containers] [Images]"),
        (
            "daemonsets",
            "Name Desired Current Ready Up-to-date Available Node Selector Age [Containers] [Images] [Selector]",
        ),
        (
            "jobs",
            "Name Status Completions Duration Age [Containers] [Images] [Selector]",
        ),
        (
            "services",
            "Name Type Cluster-IP External-IP Port(s) Age [Selector]",
        ),
        (
            "events",
            "Last Seen Type Reason Object [Subobject] [Source] Message [First Seen] [Count] [Name]",
        ),
        ("configmaps", "Name Data Age"),
        ("namespaces", "Name Status Age"),
        (
            "persistentvolumeclaims",
            "Name Status Volume Capacity Access Modes StorageClass VolumeAttributesClass Age [VolumeMode]",
        ),
        (
            "poddisruptionbudgets",
            "Name Min Available Max Unavailable Allowed Disruptions Age",
        ),
        ("resourcequotas", "Name Request Limit Age"),
        ("endpointslices", "Name AddressType Ports Endpoints Age"),
        ("roles", "Name Created At"),
        ("leases", "Name Holder Age"),
    ] {
        let path = if path == "namespaces" {
            "/api/v1/namespaces"
        } else {
            path
        };
        let found = columns(&room.get_as(path, TABLE)?);
        ensure!(found == wanted, "{path}:\n  {found}\nnot\n  {wanted}");
    }
    Ok(())
}

fn row_objects(room: &Room) -> Result<()> {
    config_maps(room, &["it"])?;
    let table = room.get_as("configmaps/it", TABLE)?;
    let row = &table["rows"][0];
    same!(row["cells"][1], 1);
    same!(row["object"]["kind"], "PartialObjectMetadata");
    same!(row["object"]["metadata"]["name"], "it");
    let table = room.get_as("configmaps/it?includeObject=None", TABLE)?;
    same!(
        table["rows"][0].get("object").unwrap_or(&Value::Null),
        &Value::Null
    );
    let table = room.get_as("configmaps/it?includeObject=Object", TABLE)?;
    same!(table["rows"][0]["object"]["kind"], "ConfigMap");
    room.create("deployments", &idle_deployment("it"))?;
    let table = room.get_as("deployments", TABLE)?;
    same!(table["rows"][0]["cells"][1], "0/0");
    Ok(())
}

/// Each run has a group of its own, so that two runs cannot meet.
fn custom_kind(room: &Room) -> Result<()> {
    let group = format!("{}.example.com", room.namespace);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("widgets.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                } },
                "additionalPrinterColumns": [{ "name": "Size", "type": "string", "jsonPath": ".spec.size" }],
            }],
        },
    });
    let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    room.create(all, &definition)?;
    let one = format!("{all}/widgets.{group}");
    let served = use_widgets(room, &one, &group);
    let deleted = room.delete(&one)?.is(200);
    served.and(deleted)?;
    room.wait("the kind to go", |room| {
        Ok(room.read(&format!("/apis/{group}/v1/widgets"))?.code == 404)
    })
}

fn use_widgets(room: &Room, one: &str, group: &str) -> Result<()> {
    let found = room.see(one, "established", |it| {
        super::super::room::condition(it, "Established")["status"] == "True"
    })?;
    same!(
        super::super::room::condition(&found, "NamesAccepted")["reason"],
        "NoConflicts"
    );
    let path = format!("/apis/{group}/v1/namespaces/{}/widgets", room.namespace);
    room.wait("the kind to be served", |room| {
        Ok(room.read(&path)?.code == 200)
    })?;
    let kind = format!("{group}/v1");
    let widget = json!({ "apiVersion": kind, "kind": "Widget", "metadata": { "name": "it" }, "spec": { "size": "big" } });
    let made = room.create(&path, &widget)?;
    same!(made["metadata"]["generation"], 1);
    let table = room.get_as(&path, TABLE)?;
    same!(columns(&table), "Name Size");
    same!(table["rows"][0]["cells"], json!(["it", "big"]));
    let message = format!("widgets.{group} \"none\" not found");
    room.read(&format!("{path}/none"))?
        .refused(404, "NotFound", &message)?;
    let changed = room.merge(
        &format!("{path}/it/status"),
        &json!({ "spec": { "size": "x" }, "status": { "ok": true } }),
    )?;
    same!(changed["spec"]["size"], "big");
    same!(changed["status"]["ok"], true);
    same!(changed["metadata"]["generation"], 1);
    // What there is, is told by others, a little later.
    room.wait("the group to be listed", |room| {
        Ok(entry(&room.get("/apis")?["groups"], "name", group).is_ok())
    })?;
    let resources = room.see(&format!("/apis/{group}/v1"), "the kind", |list| {
        entry(&list["resources"], "name", "widgets").is_ok()
    })?;
    same!(
        entry(&resources["resources"], "name", "widgets")?["shortNames"],
        json!(["wd"])
    );
    Ok(())
}

fn events(room: &Room) -> Result<()> {
    let old = json!({
        "metadata": { "name": "it.1" }, "type": "Warning", "reason": "Tried", "message": "said", "count": 2,
        "involvedObject": { "kind": "ConfigMap", "name": "it", "namespace": room.namespace },
        "source": { "component": "fidelity" },
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:05Z",
    });
    let made = room.create("events", &old)?;
    let new = room.get("newevents/it.1")?;
    same!(new["apiVersion"], "events.k8s.io/v1");
    same!(new["metadata"]["uid"], made["metadata"]["uid"]);
    same!(new["note"], "said");
    same!(new["regarding"]["name"], "it");
    same!(new["deprecatedCount"], 2);
    same!(new["deprecatedSource"]["component"], "fidelity");
    same!(new["deprecatedFirstTimestamp"], "2026-01-01T00:00:00Z");
    let found = room.events("ConfigMap", "it")?;
    same!(found.len(), 1);
    same!(
        room.get("events?fieldSelector=reason%3DTried,type%3DWarning")?["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    Ok(())
}
