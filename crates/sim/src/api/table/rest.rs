//! Networking, storage, access and the machinery.

use super::format::{self, or_none};
use super::{AGE, CREATED, Column, NAME, PLAIN, Row, column, number, text, wide};
use serde_json::{Value, json};

pub(super) fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "EndpointSlice" => SLICES,
        "NetworkPolicy" => POLICIES,
        "Ingress" => INGRESSES,
        "IngressClass" => INGRESS_CLASSES,
        "StorageClass" => STORAGE_CLASSES,
        "VolumeAttachment" => ATTACHMENTS,
        "CSIDriver" => DRIVERS,
        "CSINode" => CSI_NODES,
        "Role" | "ClusterRole" | "CustomResourceDefinition" => &[NAME, CREATED],
        "RoleBinding" | "ClusterRoleBinding" => BINDINGS,
        "Lease" => LEASES,
        "PriorityClass" => PRIORITIES,
        "RuntimeClass" => RUNTIMES,
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => WEBHOOKS,
        "APIService" => SERVICES,
        _ => PLAIN,
    }
}

/// At most three, and how many more.
fn few(all: &[String], none: &str) -> String {
    match all {
        [] => none.to_owned(),
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first},{second},{third} + {} more...", rest.len())
        }
        few => few.join(","),
    }
}

const SLICES: &[Column] = &[
    NAME,
    text("AddressType", |row| json!(row.str("/addressType"))),
    text("Ports", |row| {
        let ports = row.list("/ports").iter();
        let all: Vec<String> = ports
            .map(|port| {
                port.get("port")
                    .and_then(Value::as_u64)
                    .map_or("*".to_owned(), |port| port.to_string())
            })
            .collect();
        json!(few(&all, "<unset>"))
    }),
    text("Endpoints", |row| {
        let endpoints = row.list("/endpoints").iter();
        let all: Vec<String> = endpoints
            .filter_map(|one| Some(one.pointer("/addresses/0")?.as_str()?.to_owned()))
            .collect();
        json!(few(&all, "<unset>"))
    }),
    AGE,
];

const POLICIES: &[Column] = &[
    NAME,
    text("Pod-Selector", |row| {
        json!(format::selector(row.at("/spec/podSelector")))
    }),
    AGE,
];

const INGRESSES: &[Column] = &[
    NAME,
    text("Class", |row| row.or_none("/spec/ingressClassName")),
    text("Hosts", |row| {
        let rules = row.list("/spec/rules").iter();
        let hosts: Vec<String> = rules
            .map(|rule| {
                rule.get("host")
                    .and_then(Value::as_str)
                    .unwrap_or("*")
                    .to_owned()
            })
            .collect();
        json!(few(&hosts, "*"))
    }),
    text("Address", |row| {
        let all = row.list("/status/loadBalancer/ingress").iter();
        let given: Vec<&str> = all
            .filter_map(|one| one.get("ip").or_else(|| one.get("hostname"))?.as_str())
            .collect();
        json!(given.join(","))
    }),
    text("Ports", |row| {
        json!(if row.count("/spec/tls") > 0 {
            "80, 443"
        } else {
            "80"
        })
    }),
    AGE,
];

const INGRESS_CLASSES: &[Column] = &[
    NAME,
    text("Controller", |row| json!(row.str("/spec/controller"))),
    text("Parameters", |row| {
        let kind = row.str("/spec/parameters/kind");
        json!(if kind.is_empty() {
            "<none>".to_owned()
        } else {
            format!("{kind}/{}", row.str("/spec/parameters/name"))
        })
    }),
    AGE,
];

const STORAGE_CLASSES: &[Column] = &[
    text("Name", |row| {
        let annotations = &row.object.meta.annotations;
        let default = annotations.get("storageclass.kubernetes.io/is-default-class");
        json!(if default.is_some_and(|one| one == "true") {
            format!("{} (default)", row.object.meta.name)
        } else {
            row.object.meta.name.to_string()
        })
    }),
    text("Provisioner", |row| json!(row.str("/provisioner"))),
    text("ReclaimPolicy", |row| {
        json!(or_else(row.str("/reclaimPolicy"), "Delete"))
    }),
    text("VolumeBindingMode", |row| {
        json!(or_else(row.str("/volumeBindingMode"), "Immediate"))
    }),
    text("AllowVolumeExpansion", |row| {
        json!(row.at("/allowVolumeExpansion").as_bool().unwrap_or(false))
    }),
    AGE,
];

