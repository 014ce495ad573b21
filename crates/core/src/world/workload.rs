//! Everything that has a pod template: one narrow type for all five kinds.

use super::meta::{Meta, null_as_default};
use super::pod::{Condition, PodTemplate};
use super::{Kind, Map, ObjectRef};
use serde::{Deserialize, Serialize};

/// A Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Workload {
    /// Which of the five; set by whoever decodes it, since list items carry no kind.
    pub kind: Kind,
    /// Metadata.
    pub metadata: Meta,
    /// Desired state.
    pub spec: WorkloadSpec,
    /// Observed state.
    pub status: WorkloadStatus,
}

impl Workload {
    /// Reference to this workload.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::of(self.kind.clone(), &self.metadata)
    }

    /// Desired replicas (a Deployment without a number wants one).
    pub fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(1)
    }

    /// The value of `deployment.kubernetes.io/revision`, on Deployments and their ReplicaSets.
    pub fn revision(&self) -> Option<i64> {
        let text = self
            .metadata
            .annotations
            .get("deployment.kubernetes.io/revision")?;
        text.parse().ok()
    }
}

/// `spec` of a workload, union over the kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSpec {
    /// Desired replicas.
    pub replicas: Option<i64>,
    /// Label selector.
    #[serde(deserialize_with = "null_as_default")]
    pub selector: LabelSelector,
    /// Pod template.
    pub template: PodTemplate,
    /// Whether a Deployment's rollout is paused: intent of an operator.
    pub paused: bool,
    /// Whether a Job is suspended.
    pub suspend: bool,
    /// A Deployment's strategy.
    #[serde(deserialize_with = "null_as_default")]
    pub strategy: Strategy,
    /// A StatefulSet's or DaemonSet's strategy.
    #[serde(deserialize_with = "null_as_default")]
    pub update_strategy: Strategy,
    /// `OrderedReady` or `Parallel` (StatefulSet).
    pub pod_management_policy: String,
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All of these labels.
    #[serde(deserialize_with = "null_as_default")]
    pub match_labels: Map<String, String>,
    /// And all of these expressions.
    #[serde(deserialize_with = "null_as_default")]
    pub match_expressions: Vec<MatchExpression>,
}

/// One expression of a label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MatchExpression {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values.
    #[serde(deserialize_with = "null_as_default")]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether the labels match. An empty selector matches everything; an unknown operator nothing.
    pub fn matches(&self, labels: &Map<String, String>) -> bool {
        let all = self
            .match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        all && self.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            match expression.operator.as_str() {
                "In" => value.is_some_and(|v| expression.values.contains(v)),
                "NotIn" => value.is_none_or(|v| !expression.values.contains(v)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
    }
}

/// An update strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `RollingUpdate`, `Recreate` or `OnDelete`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `status` of a workload, union over the kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// Generation that the controller has seen.
    pub observed_generation: i64,
    /// Pods.
    pub replicas: i64,
    /// Ready pods.
    pub ready_replicas: i64,
    /// Available pods.
    pub available_replicas: i64,
    /// Pods of the newest revision.
    pub updated_replicas: i64,
    /// Pods missing to be available.
    pub unavailable_replicas: i64,
    /// StatefulSet: name of the current revision.
    pub current_revision: String,
    /// StatefulSet: name of the revision being rolled out.
    pub update_revision: String,
    /// DaemonSet: pods wanted.
    pub desired_number_scheduled: i64,
    /// DaemonSet: ready pods.
    pub number_ready: i64,
    /// DaemonSet: available pods.
    pub number_available: i64,
    /// DaemonSet: pods of the newest revision.
    pub updated_number_scheduled: i64,
    /// Job: failed pods.
    pub failed: i64,
    /// Job: succeeded pods.
    pub succeeded: i64,
    /// Conditions (`Progressing`, `Available`, `Failed`, ...).
    pub conditions: Vec<Condition>,
}
