//! Real things to break in the lab, each with the ending that is right. The judge reads the API
//! server and the audit log; it never asks the agent.

mod config_missing;
mod crash_loop;
mod image_pull;
mod node_cordoned;
mod node_not_ready;
mod oom;

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::audit::{self, Write};
use crate::lab::{Identity, Lab, until};

/// The longest that a story waits for anything that has to come. A busy machine stretches every time:
/// how fast the agent is, the bench measures.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Something to break.
pub trait Fault: Sync {
    /// Short name, also the name of the story.
    fn name(&self) -> &'static str;
    /// What is broken, in one sentence for people.
    fn about(&self) -> &'static str;
    /// The name of the object that the incident is about.
    fn object(&self, stage: &Stage<'_>) -> String;
    /// Makes the world before the fault.
    fn prepare(&self, stage: &Stage<'_>) -> Result<()>;
    /// Breaks it.
    fn inject(&self, stage: &Stage<'_>) -> Result<()>;
    /// What is right at the end.
    fn ending(&self) -> Ending;
    /// The judge: `Err` says what is still wrong in the cluster. For a repair, until it is there;
    /// for a hand-over, what must never be done.
    fn judge(&self, stage: &Stage<'_>, writes: &[Write]) -> Result<Result<(), String>>;
    /// Puts the world back.
    fn clean_up(&self, stage: &Stage<'_>) -> Result<()> {
        stage.remove()
    }
}

/// What is right at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Repaired without a person.
    Repaired,
    /// Made safe, and a person has it.
    Contained,
    /// A person has it, and nothing was written.
    HandedOver,
}

/// The six of the demo: one for each runbook.
pub static FAULTS: &[&dyn Fault] = &[
    &image_pull::ImagePull,
    &oom::Oom,
    &crash_loop::CrashLoop,
    &config_missing::ConfigMissing,
    &node_cordoned::NodeCordoned,
    &node_not_ready::NodeNotReady,
];

/// Where one fault plays: a namespace of its own, and a mark in the audit log.
pub struct Stage<'l> {
    /// The lab.
    pub lab: &'l Lab,
    /// The namespace.
    pub namespace: String,
    /// The workload's name.
    pub name: String,
    since: u64,
}

impl<'l> Stage<'l> {
    /// A new namespace for `fault`; `tag` makes its names new each time.
    pub fn new(lab: &'l Lab, fault: &str, tag: &str) -> Result<Self> {
        let namespace = format!("{}-{tag}", fault.replace('_', "-"));
        lab.kubectl(&["create", "namespace", &namespace])?;
        let since = audit::mark(&lab.audit_log())?;
        Ok(Self {
            lab,
            namespace,
            name: format!("app-{tag}"),
            since,
        })
    }

    /// Writes of the agent to this stage and to nodes since it was set. Another story's namespace
    /// may still be going away.
    pub fn writes(&self) -> Result<Vec<Write>> {
        let (agent, _) = Identity::Agent.user_and_group();
        let mut writes = audit::writes_of(agent, &self.lab.audit_log(), self.since)?;
        writes.retain(|w| w.namespace.is_empty() || w.namespace == self.namespace);
        Ok(writes)
    }

    /// Rehearsals of the agent in this stage since it was set.
    pub fn rehearsals(&self) -> Result<Vec<Write>> {
        let (agent, _) = Identity::Agent.user_and_group();
        let mut sent = audit::rehearsals_of(agent, &self.lab.audit_log(), self.since)?;
        sent.retain(|w| w.namespace == self.namespace);
        Ok(sent)
    }

    /// Those of [`Stage::writes`] that are to its own namespace.
    pub fn writes_inside(&self) -> Result<Vec<Write>> {
        let mut writes = self.writes()?;
        writes.retain(|w| w.namespace == self.namespace);
        Ok(writes)
    }

    /// A Deployment of one replica that runs the test program with those arguments.
    pub fn deployment(&self, args: &[&str], more: &str) -> String {
        let command = command(args);
        format!(
            r#"apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: img.test/app:1
        command: {command}
{more}"#,
            name = self.name,
            namespace = self.namespace,
        )
    }

    /// Applies a manifest and waits until the Deployment is rolled out.
    pub fn roll_out(&self, manifest: &str) -> Result<()> {
        self.lab.apply(manifest)?;
        until(&format!("{} to be available", self.name), PATIENCE, || {
            self.is_available()
        })
    }

    /// The Deployment as the API server has it.
    pub fn workload(&self) -> Result<Value> {
        self.lab.get(&format!(
            "/apis/apps/v1/namespaces/{}/deployments/{}",
            self.namespace, self.name
        ))
    }

    /// Whether the Deployment's newest template is fully available.
    pub fn is_available(&self) -> Result<Result<(), String>> {
        let found = self.workload()?;
        let (meta, spec, status) = (&found["metadata"], &found["spec"], &found["status"]);
        let wanted = spec["replicas"].as_i64().unwrap_or(1);
        let all = |key: &str| status[key].as_i64().unwrap_or(0) == wanted;
        let seen = status["observedGeneration"] == meta["generation"];
        let done = seen && all("updatedReplicas") && all("availableReplicas") && all("replicas");
        Ok(if done {
            Ok(())
        } else {
            Err(format!("not rolled out: {status}"))
        })
    }

    /// The first container of the Deployment's template.
    pub fn container(&self) -> Result<Value> {
        Ok(self.workload()?["spec"]["template"]["spec"]["containers"][0].clone())
    }

    /// A merge patch of the first container: a new revision, as a person would make it.
    pub fn change_container(&self, change: &Value) -> Result<()> {
        let mut container = self.container()?;
        let Some(fields) = change.as_object() else {
            bail!("a change is an object")
        };
        for (key, value) in fields {
            container[key] = value.clone();
        }
        let patch = serde_json::json!([
            { "op": "replace", "path": "/spec/template/spec/containers/0", "value": container }
        ]);
        let target = format!("deployment/{}", self.name);
        let patch = patch.to_string();
        self.lab.kubectl(&[
            "-n",
            &self.namespace,
            "patch",
            &target,
            "--type=json",
            "-p",
            &patch,
        ])?;
        Ok(())
    }

    /// Waits until a pod of the workload cannot pull its image; its name.
    pub fn await_pull_failure(&self) -> Result<String> {
        let Self {
            namespace, name, ..
        } = self;
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{name}");
        until("a pod that cannot pull", PATIENCE, || {
            let pods = self.lab.get(&path)?;
            let waits = |pod: &&Value| {
                let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
                ["ErrImagePull", "ImagePullBackOff"]
                    .map(Value::from)
                    .contains(&waiting["reason"])
            };
            let found = pods["items"]
                .as_array()
                .and_then(|pods| pods.iter().find(waits));
            let name = found.and_then(|pod| pod["metadata"]["name"].as_str());
            Ok(name.map(str::to_owned).ok_or_else(|| "not yet".to_owned()))
        })
    }

    /// Whether the agent's only writes are `expected` (verb and resource), once each. A conflict is
    /// none: somebody wrote between its read and its write, and it reads again.
    pub fn only(&self, writes: &[Write], expected: &[(&str, &str)]) -> Result<(), String> {
        let heard = writes.iter().filter(|w| !w.is_conflict());
        let done: Vec<(&str, &str)> = heard
            .clone()
            .map(|w| (w.verb.as_str(), w.resource.as_str()))
            .collect();
        if done == expected && heard.clone().all(Write::is_done) {
            Ok(())
        } else {
            Err(format!(
                "expected the writes {expected:?}, the audit log has {writes:?}"
            ))
        }
    }

    /// Deletes the namespace without waiting for it.
    pub fn remove(&self) -> Result<()> {
        self.lab
            .kubectl(&["delete", "namespace", &self.namespace, "--wait=false"])?;
        Ok(())
    }
}

/// The test program's command line. The image's own entry point serves, whatever its arguments are.
pub fn command(args: &[&str]) -> Value {
    let program = std::iter::once("/app").chain(args.iter().copied());
    program.collect::<Vec<_>>().into()
}
