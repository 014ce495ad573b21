//! Healthy change: what a busy cluster does all day, and no fault. An incident about it is wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fault::Object;
use super::http::{Connection, MERGE_PATCH};
use crate::lab::{DOOR_ADDRESS, REPLICAS};

/// What changes, and how often.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Churn {
    /// Deployments of fake pods, labelled `app: NAME`.
    pub deployments: Vec<Object>,
    /// Time from one change to the next.
    pub every: Duration,
    /// The same seed makes the same changes.
    pub seed: u64,
}

/// Runs until `stop` is set; how many changes were made.
pub fn run(churn: &Churn, stop: &AtomicBool) -> Result<usize> {
    let mut connection = Connection::open(DOOR_ADDRESS)?;
    let mut random = StdRng::seed_from_u64(churn.seed);
    let start = Instant::now();
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(deployment) = churn.deployments.choose(&mut random) else {
            break;
        };
        change(&mut connection, deployment, random.random_range(0..10))?;
        done += 1;
        let due = churn.every * u32::try_from(done)?;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(done)
}

/// Of ten changes, one is a rolling update, two are a scaling, two a deleted pod, five a label.
fn change(connection: &mut Connection, deployment: &Object, die: u8) -> Result<()> {
    let Object {
        namespace, name, ..
    } = deployment;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let now = Timestamp::now().to_string();
    match die {
        0 => {
            let note = json!({ "kubectl.kubernetes.io/restartedAt": now });
            let patch = json!({ "spec": { "template": { "metadata": { "annotations": note } } } });
            connection.json("PATCH", &path, Some((MERGE_PATCH, &patch)))?;
        }
        1 | 2 => {
            let replicas = REPLICAS + usize::from(die) - 1;
            let patch = json!({ "spec": { "replicas": replicas } });
            connection.json("PATCH", &path, Some((MERGE_PATCH, &patch)))?;
        }
        _ => {
            let Some(pod) = a_pod(connection, namespace, name)? else {
                return Ok(());
            };
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
            let annotations = json!({ "metadata": { "annotations": { "bench/touched": now } } });
            let (method, media, body) = if die < 5 {
                let now = json!({ "gracePeriodSeconds": 0 });
                ("DELETE", "application/json", now)
            } else {
                ("PATCH", MERGE_PATCH, annotations)
            };
            // Gone already, because of a scaling: that is healthy too.
            connection.send(method, &path, Some((media, &body)))?;
        }
    }
    Ok(())
}

/// Name of a pod of a Deployment.
fn a_pod(connection: &mut Connection, namespace: &str, app: &str) -> Result<Option<String>> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?limit=1&labelSelector=app%3D{app}");
    let pods = connection.get(&path)?;
    Ok(pods["items"][0]["metadata"]["name"]
        .as_str()
        .map(str::to_owned))
}

/// The newest version of anything in the cluster: etcd counts writes, so the difference of two is
/// how much was written.
pub fn version(connection: &mut Connection) -> Result<u64> {
    let list: Value = connection.get("/api/v1/namespaces?limit=1")?;
    let version = list["metadata"]["resourceVersion"].as_str();
    Ok(version.unwrap_or_default().parse()?)
}
