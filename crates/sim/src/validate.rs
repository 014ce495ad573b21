//! What the API server refuses: names, labels, fields that are required, wrong or immutable, in
//! Kubernetes' words (`k8s.io/kubernetes/pkg/apis/*/validation`). The commonest errors, not all.

pub mod field;
mod meta;
pub mod names;
mod other;
mod pod;
mod update;
mod workload;

use crate::object::Object;
use crate::resources::{Resource, ResourceId, ids};
use crate::status::Status;
use field::Errors;
use serde_json::Value;

/// Is a new object of a built-in kind good? It has its defaults and its name. 422 when not, 400 when
/// a quantity is none.
pub fn create(resource: ResourceId, row: &Resource, object: &Object) -> Result<(), Status> {
    quantities(row, object)?;
    let mut errors = Errors::default();
    meta::check(resource, object, &mut errors);
    content(resource, object, &mut errors);
    finish(row, object, errors)
}

/// Is a changed object good, and was only changed what may be? `status` says that only the status
/// was written to.
pub fn update(
    resource: ResourceId,
    row: &Resource,
    old: &Object,
    new: &Object,
    status: bool,
) -> Result<(), Status> {
    quantities(row, new)?;
    let mut errors = Errors::default();
    meta::check_update(old, new, &mut errors);
    if !status {
        meta::check_labels(new, &mut errors);
        content(resource, new, &mut errors);
        update::check(resource, old, new, &mut errors);
    }
    finish(row, new, errors)
}

fn finish(row: &Resource, object: &Object, errors: Errors) -> Result<(), Status> {
    let causes = errors.into_causes();
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(row, &object.meta.name, causes))
}

fn content(resource: ResourceId, object: &Object, errors: &mut Errors) {
    let spec = || object.field::<Value>("spec").unwrap_or_default();
    match resource {
        ids::PODS => pod::check(&spec(), "spec", errors),
        ids::DEPLOYMENTS => workload::deployment(&spec(), errors),
        ids::REPLICA_SETS => workload::selecting(&spec(), errors),
        ids::STATEFUL_SETS => workload::stateful_set(&spec(), errors),
        ids::DAEMON_SETS => workload::daemon_set(&spec(), errors),
        ids::JOBS => workload::job(&spec(), "spec", errors),
        ids::CRON_JOBS => workload::cron_job(&spec(), errors),
        ids::HORIZONTAL_POD_AUTOSCALERS => workload::autoscaler(&spec(), errors),
        ids::SERVICES => other::service(&spec(), errors),
        ids::POD_DISRUPTION_BUDGETS => other::budget(&spec(), errors),
        ids::PERSISTENT_VOLUME_CLAIMS => other::claim(&spec(), errors),
        ids::CONFIGMAPS | ids::SECRETS => other::keys(object, errors),
        ids::ROLES | ids::CLUSTER_ROLES => other::role(object, errors),
        ids::ROLE_BINDINGS | ids::CLUSTER_ROLE_BINDINGS => other::binding(object, errors),
        ids::LEASES => other::lease(&spec(), errors),
        ids::STORAGE_CLASSES => other::storage_class(object, errors),
        _ => {}
    }
}

/// Quantities are read when a body is decoded: a bad one is a 400, not a 422.
fn quantities(row: &Resource, object: &Object) -> Result<(), Status> {
    let suspect = object.fields.values().any(|raw| {
        let text = raw.text();
        [
            "requests\"",
            "limits\"",
            "\"hard\"",
            "\"capacity\"",
            "\"max\"",
            "\"min\"",
        ]
        .iter()
        .any(|word| text.contains(word))
    });
    if !suspect || row.custom {
        return Ok(());
    }
    for name in object.fields.keys() {
        let value: Value = object.field(name).unwrap_or_default();
        if let Err(why) = pod::all_quantities(&value) {
            return Err(Status::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: {why}",
                row.kind, row.version, row.kind
            )));
        }
    }
    Ok(())
}

/// A field of an object as an integer.
fn integer(fields: &Value, name: &str) -> Option<i64> {
    fields.get(name).and_then(Value::as_i64)
}

