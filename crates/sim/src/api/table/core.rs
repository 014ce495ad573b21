//! The core group, and Events.

use super::format::{self, or_none};
use super::{AGE, CREATED, Column, NAME, PLAIN, Row, column, number, text, wide};
use serde_json::{Value, json};

pub(super) fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "Node" => NODES,
        "Namespace" => NAMESPACES,
        "Service" => SERVICES,
        "Endpoints" => ENDPOINTS,
        "ConfigMap" => CONFIG_MAPS,
        "Secret" => SECRETS,
        "Event" => EVENTS,
        "PersistentVolume" => VOLUMES,
        "PersistentVolumeClaim" => CLAIMS,
        "ResourceQuota" => QUOTAS,
        "LimitRange" => &[NAME, CREATED],
        "ReplicationController" => CONTROLLERS,
        "PodTemplate" => TEMPLATES,
        _ => PLAIN,
    }
}

const NODES: &[Column] = &[
    NAME,
    text("Status", |row| {
        let conditions = row.list("/status/conditions");
        let ready = conditions
            .iter()
            .find(|one| one.get("type") == Some(&json!("Ready")));
        let mut words = vec![match ready.and_then(|one| one.get("status")?.as_str()) {
            Some("True") => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        }];
        if row.at("/spec/unschedulable") == &json!(true) {
            words.push("SchedulingDisabled");
        }
        json!(words.join(","))
    }),
    text("Roles", |row| {
        const PREFIX: &str = "node-role.kubernetes.io/";
        let labels = &row.object.meta.labels;
        let mut roles: Vec<&str> = labels
            .keys()
            .filter_map(|key| key.strip_prefix(PREFIX))
            .collect();
        roles.extend(labels.get("kubernetes.io/role").map(String::as_str));
        roles.sort_unstable();
        roles.dedup();
        json!(or_none(&roles.join(",")))
    }),
    AGE,
    text("Version", |row| {
        json!(row.str("/status/nodeInfo/kubeletVersion"))
    }),
    wide("Internal-IP", |row| address(row, "InternalIP")),
    wide("External-IP", |row| address(row, "ExternalIP")),
    wide("OS-Image", |row| {
        unknown(row.str("/status/nodeInfo/osImage"))
    }),
    wide("Kernel-Version", |row| {
        let version = row.str("/status/nodeInfo/kernelVersion");
        match (version, row.str("/status/nodeInfo/architecture")) {
            ("", _) => json!("<unknown>"),
            (version, "") => json!(version),
            (version, architecture) => json!(format!("{version} ({architecture})")),
        }
    }),
    wide("Container-Runtime", |row| {
        unknown(row.str("/status/nodeInfo/containerRuntimeVersion"))
    }),
];

fn unknown(text: &str) -> Value {
    json!(if text.is_empty() { "<unknown>" } else { text })
}

fn address(row: &Row<'_>, kind: &str) -> Value {
    let mut all = row.list("/status/addresses").iter();
    let found = all.find(|one| one.get("type") == Some(&json!(kind)));
    json!(or_none(
        found
            .and_then(|one| one.get("address")?.as_str())
            .unwrap_or_default()
    ))
}

const NAMESPACES: &[Column] = &[
    NAME,
    text("Status", |row| json!(row.str("/status/phase"))),
    AGE,
];

