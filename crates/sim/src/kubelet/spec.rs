//! What a kubelet reads of a pod.

use crate::quantity::Quantity;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// `core/v1 PodSpec`, as far as a node acts on it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) containers: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) host_network: bool,
    pub(crate) termination_grace_period_seconds: Option<u32>,
    pub(crate) priority: i64,
}

/// When a container is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// `core/v1 Container`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) image_pull_policy: String,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) env_from: Vec<EnvFrom>,
    pub(crate) resources: Resources,
    pub(crate) ports: Vec<Port>,
    pub(crate) startup_probe: Option<Probe>,
    pub(crate) readiness_probe: Option<Probe>,
    pub(crate) liveness_probe: Option<Probe>,
    /// `Always` makes an init container a sidecar.
    pub(crate) restart_policy: Option<RestartPolicy>,
    pub(crate) termination_message_policy: String,
    pub(crate) volume_mounts: Vec<VolumeMount>,
}

/// `core/v1 ResourceRequirements`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    pub(crate) requests: BTreeMap<String, Value>,
    pub(crate) limits: BTreeMap<String, Value>,
}

impl Resources {
    /// The request of a resource, for which a limit stands in.
    pub(crate) fn request(&self, name: &str) -> Option<Quantity> {
        let value = self.requests.get(name).or_else(|| self.limits.get(name))?;
        Quantity::of_value(value).ok()
    }

    pub(crate) fn limit(&self, name: &str) -> Option<Quantity> {
        Quantity::of_value(self.limits.get(name)?).ok()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EnvVar {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) value_from: Option<ValueFrom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ValueFrom {
    pub(crate) config_map_key_ref: Option<KeyRef>,
    pub(crate) secret_key_ref: Option<KeyRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyRef {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) optional: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EnvFrom {
    pub(crate) prefix: String,
    pub(crate) config_map_ref: Option<KeyRef>,
    pub(crate) secret_ref: Option<KeyRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) container_port: u16,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VolumeMount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
    pub(crate) read_only: bool,
}

/// `core/v1 Volume`, its sources that can be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) config_map: Option<Source>,
    pub(crate) secret: Option<SecretSource>,
    pub(crate) persistent_volume_claim: Option<ClaimSource>,
    pub(crate) projected: Option<Projected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) optional: bool,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecretSource {
    pub(crate) secret_name: String,
    pub(crate) optional: bool,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClaimSource {
    pub(crate) claim_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Projected {
    pub(crate) sources: Vec<ProjectedSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProjectedSource {
    pub(crate) config_map: Option<Source>,
    pub(crate) secret: Option<Source>,
}

/// `core/v1 Probe`. A zero takes the default (`SetDefaults_Probe`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Probe {
    pub(crate) http_get: Option<HttpGet>,
    pub(crate) tcp_socket: Option<TcpSocket>,
    pub(crate) exec: Option<Exec>,
    pub(crate) initial_delay_seconds: u32,
    pub(crate) period_seconds: u32,
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HttpGet {
    pub(crate) path: String,
    pub(crate) port: Value,
    pub(crate) scheme: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TcpSocket {
    pub(crate) port: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Exec {
    pub(crate) command: Vec<String>,
}

impl PodSpec {
    /// All containers, those for the start first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// `v1.GetPodQOS`.
    pub(crate) fn qos(&self) -> &'static str {
        let compute = ["cpu", "memory"];
        let said = |one: &Container| {
            let of =
                |map: &BTreeMap<String, Value>| compute.iter().any(|name| map.contains_key(*name));
            of(&one.resources.requests) || of(&one.resources.limits)
        };
        let guaranteed = |one: &Container| {
            compute.iter().all(|name| {
                let limit = one.resources.limit(name);
                limit.is_some() && one.resources.request(name) == limit
            })
        };
        if !self.all().any(said) {
            "BestEffort"
        } else if self.all().all(guaranteed) {
            "Guaranteed"
        } else {
            "Burstable"
        }
    }
}

impl Container {
    /// Runs beside the main containers although it stands among the init containers.
    pub(crate) fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }

    /// A port by number or name.
    pub(crate) fn port(&self, wanted: &Value) -> u16 {
        let number = wanted
            .as_u64()
            .and_then(|number| u16::try_from(number).ok());
        let named = |name: &str| {
            let found = self.ports.iter().find(|port| port.name == name);
            found
                .map(|port| port.container_port)
                .or_else(|| name.parse().ok())
        };
        number
            .or_else(|| wanted.as_str().and_then(named))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qos(resources: &Value) -> &'static str {
        let spec = json!({"containers": [{"name": "a", "resources": resources}]});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        spec.qos()
    }

    #[test]
    fn the_quality_of_service_comes_from_requests_and_limits() {
        assert_eq!(qos(&json!({})), "BestEffort");
        assert_eq!(qos(&json!({"requests": {"cpu": "1"}})), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(qos(&json!({"limits": both})), "Guaranteed");
        let less = json!({"cpu": "500m", "memory": "1Gi"});
        assert_eq!(qos(&json!({"limits": both, "requests": less})), "Burstable");
    }
}
