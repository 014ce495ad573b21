//! The lab: a real Kubernetes on this machine, for demo, stories and bench.
//!
//! [`Lab`] is the face for the repository's other commands; `lab/README.md` says what a person
//! needs to know. Everything that a lab owns carries its id, which comes from the checkout's
//! path, and lies in one state folder, two network namespaces and one cgroup tree.

mod access;
mod alertmanager;
pub(crate) mod binaries;
mod cgroup;
pub mod cli;
mod client;
mod control_plane;
mod faults;
mod image;
mod life;
mod network;
mod node;
mod packages;
mod progress;
mod proxy;
mod scale;
mod shell;
mod tar;
mod unit;
mod wait;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

pub use access::{API_SERVER, Identity};
pub use alertmanager::ALERTMANAGER;
pub use life::Up;
pub use network::MAIN_ADDRESS;
pub use node::Node;
pub use progress::Progress;
pub use proxy::{PROXY, Silence};
pub use scale::{DOOR_ADDRESS, FAKE, REPLICAS};
pub use wait::until;

use access::Access;
use cgroup::Cgroups;
use network::Network;
use unit::Units;

/// The lab of one checkout, whether it runs or not.
pub struct Lab {
    checkout: PathBuf,
    id: String,
    state: PathBuf,
    build: PathBuf,
}

impl Lab {
    /// The lab of the checkout that this program was built from.
    pub fn here() -> Result<Self> {
        // At run time cargo says where it is; built and moved, the place of the build counts.
        let package = std::env::var("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let checkout = Path::new(&package).join("..");
        let checkout = checkout
            .canonicalize()
            .with_context(|| format!("the checkout {} is gone", checkout.display()))?;
        Ok(Self::of(checkout))
    }

    /// The lab of a checkout.
    fn of(checkout: PathBuf) -> Self {
        let id = id(&checkout);
        let build = std::env::var_os("NIGHTSHIFT_LAB_BUILD")
            .map_or_else(|| checkout.join("lab/.build"), PathBuf::from);
        // Short: the path of a unix socket has at most 107 bytes.
        let state = PathBuf::from(format!("/var/tmp/ns-{id}"));
        Self {
            checkout,
            id,
            state,
            build,
        }
    }

    /// Eight letters that no other checkout on this machine has.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder with everything that the lab writes.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The main network namespace: API server, first node, agent, Alertmanager.
    pub fn netns(&self) -> PathBuf {
        self.network().main()
    }

    /// A node's network namespace.
    pub fn node_netns(&self, node: Node) -> PathBuf {
        match node {
            Node::One => self.network().main(),
            Node::Two => self.network().second(),
        }
    }

    /// An identity's kubeconfig. The agent's exists only after [`Lab::install_agent`].
    pub fn kubeconfig(&self, who: Identity) -> PathBuf {
        self.access().kubeconfig(who)
    }

    /// The API server's audit log: one JSON object a line.
    pub fn audit_log(&self) -> PathBuf {
        self.state.join("audit/audit.log")
    }

    /// The folder of everybody's logs.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The folder in the checkout: lock, pointer to the state folder, logs of the last lab.
    pub fn folder(&self) -> PathBuf {
        self.checkout.join(".lab")
    }

    /// The certificates that prove that the API server is the lab's.
    pub fn authority(&self) -> PathBuf {
        self.state.join("pki/apiserver.crt")
    }

    fn access(&self) -> Access {
        Access {
            folder: self.state.join("access"),
            authority: self.authority(),
        }
    }

    fn node_folder(&self, node: Node) -> PathBuf {
        self.state.join(format!("n{}", node.number()))
    }

    fn units(&self) -> Units {
        Units {
            folder: self.state.join("units"),
            logs: self.logs(),
            entrance: self.cgroups().entrance(),
        }
    }

    fn cgroups(&self) -> Cgroups {
        Cgroups::new(&self.id)
    }

    fn network(&self) -> Network {
        Network::new(&self.id)
    }
}

/// A name for a checkout: the same each time, another for every other path.
fn id(checkout: &Path) -> String {
    let hash = hex::encode(Sha256::digest(checkout.as_os_str().as_encoded_bytes()));
    hash.chars().take(8).collect()
}

/// An argument list from fixed words and computed ones.
fn words(fixed: &[&str], computed: &[String]) -> Vec<String> {
    fixed
        .iter()
        .map(|word| (*word).to_owned())
        .chain(computed.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_have_two_labs() {
        let (a, b) = (Lab::of("/a".into()), Lab::of("/b".into()));
        assert_ne!(a.state, b.state);
        assert_ne!(a.netns(), b.netns());
        assert_eq!(Lab::of("/a".into()).id(), a.id());
    }

    #[test]
    fn sockets_have_short_paths() {
        let lab = Lab::of("/a/very/long/path/to/a/checkout".repeat(5).into());
        let plugins = lab
            .node_folder(Node::Two)
            .join("disk/kubelet/device-plugins/kubelet.sock");
        assert!(plugins.as_os_str().len() < 108, "{}", plugins.display());
    }
}
