//! What the API server fills in when a manifest leaves it out (`k8s.io/kubernetes/pkg/apis/*/v1/defaults.go`,
//! and the `PrepareForCreate` of each kind).
//!
//! Templates get the same defaults as pods, but requests follow limits only in pods.

mod core;
mod pod;
mod workload;

use crate::object::Object;
use crate::quantity::Quantity;
use crate::resources::{ResourceId, ids};
use serde_json::{Map, Value, json};

pub use pod::qos_class;

/// The fields of a JSON object.
type Fields = Map<String, Value>;

/// Fills in the defaults of a kind. Doing it twice changes nothing.
pub fn fill(resource: ResourceId, object: &mut Object) {
    if core::fill_top(resource, object) {
        return;
    }
    let Some(Value::Object(mut spec)) = object.field::<Value>("spec").or(Some(json!({}))) else {
        return;
    };
    let had_spec = object.fields.contains_key("spec");
    match resource {
        ids::PODS => pod::pod_spec(&mut spec),
        ids::DEPLOYMENTS => workload::deployment(&mut spec),
        ids::REPLICA_SETS => workload::replica_set(&mut spec),
        ids::REPLICATION_CONTROLLERS => workload::replication_controller(object, &mut spec),
        ids::STATEFUL_SETS => workload::stateful_set(&mut spec),
        ids::DAEMON_SETS => workload::daemon_set(&mut spec),
        ids::JOBS => workload::job(object, &mut spec),
        ids::CRON_JOBS => workload::cron_job(&mut spec),
        ids::HORIZONTAL_POD_AUTOSCALERS => workload::autoscaler(&mut spec),
        ids::SERVICES => core::service(&mut spec),
        ids::PERSISTENT_VOLUME_CLAIMS => core::claim(&mut spec),
        ids::PERSISTENT_VOLUMES => core::volume(&mut spec),
        ids::NAMESPACES => {
            or(&mut spec, "finalizers", json!(["kubernetes"]));
        }
        ids::NETWORK_POLICIES => core::network_policy(&mut spec),
        ids::RESOURCE_QUOTAS => canonical(spec.get_mut("hard")),
        ids::LIMIT_RANGES => core::limit_range(&mut spec),
        _ => return,
    }
    if had_spec || !spec.is_empty() {
        object.set("spec", &spec);
    }
}

/// What a new object has before any controller looks at it: its first status.
pub fn begin(resource: ResourceId, object: &mut Object) {
    let status = match resource {
        ids::PODS => json!({"phase": "Pending", "qosClass": qos_class(object)}),
        ids::NAMESPACES => json!({"phase": "Active"}),
        ids::PERSISTENT_VOLUME_CLAIMS | ids::PERSISTENT_VOLUMES => json!({"phase": "Pending"}),
        ids::SERVICES | ids::INGRESSES => json!({"loadBalancer": {}}),
        ids::REPLICA_SETS | ids::REPLICATION_CONTROLLERS | ids::STATEFUL_SETS => {
            json!({"replicas": 0})
        }
        ids::DAEMON_SETS => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0,
            "numberMisscheduled": 0, "numberReady": 0,
        }),
        ids::HORIZONTAL_POD_AUTOSCALERS => {
            json!({"desiredReplicas": 0, "currentMetrics": null})
        }
        ids::POD_DISRUPTION_BUDGETS => json!({
            "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
        }),
        ids::DEPLOYMENTS | ids::JOBS | ids::CRON_JOBS | ids::RESOURCE_QUOTAS => json!({}),
        _ => return,
    };
    object.set("status", &status);
}

/// What depends on the uid: a Job's selector and the labels of its pods. To be called when the uid
/// is there, for a new object.
pub fn identify(resource: ResourceId, object: &mut Object) {
    if resource == ids::JOBS {
        workload::identify_job(object);
    }
}

/// Is it not there, null, or an empty text?
fn is_unset(fields: &Fields, name: &str) -> bool {
    fields
        .get(name)
        .is_none_or(|value| value.is_null() || value == "")
}

/// Sets a field that is not set.
fn or(fields: &mut Fields, name: &str, value: Value) {
    if is_unset(fields, name) {
        fields.insert(name.to_owned(), value);
    }
}

/// The fields of an object in a field, made when there is none.
fn within<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    or(fields, name, json!({}));
    fields.get_mut(name)?.as_object_mut()
}

/// The fields of an object in a field, if it is there.
fn inside<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    fields.get_mut(name)?.as_object_mut()
}

