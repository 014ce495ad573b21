//! A small server between the agent and the API server that goes silent on demand: connections
//! stay open and nothing comes, as behind a firewall that has forgotten them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::Lab;
use super::access::Identity;
use super::wait::until;

/// Where it listens, within the lab's network; it shows the API server's certificate.
pub const PROXY: &str = "https://10.99.0.1:6444";
const UNIT: &str = "proxy";

/// What goes silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// What streams now; a new request is answered.
    Streams,
    /// What streams now and every new request, until [`Lab::flow`].
    Everything,
}

impl Lab {
    /// Starts the server unless it runs; returns a kubeconfig of `who` that goes through it.
    pub fn start_proxy(&self, who: Identity) -> Result<PathBuf> {
        if self.units().running(UNIT).is_err() {
            let argv = vec![
                self.build.join("testapp").display().to_string(),
                "proxy".to_owned(),
                "-ca".to_owned(),
                self.authority().display().to_string(),
                "-key".to_owned(),
                self.authority().with_extension("key").display().to_string(),
            ];
            self.start_program(UNIT, argv)?;
        }
        until("the proxy to listen", Duration::from_secs(10), || {
            self.units().running(UNIT)?;
            let asked = self.fetch_url(&format!("{PROXY}/livez"));
            Ok(asked.map(drop).map_err(|error| error.to_string()))
        })?;
        self.access().through(who, PROXY)
    }

    /// Silences a resource (`pods`, `events`, `deployments`, ...) for all who use the proxy.
    pub fn silence(&self, resource: &str, what: Silence) -> Result<()> {
        let all = what == Silence::Everything;
        let url = format!("{PROXY}/lab/stall?resource={resource}&all={all}");
        self.post(&url, &Value::Null).map(drop)
    }

    /// Lets new requests through again. A stream that was silenced stays silent.
    pub fn flow(&self) -> Result<()> {
        self.post(&format!("{PROXY}/lab/flow"), &Value::Null)
            .map(drop)
    }
}
