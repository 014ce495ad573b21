//! Nodes, ConfigMaps, events, and what is known of the last thing.

use super::{Last, World, reference};
use crate::world::node::NodeCondition;
use crate::world::other::{ConfigMapMeta, InvolvedObject};
use crate::world::pod::Condition;
use crate::world::{Event, Field, Kind, ManagedField, Meta, Node, Quantity, Workload};

impl World {
    /// A node that is ready, without any pressure.
    pub fn node(mut self, name: &str) -> Self {
        let mut node = Node {
            metadata: self.meta(&reference(Kind::Node, "", name)),
            ..Node::default()
        };
        let since = node.metadata.creation_timestamp;
        let healthy = [
            ("Ready", "True", "KubeletReady"),
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ];
        node.status.conditions = healthy
            .map(|(kind, status, reason)| NodeCondition {
                kind: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                last_transition_time: since,
                ..NodeCondition::default()
            })
            .into();
        let capacity = [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")];
        node.status.allocatable = capacity
            .map(|(name, value)| (name.to_owned(), Quantity::from(value)))
            .into();
        self.nodes.push(node);
        self.last = Last::Node;
        self
    }

    /// The node is cordoned.
    pub fn cordoned(self) -> Self {
        self.edit_node(|node| node.spec.unschedulable = true)
    }

    /// Changes the node.
    pub fn edit_node(mut self, change: impl FnOnce(&mut Node)) -> Self {
        change(self.nodes.last_mut().expect("a node comes first"));
        self
    }

    /// A condition of the last pod, workload or node, so since `ago` seconds.
    pub fn condition(mut self, kind: &str, status: &str, reason: &str, ago: i64) -> Self {
        let since = Some(self.ago(ago));
        if matches!(self.last, Last::Node) {
            return self.edit_node(|node| {
                node.status.conditions.retain(|c| c.kind != kind);
                node.status.conditions.push(NodeCondition {
                    kind: kind.to_owned(),
                    status: status.to_owned(),
                    reason: reason.to_owned(),
                    message: format!("{reason}."),
                    last_transition_time: since,
                });
            });
        }
        let conditions = if matches!(self.last, Last::Pod) {
            &mut self.this_pod().status.conditions
        } else {
            &mut self.owner().status.conditions
        };
        conditions.retain(|c| c.kind != kind);
        conditions.push(Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: format!("{reason}."),
            last_transition_time: since,
        });
        self
    }

    /// A ConfigMap.
    pub fn config_map(mut self, namespace: &str, name: &str) -> Self {
        let metadata = self.meta(&reference(Kind::ConfigMap, namespace, name));
        self.config_maps.push(ConfigMapMeta { metadata });
        self.last = Last::ConfigMap;
        self
    }

    /// `manager` changed those fields of the last thing `ago` seconds ago.
    pub fn managed(mut self, manager: &str, touches: &[Field], ago: i64) -> Self {
        let entry = ManagedField {
            manager: manager.to_owned(),
            operation: "Update".to_owned(),
            time: Some(self.ago(ago)),
            subresource: String::new(),
            touches: touches.iter().copied().collect(),
        };
        self.last_meta().managed_fields.push(entry);
        self
    }

    /// The last thing was created `seconds` ago (pods also start then).
    pub fn age(mut self, seconds: i64) -> Self {
        let created = Some(self.ago(seconds));
        self.last_meta().creation_timestamp = created;
        if let (Last::Pod, Some(pod)) = (self.last, self.pods.last_mut()) {
            pod.status.start_time = pod.status.start_time.and(created);
            for condition in &mut pod.status.conditions {
                condition.last_transition_time = created;
            }
            for container in &mut pod.status.container_statuses {
                if let Some(running) = &mut container.state.running {
                    running.started_at = created;
                }
            }
        }
        self
    }

    /// A Warning about the last thing, seen once, 10 s ago.
    pub fn event(mut self, reason: &str, message: &str) -> Self {
        let about = match self.last {
            Last::Pod => self.this_pod().reference(),
            Last::Node => self.nodes.last().map(Node::reference).unwrap_or_default(),
            Last::ReplicaSet => {
                let set = self.replica_sets.last();
                set.map(Workload::reference).unwrap_or_default()
            }
            Last::Workload | Last::Revision | Last::ConfigMap | Last::Nothing => {
                self.owner().reference()
            }
        };
        let name = format!("{}.{}", about.name, self.events.len());
        let at = Some(self.ago(10));
        let mut metadata = self.meta(&reference(Kind::Event, &about.namespace, &name));
        metadata.creation_timestamp = at;
        self.events.push(Event {
            metadata,
            involved_object: InvolvedObject {
                kind: about.kind,
                namespace: about.namespace,
                name: about.name,
                uid: about.uid,
                field_path: String::new(),
            },
            reason: reason.to_owned(),
            message: message.to_owned(),
            kind: "Warning".to_owned(),
            count: 1,
            first_timestamp: at,
            last_timestamp: at,
            ..Event::default()
        });
        self
    }

    /// The last event was first seen `first` and last seen `last` seconds ago, `times` in all.
    pub fn seen(mut self, first: i64, last: i64, times: i64) -> Self {
        let (first, last) = (Some(self.ago(first)), Some(self.ago(last)));
        if let Some(event) = self.events.last_mut() {
            event.metadata.creation_timestamp = first;
            event.first_timestamp = first;
            event.last_timestamp = last;
            event.count = times;
        }
        self
    }

    pub(super) fn last_meta(&mut self) -> &mut Meta {
        let meta = match self.last {
            Last::Nothing => None,
            Last::Workload => self.workloads.last_mut().map(|o| &mut o.metadata),
            Last::ReplicaSet => self.replica_sets.last_mut().map(|o| &mut o.metadata),
            Last::Revision => self.revisions.last_mut().map(|o| &mut o.metadata),
            Last::Pod => self.pods.last_mut().map(|o| &mut o.metadata),
            Last::Node => self.nodes.last_mut().map(|o| &mut o.metadata),
            Last::ConfigMap => self.config_maps.last_mut().map(|o| &mut o.metadata),
        };
        meta.expect("an object comes first")
    }
}