/// The items of a list.
fn items<'a>(fields: &'a Value, name: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    let list = fields.get(name).and_then(Value::as_array);
    list.into_iter().flatten().enumerate()
}

/// A field as text; empty when it is none.
fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Not below zero.
fn not_negative(fields: &Value, name: &str, path: &str, errors: &mut Errors) {
    if let Some(number) = integer(fields, name).filter(|number| *number < 0) {
        errors.invalid(
            &format!("{path}.{name}"),
            &number.into(),
            "must be greater than or equal to 0",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults;
    use crate::resources::Resources;
    use serde_json::json;

    fn object(resource: ResourceId, value: Value) -> Object {
        let mut object = Object::from_value(value).unwrap();
        defaults::fill(resource, &mut object);
        object
    }

    fn refused(resource: ResourceId, value: Value) -> String {
        let resources = Resources::default();
        let made = object(resource, value);
        match create(resource, resources.get(resource), &made) {
            Ok(()) => "fine".to_owned(),
            Err(status) => status.message,
        }
    }

    fn change(resource: ResourceId, old: Value, new: Value) -> String {
        let resources = Resources::default();
        let (old, new) = (object(resource, old), object(resource, new));
        match update(resource, resources.get(resource), &old, &new, false) {
            Ok(()) => "fine".to_owned(),
            Err(status) => status.message,
        }
    }

    fn template(label: &str) -> Value {
        json!({"metadata": {"labels": {"app": label}}, "spec": {"containers": [{"name": "main", "image": "x"}]}})
    }

    #[test]
    fn objects_are_refused_in_the_words_of_the_recorded_server() {
        let meta = || json!({"name": "bad"});
        let table = [
            (
                ids::CONFIGMAPS,
                json!({}),
                "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
            ),
            (
                ids::DEPLOYMENTS,
                json!({"metadata": meta(), "spec": {"selector": {"matchLabels": {"x": "y"}}, "template": template("it")}}),
                "Deployment.apps \"bad\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"it\"}: `selector` does not match template `labels`",
            ),
            (
                ids::DEPLOYMENTS,
                json!({"metadata": meta(), "spec": {}}),
                "Deployment.apps \"bad\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`, spec.template.spec.containers: Required value]",
            ),
            (
                ids::DEPLOYMENTS,
                json!({"metadata": meta(), "spec": {"replicas": -1, "selector": {"matchLabels": {"app": "it"}}, "template": template("it")}}),
                "Deployment.apps \"bad\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                ids::PODS,
                json!({"metadata": meta(), "spec": {}}),
                "Pod \"bad\" is invalid: spec.containers: Required value",
            ),
            (
                ids::PODS,
                json!({"metadata": meta(), "spec": {"containers": [{"name": "main", "image": "x", "resources": {"limits": {"memory": "lots"}}}]}}),
                "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                ids::PODS,
                json!({"metadata": meta(), "spec": {"containers": [{"name": "main", "image": "x", "resources": {"limits": {"memory": "1Mi"}, "requests": {"memory": "2Mi"}}}]}}),
                "Pod \"bad\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2Mi\": must be less than or equal to memory limit of 1Mi",
            ),
            (
                ids::PODS,
                json!({"metadata": meta(), "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "", "ports": [{"containerPort": 70000}]}]}}),
                "Pod \"bad\" is invalid: [spec.containers[1].image: Required value, spec.containers[1].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive, spec.containers[1].name: Duplicate value: \"a\"]",
            ),
            (
                ids::JOBS,
                json!({"metadata": meta(), "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x"}]}}}}),
                "Job.batch \"bad\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ),
            (
                ids::SERVICES,
                json!({"metadata": meta(), "spec": {}}),
                "Service \"bad\" is invalid: spec.ports: Required value",
            ),
            (
                ids::POD_DISRUPTION_BUDGETS,
                json!({"metadata": meta(), "spec": {"minAvailable": 1, "maxUnavailable": 1, "selector": {}}}),
                "PodDisruptionBudget.policy \"bad\" is invalid: spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{},\"MaxUnavailable\":1,\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
            ),
        ];
        for (resource, value, message) in table {
            assert_eq!(refused(resource, value), message);
        }
    }

    #[test]
    fn good_objects_pass() {
        let table = [
            (
                ids::CONFIGMAPS,
                json!({"metadata": {"generateName": "a-"}, "data": {"a.b_c": "1"}}),
            ),
            (
                ids::PODS,
                json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "main", "image": "x",
                "ports": [{"name": "http", "containerPort": 80}], "env": [{"name": "A_B", "value": "1"}],
                "resources": {"requests": {"cpu": "100m"}}}]}}),
            ),
            (
                ids::DEPLOYMENTS,
                json!({"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template("a")}}),
            ),
            (
                ids::SERVICES,
                json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}),
            ),
            (ids::NODES, json!({"metadata": {"name": "n"}})),
            (
                ids::CLUSTER_ROLES,
                json!({"metadata": {"name": "system:x"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
            ),
        ];
        for (resource, value) in table {
            assert_eq!(refused(resource, value), "fine");
        }
    }

    #[test]
    fn what_may_not_change_is_refused_in_the_recorded_words() {
        let pod = |image: &str, command: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": image, "command": command}]}});
        assert_eq!(
            change(ids::PODS, pod("a", json!(["x"])), pod("b", json!(["x"]))),
            "fine"
        );
        let message = change(ids::PODS, pod("a", json!(["x"])), pod("a", json!(["y"])));
        assert!(message.starts_with("Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"), "{message}");
        let fixed = |value: &str| json!({"metadata": {"name": "fixed"}, "immutable": true, "data": {"a": value}});
        assert_eq!(
            change(ids::CONFIGMAPS, fixed("1"), fixed("2")),
            "ConfigMap \"fixed\" is invalid: data: Forbidden: field is immutable when `immutable` is set"
        );
        let binding = |name: &str| json!({"metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}});
        assert_eq!(
            change(ids::ROLE_BINDINGS, binding("p"), binding("q")),
            "RoleBinding.rbac.authorization.k8s.io \"r\" is invalid: roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"q\"}: cannot change roleRef"
        );
        let deployment = |label: &str| json!({"metadata": {"name": "it"}, "spec": {"selector": {"matchLabels": {"app": label}}, "template": template(label)}});
        assert_eq!(
            change(ids::DEPLOYMENTS, deployment("a"), deployment("b")),
            "Deployment.apps \"it\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"
        );
        let job = |suspend: bool, image: &str, cpu: &str| {
            json!({"metadata": {"name": "j"}, "spec": {"suspend": suspend, "template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "main", "image": image, "resources": {"requests": {"cpu": cpu}}}]}}}})
        };
        assert_eq!(
            change(ids::JOBS, job(true, "a", "1"), job(true, "a", "2")),
            "fine"
        );
        for (suspend, image, field) in [
            (true, "b", "spec.template.spec"),
            (false, "a", "spec.template"),
        ] {
            let message = change(ids::JOBS, job(suspend, "a", "1"), job(suspend, image, "2"));
            let begin = format!("Job.batch \"j\" is invalid: {field}: Invalid value: {{");
            assert!(message.starts_with(&begin), "{message}");
            assert!(message.ends_with(": field is immutable"), "{message}");
        }
        let service = |ip: &str| json!({"metadata": {"name": "s"}, "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 1}]}});
        assert_eq!(
            change(ids::SERVICES, service("10.96.0.5"), service("10.96.99.99")),
            "Service \"s\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.96.99.99\"]: may not change once set"
        );
    }

    #[test]
    fn no_finalizer_is_added_to_what_is_being_deleted() {
        let deleting = |finalizers: Value| json!({"metadata": {"name": "one", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}});
        let message = change(
            ids::CONFIGMAPS,
            deleting(json!(["example.com/hold"])),
            deleting(json!(["example.com/hold", "example.com/new"])),
        );
        assert!(message.contains("metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/new\"}"), "{message}");
    }
}
