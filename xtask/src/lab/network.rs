//! The lab's network: namespaces of its own, with no way out.
//!
//! The main namespace holds the control plane, the first node and whatever is under test, on a
//! bridge; the second node has a namespace of its own, joined to the bridge by a virtual cable.
//! The addresses are the same in every lab: two labs cannot meet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::shell::{limited, run, run_with_input};

/// Where the API server listens, and what programs under test may listen on.
pub const MAIN_ADDRESS: &str = "10.99.0.1";
/// Where `ip` keeps named namespaces.
const NAMESPACES: &str = "/run/netns";
const LIMIT: Duration = Duration::from_secs(10);

/// The namespaces of one lab.
pub(crate) struct Network {
    main: String,
    second: String,
}

impl Network {
    /// The namespaces of the lab with this id; nothing is made yet.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            main: format!("nightshift-{id}-1"),
            second: format!("nightshift-{id}-2"),
        }
    }

    /// The main namespace, which is also the first node's.
    pub(crate) fn main(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.main)
    }

    /// The second node's namespace.
    pub(crate) fn second(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.second)
    }

    /// Makes both namespaces and joins them.
    pub(crate) fn create(&self) -> Result<()> {
        let (main, second) = (&self.main, &self.second);
        ip("", &format!("netns add {main}\nnetns add {second}\n"))?;
        // Without a default route a Service address is unreachable before kube-proxy's rules.
        ip(
            main,
            &format!(
                "link set lo up\n\
                 link add node0 type bridge\n\
                 addr add {MAIN_ADDRESS}/24 dev node0\n\
                 link add v2 type veth peer name eth0 netns {second}\n\
                 link set v2 master node0\n\
                 link set node0 up\n\
                 link set v2 up\n\
                 route add default dev node0\n\
                 route add 10.244.2.0/24 via 10.99.0.2\n"
            ),
        )?;
        ip(
            second,
            &format!(
                "link set lo up\n\
                 addr add 10.99.0.2/24 dev eth0\n\
                 link set eth0 up\n\
                 route add default via {MAIN_ADDRESS}\n"
            ),
        )?;
        for namespace in [self.main(), self.second()] {
            let net = format!("--net={}", namespace.display());
            let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
            run(&mut limited(LIMIT, &["nsenter", &net, "sh", "-c", forward]))?;
        }
        Ok(())
    }

    /// Removes what is there of both.
    pub(crate) fn remove(&self) -> Result<()> {
        for (name, path) in [(&self.main, self.main()), (&self.second, self.second())] {
            if path.exists() {
                run(&mut limited(LIMIT, &["ip", "netns", "del", name]))?;
            }
        }
        Ok(())
    }
}

/// Runs lines of `ip` commands in a namespace (empty: the machine's own).
fn ip(namespace: &str, lines: &str) -> Result<()> {
    let mut command: Command = limited(LIMIT, &["ip"]);
    if !namespace.is_empty() {
        command.args(["-n", namespace]);
    }
    run_with_input(command.args(["-batch", "-"]), lines.as_bytes())
        .context("cannot set up the lab's network")?;
    Ok(())
}