const SERVICES: &[Column] = &[
    NAME,
    text("Type", |row| json!(row.str("/spec/type"))),
    text("Cluster-IP", |row| row.or_none("/spec/clusterIP")),
    text("External-IP", |row| {
        let listed = |pointer: &str| {
            let all = row.list(pointer).iter().filter_map(Value::as_str);
            all.collect::<Vec<_>>().join(",")
        };
        json!(match row.str("/spec/type") {
            "ExternalName" => row.str("/spec/externalName").to_owned(),
            "LoadBalancer" => {
                let given = format::join(row.list("/status/loadBalancer/ingress"), "ip");
                if given == "<none>" {
                    "<pending>".to_owned()
                } else {
                    given
                }
            }
            _ => or_none(&listed("/spec/externalIPs")).to_owned(),
        })
    }),
    text("Port(s)", |row| {
        let ports = row.list("/spec/ports").iter().map(|port| {
            let number = port.get("port").and_then(Value::as_u64).unwrap_or(0);
            let protocol = port
                .get("protocol")
                .and_then(Value::as_str)
                .unwrap_or("TCP");
            match port.get("nodePort").and_then(Value::as_u64) {
                Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        });
        json!(or_none(&ports.collect::<Vec<_>>().join(",")))
    }),
    AGE,
    wide("Selector", |row| {
        json!(format::selector(row.at("/spec/selector")))
    }),
];

const ENDPOINTS: &[Column] = &[NAME, text("Endpoints", endpoints), AGE];

/// At most three, and how many more.
fn endpoints(row: &Row<'_>) -> Value {
    let mut all = Vec::new();
    for subset in row.list("/subsets") {
        let list = |name: &str| {
            subset
                .get(name)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let ips: Vec<String> = list("addresses")
            .iter()
            .filter_map(|one| Some(one.get("ip")?.as_str()?.to_owned()))
            .collect();
        let ports = list("ports");
        if ports.is_empty() {
            all.extend(ips);
            continue;
        }
        for port in &ports {
            let port = port.get("port").and_then(Value::as_u64).unwrap_or(0);
            all.extend(ips.iter().map(|ip| format!("{ip}:{port}")));
        }
    }
    let more = all.len().saturating_sub(3);
    let shown: Vec<String> = all.into_iter().take(3).collect();
    let text = shown.join(",");
    json!(if more > 0 {
        format!("{text} + {more} more...")
    } else {
        or_none(&text).to_owned()
    })
}

const CONFIG_MAPS: &[Column] = &[
    NAME,
    text("Data", |row| {
        json!(row.count("/data").saturating_add(row.count("/binaryData")))
    }),
    AGE,
];

const SECRETS: &[Column] = &[
    NAME,
    text("Type", |row| json!(row.str("/type"))),
    text("Data", |row| json!(row.count("/data"))),
    AGE,
];

const EVENTS: &[Column] = &[
    text("Last Seen", |row| json!(last_seen(row))),
    text("Type", |row| json!(row.str("/type"))),
    text("Reason", |row| json!(row.str("/reason"))),
    text("Object", |row| {
        let kind = either(row, "/involvedObject/kind", "/regarding/kind");
        let name = either(row, "/involvedObject/name", "/regarding/name");
        json!(format!("{}/{name}", kind.to_lowercase()))
    }),
    wide("Subobject", |row| {
        json!(either(
            row,
            "/involvedObject/fieldPath",
            "/regarding/fieldPath"
        ))
    }),
    wide("Source", |row| {
        let component = either(row, "/source/component", "/deprecatedSource/component");
        let host = either(row, "/source/host", "/deprecatedSource/host");
        let (component, host) = if component.is_empty() {
            let component = either(row, "/reportingComponent", "/reportingController");
            (component, row.str("/reportingInstance"))
        } else {
            (component, host)
        };
        let parts: Vec<&str> = [component, host]
            .into_iter()
            .filter(|one| !one.is_empty())
            .collect();
        json!(parts.join(", "))
    }),
    text("Message", |row| {
        json!(either(row, "/message", "/note").trim())
    }),
    wide("First Seen", |row| {
        let first = either(row, "/firstTimestamp", "/deprecatedFirstTimestamp");
        let pointer = if first.is_empty() {
            "/eventTime"
        } else if row.str("/firstTimestamp").is_empty() {
            "/deprecatedFirstTimestamp"
        } else {
            "/firstTimestamp"
        };
        json!(row.since(pointer))
    }),
    wide("Count", |row| {
        let series = row.at("/series/count").as_u64();
        let count = row
            .at("/count")
            .as_u64()
            .or(row.at("/deprecatedCount").as_u64());
        json!(series.or(count).unwrap_or(1).max(1))
    }),
    column("Name", "string", 1, |row| json!(row.object.meta.name)),
];

/// A field under its name in the core group, or in `events.k8s.io`.
fn either<'row>(row: &'row Row<'_>, core: &str, new: &str) -> &'row str {
    match row.str(core) {
        "" => row.str(new),
        text => text,
    }
}

fn last_seen(row: &Row<'_>) -> String {
    let pointers = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
    ];
    let mut all = pointers.iter();
    let found = all.find(|pointer| !row.str(pointer).is_empty());
    found.map_or_else(|| "<unknown>".to_owned(), |pointer| row.since(pointer))
}

/// `RWO,ROX`.
fn access_modes(list: &[Value]) -> String {
    let short = list.iter().filter_map(|mode| {
        Some(match mode.as_str()? {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            _ => return None,
        })
    });
    short.collect::<Vec<_>>().join(",")
}

/// The phase, or that it is going.
fn phase(row: &Row<'_>) -> Value {
    if row.object.meta.deletion_timestamp.is_some() {
        return json!("Terminating");
    }
    json!(row.str("/status/phase"))
}

fn unset(text: &str) -> Value {
    json!(if text.is_empty() { "<unset>" } else { text })
}

const VOLUMES: &[Column] = &[
    NAME,
    text("Capacity", |row| json!(row.str("/spec/capacity/storage"))),
    text("Access Modes", |row| {
        json!(access_modes(row.list("/spec/accessModes")))
    }),
    text("Reclaim Policy", |row| {
        json!(row.str("/spec/persistentVolumeReclaimPolicy"))
    }),
    text("Status", phase),
    text("Claim", |row| {
        let namespace = row.str("/spec/claimRef/namespace");
        let name = row.str("/spec/claimRef/name");
        json!(if name.is_empty() {
            String::new()
        } else {
            format!("{namespace}/{name}")
        })
    }),
    text("StorageClass", |row| {
        json!(row.str("/spec/storageClassName"))
    }),
    text("VolumeAttributesClass", |row| {
        unset(row.str("/spec/volumeAttributesClassName"))
    }),
    text("Reason", |row| json!(row.str("/status/reason"))),
    AGE,
    wide("VolumeMode", |row| unset(row.str("/spec/volumeMode"))),
];

const CLAIMS: &[Column] = &[
    NAME,
    text("Status", phase),
    text("Volume", |row| json!(row.str("/spec/volumeName"))),
    text("Capacity", |row| match row.str("/spec/volumeName") {
        "" => json!(""),
        _ => json!(row.str("/status/capacity/storage")),
    }),
    text("Access Modes", |row| match row.str("/spec/volumeName") {
        "" => json!(""),
        _ => json!(access_modes(row.list("/status/accessModes"))),
    }),
    text("StorageClass", |row| {
        json!(row.str("/spec/storageClassName"))
    }),
    text("VolumeAttributesClass", |row| {
        unset(row.str("/spec/volumeAttributesClassName"))
    }),
    AGE,
    wide("VolumeMode", |row| unset(row.str("/spec/volumeMode"))),
];

const QUOTAS: &[Column] = &[
    NAME,
    text("Request", |row| json!(quota(row, false))),
    text("Limit", |row| json!(quota(row, true))),
    AGE,
];

/// `pods: 1/2`, of the limits or of all others.
fn quota(row: &Row<'_>, limits: bool) -> String {
    let Some(hard) = row.at("/status/hard").as_object() else {
        return String::new();
    };
    let used = row.at("/status/used");
    let each = hard
        .iter()
        .filter(|(name, _)| name.starts_with("limits.") == limits);
    let all = each.map(|(name, hard)| {
        let used = used.get(name).and_then(Value::as_str).unwrap_or("0");
        format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
    });
    all.collect::<Vec<_>>().join(", ")
}

const CONTROLLERS: &[Column] = &[
    NAME,
    number("Desired", |row| row.number("/spec/replicas")),
    number("Current", |row| row.number("/status/replicas")),
    number("Ready", |row| row.number("/status/readyReplicas")),
    AGE,
    wide("Containers", |row| {
        json!(format::join(
            row.list("/spec/template/spec/containers"),
            "name"
        ))
    }),
    wide("Images", |row| {
        json!(format::join(
            row.list("/spec/template/spec/containers"),
            "image"
        ))
    }),
    wide("Selector", |row| {
        json!(format::selector(row.at("/spec/selector")))
    }),
];

const TEMPLATES: &[Column] = &[
    NAME,
    text("Containers", |row| {
        json!(format::join(row.list("/template/spec/containers"), "name"))
    }),
    text("Images", |row| {
        json!(format::join(row.list("/template/spec/containers"), "image"))
    }),
    text("Pod Labels", |row| {
        json!(format::selector(row.at("/template/metadata/labels")))
    }),
];
