//! What the API server's admission plugins add and refuse, and the whole way of a write: defaults,
//! managed fields, admission, validation, quota.
//!
//! In use: ServiceAccount, LimitRanger, Priority, DefaultTolerationSeconds, DefaultStorageClass,
//! ValidatingAdmissionPolicy, ResourceQuota; cluster addresses of Services. NamespaceLifecycle is
//! checked where the path is read.

mod amounts;
mod expression;
mod limits;
mod pod;
pub mod policy;
pub mod quota;
mod service;

use crate::auth::User;
use crate::cluster::Cluster;
use crate::object::Object;
use crate::patch::{self, Writer};
use crate::registry::Part;
use crate::resources::{Resource, ResourceId, ids};
use crate::status::Status;
use crate::{defaults, validate};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub use amounts::{Amounts, pod_amounts};

/// A JSON object.
type Fields = Map<String, Value>;

/// For whom something is written.
#[derive(Clone, Copy, Debug)]
pub enum For<'user> {
    /// A controller inside: no policy is asked.
    Inside,
    /// A client.
    Client {
        /// Who.
        user: &'user User,
        /// Whether it only asks what the object would become.
        dry_run: bool,
    },
}

impl For<'_> {
    fn dry_run(self) -> bool {
        matches!(self, Self::Client { dry_run: true, .. })
    }
}

/// Creates an object the whole way that a request goes, or only says what it would become.
pub fn create(
    cluster: &mut Cluster,
    resource: ResourceId,
    object: Object,
    writer: &Writer<'_>,
    asker: For<'_>,
) -> Result<Arc<Object>, Status> {
    let object = draft(cluster, resource, object, writer)?;
    place(cluster, resource, object, writer, asker)
}

/// The first part of the way: all that does not depend on the name. It is the same for objects that
/// are made alike at one moment.
pub fn draft(
    cluster: &mut Cluster,
    resource: ResourceId,
    mut object: Object,
    writer: &Writer<'_>,
) -> Result<Object, Status> {
    let row = cluster.resources.get(resource).clone();
    defaults::fill(resource, &mut object);
    patch::track(&row, None, &mut object, writer);
    admit(cluster, resource, &mut object)?;
    validate::create(resource, &row, &object)?;
    Ok(object)
}

/// The rest of the way of a draft.
pub fn place(
    cluster: &mut Cluster,
    resource: ResourceId,
    mut object: Object,
    writer: &Writer<'_>,
    asker: For<'_>,
) -> Result<Arc<Object>, Status> {
    let row = cluster.resources.get(resource).clone();
    let given = Arc::clone(&object.meta.name);
    cluster.prepare(resource, &mut object)?;
    if resource == ids::NAMESPACES && given != object.meta.name {
        // A generated name fills the namespace's label too.
        defaults::fill(resource, &mut object);
    }
    ask_policies(cluster, &row, None, &object, writer, asker)?;
    check(cluster, resource, None, &object)?;
    if asker.dry_run() {
        return Ok(Arc::new(object));
    }
    Ok(cluster.store.put(resource, object))
}

/// Updates an object the whole way that a request goes, or only says what it would become.
pub fn update(
    cluster: &mut Cluster,
    resource: ResourceId,
    mut object: Object,
    part: Part,
    writer: &Writer<'_>,
    asker: For<'_>,
) -> Result<Arc<Object>, Status> {
    let row = cluster.resources.get(resource).clone();
    if part == Part::Main {
        if resource == ids::SERVICES {
            service::keep(&cluster.store, &mut object);
        }
        defaults::fill(resource, &mut object);
        if resource == ids::SERVICES {
            service::allocate(cluster, &mut object)?;
        }
    }
    let (old, mut new) = cluster.merge(resource, object, part)?;
    patch::track(&row, Some(&old), &mut new, writer);
    // A controller inside may have written it without defaults; that is no change.
    let mut before = Object::clone(&old);
    defaults::fill(resource, &mut before);
    validate::update(resource, &row, &before, &new, part == Part::Status)?;
    ask_policies(cluster, &row, Some(&old), &new, writer, asker)?;
    if part == Part::Main {
        check(cluster, resource, Some(&old), &new)?;
    }
    if asker.dry_run() {
        return Ok(Arc::new(new));
    }
    cluster.update(resource, new, part)
}

fn ask_policies(
    cluster: &Cluster,
    row: &Resource,
    old: Option<&Object>,
    new: &Object,
    writer: &Writer<'_>,
    asker: For<'_>,
) -> Result<(), Status> {
    let For::Client { user, dry_run } = asker else {
        return Ok(());
    };
    let asked = policy::Asked {
        row,
        subresource: writer.subresource,
        user,
        dry_run,
        old,
        new: Some(new),
    };
    policy::check(cluster, &asked)
}

