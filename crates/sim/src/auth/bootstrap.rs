//! The roles and bindings that every cluster has
//! (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`): those for people and for everybody; the ones of
//! Kubernetes' own components are left out, because those components are inside.

use super::{AUTHENTICATED, MASTERS, UNAUTHENTICATED};
use crate::object::Object;
use crate::resources::{ResourceId, ids};
use serde_json::{Value, json};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// The objects that are there from the start.
pub fn bootstrap() -> Vec<(ResourceId, Object)> {
    let everybody = [AUTHENTICATED, UNAUTHENTICATED];
    let values = [
        role("cluster-admin", &[], &cluster_admin()),
        role("system:discovery", &[], &discovery()),
        role("system:public-info-viewer", &[], &public_info()),
        role("system:basic-user", &[], &basic_user()),
        role("system:service-account-issuer-discovery", &[], &issuer()),
        aggregate("admin", "admin", &[]),
        aggregate("edit", "edit", &["admin"]),
        aggregate("view", "view", &["edit"]),
        role("system:aggregate-to-admin", &["admin"], &admin()),
        role("system:aggregate-to-edit", &["edit", "admin"], &edit()),
        role(
            "system:aggregate-to-view",
            &["view", "edit", "admin"],
            &view(),
        ),
        binding("cluster-admin", &[MASTERS]),
        binding("system:discovery", &[AUTHENTICATED]),
        binding("system:basic-user", &[AUTHENTICATED]),
        binding("system:public-info-viewer", &everybody),
        binding(
            "system:service-account-issuer-discovery",
            &["system:serviceaccounts"],
        ),
    ];
    let made = values.into_iter();
    made.filter_map(|(resource, value)| Some((resource, Object::from_value(value).ok()?)))
        .collect()
}

fn labels(wholes: &[&str]) -> Value {
    let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    if let Some(labels) = labels.as_object_mut() {
        for whole in wholes {
            let name = format!("rbac.authorization.k8s.io/aggregate-to-{whole}");
            labels.insert(name, json!("true"));
        }
    }
    labels
}

fn metadata(name: &str, wholes: &[&str]) -> Value {
    json!({"name": name, "labels": labels(wholes),
           "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}})
}

/// A role that is part of others.
fn role(name: &str, wholes: &[&str], rules: &Value) -> (ResourceId, Value) {
    let object = json!({"metadata": metadata(name, wholes), "rules": rules});
    (ids::CLUSTER_ROLES, object)
}

/// A role that takes in others.
fn aggregate(name: &str, whole: &str, of: &[&str]) -> (ResourceId, Value) {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{whole}");
    let selector = json!({"matchLabels": {label: "true"}});
    let object = json!({"metadata": metadata(name, of), "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [selector]}});
    (ids::CLUSTER_ROLES, object)
}

fn binding(name: &str, groups: &[&str]) -> (ResourceId, Value) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let subjects: Vec<Value> = groups
        .iter()
        .map(|group| json!({"kind": "Group", "apiGroup": RBAC, "name": group}))
        .collect();
    let object = json!({
        "metadata": metadata(name, &[]),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": subjects,
    });
    (ids::CLUSTER_ROLE_BINDINGS, object)
}

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

fn paths(urls: &[&str]) -> Value {
    json!([{"verbs": ["get"], "nonResourceURLs": urls}])
}

fn cluster_admin() -> Value {
    json!([
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ])
}

fn discovery() -> Value {
    paths(&[
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ])
}

fn public_info() -> Value {
    paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"])
}

fn issuer() -> Value {
    paths(&[
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
        "/openid/v1/jwks/",
    ])
}

fn basic_user() -> Value {
    json!([
        rule(
            &["create"],
            "authorization.k8s.io",
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
        ),
        rule(
            &["create"],
            "authentication.k8s.io",
            &["selfsubjectreviews"]
        ),
    ])
}

const WORKLOADS: [&str; 11] = [
    "controllerrevisions",
    "daemonsets",
    "daemonsets/status",
    "deployments",
    "deployments/scale",
    "deployments/status",
    "replicasets",
    "replicasets/scale",
    "replicasets/status",
    "statefulsets",
    "statefulsets/scale",
];

fn view() -> Value {
    json!([
        rule(
            &READ,
            "",
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
                "namespaces",
            ]
        ),
        rule(&READ, "discovery.k8s.io", &["endpointslices"]),
        rule(&READ, "apps", &WORKLOADS),
        rule(&READ, "apps", &["statefulsets/status"]),
        rule(
            &READ,
            "autoscaling",
            &[
                "horizontalpodautoscalers",
                "horizontalpodautoscalers/status"
            ]
        ),
        rule(
            &READ,
            "batch",
            &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]
        ),
        rule(
            &READ,
            "policy",
            &["poddisruptionbudgets", "poddisruptionbudgets/status"]
        ),
        rule(
            &READ,
            "networking.k8s.io",
            &["ingresses", "ingresses/status", "networkpolicies"]
        ),
    ])
}

fn edit() -> Value {
    let scaled = [
        "daemonsets",
        "deployments",
        "deployments/rollback",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ];
    json!([
        rule(
            &READ,
            "",
            &[
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "secrets",
                "services/proxy"
            ]
        ),
        rule(&["impersonate"], "", &["serviceaccounts"]),
        rule(
            &WRITE,
            "",
            &[
                "pods",
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ]
        ),
        rule(&["create"], "", &["pods/eviction", "serviceaccounts/token"]),
        rule(&WRITE, "apps", &scaled),
        rule(&WRITE, "autoscaling", &["horizontalpodautoscalers"]),
        rule(&WRITE, "batch", &["cronjobs", "jobs"]),
        rule(&WRITE, "policy", &["poddisruptionbudgets"]),
        rule(
            &WRITE,
            "networking.k8s.io",
            &["ingresses", "networkpolicies"]
        ),
        rule(
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch"
            ],
            "coordination.k8s.io",
            &["leases"]
        ),
    ])
}

fn admin() -> Value {
    json!([
        rule(
            &["create"],
            "authorization.k8s.io",
            &["localsubjectaccessreviews"]
        ),
        rule(
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch"
            ],
            "rbac.authorization.k8s.io",
            &["rolebindings", "roles"]
        ),
    ])
}
