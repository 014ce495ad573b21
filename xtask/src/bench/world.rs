//! The cluster that is measured on: many fake pods, each five under a Deployment with a Service.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::fault::{Object, Target};
use crate::lab::{FAKE, Lab, Progress};

/// Fake nodes, each for 110 pods as by a kubelet's default; one fault in five cordons one.
const NODES: usize = 60;
/// The first so many pods have a namespace of their own, so that the world can grow.
const FIRST: usize = 1000;
const NAMESPACES: [&str; 2] = ["bench-a", "bench-b"];

/// Lets the world grow to that many fake pods. It never shrinks.
pub fn grow(lab: &Lab, pods: usize, progress: &Progress) -> Result<()> {
    lab.open_door()?;
    if pods == 0 {
        return Ok(());
    }
    progress.doing(&format!("growing the cluster to {pods} fake pods"));
    lab.add_fake_nodes(NODES, progress)?;
    let rest = pods.saturating_sub(FIRST);
    for (namespace, wanted) in NAMESPACES.iter().zip([pods.min(FIRST), rest]) {
        if wanted > 0 && running(lab, namespace)? < wanted {
            lab.add_fake_pods(namespace, wanted)?;
        }
    }
    Ok(())
}

/// Fake pods that are there.
fn running(lab: &Lab, namespace: &str) -> Result<usize> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    let found = lab.get(&path)?;
    let items = found["items"].as_array().into_iter().flatten();
    let ready = items.filter_map(|item| item["status"]["readyReplicas"].as_u64());
    Ok(usize::try_from(ready.sum::<u64>())?)
}

/// One healthy pod of every fake Deployment.
pub fn targets(lab: &Lab) -> Result<Vec<Target>> {
    let mut found = BTreeMap::new();
    for namespace in NAMESPACES {
        let pods = lab.get(&format!("/api/v1/namespaces/{namespace}/pods"))?;
        for pod in pods["items"].as_array().into_iter().flatten() {
            if let Some(target) = target(pod) {
                found.insert(target.owner.clone(), target);
            }
        }
    }
    Ok(found.into_values().collect())
}

fn target(pod: &Value) -> Option<Target> {
    let meta = &pod["metadata"];
    let is_whole = meta["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running";
    let object = |kind: &str, name: &Value| {
        Some(Object {
            kind: kind.to_owned(),
            namespace: meta["namespace"].as_str()?.to_owned(),
            name: name.as_str()?.to_owned(),
        })
    };
    Some(Target {
        pod: object("Pod", &meta["name"])?,
        // Fake Deployments label their pods with their own name.
        owner: object("Deployment", &meta["labels"]["app"])?,
    })
    .filter(|_| is_whole)
}

/// The fake nodes.
pub fn nodes(lab: &Lab) -> Result<Vec<Object>> {
    let nodes = lab.get(&format!("/api/v1/nodes?labelSelector={FAKE}%3Dtrue"))?;
    let names = nodes["items"].as_array().into_iter().flatten();
    let names = names.filter_map(|node| node["metadata"]["name"].as_str());
    let node = |name: &str| Object {
        kind: "Node".to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    Ok(names.map(node).collect())
}

/// How many objects of a path there are.
pub fn count(lab: &Lab, path: &str) -> Result<usize> {
    let list = lab.get(&format!("{path}?limit=1"))?;
    let shown = list["items"].as_array().map_or(0, Vec::len);
    let rest = list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
    Ok(shown + usize::try_from(rest)?)
}
