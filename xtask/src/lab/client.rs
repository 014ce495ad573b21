//! Talking to the running lab: commands in its network, kubectl, plain reads, the agent's account.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::access::{API_SERVER, Identity};
use super::shell::{limited, run, run_with_input};
use super::unit::Unit;
use super::{Lab, Node, node};

/// The longest that one call through kubectl may take, unless the caller says otherwise.
const LIMIT: Duration = Duration::from_mins(1);
/// Where the agent lives in the cluster, and its ServiceAccount.
const AGENT: &str = "nightshift";

impl Lab {
    /// A command that will run in the lab's main network namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.netns().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// kubectl as an identity, within the lab's network: for the caller to run.
    pub fn kubectl_command(&self, who: Identity) -> Command {
        let mut command = self.command(self.build.join("kube"));
        command
            .arg("kubectl")
            .env("KUBECONFIG", self.kubeconfig(who));
        command
    }

    /// The file with an identity's token.
    pub fn token(&self, who: Identity) -> PathBuf {
        self.access().token(who)
    }

    /// kubectl's program and first words: for those who choose the kubeconfig themselves.
    pub fn kubectl_words(&self) -> Vec<String> {
        vec![
            self.build.join("kube").display().to_string(),
            "kubectl".to_owned(),
        ]
    }

    /// A program that was built from a module in `lab/`.
    pub fn built(&self, name: &str) -> PathBuf {
        self.build.join(name)
    }

    /// Runs kubectl as the admin and returns what it printed.
    pub fn kubectl<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String> {
        self.kubectl_within(LIMIT, args)
    }

    /// Like [`Lab::kubectl`], with a limit of its own: for `rollout status`, `wait`, `delete`.
    pub fn kubectl_within<S: AsRef<OsStr>>(&self, limit: Duration, args: &[S]) -> Result<String> {
        run(&mut self.limited_kubectl(limit, args))
    }

    /// Runs kubectl as the admin with `input` on standard input.
    pub fn kubectl_with_input<S: AsRef<OsStr>>(&self, args: &[S], input: &str) -> Result<String> {
        run_with_input(&mut self.limited_kubectl(LIMIT, args), input.as_bytes())
    }

    /// Applies many objects quickly: one request each, with a limit of its own.
    pub fn apply_within(&self, limit: Duration, manifests: &str) -> Result<String> {
        let args = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        run_with_input(
            &mut self.limited_kubectl(limit, &args),
            manifests.as_bytes(),
        )
    }

    /// Applies YAML or JSON as the admin.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.kubectl_with_input(&["apply", "-f", "-"], manifests)
    }

    /// Reads an object or a list by its path, as the admin: `/api/v1/nodes`.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.get_as(Identity::Admin, path)
    }

    /// Reads an object or a list by its path, as an identity.
    pub fn get_as(&self, who: Identity, path: &str) -> Result<Value> {
        let text = self.read(who, path)?;
        serde_json::from_str(&text).with_context(|| format!("{path} is not JSON: {text}"))
    }

    /// Reads a path that answers with text: `/readyz`, a pod's log.
    pub fn get_text(&self, path: &str) -> Result<String> {
        self.read(Identity::Admin, path)
    }

    /// Sends a JSON body to a server within the lab's network, such as the agent.
    pub fn post(&self, url: &str, body: &Value) -> Result<String> {
        let mut command = self.fetch();
        run_with_input(command.args(["-post", url]), body.to_string().as_bytes())
    }

    /// Reads a URL of a server within the lab's network, such as the agent.
    pub fn fetch_url(&self, url: &str) -> Result<String> {
        run(self.fetch().arg(url))
    }

    /// Makes the agent's account: applies what `nightshift rbac` printed and writes the agent's
    /// kubeconfig, with a token of a day for ServiceAccount `nightshift`. Returns its path.
    pub fn install_agent(&self, rbac_yaml: &str) -> Result<PathBuf> {
        self.kubectl_with_input(&["apply", "-f", "-"], &namespace())?;
        self.apply(rbac_yaml)
            .context("the API server refuses the agent's RBAC")?;
        let token = self
            .kubectl(&["create", "token", AGENT, "-n", AGENT, "--duration=24h"])
            .context("the RBAC must make ServiceAccount nightshift in namespace nightshift")?;
        self.access().grant(Identity::Agent, token.trim())
    }

    /// Loads an OCI archive into both nodes.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        Node::ALL
            .iter()
            .try_for_each(|node| node::import(self, *node, archive))
    }

    /// Runs a program on a node, in its namespaces: `fallocate`, `nft`, ...
    pub fn on_node(&self, node: Node, argv: &[&str]) -> Result<String> {
        let mut command = limited(LIMIT, &["nsenter"]);
        command
            .arg(format!("--net={}", self.node_netns(node).display()))
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder(node)?))
            .arg("--")
            .args(argv);
        run(&mut command)
    }

    /// Where a node's own disk is mounted, for [`Lab::on_node`].
    pub fn node_disk(&self, node: Node) -> PathBuf {
        self.node_folder(node).join("disk")
    }

    /// Starts a program that ends with the lab, in its main network namespace; its output goes
    /// to `LOGS/NAME.log`. Returns its process id.
    pub fn start_program(&self, name: &str, argv: Vec<String>) -> Result<i32> {
        if let Ok(process) = self.units().running(name) {
            bail!("{name} already runs as process {}", process.pid);
        }
        let unit = Unit {
            name: name.to_owned(),
            argv,
            env: [].into(),
            netns: self.netns(),
            holder: None,
        };
        Ok(self.units().start(&unit)?.pid)
    }

    /// Every program of the lab: name, process id, whether it runs.
    pub fn programs(&self) -> Vec<(String, i32, bool)> {
        self.units()
            .list()
            .into_iter()
            .map(|(name, p, alive)| (name, p.pid, alive))
            .collect()
    }

    /// The process that holds a node's mount namespace.
    pub(crate) fn holder(&self, node: Node) -> Result<i32> {
        Ok(self.units().running(&node.unit("holder"))?.pid)
    }

    /// A `kubectl` for the lab's shell.
    pub(crate) fn write_kubectl(&self) -> Result<()> {
        let path = self.state.join("bin/kubectl");
        let kube = self.build.join("kube");
        fs::write(
            &path,
            format!("#!/bin/sh\nexec '{}' kubectl \"$@\"\n", kube.display()),
        )?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    fn limited_kubectl<S: AsRef<OsStr>>(&self, limit: Duration, args: &[S]) -> Command {
        let inner = self.kubectl_command(Identity::Admin);
        let mut command = limited(limit, &[inner.get_program()]);
        command.args(inner.get_args()).args(args);
        command.env("KUBECONFIG", self.kubeconfig(Identity::Admin));
        command
    }

    /// The lab's small HTTP client, in its network: kubectl needs half a second for a look.
    fn fetch(&self) -> Command {
        let mut command = self.command(self.build.join("testapp"));
        command
            .args(["get", "-timeout", "10s", "-ca"])
            .arg(self.authority());
        command
    }

    fn read(&self, who: Identity, path: &str) -> Result<String> {
        let mut command = self.fetch();
        command.arg("-token").arg(self.access().token(who));
        run(command.arg(format!("{API_SERVER}{path}")))
    }
}

/// The agent's namespace: the RBAC may leave it to whoever installs it.
fn namespace() -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {AGENT}\n")
}
