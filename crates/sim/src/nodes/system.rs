//! What a cluster has before anybody asked for anything.

use crate::cluster::Cluster;
use crate::object::Object;
use crate::resources::{ResourceId, ids};
use serde_json::{Value, json};

impl Cluster {
    /// Creates the namespaces, priority classes, the default storage class and the service
    /// `kubernetes`.
    pub(crate) fn create_system_objects(&mut self) {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let labels = json!({"kubernetes.io/metadata.name": name});
            let body = json!({
                "metadata": {"name": name, "labels": labels},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            self.create_system(ids::NAMESPACES, body);
        }
        for (name, value, what) in [
            (
                "system-cluster-critical",
                2_000_000_000_u32,
                "Used for system critical pods that must run in the cluster, but can be moved to \
                 another node if necessary.",
            ),
            (
                "system-node-critical",
                2_000_001_000,
                "Used for system critical pods that must not be moved from their current node.",
            ),
        ] {
            let body = json!({
                "metadata": {"name": name}, "value": value, "description": what,
                "preemptionPolicy": "PreemptLowerPriority",
            });
            self.create_system(ids::PRIORITY_CLASSES, body);
        }
        let default = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        let class = json!({
            "metadata": {"name": "standard", "annotations": default},
            "provisioner": "sim.nightshift.dev/disk",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": true,
        });
        self.create_system(ids::STORAGE_CLASSES, class);
        let labels = json!({"component": "apiserver", "provider": "kubernetes"});
        let service = json!({
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "ClusterIP",
                "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
            "status": {"loadBalancer": {}},
        });
        self.create_system(ids::SERVICES, service);
        let slice = json!({
            "metadata": {"name": "kubernetes", "namespace": "default",
                         "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        });
        self.create_system(ids::ENDPOINT_SLICES, slice);
    }

    fn create_system(&mut self, resource: ResourceId, body: Value) {
        if let Ok(object) = Object::from_value(body) {
            // A cluster that was loaded may have it already.
            drop(self.create(resource, object));
        }
    }
}
