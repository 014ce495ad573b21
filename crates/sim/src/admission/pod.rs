//! What admission adds to pods: service account, priority, tolerations.

use super::Fields;
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::status::Status;
use serde_json::{Value, json};

/// Where the token of the service account is mounted.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Marks the pod of a kubelet's own manifest: it has no service account.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// How long a pod stays on a node that is gone.
const TOLERATED_SECONDS: u32 = 300;

/// Priorities that are always there.
const SYSTEM: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

pub(super) fn admit(cluster: &mut Cluster, pod: &mut Object) -> Result<(), Status> {
    let mut spec: Fields = pod.spec();
    if !pod.meta.annotations.contains_key(MIRROR) {
        account(cluster, pod, &mut spec)?;
    }
    priority(cluster, pod, &mut spec)?;
    tolerations(&mut spec);
    pod.set("spec", &spec);
    Ok(())
}

fn refused(cluster: &Cluster, pod: &Object, why: &str) -> Status {
    let row = cluster.resources.get(ids::PODS);
    let name = if pod.meta.name.is_empty() {
        &*pod.meta.generate_name
    } else {
        &*pod.meta.name
    };
    Status::forbidden(row, name, why)
}

fn list<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Vec<Value>> {
    let value = fields.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut()
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn account(cluster: &mut Cluster, pod: &Object, spec: &mut Fields) -> Result<(), Status> {
    let named = text(spec, "serviceAccountName");
    let name = if named.is_empty() { "default" } else { named }.to_owned();
    spec.insert("serviceAccountName".to_owned(), json!(name));
    spec.insert("serviceAccount".to_owned(), json!(name));
    let namespace = &pod.meta.namespace;
    let key = Key::new(ids::SERVICE_ACCOUNTS, namespace, &name);
    let Some(account) = cluster.store.get(&key).cloned() else {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        return Err(refused(cluster, pod, &why));
    };
    let secrets: Vec<Value> = account.field("imagePullSecrets").unwrap_or_default();
    if !secrets.is_empty() && list(spec, "imagePullSecrets").is_some_and(|now| now.is_empty()) {
        spec.insert("imagePullSecrets".to_owned(), json!(secrets));
    } else if spec.get("imagePullSecrets") == Some(&json!([])) {
        spec.remove("imagePullSecrets");
    }
    let wanted = spec
        .get("automountServiceAccountToken")
        .and_then(Value::as_bool);
    let wanted = wanted.or_else(|| account.field("automountServiceAccountToken"));
    if wanted.unwrap_or(true) {
        mount_token(spec, &format!("kube-api-access-{}", cluster.name_suffix()));
    }
    Ok(())
}

/// The volume with the token, as the real one projects it, in each container that mounts nothing
/// there by itself.
fn mount_token(spec: &mut Fields, volume: &str) {
    let mut mounted = false;
    for kind in ["initContainers", "containers"] {
        let containers = spec.get_mut(kind).and_then(Value::as_array_mut);
        let containers = containers.into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let Some(mounts) = list(container, "volumeMounts") else {
                continue;
            };
            let taken = |mount: &Value| mount.get("mountPath") == Some(&json!(TOKEN_PATH));
            if !mounts.iter().any(taken) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
                mounted = true;
            }
        }
    }
    if !mounted {
        return;
    }
    let field = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]);
    if let Some(volumes) = list(spec, "volumes") {
        volumes
            .push(json!({"name": volume, "projected": {"sources": sources, "defaultMode": 0o644}}));
    }
}

fn priority(cluster: &Cluster, pod: &Object, spec: &mut Fields) -> Result<(), Status> {
    let name = text(spec, "priorityClassName").to_owned();
    let mut policy = json!("PreemptLowerPriority");
    let mut value = 0;
    if let Some((_, number)) = SYSTEM.into_iter().find(|(one, _)| *one == name) {
        value = number;
    } else {
        let mut classes = cluster.store.list(ids::PRIORITY_CLASSES, None);
        let class = if name.is_empty() {
            classes.find(|class| class.field("globalDefault") == Some(true))
        } else {
            classes.find(|class| *class.meta.name == name)
        };
        match class {
            Some(class) => {
                value = class.field("value").unwrap_or(0);
                policy = class.field("preemptionPolicy").unwrap_or(policy);
                spec.insert("priorityClassName".to_owned(), json!(class.meta.name));
            }
            None if name.is_empty() => {}
            None => {
                let why = format!("no PriorityClass with name {name} was found");
                return Err(refused(cluster, pod, &why));
            }
        }
    }
    let given = spec.get("priority").and_then(Value::as_i64);
    if given.is_some_and(|given| given != value) {
        let why = format!(
            "the integer value of priority must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(refused(cluster, pod, &why));
    }
    spec.insert("priority".to_owned(), json!(value));
    spec.entry("preemptionPolicy").or_insert(policy);
    Ok(())
}

/// A pod stays five minutes on a node that is not ready or cannot be reached, unless it says itself.
fn tolerations(spec: &mut Fields) {
    let Some(all) = list(spec, "tolerations") else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let says = |one: &Value| {
            let field = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
            (field("key") == key || field("key").is_empty())
                && matches!(field("effect"), "NoExecute" | "")
        };
        if !all.iter().any(says) {
            all.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": TOLERATED_SECONDS,
            }));
        }
    }
}