fn or_else<'text>(text: &'text str, other: &'text str) -> &'text str {
    if text.is_empty() { other } else { text }
}

fn truth(row: &Row<'_>, pointer: &str) -> Value {
    json!(row.at(pointer).as_bool().unwrap_or(false))
}

const ATTACHMENTS: &[Column] = &[
    NAME,
    text("Attacher", |row| json!(row.str("/spec/attacher"))),
    text("PV", |row| {
        json!(row.str("/spec/source/persistentVolumeName"))
    }),
    text("Node", |row| json!(row.str("/spec/nodeName"))),
    column("Attached", "boolean", 0, |row| {
        truth(row, "/status/attached")
    }),
    AGE,
];

const DRIVERS: &[Column] = &[
    NAME,
    column("AttachRequired", "boolean", 0, |row| {
        json!(row.at("/spec/attachRequired").as_bool().unwrap_or(true))
    }),
    column("PodInfoOnMount", "boolean", 0, |row| {
        truth(row, "/spec/podInfoOnMount")
    }),
    column("StorageCapacity", "boolean", 0, |row| {
        truth(row, "/spec/storageCapacity")
    }),
    text("TokenRequests", |row| {
        let all = row.list("/spec/tokenRequests");
        json!(if all.is_empty() {
            "<unset>".to_owned()
        } else {
            format::join(all, "audience")
        })
    }),
    column("RequiresRepublish", "boolean", 0, |row| {
        truth(row, "/spec/requiresRepublish")
    }),
    text("Modes", |row| {
        let modes = row
            .list("/spec/volumeLifecycleModes")
            .iter()
            .filter_map(Value::as_str);
        json!(or_else(&modes.collect::<Vec<_>>().join(","), "<none>"))
    }),
    AGE,
];

const CSI_NODES: &[Column] = &[
    NAME,
    number("Drivers", |row| json!(row.count("/spec/drivers"))),
    AGE,
];

/// The subjects of one kind, by name.
fn subjects(row: &Row<'_>, kind: &str) -> Value {
    let all = row.list("/subjects").iter();
    let here = all.filter(|one| one.get("kind") == Some(&json!(kind)));
    let names = here.filter_map(|one| {
        let name = one.get("name")?.as_str()?;
        match one.get("namespace").and_then(Value::as_str) {
            Some(namespace) if kind == "ServiceAccount" => Some(format!("{namespace}/{name}")),
            _ => Some(name.to_owned()),
        }
    });
    json!(names.collect::<Vec<_>>().join(", "))
}

const BINDINGS: &[Column] = &[
    NAME,
    text("Role", |row| {
        json!(format!(
            "{}/{}",
            row.str("/roleRef/kind"),
            row.str("/roleRef/name")
        ))
    }),
    AGE,
    wide("Users", |row| subjects(row, "User")),
    wide("Groups", |row| subjects(row, "Group")),
    wide("ServiceAccounts", |row| subjects(row, "ServiceAccount")),
];

const LEASES: &[Column] = &[
    NAME,
    text("Holder", |row| json!(row.str("/spec/holderIdentity"))),
    AGE,
];

const PRIORITIES: &[Column] = &[
    NAME,
    number("Value", |row| row.number("/value")),
    column("Global-Default", "boolean", 0, |row| {
        truth(row, "/globalDefault")
    }),
    AGE,
    text("PreemptionPolicy", |row| {
        json!(or_else(
            row.str("/preemptionPolicy"),
            "PreemptLowerPriority"
        ))
    }),
];

const RUNTIMES: &[Column] = &[NAME, text("Handler", |row| json!(row.str("/handler"))), AGE];

const WEBHOOKS: &[Column] = &[
    NAME,
    number("Webhooks", |row| json!(row.count("/webhooks"))),
    AGE,
];

const SERVICES: &[Column] = &[
    NAME,
    text("Service", |row| {
        let name = row.str("/spec/service/name");
        json!(if name.is_empty() {
            "Local".to_owned()
        } else {
            format!("{}/{name}", row.str("/spec/service/namespace"))
        })
    }),
    text("Available", |row| {
        let mut all = row.list("/status/conditions").iter();
        let found = all.find(|one| one.get("type") == Some(&json!("Available")));
        let Some(found) = found else {
            return json!("Unknown");
        };
        let word = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        json!(if word("status") == "True" {
            "True".to_owned()
        } else {
            format!("{} ({})", word("status"), or_none(word("reason")))
        })
    }),
    AGE,
];
