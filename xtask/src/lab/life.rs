//! The life of a lab: up, down, and what is there now.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::network::MAIN_ADDRESS;
use super::progress::Progress;
use super::wait::until;
use super::{Lab, Node, binaries, control_plane, image, node, packages};

/// What `up` found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Up {
    /// It was running already; nothing was changed.
    Already,
    /// It was started; so long that took without building.
    Started(Duration),
}

/// Programs whose end ends the lab.
const CORE: [&str; 6] = [
    "etcd",
    "apiserver",
    "controller-manager",
    "scheduler",
    "holder-node1",
    "holder-node2",
];
/// The file whose presence says that `up` came to its end.
const COMPLETE: &str = "complete";

impl Lab {
    /// Builds the clients of the fidelity suite; a lab is not needed for that.
    pub fn build_clients(&self, progress: &Progress) -> Result<()> {
        binaries::build_clients(&self.checkout.join("lab"), &self.build, progress)
    }

    /// Starts the lab unless it runs. What an earlier one left behind is removed first.
    pub fn up(&self, progress: &Progress) -> Result<Up> {
        if !rustix::process::geteuid().is_root() {
            bail!("the lab makes namespaces and mounts, so it needs root: run this with sudo");
        }
        let _lock = self.lock(progress)?;
        if self.is_up() {
            return Ok(Up::Already);
        }
        packages::install(packages::LAB, progress)?;
        binaries::build(&self.checkout.join("lab"), &self.build, progress)?;
        image::build(&self.build)?;
        let start = progress.elapsed();
        if self.left_behind() {
            progress.say("removing what an earlier lab left behind");
            self.remove()?;
        }
        if let Err(error) = self.start(progress) {
            self.keep_logs();
            let kept = self.folder().join("logs");
            self.remove()
                .context("cannot clean up after a failed start")?;
            return Err(error.context(format!("the lab did not start; logs: {}", kept.display())));
        }
        Ok(Up::Started(progress.elapsed().saturating_sub(start)))
    }

    /// Stops the lab and removes everything but a copy of its logs; fine if there is none.
    pub fn down(&self, progress: &Progress) -> Result<()> {
        let _lock = self.lock(progress)?;
        if !self.left_behind() {
            return Ok(());
        }
        progress.doing("stopping the lab");
        self.keep_logs();
        self.remove()
    }

    /// Whether the lab was started completely and nothing that it cannot be without has ended.
    pub fn is_up(&self) -> bool {
        let units = self.units();
        self.state.join(COMPLETE).exists() && CORE.iter().all(|name| units.running(name).is_ok())
    }

    /// Everything from an empty machine to two ready nodes.
    fn start(&self, progress: &Progress) -> Result<()> {
        self.prepare().context("cannot prepare the lab")?;
        progress.doing("starting the control plane and two container runtimes");
        // What a node can do without the API server, it does at the same time.
        std::thread::scope(|scope| {
            let nodes = Node::ALL.map(|n| scope.spawn(move || node::start_runtime(self, n)));
            let control_plane = self.start_control_plane();
            for (handle, node) in nodes.into_iter().zip(Node::ALL) {
                let result = handle
                    .join()
                    .map_err(|_| anyhow::anyhow!("its thread panicked"))?;
                result.with_context(|| format!("cannot start {}", node.name()))?;
            }
            control_plane
        })?;
        progress.doing("waiting for two nodes to be ready");
        for node in Node::ALL {
            node::start_kubelet(self, node)?;
        }
        for node in Node::ALL {
            self.await_node(node, true, Duration::from_mins(1))?;
        }
        self.await_default_account()?;
        fs::write(self.state.join(COMPLETE), b"")?;
        Ok(())
    }

    /// Folders, namespaces, cgroups and files; no process yet.
    fn prepare(&self) -> Result<()> {
        for folder in ["units", "logs", "access", "bin", "registries/img.test"] {
            fs::create_dir_all(self.state.join(folder))?;
        }
        let write = |name: &str, text: String| fs::write(self.state.join(name), text);
        write(
            "resolv.conf",
            format!("nameserver {MAIN_ADDRESS}\noptions timeout:2 attempts:1\n"),
        )?;
        let registry = format!("http://{MAIN_ADDRESS}:5000");
        write(
            "registries/img.test/hosts.toml",
            format!("server = \"{registry}\"\n\n[host.\"{registry}\"]\n"),
        )?;
        self.write_kubectl()?;
        fs::create_dir_all(self.folder())?;
        fs::write(
            self.folder().join("state"),
            format!("{}\n", self.state.display()),
        )?;
        raise_watch_limit()?;
        self.cgroups().create(&Node::ALL.map(Node::name))?;
        self.network().create()?;
        control_plane::prepare(self)
    }

    /// Starts the control plane's programs; returns when the API server is ready.
    fn start_control_plane(&self) -> Result<()> {
        let units = self.units();
        for name in control_plane::SERVERS
            .iter()
            .chain(&control_plane::UNITS[..2])
        {
            units.start(&control_plane::unit(self, name)?)?;
        }
        self.await_apiserver(Duration::from_mins(1))?;
        for name in &control_plane::UNITS[2..] {
            units.start(&control_plane::unit(self, name)?)?;
        }
        Ok(())
    }

