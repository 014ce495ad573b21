//! A StatefulSet that starts its pods in order: the roll back alone does not mend it, because its
//! controller waits for the broken pod for ever (kubernetes/kubernetes#67250).

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Story, tag};
use crate::agent::{Agent, Settings};
use crate::faults::{PATIENCE, Stage};
use crate::lab::{Lab, until};

pub static STORIES: &[Story] = &[Story {
    name: "a_stuck_ordered_stateful_set_is_rolled_back_and_its_pod_deleted",
    long: false,
    play: stuck,
}];

const GOOD: &str = "img.test/app:1";
const NOWHERE: &str = "img.test/app:nowhere";

fn stuck(lab: &Lab) -> Result<()> {
    let agent = Agent::start(lab, Settings::auto())?;
    let stage = Stage::new(lab, "ordered", &tag())?;
    let set = Ordered::roll_out(&stage, 3)?;
    set.break_image()?;
    let repaired = set.await_repair();
    let closed = agent.await_incident(&stage.name, &["closed"], PATIENCE);
    stage.remove()?;
    repaired?;
    let outcome = closed?["outcome"].clone();
    ensure!(outcome == json!("fixed"), "the incident ended {outcome}");
    Ok(())
}

/// Such a StatefulSet, which has the stage's name.
pub(super) struct Ordered<'s, 'l> {
    stage: &'s Stage<'l>,
    replicas: u32,
}

impl<'s, 'l> Ordered<'s, 'l> {
    /// Makes it and waits until all of it is ready.
    pub(super) fn roll_out(stage: &'s Stage<'l>, replicas: u32) -> Result<Self> {
        let name = &stage.name;
        let labels = json!({ "app": name });
        let container = json!({ "name": "app", "image": GOOD, "command": ["/app", "serve"] });
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": name, "namespace": stage.namespace },
            "spec": {
                "replicas": replicas, "serviceName": name, "selector": { "matchLabels": labels },
                "podManagementPolicy": "OrderedReady",
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "terminationGracePeriodSeconds": 1, "containers": [container] },
                },
            },
        });
        stage.lab.apply(&manifest.to_string())?;
        let set = Self { stage, replicas };
        until("every pod of the set", PATIENCE, || set.is_whole())?;
        Ok(set)
    }

    /// A new revision whose image does not exist.
    pub(super) fn break_image(&self) -> Result<()> {
        let path = "/spec/template/spec/containers/0/image";
        let patch = json!([{ "op": "replace", "path": path, "value": NOWHERE }]).to_string();
        let target = format!("statefulset/{}", self.stage.name);
        let namespace = &self.stage.namespace;
        let args = [
            "-n",
            namespace,
            "patch",
            &target,
            "--type=json",
            "-p",
            &patch,
        ];
        self.stage.lab.kubectl(&args).map(drop)
    }

    /// Waits for the repair: the template is what it was, all of it is ready, and two writes did
    /// that, once each and in this order. The pod with the highest number is the first that a rolling
    /// update replaces.
    pub(super) fn await_repair(&self) -> Result<()> {
        until("the set to be repaired", PATIENCE, || {
            let image = self.read()?["spec"]["template"]["spec"]["containers"][0]["image"].clone();
            if image != GOOD {
                return Ok(Err(format!("the image is {image}")));
            }
            if let Err(state) = self.is_whole()? {
                return Ok(Err(state));
            }
            let writes = self.stage.writes_inside()?;
            let expected = [("patch", "statefulsets"), ("delete", "pods")];
            let last = format!("{}-{}", self.stage.name, self.replicas - 1);
            let deleted = writes.last().map(|write| write.name.as_str());
            Ok(self.stage.only(&writes, &expected).and_then(|()| {
                (deleted == Some(last.as_str()))
                    .then_some(())
                    .ok_or_else(|| format!("{deleted:?} was deleted, and {last} was stuck"))
            }))
        })
    }

    /// Whether every pod is of the newest revision and ready.
    fn is_whole(&self) -> Result<Result<(), String>> {
        let found = self.read()?;
        let (meta, status) = (&found["metadata"], &found["status"]);
        let all = |key: &str| status[key] == self.replicas;
        let whole = status["observedGeneration"] == meta["generation"]
            && status["currentRevision"] == status["updateRevision"]
            && all("replicas")
            && all("readyReplicas")
            && all("currentReplicas");
        Ok(whole.then_some(()).ok_or_else(|| status.to_string()))
    }

    fn read(&self) -> Result<Value> {
        let Stage {
            lab,
            namespace,
            name,
            ..
        } = self.stage;
        lab.get(&format!(
            "/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"
        ))
    }
}
