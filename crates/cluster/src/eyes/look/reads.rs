//! Which reads a fresh look consists of.

use super::{Content, Look, MAX_CHAIN, Read};
use crate::eyes::fetch::FetchError;
use crate::eyes::reader::{Form, Page, encoded};
use crate::eyes::resource::{Watched, resource_of};
use crate::template::template_digest;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use nightshift_core::ids::{Digest, Uid};
use nightshift_core::world::workload::LabelSelector;
use nightshift_core::world::{
    ControllerRevision, Coverage, GuardedNamespaces, HorizontalPodAutoscaler, Kind, Meta, Node,
    Object, ObjectRef, Pod, PodDisruptionBudget, Snapshot, Source, Workload,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// Nodes that one look reads at most, each by itself; beyond that the watch has to do.
const MAX_NODES: usize = 8;

#[derive(Deserialize)]
struct WebhookConfiguration {
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    client_config: ClientConfig,
}

#[derive(Deserialize)]
struct ClientConfig {
    service: Option<ServiceReference>,
}

#[derive(Deserialize)]
struct ApiService {
    spec: ClientConfig,
}

#[derive(Deserialize)]
struct ServiceReference {
    namespace: String,
}

impl<'a> Look<'a> {
    /// The object itself; `None` for kinds that are not watched (custom resources).
    pub(super) fn object(&self, object: &ObjectRef) -> Option<Read<'a>> {
        let resource = resource_of(&object.kind)?;
        let reader = &self.shared.reader;
        let path = resource.object(&object.namespace, &object.name);
        let name = object.name.clone();
        let expected: Vec<Object> = self.world.find(object).cloned().into_iter().collect();
        let limit = reader.limits.request;
        let content = async move {
            let found = match reader.get(&path, Form::Full.of_watch(), limit).await {
                Ok(answer) => {
                    let object = (resource.decode)(&answer, &resource.kind)?;
                    if object.meta().name != name {
                        let why = format!("the answer for {name} is not about it");
                        return Err(FetchError::Transport(why));
                    }
                    vec![object]
                }
                Err(error) if error.is_not_found() => Vec::new(),
                Err(error) => return Err(error),
            };
            Ok(Content::Objects { found, expected })
        };
        Some(self.read(resource.source, content.boxed()))
    }

    /// Reads for a workload or pod: everything that a plan or a gate may rest on.
    pub(super) fn of_owner(&self, held: &Snapshot, subject: &ObjectRef) -> Vec<Read<'a>> {
        let namespace = self.world.topmost(subject).namespace;
        if namespace.is_empty() {
            return Vec::new();
        }
        let mut reads = self.of_cluster();
        let on = held.pods.iter().map(|pod| pod.spec.node_name.as_str());
        reads.extend(self.nodes(held, &on.filter(|name| !name.is_empty()).collect()));
        for workload in held.workloads.iter().filter(|w| is_top(held, &w.metadata)) {
            reads.extend(self.of_workload(held, workload));
        }
        let loose = held.pods.iter().filter(|pod| is_top(held, &pod.metadata));
        match loose.collect::<Vec<_>>().as_slice() {
            [] => {}
            [pod] => reads.extend(self.object(&pod.reference())),
            pods => {
                let expected = pods.iter().map(|pod| Object::Pod(Arc::clone(pod)));
                reads.extend(self.list::<Pod>(&Kind::Pod, &namespace, "", expected.collect()));
            }
        }
        let kind = Kind::HorizontalPodAutoscaler;
        let scalers = all_of(held, &kind);
        reads.extend(self.list::<HorizontalPodAutoscaler>(&kind, &namespace, "", scalers));
        reads.extend(self.budgets(held, &namespace));
        reads.extend(self.of_namespace(&namespace));
        reads
    }

    /// Reads for a node: itself, its pods, and what decides whether they may be evicted.
    pub(super) fn of_node(&self, held: &Snapshot, node: &ObjectRef) -> Vec<Read<'a>> {
        let selector = format!("fieldSelector=spec.nodeName%3D{}", encoded(&node.name));
        let mut reads = self.of_cluster();
        reads.extend(self.nodes(held, &BTreeSet::from([node.name.as_str()])));
        let pods = all_of(held, &Kind::Pod);
        reads.extend(self.list::<Pod>(&Kind::Pod, "", &selector, pods));
        reads.extend(self.budgets(held, ""));
        reads
    }

    /// The nodes that the look is about. The others (how many are NotReady decides about any action
    /// on one) are as old as their watch: a list of a thousand nodes with each look would be the
    /// heaviest read of all. Where the watch is blind, it is that list.
    fn nodes(&self, held: &Snapshot, names: &BTreeSet<&str>) -> Vec<Read<'a>> {
        let reader = &self.shared.reader;
        let now = reader.now();
        let Some(Coverage::Seen { age_ms }) =
            self.shared.coverage(now).get(&Source::Nodes).cloned()
        else {
            let nodes = all_of(held, &Kind::Node);
            let all = self.list::<Node>(&Kind::Node, "", "", nodes);
            return all.into_iter().collect();
        };
        if names.len() > MAX_NODES {
            return Vec::new();
        }
        let age = Duration::from_millis(age_ms);
        let asked_at = now.saturating_sub(age).unwrap_or(now);
        let reads = names.iter().filter_map(|name| {
            let read = self.object(&ObjectRef {
                kind: Kind::Node,
                name: (*name).to_owned(),
                ..ObjectRef::default()
            })?;
            Some(Read { asked_at, ..read })
        });
        reads.collect()
    }

    /// Which namespaces the API server itself depends on.
    fn of_cluster(&self) -> Vec<Read<'a>> {
        let mut reads = Vec::new();
        for path in [VALIDATING, MUTATING] {
            let configurations = self.items::<WebhookConfiguration>(path.to_owned(), String::new());
            let guarded = configurations.map_ok(|all| {
                let webhooks = all
                    .into_iter()
                    .flat_map(|configuration| configuration.webhooks);
                let clients = webhooks.map(|webhook| webhook.client_config);
                Content::Guarded(GuardedNamespaces {
                    webhooks: namespaces(clients),
                    ..GuardedNamespaces::default()
                })
            });
            reads.push(self.read(Source::WebhookConfigurations, guarded.boxed()));
        }
        let services = self.items::<ApiService>(API_SERVICES.to_owned(), String::new());
        let guarded = services.map_ok(|all| {
            Content::Guarded(GuardedNamespaces {
                api_services: namespaces(all.into_iter().map(|service| service.spec)),
                ..GuardedNamespaces::default()
            })
        });
        reads.push(self.read(Source::ApiServices, guarded.boxed()));
        reads
    }

    fn of_namespace(&self, namespace: &str) -> [Read<'a>; 3] {
        let path = |group: &str, plural| format!("{group}/namespaces/{namespace}/{plural}");
        let quotas = self.items(path("/api/v1", "resourcequotas"), String::new());
        let ranges = self.items(path("/api/v1", "limitranges"), String::new());
        let scalers = path("/apis/autoscaling.k8s.io/v1", "verticalpodautoscalers");
        let scalers = self
            .items(scalers, String::new())
            .map(|scalers| match scalers {
                // Not served: seen, and there are none.
                Err(error) if error.is_not_found() => Ok(Vec::new()),
                scalers => scalers,
            });
        let (quotas, ranges) = (
            quotas.map_ok(Content::Quotas),
            ranges.map_ok(Content::LimitRanges),
        );
        [
            self.read(Source::ResourceQuotas, quotas.boxed()),
            self.read(Source::LimitRanges, ranges.boxed()),
            self.read(
                Source::VerticalPodAutoscalers,
                scalers.map_ok(Content::Scalers).boxed(),
            ),
        ]
    }

    /// The workload, its pods and its revisions.
    fn of_workload(&self, held: &Snapshot, workload: &Workload) -> Vec<Read<'a>> {
        let namespace = workload.metadata.namespace.as_str();
        let selector = label_selector(&workload.spec.selector);
        let below = |kind: &Kind| -> Vec<Object> {
            let mut all = all_of(held, kind);
            all.retain(|object| is_below(held, object.meta(), &workload.metadata.uid));
            all
        };
        let mut reads: Vec<_> = self.object(&workload.reference()).into_iter().collect();
        let pods = below(&Kind::Pod);
        reads.extend(self.list::<Pod>(&Kind::Pod, namespace, &selector, pods));
        let revision = match workload.kind {
            Kind::Deployment => Kind::ReplicaSet,
            Kind::StatefulSet | Kind::DaemonSet => Kind::ControllerRevision,
            _ => return reads,
        };
        let expected = below(&revision);
        reads.extend(self.revisions(&revision, namespace, &selector, expected));
        reads
    }

    fn budgets(&self, held: &Snapshot, namespace: &str) -> Option<Read<'a>> {
        let kind = Kind::PodDisruptionBudget;
        let budgets = all_of(held, &kind);
        self.list::<PodDisruptionBudget>(&kind, namespace, "", budgets)
    }

    /// A list in one namespace, or over all.
    fn list<T: Watched>(
        &self,
        kind: &Kind,
        namespace: &str,
        selector: &str,
        expected: Vec<Object>,
    ) -> Option<Read<'a>> {
        let resource = resource_of(kind)?;
        let items = self.items::<T>(resource.list_path(namespace), selector.to_owned());
        let content = items.map_ok(|items| Content::Objects {
            found: items
                .into_iter()
                .map(|item| item.into_object(&resource.kind))
                .collect(),
            expected,
        });
        Some(self.read(resource.source, content.boxed()))
    }

    /// Revisions, read whole for the digests of their templates.
    fn revisions(
        &self,
        kind: &Kind,
        namespace: &str,
        selector: &str,
        expected: Vec<Object>,
    ) -> Option<Read<'a>> {
        let resource = resource_of(kind)?;
        let items = self.items::<Value>(resource.list_path(namespace), selector.to_owned());
        let content = async {
            let items = items.await?.into_iter();
            let found: Result<_, _> = items.map(|item| revision(item, &resource.kind)).collect();
            let found = found.map_err(FetchError::Decode)?;
            Ok(Content::Revisions { found, expected })
        };
        Some(self.read(resource.source, content.boxed()))
    }

    fn items<T: DeserializeOwned + Send + 'a>(
        &self,
        path: String,
        selector: String,
    ) -> impl Future<Output = Result<Vec<T>, FetchError>> + Send + use<'a, T> {
        let reader = &self.shared.reader;
        async move {
            let mut all = Vec::new();
            let take = |page: Page<T>| match page {
                Page::Begin => all.clear(),
                Page::Items(items) => all.extend(items),
            };
            reader.list(&path, &selector, Form::Full, take).await?;
            Ok(all)
        }
    }

    fn read(
        &self,
        source: Source,
        content: BoxFuture<'a, Result<Content, FetchError>>,
    ) -> Read<'a> {
        Read {
            source,
            asked_at: self.shared.reader.now(),
            content,
        }
    }
}

