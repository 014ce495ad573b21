//! Which resources are served: one table, and custom resources added to it while running.

use std::sync::Arc;

/// Index of a resource in [`Resources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u16);

/// One served resource.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of discovery")]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Version.
    pub version: Arc<str>,
    /// Kind, as in manifests.
    pub kind: Arc<str>,
    /// Plural name, as in paths.
    pub plural: Arc<str>,
    /// Singular name.
    pub singular: Arc<str>,
    /// Short names for kubectl.
    pub short_names: Vec<Arc<str>>,
    /// Lives in a namespace.
    pub namespaced: bool,
    /// Subresources that the generic registry serves (`status`, `scale`); the special ones (`log`,
    /// `eviction`, `binding`, `token`, ...) are listed for discovery and served by the API.
    pub subresources: Vec<Arc<str>>,
    /// In kubectl's `all`.
    pub in_all: bool,
    /// Defined by a `CustomResourceDefinition`.
    pub custom: bool,
    /// False for a custom resource whose definition was deleted: its id stays, its path does not.
    pub served: bool,
}

impl Resource {
    /// `deployments.apps`, or `pods` in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> Arc<str> {
        if self.group.is_empty() {
            Arc::clone(&self.version)
        } else {
            format!("{}/{}", self.group, self.version).into()
        }
    }

    /// Does it serve this subresource?
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|one| &**one == subresource)
    }
}

/// Declares the built-in table and a constant for each row.
macro_rules! resources {
    ($($id:ident: $group:literal $version:literal $kind:literal $plural:literal $singular:literal
       [$($short:literal)*] $namespaced:literal [$($sub:literal)*] $all:literal;)*) => {
        /// Ids of the built-in resources, in the order of the table.
        #[expect(missing_docs, reason = "named after the resources")]
        pub mod ids {
            use super::ResourceId;
            #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only for counting")]
            #[repr(u16)]
            enum Index { $($id),* }
            $(pub const $id: ResourceId = ResourceId(Index::$id as u16);)*
        }

        fn built_in() -> Vec<Resource> {
            vec![$(Resource {
                group: $group.into(), version: $version.into(), kind: $kind.into(),
                plural: $plural.into(), singular: $singular.into(),
                short_names: vec![$($short.into()),*], namespaced: $namespaced,
                subresources: vec![$($sub.into()),*], in_all: $all, custom: false,
                served: true,
            }),*]
        }
    };
}

resources! {
    NAMESPACES: "" "v1" "Namespace" "namespaces" "namespace" ["ns"] false ["status" "finalize"] false;
    NODES: "" "v1" "Node" "nodes" "node" ["no"] false ["status"] false;
    PODS: "" "v1" "Pod" "pods" "pod" ["po"] true ["status" "log" "eviction" "binding" "ephemeralcontainers" "resize" "exec" "attach" "portforward" "proxy"] true;
    SERVICES: "" "v1" "Service" "services" "service" ["svc"] true ["status"] true;
    ENDPOINTS: "" "v1" "Endpoints" "endpoints" "endpoints" ["ep"] true [] false;
    CONFIGMAPS: "" "v1" "ConfigMap" "configmaps" "configmap" ["cm"] true [] false;
    SECRETS: "" "v1" "Secret" "secrets" "secret" [] true [] false;
    EVENTS: "" "v1" "Event" "events" "event" ["ev"] true [] false;
    PERSISTENT_VOLUMES: "" "v1" "PersistentVolume" "persistentvolumes" "persistentvolume" ["pv"] false ["status"] false;
    PERSISTENT_VOLUME_CLAIMS: "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" "persistentvolumeclaim" ["pvc"] true ["status"] false;
    SERVICE_ACCOUNTS: "" "v1" "ServiceAccount" "serviceaccounts" "serviceaccount" ["sa"] true ["token"] false;
    RESOURCE_QUOTAS: "" "v1" "ResourceQuota" "resourcequotas" "resourcequota" ["quota"] true ["status"] false;
    LIMIT_RANGES: "" "v1" "LimitRange" "limitranges" "limitrange" ["limits"] true [] false;
    REPLICATION_CONTROLLERS: "" "v1" "ReplicationController" "replicationcontrollers" "replicationcontroller" ["rc"] true ["status" "scale"] true;
    POD_TEMPLATES: "" "v1" "PodTemplate" "podtemplates" "podtemplate" [] true [] false;
    DEPLOYMENTS: "apps" "v1" "Deployment" "deployments" "deployment" ["deploy"] true ["status" "scale"] true;
    REPLICA_SETS: "apps" "v1" "ReplicaSet" "replicasets" "replicaset" ["rs"] true ["status" "scale"] true;
    STATEFUL_SETS: "apps" "v1" "StatefulSet" "statefulsets" "statefulset" ["sts"] true ["status" "scale"] true;
    DAEMON_SETS: "apps" "v1" "DaemonSet" "daemonsets" "daemonset" ["ds"] true ["status"] true;
    CONTROLLER_REVISIONS: "apps" "v1" "ControllerRevision" "controllerrevisions" "controllerrevision" [] true [] false;
    JOBS: "batch" "v1" "Job" "jobs" "job" [] true ["status"] true;
    CRON_JOBS: "batch" "v1" "CronJob" "cronjobs" "cronjob" ["cj"] true ["status"] true;
    HORIZONTAL_POD_AUTOSCALERS: "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" "horizontalpodautoscaler" ["hpa"] true ["status"] true;
    POD_DISRUPTION_BUDGETS: "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" "poddisruptionbudget" ["pdb"] true ["status"] false;
    NETWORK_POLICIES: "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" "networkpolicy" ["netpol"] true [] false;
    INGRESSES: "networking.k8s.io" "v1" "Ingress" "ingresses" "ingress" ["ing"] true ["status"] false;
    INGRESS_CLASSES: "networking.k8s.io" "v1" "IngressClass" "ingressclasses" "ingressclass" [] false [] false;
    ENDPOINT_SLICES: "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" "endpointslice" [] true [] false;
    STORAGE_CLASSES: "storage.k8s.io" "v1" "StorageClass" "storageclasses" "storageclass" ["sc"] false [] false;
    CSI_DRIVERS: "storage.k8s.io" "v1" "CSIDriver" "csidrivers" "csidriver" [] false [] false;
    CSI_NODES: "storage.k8s.io" "v1" "CSINode" "csinodes" "csinode" [] false [] false;
    VOLUME_ATTACHMENTS: "storage.k8s.io" "v1" "VolumeAttachment" "volumeattachments" "volumeattachment" [] false ["status"] false;
    ROLES: "rbac.authorization.k8s.io" "v1" "Role" "roles" "role" [] true [] false;
    ROLE_BINDINGS: "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings" "rolebinding" [] true [] false;
    CLUSTER_ROLES: "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" "clusterrole" [] false [] false;
    CLUSTER_ROLE_BINDINGS: "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" "clusterrolebinding" [] false [] false;
    LEASES: "coordination.k8s.io" "v1" "Lease" "leases" "lease" [] true [] false;
    PRIORITY_CLASSES: "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" "priorityclass" ["pc"] false [] false;
    RUNTIME_CLASSES: "node.k8s.io" "v1" "RuntimeClass" "runtimeclasses" "runtimeclass" [] false [] false;
    MUTATING_WEBHOOKS: "admissionregistration.k8s.io" "v1" "MutatingWebhookConfiguration" "mutatingwebhookconfigurations" "mutatingwebhookconfiguration" [] false [] false;
    VALIDATING_WEBHOOKS: "admissionregistration.k8s.io" "v1" "ValidatingWebhookConfiguration" "validatingwebhookconfigurations" "validatingwebhookconfiguration" [] false [] false;
    VALIDATING_POLICIES: "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicy" "validatingadmissionpolicies" "validatingadmissionpolicy" [] false ["status"] false;
    VALIDATING_POLICY_BINDINGS: "admissionregistration.k8s.io" "v1" "ValidatingAdmissionPolicyBinding" "validatingadmissionpolicybindings" "validatingadmissionpolicybinding" [] false [] false;
    API_SERVICES: "apiregistration.k8s.io" "v1" "APIService" "apiservices" "apiservice" [] false ["status"] false;
    EVENTS_V1: "events.k8s.io" "v1" "Event" "events" "event" ["ev"] true [] false;
    CUSTOM_RESOURCE_DEFINITIONS: "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" "customresourcedefinition" ["crd" "crds"] false ["status"] false;
}