    /// Pods are refused in a namespace until its ServiceAccount has been made.
    fn await_default_account(&self) -> Result<()> {
        until(
            "the default ServiceAccount",
            Duration::from_secs(20),
            || {
                let path = "/api/v1/namespaces/default/serviceaccounts/default";
                Ok(self.get(path).map(drop).map_err(|error| error.to_string()))
            },
        )
    }

    /// Waits until the API server says that it is ready.
    pub fn await_apiserver(&self, limit: Duration) -> Result<()> {
        until("the API server to be ready", limit, || {
            self.units().running("etcd")?;
            self.units().running("apiserver")?;
            Ok(self
                .get_text("/readyz")
                .map(drop)
                .map_err(|error| error.to_string()))
        })
    }

    /// Waits until a node is (or is no longer) ready, its taints included.
    pub fn await_node(&self, node: Node, ready: bool, limit: Duration) -> Result<()> {
        let what = format!(
            "{} to be {}",
            node.name(),
            if ready { "ready" } else { "not ready" }
        );
        until(&what, limit, || {
            let seen = match self.get(&format!("/api/v1/nodes/{}", node.name())) {
                Ok(object) => readiness(&object),
                Err(error) => return Ok(Err(error.to_string())),
            };
            Ok(if (seen == "ready") == ready {
                Ok(())
            } else {
                Err(seen)
            })
        })
        .with_context(|| format!("see {}", self.units().log(&node.unit("kubelet")).display()))
    }

    /// Only one command at a time may start or stop this lab.
    fn lock(&self, progress: &Progress) -> Result<File> {
        const PATIENCE: Duration = Duration::from_mins(45);
        fs::create_dir_all(self.folder())?;
        let lock = File::create(self.folder().join("lock"))?;
        if lock.try_lock().is_err() {
            progress.say("another command is starting or stopping this lab: waiting for it");
            until("the lab's lock", PATIENCE, || {
                Ok(lock.try_lock().map_err(|error| error.to_string()))
            })?;
        }
        Ok(lock)
    }

    /// Whether anything of a lab with this id is on the machine.
    fn left_behind(&self) -> bool {
        self.state.exists()
            || self.netns().exists()
            || self.node_netns(Node::Two).exists()
            || self.cgroups().entrance().exists()
    }

    /// Ends every process of the lab and removes all that it made.
    fn remove(&self) -> Result<()> {
        // The mounts of the nodes end with the processes in their mount namespaces.
        self.cgroups().kill_all()?;
        self.network().remove()?;
        self.cgroups().remove()?;
        until(
            "the lab's files to be removed",
            Duration::from_secs(10),
            || {
                if !self.state.exists() {
                    return Ok(Ok(()));
                }
                Ok(fs::remove_dir_all(&self.state).map_err(|error| error.to_string()))
            },
        )
    }

    /// Copies the logs into the checkout; a missing one is no reason to stop.
    fn keep_logs(&self) {
        let kept = self.folder().join("logs");
        fs::remove_dir_all(&kept).ok();
        fs::create_dir_all(&kept).ok();
        for folder in [self.logs(), self.state.join("audit")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                fs::copy(entry.path(), kept.join(entry.file_name())).ok();
            }
        }
    }
}

/// The kubelets and their containers watch many files.
fn raise_watch_limit() -> Result<()> {
    const NEEDED: u32 = 1024;
    let file = Path::new("/proc/sys/fs/inotify/max_user_instances");
    let now: u32 = fs::read_to_string(file)?.trim().parse()?;
    if now < NEEDED {
        fs::write(file, NEEDED.to_string()).with_context(|| {
            format!("cannot raise fs.inotify.max_user_instances from {now} to {NEEDED}")
        })?;
    }
    Ok(())
}

/// `ready`, or what a node object lacks.
pub(crate) fn readiness(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    let Some(ready) = ready else {
        return "no Ready condition".to_owned();
    };
    if ready["status"] != "True" {
        return ready["message"].as_str().unwrap_or("not ready").to_owned();
    }
    let taints = node["spec"]["taints"].as_array();
    let condition = "node.kubernetes.io/";
    let tainted = taints
        .into_iter()
        .flatten()
        .filter_map(|taint| taint["key"].as_str());
    let mut tainted = tainted.filter(|key| {
        key.strip_prefix(condition)
            .is_some_and(|key| ["not-ready", "unreachable"].contains(&key))
    });
    tainted
        .next()
        .map_or_else(|| "ready".to_owned(), |key| format!("tainted {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_ready_only_without_the_taint() {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let mut node = json!({ "status": { "conditions": ready } });
        assert_eq!(readiness(&node), "ready");
        node["spec"]["taints"] = json!([{ "key": "node.kubernetes.io/unschedulable" }]);
        assert_eq!(readiness(&node), "ready");
        node["spec"]["taints"] = json!([{ "key": "node.kubernetes.io/not-ready" }]);
        assert!(readiness(&node).contains("not-ready"));
        assert_eq!(readiness(&json!({})), "no Ready condition");
    }
}
