//! The door to the picture. What no rule reads is dropped before an object is kept: most of a pod's
//! decoded size is plain environment, managers of its fields and room that growing lists have
//! reserved. And every text that a program could have written (a termination message is the end of
//! a log) is redacted.

use crate::redact;
use crate::world::pod::{Condition, KEPT_CONDITIONS, PodStatus};
use crate::world::{
    ConfigMapMeta, Container, ControllerRevision, EndpointSlice, Event, HorizontalPodAutoscaler,
    Meta, NamespaceObject, Node, Object, Pod, PodDisruptionBudget, PodSpec, Service, Workload,
};
use std::sync::Arc;

/// Who changed what last is asked of nodes, ConfigMaps and of workloads that nobody else manages.
fn without_managers(meta: &mut Meta) {
    meta.managed_fields = Vec::new();
    meta.owner_references.shrink_to_fit();
}

fn trim_spec(spec: &mut PodSpec) {
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        trim_container(container);
    }
    spec.containers.shrink_to_fit();
    spec.init_containers.shrink_to_fit();
    spec.volumes.retain(|volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.empty_dir.is_some()
            || volume.host_path.is_some()
            || volume.persistent_volume_claim.is_some()
    });
    for projected in spec.volumes.iter_mut().filter_map(|v| v.projected.as_mut()) {
        let names =
            |s: &crate::world::pod::ProjectedSource| s.config_map.is_some() || s.secret.is_some();
        projected.sources.retain(names);
        projected.sources.shrink_to_fit();
    }
    spec.volumes.shrink_to_fit();
}

fn trim_container(container: &mut Container) {
    container.env.retain(|variable| {
        variable.value_from.as_ref().is_some_and(|source| {
            source.config_map_key_ref.is_some() || source.secret_key_ref.is_some()
        })
    });
    container.env.shrink_to_fit();
    container.env_from.shrink_to_fit();
}

fn redact(text: &mut String) {
    if !text.is_empty() {
        *text = redact::text(text);
    }
}

fn trim_status(status: &mut PodStatus) {
    redact(&mut status.message);
    let kept = |condition: &Condition| KEPT_CONDITIONS.contains(&condition.kind.as_str());
    status.conditions.retain(kept);
    for condition in &mut status.conditions {
        redact(&mut condition.message);
    }
    let containers = &mut status.container_statuses;
    for container in containers
        .iter_mut()
        .chain(&mut status.init_container_statuses)
    {
        for state in [&mut container.state, &mut container.last_state] {
            if let Some(waiting) = &mut state.waiting {
                redact(&mut waiting.message);
            }
            if let Some(terminated) = &mut state.terminated {
                redact(&mut terminated.message);
                // What never started did so at the beginning of time, says the kubelet.
                terminated.started_at = terminated.started_at.filter(|at| !at.is_zero());
            }
        }
    }
    status.conditions.shrink_to_fit();
    status.container_statuses.shrink_to_fit();
    status.init_container_statuses.shrink_to_fit();
}

impl From<Pod> for Object {
    fn from(mut pod: Pod) -> Self {
        without_managers(&mut pod.metadata);
        trim_spec(&mut pod.spec);
        trim_status(&mut pod.status);
        Self::Pod(Arc::new(pod))
    }
}

impl From<Workload> for Object {
    fn from(mut workload: Workload) -> Self {
        if workload.metadata.controller().is_some() {
            without_managers(&mut workload.metadata);
        }
        trim_spec(&mut workload.spec.template.spec);
        for condition in &mut workload.status.conditions {
            redact(&mut condition.message);
        }
        workload.status.conditions.shrink_to_fit();
        Self::Workload(Arc::new(workload))
    }
}

impl From<ControllerRevision> for Object {
    fn from(mut revision: ControllerRevision) -> Self {
        without_managers(&mut revision.metadata);
        trim_spec(&mut revision.data.spec.template.spec);
        Self::ControllerRevision(Arc::new(revision))
    }
}

impl From<Node> for Object {
    fn from(mut node: Node) -> Self {
        for condition in &mut node.status.conditions {
            redact(&mut condition.message);
        }
        Self::Node(Arc::new(node))
    }
}

impl From<ConfigMapMeta> for Object {
    fn from(map: ConfigMapMeta) -> Self {
        Self::ConfigMap(Arc::new(map))
    }
}

impl From<Event> for Object {
    fn from(mut event: Event) -> Self {
        without_managers(&mut event.metadata);
        redact(&mut event.message);
        Self::Event(Arc::new(event))
    }
}

