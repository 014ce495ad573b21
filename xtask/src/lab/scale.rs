//! Many pods on fake nodes (kwok), to see how the agent grows: nothing runs in them.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::access::Identity;
use super::progress::Progress;
use super::wait::until;
use super::{Lab, binaries};

/// Label and taint of fake nodes: nothing else is scheduled there.
pub const FAKE: &str = "lab/fake";
const UNIT: &str = "kwok";
/// Thousands of objects on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);
/// The pods of one fake Deployment: few, so that there are many owners and Services too.
pub const REPLICAS: usize = 5;
/// A server without TLS and tokens before the API server, for clients that measure.
const DOOR: &str = "door";
/// Where it listens, within the lab's network.
pub const DOOR_ADDRESS: &str = "127.0.0.1:8001";

impl Lab {
    /// Starts `kubectl proxy` as the admin on [`DOOR_ADDRESS`], unless it runs.
    pub fn open_door(&self) -> Result<()> {
        if self.units().running(DOOR).is_ok() {
            return Ok(());
        }
        let config = self.kubeconfig(Identity::Admin).display().to_string();
        let kube = self.build.join("kube").display().to_string();
        let argv = ["env", &format!("KUBECONFIG={config}"), &kube];
        let args = ["kubectl", "proxy", "--address=127.0.0.1", "--port=8001"];
        let argv = argv.iter().chain(&args).map(|word| (*word).to_owned());
        self.start_program(DOOR, argv.collect())?;
        let url = format!("http://{DOOR_ADDRESS}/readyz");
        until("kubectl proxy", Duration::from_secs(20), || {
            self.units().running(DOOR)?;
            let asked = self.fetch_url(&url);
            Ok(asked.map(drop).map_err(|error| error.to_string()))
        })
    }

    /// Builds kwok if needed, starts it, and makes `count` fake nodes `fake-0`, `fake-1`, ...
    pub fn add_fake_nodes(&self, count: usize, progress: &Progress) -> Result<()> {
        binaries::build_kwok(&self.checkout.join("lab"), &self.build, progress)?;
        if self.units().running(UNIT).is_err() {
            let config = self.state.join("kwok.yaml");
            fs::write(&config, include_str!("../../../lab/config/kwok.yaml"))?;
            let argv = vec![
                self.build.join("kwok").display().to_string(),
                format!("--config={}", config.display()),
                format!(
                    "--kubeconfig={}",
                    self.kubeconfig(Identity::Admin).display()
                ),
                "--manage-all-nodes=false".to_owned(),
                format!("--manage-nodes-with-label-selector={FAKE}=true"),
                // Renewed after a quarter of it, well within the grace period.
                "--node-lease-duration-seconds=20".to_owned(),
            ];
            self.start_program(UNIT, argv)?;
        }
        self.apply_within(LIMIT, &list((0..count).map(fake_node).collect()))
            .context("cannot make fake nodes")?;
        until("the fake nodes to be ready", Duration::from_mins(1), || {
            self.units().running(UNIT)?;
            let path = format!("/api/v1/nodes?labelSelector={FAKE}%3Dtrue");
            let nodes = match self.get(&path) {
                Ok(nodes) => nodes,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let nodes = nodes["items"].as_array();
            let ready = nodes.into_iter().flatten();
            let ready = ready
                .filter(|node| super::life::readiness(node) == "ready")
                .count();
            Ok(if ready >= count {
                Ok(())
            } else {
                Err(format!("{ready} of {count}"))
            })
        })
    }

    /// Makes Deployments with at least `pods` pods in `namespace` on fake nodes, each with a
    /// Service, and waits until they run (some hundred a second).
    pub fn add_fake_pods(&self, namespace: &str, pods: usize) -> Result<()> {
        let deployments = pods.div_ceil(REPLICAS);
        let own = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        });
        self.apply(&own.to_string())?;
        let objects: Vec<Value> = (0..deployments)
            .flat_map(|n| fake_deployment(namespace, n))
            .collect();
        self.apply_side_by_side(&objects)
            .context("cannot make fake pods")?;
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        until("the fake pods to run", LIMIT, || {
            let found = match self.get(&path) {
                Ok(found) => found,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let items = found["items"].as_array().into_iter().flatten();
            let ready: u64 = items
                .filter_map(|d| d["status"]["readyReplicas"].as_u64())
                .sum();
            let wanted = deployments * REPLICAS;
            let enough = usize::try_from(ready).is_ok_and(|ready| ready >= wanted);
            Ok(if enough {
                Ok(())
            } else {
                Err(format!("{ready} of {wanted}"))
            })
        })
    }
}

impl Lab {
    /// One kubectl sends one object after the other, and waits for each answer.
    fn apply_side_by_side(&self, objects: &[Value]) -> Result<()> {
        const CLIENTS: usize = 8;
        let parts = objects.chunks(objects.len().div_ceil(CLIENTS).max(1));
        std::thread::scope(|scope| {
            let apply = |part: &[Value]| self.apply_within(LIMIT, &list(part.to_vec()));
            let running: Vec<_> = parts.map(|part| scope.spawn(move || apply(part))).collect();
            for client in running {
                let applied = client.join();
                applied.map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            Ok(())
        })
    }
}

fn list(items: Vec<Value>) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

fn fake_node(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": format!("fake-{number}"),
            "labels": { FAKE: "true", "kubernetes.io/hostname": format!("fake-{number}") },
        },
        "spec": { "taints": [{ "key": FAKE, "value": "true", "effect": "NoSchedule" }] },
    })
}

/// A Deployment and a Service of the same name.
fn fake_deployment(namespace: &str, number: usize) -> [Value; 2] {
    let name = format!("fake-{number}");
    let metadata = json!({ "name": name, "namespace": namespace });
    let labels = json!({ "app": name });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeSelector": { FAKE: "true" },
                    "tolerations": [{ "key": FAKE, "operator": "Exists" }],
                    "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "app", "image": "img.test/app:1",
                        "resources": {
                            "requests": { "cpu": "10m", "memory": "16Mi" },
                            "limits": { "memory": "64Mi" },
                        },
                    }],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": { "selector": labels, "ports": [{ "port": 80 }] },
    });
    [deployment, service]
}