/// Everything that is served.
#[derive(Clone, Debug)]
pub struct Resources {
    table: Vec<Resource>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { table: built_in() }
    }
}

impl Resources {
    /// The resource with this id.
    ///
    /// Ids come only from this table, which never shrinks.
    #[expect(
        clippy::indexing_slicing,
        reason = "ids come from this table, which never shrinks"
    )]
    pub fn get(&self, id: ResourceId) -> &Resource {
        &self.table[usize::from(id.0)]
    }

    /// By group, version and plural, as in a path.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<ResourceId> {
        self.find(|one| &*one.plural == plural && &*one.group == group && &*one.version == version)
    }

    /// By apiVersion and kind, as in a manifest.
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<ResourceId> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.find(|one| &*one.kind == kind && &*one.group == group && &*one.version == version)
    }

    /// All, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceId, &Resource)> {
        (0..).map(ResourceId).zip(&self.table)
    }

    /// Adds a custom resource, or changes the one of the same group, version and plural.
    pub fn add(&mut self, resource: Resource) -> ResourceId {
        let known = self.iter().find(|(_, one)| {
            one.plural == resource.plural
                && one.group == resource.group
                && one.version == resource.version
        });
        if let Some((id, _)) = known {
            if let Some(place) = self.table.get_mut(usize::from(id.0)) {
                *place = resource;
            }
            return id;
        }
        self.table.push(resource);
        let index = u16::try_from(self.table.len().saturating_sub(1)).unwrap_or(u16::MAX);
        ResourceId(index)
    }

    /// Stops or goes on serving a resource.
    pub fn serve(&mut self, id: ResourceId, served: bool) {
        if let Some(row) = self.table.get_mut(usize::from(id.0)) {
            row.served = served;
        }
    }

    /// Under which id the objects of a resource are kept: Events of `events.k8s.io` are those of the
    /// core group, and all versions of a custom resource are one.
    pub fn stored(&self, id: ResourceId) -> ResourceId {
        if id == ids::EVENTS_V1 {
            return ids::EVENTS;
        }
        let row = self.get(id);
        if !row.custom {
            return id;
        }
        let same =
            |one: &Resource| one.custom && one.plural == row.plural && one.group == row.group;
        let first = self.iter().find(|(_, one)| same(one));
        first.map_or(id, |(first, _)| first)
    }

    fn find(&self, wanted: impl Fn(&Resource) -> bool) -> Option<ResourceId> {
        let mut all = self.iter();
        all.find(|(_, one)| one.served && wanted(one))
            .map(|(id, _)| id)
    }
}
