//! Breaking the lab on purpose: programs stopped, frozen and started again, links cut.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::shell::{limited, run};
use super::{Lab, Node};

/// So long a program may take to end when asked; then it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

impl Lab {
    /// Freezes a node's kubelet: the node is NotReady after 12 s.
    pub fn stop_kubelet(&self, node: Node) -> Result<()> {
        self.units().signal(&node.unit("kubelet"), Signal::STOP)
    }

    /// Lets a frozen kubelet go on: the node is Ready again after about 5 s.
    pub fn continue_kubelet(&self, node: Node) -> Result<()> {
        self.units().signal(&node.unit("kubelet"), Signal::CONT)
    }

    /// Ends the API server; its address then refuses connections.
    pub fn stop_apiserver(&self) -> Result<()> {
        self.units().stop("apiserver", PATIENCE)
    }

    /// Starts the API server again and waits until it is ready.
    pub fn start_apiserver(&self) -> Result<()> {
        self.units().restart("apiserver")?;
        self.await_apiserver(Duration::from_mins(1))
    }

    /// Freezes any program of the lab by its unit's name (`apiserver`, `etcd`, ...): connections
    /// stay open and silent.
    pub fn freeze(&self, unit: &str) -> Result<()> {
        self.units().signal(unit, Signal::STOP)
    }

    /// Lets a frozen program go on.
    pub fn thaw(&self, unit: &str) -> Result<()> {
        self.units().signal(unit, Signal::CONT)
    }

    /// Ends any program of the lab by its unit's name.
    pub fn stop_program(&self, unit: &str) -> Result<()> {
        self.units().stop(unit, PATIENCE)
    }

    /// Asks any program of the lab to end, as Kubernetes asks a container, and does not wait.
    pub fn ask_to_end(&self, unit: &str) -> Result<()> {
        self.units().signal(unit, Signal::TERM)
    }

    /// Waits until a program that this very process started has ended by itself; its exit code.
    pub fn exit_code(&self, unit: &str, limit: Duration) -> Result<i32> {
        self.units().exit_code(unit, limit)
    }

    /// Starts a program that was ended, as it was started before.
    pub fn restart_program(&self, unit: &str) -> Result<()> {
        self.units().restart(unit).map(drop)
    }

    /// Kills any program of the lab at once, without a word of warning.
    pub fn kill_program(&self, unit: &str) -> Result<()> {
        self.units().signal(unit, Signal::KILL)
    }

    /// Pulls (or plugs in) the second node's network cable.
    pub fn set_cable(&self, plugged: bool) -> Result<()> {
        let state = if plugged { "up" } else { "down" };
        let net = format!("--net={}", self.netns().display());
        let limit = Duration::from_secs(5);
        run(&mut limited(
            limit,
            &["nsenter", &net, "ip", "link", "set", "v2", state],
        ))?;
        Ok(())
    }
}
