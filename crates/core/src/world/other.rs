//! The other kinds that rules read.

use super::meta::{Meta, null_as_default};
use super::workload::LabelSelector;
use super::{Kind, Map, ObjectRef, Quantity};
use crate::ids::Uid;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// A core/v1 Event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Metadata.
    pub metadata: Meta,
    /// What the event is about.
    pub involved_object: InvolvedObject,
    /// Reason, for example `FailedScheduling`.
    pub reason: String,
    /// Message for people.
    pub message: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How often it was seen (old form).
    #[serde(deserialize_with = "null_as_default")]
    pub count: i64,
    /// First seen (old form).
    pub first_timestamp: Option<Timestamp>,
    /// Last seen (old form).
    pub last_timestamp: Option<Timestamp>,
    /// When it was seen (new form).
    pub event_time: Option<Timestamp>,
    /// Series of the new form.
    pub series: Option<EventSeries>,
}

impl Event {
    /// When the event was last seen, whichever form it has.
    pub fn last_seen(&self) -> Option<Timestamp> {
        let series = self.series.as_ref().and_then(|s| s.last_observed_time);
        [
            series,
            self.last_timestamp,
            self.event_time,
            self.metadata.creation_timestamp,
        ]
        .into_iter()
        .flatten()
        .max()
    }

    /// How often it was seen, whichever form it has; at least once.
    pub fn times(&self) -> i64 {
        self.series
            .as_ref()
            .map_or(0, |s| s.count)
            .max(self.count)
            .max(1)
    }
}

/// The series of an Event of the new form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSeries {
    /// How often.
    pub count: i64,
    /// Last time.
    pub last_observed_time: Option<Timestamp>,
}

/// The object an Event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InvolvedObject {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid. Node events of the kubelet carry the node's *name* here.
    pub uid: Uid,
    /// Part of the object, for example `spec.containers{app}`.
    pub field_path: String,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceObject {
    /// Metadata.
    pub metadata: Meta,
}

/// A revision of a StatefulSet or DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControllerRevision {
    /// Metadata.
    pub metadata: Meta,
    /// Revision number; the highest is the newest.
    pub revision: i64,
    /// The stored patch, narrowed to the pod template. Other controllers keep whatever they like
    /// here; what is not a pod template is read as an empty one.
    #[serde(deserialize_with = "pod_template_or_nothing")]
    pub data: RevisionData,
}

fn pod_template_or_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<RevisionData, D::Error> {
    let data = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(data).unwrap_or_default())
}

/// `data` of a ControllerRevision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RevisionData {
    /// The only part that revisions hold.
    pub spec: RevisionSpec,
}

/// `data.spec` of a ControllerRevision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RevisionSpec {
    /// Pod template.
    pub template: super::PodTemplate,
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HorizontalPodAutoscaler {
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: ScalerSpec,
}

/// A VerticalPodAutoscaler, if the cluster serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerticalPodAutoscaler {
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: ScalerSpec,
}

/// What a scaler scales.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalerSpec {
    /// HPA: target.
    pub scale_target_ref: Option<TargetRef>,
    /// VPA: target.
    pub target_ref: Option<TargetRef>,
}

/// Target of a scaler, in the scaler's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: String,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudget {
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: BudgetSpec,
    /// Observed state.
    pub status: BudgetStatus,
}

/// `spec` of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetSpec {
    /// Which pods. `None` selects nothing, an empty selector everything in the namespace.
    pub selector: Option<LabelSelector>,
}

/// `status` of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// Evictions allowed now.
    pub disruptions_allowed: i64,
    /// Pods that are healthy.
    pub current_healthy: i64,
    /// Pods that must be healthy.
    pub desired_healthy: i64,
    /// Generation that the controller has seen.
    pub observed_generation: i64,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: ServiceSpec,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// Label selector; empty means endpoints are kept by somebody else.
    #[serde(deserialize_with = "null_as_default")]
    pub selector: Map<String, String>,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    /// Metadata.
    pub metadata: Meta,
    /// Endpoints.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Readiness.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: EndpointConditions,
    /// The pod behind it.
    pub target_ref: Option<TargetRef>,
}

/// Conditions of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Ready; absent means ready.
    pub ready: Option<bool>,
}

/// A ConfigMap's metadata: its data is never read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigMapMeta {
    /// Metadata; `managed_fields` tells who edited the data when.
    pub metadata: Meta,
}

/// A ResourceQuota.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceQuota {
    /// Metadata.
    pub metadata: Meta,
    /// Limits and what is used, from its status.
    pub status: QuotaStatus,
}

/// `status` of a ResourceQuota.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuotaStatus {
    /// Hard limits by resource (`limits.memory`, ...).
    #[serde(deserialize_with = "null_as_default")]
    pub hard: Map<String, Quantity>,
    /// Used.
    #[serde(deserialize_with = "null_as_default")]
    pub used: Map<String, Quantity>,
}

/// A LimitRange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitRange {
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: LimitRangeSpec,
}

/// `spec` of a LimitRange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitRangeSpec {
    /// Limits.
    #[serde(deserialize_with = "null_as_default")]
    pub limits: Vec<LimitRangeItem>,
}

/// One limit of a LimitRange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRangeItem {
    /// `Container`, `Pod` or `PersistentVolumeClaim`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Largest limit allowed.
    #[serde(deserialize_with = "null_as_default")]
    pub max: Map<String, Quantity>,
    /// Default requests.
    #[serde(deserialize_with = "null_as_default")]
    pub default_request: Map<String, Quantity>,
    /// Largest ratio of limit to request.
    #[serde(deserialize_with = "null_as_default")]
    pub max_limit_request_ratio: Map<String, Quantity>,
}

macro_rules! references {
    ($($type:ident => $kind:ident),+ $(,)?) => {$(
        impl $type {
            /// Reference to this object.
            pub fn reference(&self) -> ObjectRef {
                ObjectRef::of(Kind::$kind, &self.metadata)
            }
        }
    )+};
}
references!(
    Event => Event,
    NamespaceObject => Namespace,
    ControllerRevision => ControllerRevision,
    HorizontalPodAutoscaler => HorizontalPodAutoscaler,
    PodDisruptionBudget => PodDisruptionBudget,
    Service => Service,
    EndpointSlice => EndpointSlice,
    ConfigMapMeta => ConfigMap,
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn revisions_of_other_controllers_are_decoded_without_a_template() {
        let read = |data: serde_json::Value| -> ControllerRevision {
            serde_json::from_value(json!({"revision": 3, "data": data})).unwrap()
        };
        let container = json!({"name": "app", "image": "img.test/app:1"});
        let own = read(json!({"spec": {"template": {"spec": {"containers": [container]}}}}));
        assert_eq!(own.data.spec.template.spec.containers.len(), 1);
        for other in [json!("text"), json!({"spec": {"template": 7}}), json!(null)] {
            let revision = read(other);
            assert_eq!(
                (revision.revision, revision.data),
                (3, RevisionData::default())
            );
        }
    }
}