/// What admission adds to a new object, in the order of the plugins.
pub fn admit(
    cluster: &mut Cluster,
    resource: ResourceId,
    object: &mut Object,
) -> Result<(), Status> {
    match resource {
        ids::PODS => {
            limits::fill(&cluster.store, object);
            pod::admit(cluster, object)?;
        }
        ids::SERVICES => service::allocate(cluster, object)?,
        ids::PERSISTENT_VOLUME_CLAIMS => default_class(cluster, object),
        _ => {}
    }
    if !object.fields.contains_key("status") {
        defaults::begin(resource, object);
    }
    Ok(())
}

/// What admission refuses when everything is filled in: limits and quotas.
pub fn check(
    cluster: &Cluster,
    resource: ResourceId,
    old: Option<&Object>,
    new: &Object,
) -> Result<(), Status> {
    let row = cluster.resources.get(resource);
    if old.is_none() {
        limits::check(&cluster.store, resource, row, new)?;
    }
    quota::check(&cluster.store, resource, row, old, new)
}

/// A claim that names no class gets the default one, the newest if there are several.
fn default_class(cluster: &Cluster, claim: &mut Object) {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    let mut spec: Fields = claim.spec();
    if spec
        .get("storageClassName")
        .is_some_and(|one| !one.is_null())
    {
        return;
    }
    let classes = cluster.store.list(ids::STORAGE_CLASSES, None);
    let defaults = classes.filter(|class| {
        let mark = class.meta.annotations.get(DEFAULT);
        mark.is_some_and(|mark| mark == "true")
    });
    if let Some(class) = defaults.max_by_key(|class| class.meta.creation_timestamp) {
        spec.insert("storageClassName".to_owned(), json!(class.meta.name));
        claim.set("spec", &spec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn writer() -> Writer<'static> {
        Writer {
            manager: "test",
            subresource: "",
            applied: false,
            now: start(),
        }
    }

    fn cluster(objects: Vec<(ResourceId, Value)>) -> Cluster {
        let mut cluster = Cluster::empty(1, start());
        let account = json!({"metadata": {"name": "default", "namespace": "n"}});
        let first = [(ids::SERVICE_ACCOUNTS, account)];
        for (resource, value) in first.into_iter().chain(objects) {
            let mut object = Object::from_value(value).unwrap();
            defaults::fill(resource, &mut object);
            cluster.create(resource, object).unwrap();
        }
        cluster
    }

    #[expect(clippy::unwrap_in_result, reason = "the object is the test's own")]
    fn make(cluster: &mut Cluster, resource: ResourceId, value: Value) -> Result<Value, String> {
        let object = Object::from_value(value).unwrap();
        create(cluster, resource, object, &writer(), For::Inside)
            .map(|object| object.to_value())
            .map_err(|status| status.message)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test hands in what it has just written"
    )]
    fn pod(name: &str, resources: Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"containers": [
            {"name": "main", "image": "img.test/app:1", "resources": resources}]}})
    }

    #[test]
    fn a_pod_gets_what_the_recorded_one_got() {
        let limits = json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {"limits": [
            {"type": "Container", "default": {"memory": "128Mi"}, "defaultRequest": {"memory": "64Mi", "cpu": "50m"}}]}});
        let mut cluster = cluster(vec![(ids::LIMIT_RANGES, limits)]);
        let made = make(&mut cluster, ids::PODS, pod("bad", json!({}))).unwrap();
        assert_eq!(
            made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
            "LimitRanger plugin set: cpu, memory request for container main; memory limit for container main"
        );
        let spec = &made["spec"];
        assert_eq!(
            spec["containers"][0]["resources"],
            json!({"limits": {"memory": "128Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}})
        );
        assert_eq!(
            spec["containers"][0]["volumeMounts"][0]["mountPath"],
            "/var/run/secrets/kubernetes.io/serviceaccount"
        );
        assert_eq!(
            (&spec["serviceAccountName"], &spec["serviceAccount"]),
            (&json!("default"), &json!("default"))
        );
        assert_eq!(
            spec["tolerations"],
            json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}])
        );
        assert_eq!(
            (&spec["priority"], &spec["preemptionPolicy"]),
            (&json!(0), &json!("PreemptLowerPriority"))
        );
        assert_eq!(
            made["status"],
            json!({"phase": "Pending", "qosClass": "Burstable"})
        );
        let managers = made["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(
            (managers.len(), &managers[0]["operation"]),
            (1, &json!("Update"))
        );
        assert_eq!(managers[0]["fieldsV1"]["f:spec"].get("f:tolerations"), None);
    }

    #[test]
    fn limits_refuse_in_the_recorded_words() {
        let limits = json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {"limits": [
            {"type": "Container", "max": {"memory": "256Mi"}, "min": {"memory": "16Mi"}}]}});
        let mut cluster = cluster(vec![(ids::LIMIT_RANGES, limits)]);
        let mut refused =
            |resources| make(&mut cluster, ids::PODS, pod("bad", resources)).unwrap_err();
        assert_eq!(
            refused(json!({"limits": {"memory": "1Gi"}})),
            "pods \"bad\" is forbidden: maximum memory usage per Container is 256Mi, but limit is 1Gi"
        );
        assert_eq!(
            refused(json!({"requests": {"memory": "1Mi"}})),
            "pods \"bad\" is forbidden: minimum memory usage per Container is 16Mi, but request is 1Mi"
        );
    }

    #[test]
    fn quotas_refuse_in_the_recorded_words() {
        let quota = json!({"metadata": {"name": "small", "namespace": "n"}, "spec": {"hard": {"pods": 1, "requests.cpu": "1", "configmaps": "1"}}});
        let mut cluster = cluster(vec![(ids::RESOURCE_QUOTAS, quota)]);
        assert_eq!(
            make(&mut cluster, ids::PODS, pod("bad", json!({}))).unwrap_err(),
            "pods \"bad\" is forbidden: failed quota: small: must specify requests.cpu for: main"
        );
        let asks = || json!({"requests": {"cpu": "600m"}});
        make(&mut cluster, ids::PODS, pod("one", asks())).unwrap();
        assert_eq!(
            make(&mut cluster, ids::PODS, pod("two", asks())).unwrap_err(),
            "pods \"two\" is forbidden: exceeded quota: small, requested: pods=1,requests.cpu=600m, used: pods=1,requests.cpu=600m, limited: pods=1,requests.cpu=1"
        );
        let map = |name: &str| json!({"metadata": {"name": name, "namespace": "n"}});
        make(&mut cluster, ids::CONFIGMAPS, map("a")).unwrap();
        assert_eq!(
            make(&mut cluster, ids::CONFIGMAPS, map("b")).unwrap_err(),
            "configmaps \"b\" is forbidden: exceeded quota: small, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
        );
    }

    #[test]
    fn an_account_that_is_not_there_is_refused() {
        let mut cluster = cluster(Vec::new());
        let mut lonely = pod("bad", json!({}));
        lonely["spec"]["serviceAccountName"] = json!("nobody");
        assert_eq!(
            make(&mut cluster, ids::PODS, lonely).unwrap_err(),
            "pods \"bad\" is forbidden: error looking up service account n/nobody: serviceaccount \"nobody\" not found"
        );
    }

    #[test]
    fn services_get_addresses_of_their_own_and_keep_them() {
        let mut cluster = cluster(Vec::new());
        let service = |name: &str, kind: &str| json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"type": kind, "ports": [{"port": 80}]}});
        let one = make(&mut cluster, ids::SERVICES, service("a", "NodePort")).unwrap();
        let two = make(&mut cluster, ids::SERVICES, service("b", "ClusterIP")).unwrap();
        assert_ne!(one["spec"]["clusterIP"], two["spec"]["clusterIP"]);
        assert_eq!(one["spec"]["clusterIPs"], json!([one["spec"]["clusterIP"]]));
        assert!(
            one["spec"]["ports"][0]["nodePort"]
                .as_i64()
                .is_some_and(|port| port >= 30000)
        );
        let again = Object::from_value(service("a", "NodePort")).unwrap();
        let kept = update(
            &mut cluster,
            ids::SERVICES,
            again,
            Part::Main,
            &writer(),
            For::Inside,
        )
        .unwrap();
        assert_eq!(kept.to_value()["spec"], one["spec"]);
    }

    #[test]
    fn a_dry_run_writes_nothing() {
        let mut cluster = cluster(Vec::new());
        let before = cluster.store.revision();
        let object = Object::from_value(pod("a", json!({}))).unwrap();
        let asker = For::Client {
            user: &User::anonymous(),
            dry_run: true,
        };
        create(&mut cluster, ids::PODS, object, &writer(), asker).unwrap();
        assert_eq!(cluster.store.revision(), before);
    }

    #[test]
    fn an_update_that_says_the_same_makes_no_revision() {
        let mut cluster = cluster(Vec::new());
        let made = make(
            &mut cluster,
            ids::PODS,
            pod("a", json!({"limits": {"cpu": "1"}})),
        )
        .unwrap();
        let before = cluster.store.revision();
        let same = Object::from_value(made).unwrap();
        update(
            &mut cluster,
            ids::PODS,
            same,
            Part::Main,
            &writer(),
            For::Inside,
        )
        .unwrap();
        assert_eq!(cluster.store.revision(), before);
    }
}