/// The objects in a list.
fn each<'a>(fields: &'a mut Fields, name: &str) -> impl Iterator<Item = &'a mut Fields> {
    let items = fields.get_mut(name).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Rewrites quantities as Kubernetes prints them. What is none is left for the validation.
fn canonical(amounts: Option<&mut Value>) {
    let Some(amounts) = amounts.and_then(Value::as_object_mut) else {
        return;
    };
    for value in amounts.values_mut() {
        if let Ok(quantity) = Quantity::of_value(value) {
            *value = json!(quantity);
        }
    }
}

/// The same for `requests` and `limits`.
fn canonical_resources(fields: &mut Fields) {
    if let Some(resources) = inside(fields, "resources") {
        canonical(resources.get_mut("limits"));
        canonical(resources.get_mut("requests"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(resource: ResourceId, value: Value) -> Value {
        let mut object = Object::from_value(value).unwrap();
        fill(resource, &mut object);
        object.to_value()
    }

    #[test]
    fn a_pod_gets_what_the_recorded_one_got() {
        let pod = filled(
            ids::PODS,
            json!({"metadata": {"name": "a"}, "spec": {"containers": [
                {"name": "main", "image": "img.test/app:1", "resources": {"limits": {"memory": "1024Mi", "cpu": 1}}}]}}),
        );
        assert_eq!(
            pod["spec"],
            json!({"containers": [{"name": "main", "image": "img.test/app:1",
                "resources": {"limits": {"memory": "1Gi", "cpu": "1"}, "requests": {"memory": "1Gi", "cpu": "1"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent"}],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": true})
        );
    }

    #[test]
    fn a_deployment_gets_what_the_recorded_one_got() {
        let deployment = filled(
            ids::DEPLOYMENTS,
            json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "it"}}, "template": {
                "metadata": {"labels": {"app": "it"}},
                "spec": {"containers": [{"name": "main", "image": "img.test/app:1", "resources": {"limits": {"cpu": "1"}}}]}}}}),
        );
        assert_eq!(
            deployment["spec"],
            json!({"replicas": 0, "selector": {"matchLabels": {"app": "it"}}, "template": {
                "metadata": {"labels": {"app": "it"}},
                "spec": {"containers": [{"name": "main", "image": "img.test/app:1", "resources": {"limits": {"cpu": "1"}},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent"}],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                    "securityContext": {}, "schedulerName": "default-scheduler"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
        );
    }

    #[test]
    fn secrets_take_their_text_and_services_their_ports() {
        let secret = filled(
            ids::SECRETS,
            json!({"stringData": {"a": "hello"}, "data": {"b": "Yg=="}}),
        );
        assert_eq!(secret["data"], json!({"a": "aGVsbG8=", "b": "Yg=="}));
        assert_eq!(secret["type"], "Opaque");
        assert_eq!(secret.get("stringData"), None);
        let service = filled(ids::SERVICES, json!({"spec": {"ports": [{"port": 80}]}}));
        assert_eq!(
            service["spec"],
            json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "type": "ClusterIP",
                "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"})
        );
    }

    #[test]
    fn a_job_selects_its_pods_by_its_uid() {
        let mut job = Object::from_value(
            json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}),
        )
        .unwrap();
        fill(ids::JOBS, &mut job);
        identify(ids::JOBS, &mut job);
        let spec: Value = job.spec();
        assert_eq!(
            spec["selector"],
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
        );
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!(labels["job-name"], "j");
        // Recorded on the lab: docs/recorded/job-ok.yaml.
        let own = job.to_value();
        assert_eq!(own["metadata"]["labels"], *labels);
        assert_eq!(
            (&spec["completions"], &spec["backoffLimit"]),
            (&json!(1), &json!(6))
        );
    }

    #[test]
    fn quality_of_service_is_by_requests_and_limits() {
        let class = |resources: Value| {
            let pod = json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
            qos_class(&Object::from_value(pod).unwrap())
        };
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            class(json!({"requests": both, "limits": both})),
            "Guaranteed"
        );
    }

    proptest! {
        #[test]
        fn defaults_are_filled_in_once(kind in 0..40_u16, spec in "[{]\"(containers|template|ports|x)\":[\\[{]?(null|1|\"a\")[\\]}]?[}]") {
            let spec: Value = serde_json::from_str(&spec).unwrap_or(json!({}));
            let resource = ResourceId(kind);
            let once = filled(resource, json!({"metadata": {"name": "a"}, "spec": spec}));
            prop_assert_eq!(filled(resource, once.clone()), once);
        }
    }
}