macro_rules! without_managers {
    ($($type:ident => $variant:ident),+ $(,)?) => {$(
        impl From<$type> for Object {
            fn from(mut object: $type) -> Self {
                without_managers(&mut object.metadata);
                Self::$variant(Arc::new(object))
            }
        }
    )+};
}
without_managers!(
    NamespaceObject => Namespace,
    HorizontalPodAutoscaler => HorizontalPodAutoscaler,
    PodDisruptionBudget => PodDisruptionBudget,
    Service => Service,
    EndpointSlice => EndpointSlice,
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn pod(spec: &Value, status: &Value) -> Arc<Pod> {
        let managers = json!([{"manager": "kubelet", "operation": "Update"}]);
        let whole = json!({
            "metadata": {"name": "cart", "managedFields": managers},
            "spec": spec,
            "status": status,
        });
        let Object::Pod(pod) = Object::from(from_value::<Pod>(whole).unwrap()) else {
            unreachable!()
        };
        pod
    }

    #[test]
    fn plain_environment_and_unnamed_volumes_are_dropped() {
        let pod = pod(
            &json!({
                "containers": [{"name": "app", "env": [
                    {"name": "PASSWORD", "value": "hunter2"},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "cart", "key": "t"}}},
                    {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "mode", "key": "m"}}},
                ]}],
                "volumes": [
                    {"name": "info", "downwardAPI": {}},
                    {"name": "cache", "emptyDir": {}},
                    {"name": "api", "projected": {"sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"configMap": {"name": "ca"}},
                    ]}},
                ],
            }),
            &json!({}),
        );
        let names: Vec<_> = pod.spec.containers[0]
            .env
            .iter()
            .map(|e| e.name.as_str())
            .collect();
        assert_eq!(names, ["TOKEN", "MODE"]);
        assert_eq!(
            pod.spec.config_maps().into_iter().collect::<Vec<_>>(),
            ["ca", "mode"]
        );
        let volumes: Vec<_> = pod.spec.volumes.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(volumes, ["cache", "api"]);
        assert_eq!(pod.metadata.managed_fields, []);
    }

    #[test]
    fn conditions_that_no_rule_reads_are_dropped() {
        let conditions = [
            "PodReadyToStartContainers",
            "Initialized",
            "Ready",
            "PodScheduled",
        ];
        let conditions = conditions.map(|kind| json!({"type": kind, "status": "True"}));
        let pod = pod(&json!({}), &json!({ "conditions": conditions }));
        let kept: Vec<_> = pod.status.conditions.iter().map(|c| &*c.kind).collect();
        assert_eq!(kept, ["Ready", "PodScheduled"]);
    }

    #[test]
    fn what_a_program_wrote_is_redacted() {
        let text = "cannot log in: password=hunter2";
        let pod = pod(
            &json!({}),
            &json!({
                "message": text,
                "conditions": [{"type": "Ready", "message": text}],
                "containerStatuses": [{
                    "name": "app",
                    "state": {"waiting": {"message": text}},
                    "lastState": {"terminated": {"exitCode": 1, "message": text}},
                }],
            }),
        );
        let event = json!({"metadata": {"name": "e"}, "message": text});
        let Object::Event(event) = Object::from(from_value::<Event>(event).unwrap()) else {
            unreachable!()
        };
        for kept in [format!("{pod:?}"), format!("{event:?}")] {
            assert!(!kept.contains("hunter2"), "{kept}");
            assert!(kept.contains("cannot log in"), "{kept}");
        }
    }

    /// As a kubelet writes a `StartError`.
    #[test]
    fn what_never_started_has_no_start() {
        let never = json!({
            "exitCode": 128, "reason": "StartError",
            "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-01-05T10:00:00Z",
        });
        let status =
            json!({"containerStatuses": [{"name": "app", "lastState": {"terminated": never}}]});
        let pod = pod(&json!({}), &status);
        let end = pod.status.container_statuses[0]
            .last_state
            .terminated
            .as_ref();
        let end = end.unwrap();
        assert!(end.started_at.is_none() && end.finished_at.is_some());
    }

    #[test]
    fn managers_stay_where_somebody_asks_for_them() {
        let managed = |owners: &Value| {
            let whole = json!({"metadata": {
                "name": "cart",
                "ownerReferences": owners,
                "managedFields": [{"manager": "kubectl", "operation": "Update"}],
            }});
            let object = Object::from(from_value::<Workload>(whole).unwrap());
            object.meta().managed_fields.len()
        };
        assert_eq!(managed(&json!([])), 1);
        assert_eq!(
            managed(&json!([{"kind": "Deployment", "uid": "u", "controller": true}])),
            0
        );
    }
}
