//! Workloads and their revisions.

use super::{APP, Last, World, controlled_by, reference};
use crate::world::pod::Container;
use crate::world::{ControllerRevision, Kind, Map, Meta, PodSpec, Quantity, Workload};

impl World {
    /// A Deployment of one replica; its revisions are ReplicaSets.
    pub fn deployment(self, namespace: &str, name: &str) -> Self {
        self.workload(Kind::Deployment, namespace, name)
    }

    /// A StatefulSet (`OrderedReady`) of one replica.
    pub fn stateful_set(self, namespace: &str, name: &str) -> Self {
        self.workload(Kind::StatefulSet, namespace, name)
    }

    /// A DaemonSet.
    pub fn daemon_set(self, namespace: &str, name: &str) -> Self {
        self.workload(Kind::DaemonSet, namespace, name)
    }

    /// A Job; its pods hang on it directly.
    pub fn job(self, namespace: &str, name: &str) -> Self {
        self.workload(Kind::Job, namespace, name)
    }

    pub(super) fn workload(mut self, kind: Kind, namespace: &str, name: &str) -> Self {
        let mut workload = Workload {
            metadata: self.meta(&reference(kind.clone(), namespace, name)),
            kind,
            ..Workload::default()
        };
        let labels = Map::from([("app".to_owned(), name.to_owned())]);
        workload.metadata.generation = 1;
        workload.metadata.labels.clone_from(&labels);
        workload.spec.selector.match_labels.clone_from(&labels);
        workload.spec.template.metadata.labels = labels;
        workload.spec.template.spec = PodSpec {
            restart_policy: "Always".to_owned(),
            containers: vec![Container {
                name: APP.to_owned(),
                image: format!("img.test/{name}:1"),
                ..Container::default()
            }],
            ..PodSpec::default()
        };
        if workload.kind == Kind::StatefulSet {
            workload.spec.pod_management_policy = "OrderedReady".into();
        }
        if !matches!(workload.kind, Kind::DaemonSet | Kind::Job) {
            workload.spec.replicas = Some(1);
        }
        self.workloads.push(workload);
        self.last = Last::Workload;
        self
    }

    /// Desired replicas of the workload.
    pub fn replicas(mut self, replicas: i64) -> Self {
        self.owner().spec.replicas = Some(replicas);
        self
    }

    /// The workload belongs to a custom resource of that kind and name.
    pub fn owned_by(mut self, kind: &str, name: &str) -> Self {
        let namespace = self.owner().metadata.namespace.clone();
        let owner = reference(Kind::Other(kind.to_owned()), &namespace, name);
        self.owner().metadata.owner_references = vec![controlled_by(&owner)];
        self
    }

    /// A new revision, which is now the workload's current one: a ReplicaSet named `<owner>-<n>`, or
    /// a ControllerRevision. Its template is the last one's until it is changed.
    pub fn revision(mut self, number: i64) -> Self {
        let owner = self.owner().clone();
        let name = format!("{}-{number}", owner.metadata.name);
        let kind = if owner.kind == Kind::Deployment {
            Kind::ReplicaSet
        } else {
            Kind::ControllerRevision
        };
        let mut metadata = self.meta(&reference(kind, &owner.metadata.namespace, &name));
        metadata.owner_references = vec![controlled_by(&owner.reference())];
        let annotation = "deployment.kubernetes.io/revision".to_owned();
        if owner.kind == Kind::Deployment {
            let number = number.to_string();
            let notes = &mut self.owner().metadata.annotations;
            notes.insert(annotation.clone(), number.clone());
            metadata.annotations.insert(annotation, number);
            metadata.labels.clone_from(&owner.metadata.labels);
            metadata
                .labels
                .insert("pod-template-hash".to_owned(), name.clone());
            self.replica_sets.push(Workload {
                kind: Kind::ReplicaSet,
                metadata,
                spec: owner.spec.clone(),
                ..Workload::default()
            });
            self.last = Last::ReplicaSet;
        } else {
            let mut revision = ControllerRevision {
                metadata,
                revision: number,
                ..ControllerRevision::default()
            };
            revision.data.spec.template = owner.spec.template;
            self.revisions.push(revision);
            let status = &mut self.owner().status;
            if status.current_revision.is_empty() {
                status.current_revision.clone_from(&name);
            }
            status.update_revision = name;
            self.last = Last::Revision;
        }
        self
    }

    /// Image of the container `app`, in the current revision and the workload.
    pub fn image(self, image: &str) -> Self {
        self.template(|spec| {
            for container in spec.containers.iter_mut().filter(|c| c.name == APP) {
                image.clone_into(&mut container.image);
            }
        })
    }

    /// Memory request and limit of the container `app`; an empty text is none.
    pub fn memory(self, request: &str, limit: &str) -> Self {
        self.template(|spec| {
            for container in spec.containers.iter_mut().filter(|c| c.name == APP) {
                let resources = &mut container.resources;
                for (map, value) in [
                    (&mut resources.requests, request),
                    (&mut resources.limits, limit),
                ] {
                    map.remove("memory");
                    if !value.is_empty() {
                        map.insert("memory".to_owned(), Quantity::from(value));
                    }
                }
            }
        })
    }

    /// Changes the pod template of the workload and of its newest revision. Before their pods.
    pub fn template(mut self, change: impl Fn(&mut PodSpec)) -> Self {
        let owner = self.owner().reference();
        change(&mut self.owner().spec.template.spec);
        let of_owner = |meta: &Meta| meta.controller().is_some_and(|o| o.uid == owner.uid);
        let replica_set = self
            .replica_sets
            .last_mut()
            .filter(|r| of_owner(&r.metadata));
        let revision = self.revisions.last_mut().filter(|r| of_owner(&r.metadata));
        let templates = [
            replica_set.map(|r| &mut r.spec.template),
            revision.map(|r| &mut r.data.spec.template),
        ];
        for template in templates.into_iter().flatten() {
            change(&mut template.spec);
        }
        self
    }

    /// Changes the workload. Counts in its status are computed unless this sets
    /// `status.observed_generation`.
    pub fn edit_workload(mut self, change: impl FnOnce(&mut Workload)) -> Self {
        change(self.owner());
        self
    }

    pub(super) fn owner(&mut self) -> &mut Workload {
        self.workloads.last_mut().expect("a workload comes first")
    }
}
