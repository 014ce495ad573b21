//! A small server between the agent and the API server that does something to the answers on
//! demand: silence on connections that stay open, as behind a firewall that has forgotten them;
//! writes whose answers wait; a clock that is wrong.

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

    /// Writes to a resource arrive at the API server, and their answers wait until [`Lab::flow`].
    pub fn hold_answers(&self, resource: &str) -> Result<()> {
        self.post(
            &format!("{PROXY}/lab/hold?resource={resource}"),
            &Value::Null,
        )
        .map(drop)
    }

    /// The API server's `Date` header is so far ahead of its clock, until [`Lab::flow`].
    pub fn set_date_ahead(&self, ahead: Duration) -> Result<()> {
        let url = format!("{PROXY}/lab/date?ahead={}s", ahead.as_secs());
        self.post(&url, &Value::Null).map(drop)
    }

    /// Ends the server: its connections break off and new ones are refused. The API server itself is
    /// there for everybody else.
    pub fn stop_proxy(&self) -> Result<()> {
        self.stop_program(UNIT)
    }

    /// Ends all of it: answers that were held go out, new requests go through, the date is right. A
    /// stream that was silenced stays silent.
    pub fn flow(&self) -> Result<()> {
        self.post(&format!("{PROXY}/lab/flow"), &Value::Null)
            .map(drop)
    }
}