/// Whether no workload in the snapshot controls the object.
fn is_top(held: &Snapshot, meta: &Meta) -> bool {
    let owner = meta.controller();
    owner.is_none_or(|owner| held.workload(&owner.uid).is_none())
}

/// Whether the workload with that uid controls the object, directly or not.
fn is_below(held: &Snapshot, meta: &Meta, top: &Uid) -> bool {
    let mut owner = meta.controller();
    for _ in 0..MAX_CHAIN {
        let Some(uid) = owner.map(|owner| &owner.uid) else {
            return false;
        };
        if uid == top {
            return true;
        }
        owner = held.workload(uid).and_then(|w| w.metadata.controller());
    }
    false
}

fn all_of(held: &Snapshot, kind: &Kind) -> Vec<Object> {
    held.objects()
        .filter(|object| object.kind() == *kind)
        .collect()
}

/// A revision with the digest of its whole template. Where the template is, is what differs.
fn revision(item: Value, kind: &Kind) -> Result<(Object, Digest), serde_json::Error> {
    let place = if *kind == Kind::ReplicaSet {
        "/spec/template"
    } else {
        "/data/spec/template"
    };
    let digest = template_digest(item.pointer(place).unwrap_or(&Value::Null));
    let object = if *kind == Kind::ReplicaSet {
        serde_json::from_value::<Workload>(item)?.into_object(kind)
    } else {
        serde_json::from_value::<ControllerRevision>(item)?.into_object(kind)
    };
    Ok((object, digest))
}

fn namespaces(clients: impl Iterator<Item = ClientConfig>) -> BTreeSet<String> {
    let services = clients.filter_map(|client| client.service);
    services.map(|service| service.namespace).collect()
}

/// The query parameter for a label selector; empty for one that selects everything.
fn label_selector(selector: &LabelSelector) -> String {
    let equal = selector
        .match_labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().map(|expression| {
        let (key, values) = (&expression.key, expression.values.join(","));
        match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        }
    });
    let parts: Vec<String> = equal.chain(expressions).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("labelSelector={}", encoded(&parts.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_selector_becomes_a_query_parameter() {
        let selector: LabelSelector = serde_json::from_value(serde_json::json!({
            "matchLabels": {"app.kubernetes.io/name": "cart"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "track", "operator": "Exists"},
            ],
        }))
        .unwrap();
        assert_eq!(
            label_selector(&selector),
            "labelSelector=app.kubernetes.io%2Fname%3Dcart%2Ctier%20in%20%28a%2Cb%29%2C%21old%2Ctrack"
        );
        assert_eq!(label_selector(&LabelSelector::default()), "");
    }
}
