//! A right that is taken back, and writes that are rehearsed well and then refused: the circuit breaker
//! opens, and nothing else is tried.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Story, tag};
use crate::agent::{self, Agent, Settings, URL};
use crate::audit::Write;
use crate::faults::{PATIENCE, Stage};
use crate::lab::{Identity, Lab, until};

pub static STORIES: &[Story] = &[
    Story {
        name: "refused_writes_open_the_breaker_and_the_rest_ask",
        long: false,
        play: refused_writes,
    },
    Story {
        name: "revoked_right_to_patch_opens_the_breaker_and_everything_asks",
        long: false,
        play: revoked_right,
    },
];

/// Workloads that break at the same time.
const WORKLOADS: usize = 5;
/// Refusals in a row that open the breaker, by default.
const FAILURES: usize = 3;

/// The API server takes every rehearsal of the agent and refuses every write: no right can say that,
/// an admission policy can.
fn refused_writes(lab: &Lab) -> Result<()> {
    let tag = tag();
    let mut stage = Stage::new(lab, "breaker", &tag)?;
    let names = workloads(&mut stage, &tag)?;
    refuse_writes(lab, &stage, &tag)?;
    let played = only_writes_are_refused(lab, &mut stage, &names);
    for kind in ["binding", ""] {
        let kind = format!("validatingadmissionpolicy{kind}");
        lab.kubectl(&["delete", &kind, &policy_name(&tag)])?;
    }
    stage.remove()?;
    played
}

/// Workloads that serve.
fn workloads(stage: &mut Stage<'_>, tag: &str) -> Result<Vec<String>> {
    let names: Vec<String> = (1..=WORKLOADS).map(|n| format!("app-{tag}-{n}")).collect();
    for name in &names {
        stage.name.clone_from(name);
        stage.lab.apply(&stage.deployment(&["serve"], ""))?;
    }
    for name in &names {
        stage.name.clone_from(name);
        stage.roll_out(&stage.deployment(&["serve"], ""))?;
    }
    Ok(names)
}

/// Breaks every workload; why each of them waits for a person, after time enough for one more try.
fn all_break_and_wait(
    agent: &Agent<'_>,
    stage: &mut Stage<'_>,
    names: &[String],
) -> Result<Vec<String>> {
    for name in names {
        stage.name.clone_from(name);
        stage.change_container(&json!({ "image": "img.test/app:nowhere" }))?;
    }
    let mut reasons = Vec::new();
    for name in names {
        let waiting = agent.await_incident(name, &["waiting"], PATIENCE)?;
        let why = waiting["waiting_for"].as_str().unwrap_or_default();
        reasons.push(why.to_owned());
    }
    std::thread::sleep(Duration::from_secs(10));
    for name in names {
        agent.await_incident(name, &["waiting"], Duration::from_secs(5))?;
    }
    Ok(reasons)
}

/// The account may no longer patch: every rehearsal is forbidden, and after three of them not even one
/// is sent.
fn revoked_right(lab: &Lab) -> Result<()> {
    let tag = tag();
    let mut stage = Stage::new(lab, "revoked", &tag)?;
    let names = workloads(&mut stage, &tag)?;
    lab.kubectl(&["delete", "clusterrolebinding", "nightshift-write"])?;
    let played = no_right_is_left(lab, &mut stage, &names);
    lab.install_agent(&agent::rbac()?)?;
    stage.remove()?;
    played
}

fn no_right_is_left(lab: &Lab, stage: &mut Stage<'_>, names: &[String]) -> Result<()> {
    let agent = Agent::start(lab, Settings::auto())?;
    let reasons = all_break_and_wait(&agent, stage, names)?;
    let writes = stage.writes()?;
    ensure!(writes.is_empty(), "it wrote: {writes:?}");
    let rehearsals = stage.rehearsals()?;
    three_and_no_more(
        &rehearsals,
        &reasons,
        "has no right to it",
        "nothing was sent",
    )?;
    let metrics = lab.fetch_url(&format!("{URL}/metrics"))?;
    ensure!(
        metrics
            .lines()
            .any(|line| line == "nightshift_breaker_open 1"),
        "the metrics do not say that the circuit is open"
    );
    Ok(())
}

fn only_writes_are_refused(lab: &Lab, stage: &mut Stage<'_>, names: &[String]) -> Result<()> {
    let agent = Agent::start(lab, Settings::auto())?;
    let reasons = all_break_and_wait(&agent, stage, names)?;
    let writes = stage.writes()?;
    three_and_no_more(
        &writes,
        &reasons,
        "refused the write",
        "the circuit is open",
    )
}

/// Exactly so many requests as open the breaker were sent, each of them refused, and those incidents
/// wait because of it; the others because of the open circuit.
fn three_and_no_more(
    sent: &[Write],
    reasons: &[String],
    refused: &str,
    stopped: &str,
) -> Result<()> {
    // A request that met a conflict is sent again, on a new read.
    let mut answered = sent.iter().filter(|one| !one.is_conflict());
    let forbidden = |one: &Write| one.code == 403 && one.resource == "deployments";
    ensure!(
        answered.clone().count() == FAILURES && answered.all(forbidden),
        "expected {FAILURES} refused requests, the audit log has {sent:?}; the incidents wait because of {reasons:?}"
    );
    let wait = |text: &str| reasons.iter().filter(|why| why.contains(text)).count();
    let waiting = (wait(refused), wait(stopped));
    ensure!(
        waiting == (FAILURES, WORKLOADS - FAILURES),
        "{waiting:?} wait because of {refused:?} and {stopped:?}: {reasons:?}"
    );
    Ok(())
}

fn policy_name(tag: &str) -> String {
    format!("refuse-writes-{tag}")
}

/// Refuses the agent's changes of Deployments in the stage's namespace, unless they are rehearsals.
fn refuse_writes(lab: &Lab, stage: &Stage<'_>, tag: &str) -> Result<()> {
    let name = policy_name(tag);
    let (agent, _) = Identity::Agent.user_and_group();
    let api = "admissionregistration.k8s.io/v1";
    let rules = json!([{
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
        "resources": ["deployments"],
    }]);
    let labels = json!({ "kubernetes.io/metadata.name": stage.namespace });
    let policy = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": rules, "namespaceSelector": { "matchLabels": labels },
            },
            "validations": [{
                "expression": format!("request.userInfo.username != '{agent}' || request.dryRun"),
                "message": "rehearsals only", "reason": "Forbidden",
            }],
        },
    });
    let binding = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Deny"] },
    });
    lab.apply(&policy.to_string())?;
    lab.apply(&binding.to_string())?;
    until("the policy to be in force", PATIENCE, || {
        let target = format!("deployment/{}", stage.name);
        let user = format!("--as={agent}");
        let namespace = &stage.namespace;
        let args = [
            "-n",
            namespace,
            "annotate",
            "--overwrite",
            &target,
            "tried=yes",
            &user,
        ];
        Ok(match lab.kubectl(&args) {
            Ok(_) => Err("a write went through".to_owned()),
            Err(error) if format!("{error:#}").contains("rehearsals only") => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        })
    })
}
