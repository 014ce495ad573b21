//! Who may talk to the lab's API server: identities, their tokens and kubeconfigs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Where the API server is, for everything inside the lab's network.
pub const API_SERVER: &str = "https://10.99.0.1:6443";

/// Somebody with a token and a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The person who owns the lab: may do everything.
    Admin,
    /// The judge of demo and stories: may do everything, by another name in the audit log.
    Judge,
    /// The agent under test: ServiceAccount `nightshift`; see `Lab::install_agent`.
    Agent,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kube-proxy.
    Proxy,
    /// The first node's kubelet.
    Node1,
    /// The second node's kubelet.
    Node2,
}

/// Those whose token the API server reads from a file. The agent's is made by the API server.
const FROM_FILE: [Identity; 7] = [
    Identity::Admin,
    Identity::Judge,
    Identity::ControllerManager,
    Identity::Scheduler,
    Identity::Proxy,
    Identity::Node1,
    Identity::Node2,
];

impl Identity {
    /// The short name: of the kubeconfig's file, for one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Judge => "demo-judge",
            Self::Agent => "agent",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Proxy => "proxy",
            Self::Node1 => "node1",
            Self::Node2 => "node2",
        }
    }

    /// User name and group as the API server and its audit log know them.
    pub fn user_and_group(self) -> (&'static str, &'static str) {
        match self {
            Self::Admin => ("admin", "system:masters"),
            Self::Judge => ("demo-judge", "system:masters"),
            Self::Agent => (
                "system:serviceaccount:nightshift:nightshift",
                "system:serviceaccounts",
            ),
            Self::ControllerManager => ("system:kube-controller-manager", ""),
            Self::Scheduler => ("system:kube-scheduler", ""),
            Self::Proxy => ("system:kube-proxy", ""),
            Self::Node1 => ("system:node:node1", "system:nodes"),
            Self::Node2 => ("system:node:node2", "system:nodes"),
        }
    }
}

/// The folder of tokens and kubeconfigs of one lab.
pub(crate) struct Access {
    pub(crate) folder: PathBuf,
    /// The API server's own certificate and the authority that signed it.
    pub(crate) authority: PathBuf,
}

impl Access {
    /// Where an identity's kubeconfig is.
    pub(crate) fn kubeconfig(&self, who: Identity) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", who.name()))
    }

    /// A file with nothing but an identity's token.
    pub(crate) fn token(&self, who: Identity) -> PathBuf {
        self.folder.join(format!("{}.token", who.name()))
    }

    /// The file that tells the API server all tokens.
    pub(crate) fn token_list(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// Makes a token and a kubeconfig for everyone but the agent.
    pub(crate) fn create(&self) -> Result<()> {
        let mut list = String::new();
        for who in FROM_FILE {
            let token = hex::encode(rand::random::<[u8; 20]>());
            let (user, group) = who.user_and_group();
            list.extend([&token, ",", user, ",", user, ",", group, "\n"]);
            self.grant(who, &token)?;
        }
        write_private(&self.token_list(), list.as_bytes())
    }

    /// Writes an identity's token and kubeconfig.
    pub(crate) fn grant(&self, who: Identity, token: &str) -> Result<PathBuf> {
        write_private(&self.token(who), token.as_bytes())?;
        let path = self.kubeconfig(who);
        let cluster = json!({ "server": API_SERVER, "certificate-authority": self.authority });
        Self::write(&path, who, token, &cluster)?;
        Ok(path)
    }

    /// A second kubeconfig for an identity, by way of a server with the same certificate.
    pub(crate) fn through(&self, who: Identity, server: &str) -> Result<PathBuf> {
        let token = self.token(who);
        let token = fs::read_to_string(&token)
            .with_context(|| format!("no token in {}", token.display()))?;
        let path = self.folder.join(format!("{}-proxy.kubeconfig", who.name()));
        let cluster = json!({ "server": server, "certificate-authority": self.authority });
        Self::write(&path, who, &token, &cluster)?;
        Ok(path)
    }

    fn write(path: &Path, who: Identity, token: &str, cluster: &Value) -> Result<()> {
        let name = who.name();
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{ "name": "lab", "cluster": cluster }],
            "users": [{ "name": name, "user": { "token": token } }],
            "contexts": [{ "name": name, "context": { "cluster": "lab", "user": name } }],
        });
        write_private(path, &serde_json::to_vec_pretty(&config)?)
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_a_token_of_their_own_and_a_kubeconfig() {
        let folder = tempfile::tempdir().unwrap();
        let access = Access {
            folder: folder.path().into(),
            authority: "/ca.crt".into(),
        };
        access.create().unwrap();
        let list = fs::read_to_string(access.token_list()).unwrap();
        let tokens: std::collections::BTreeSet<_> = list
            .lines()
            .filter_map(|line| line.split(',').next())
            .collect();
        assert_eq!(tokens.len(), FROM_FILE.len());
        let config = fs::read(access.kubeconfig(Identity::Node2)).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let token = config["users"][0]["user"]["token"].as_str().unwrap();
        assert!(list.contains(&format!("{token},system:node:node2,")));
        assert!(!access.kubeconfig(Identity::Agent).exists());
    }
}
