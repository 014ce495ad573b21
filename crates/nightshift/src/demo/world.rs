//! The simulated cluster as the demo handles it: people and machines do something to it, and the
//! judge reads it. Nothing of the agent comes near.

#![expect(
    clippy::indexing_slicing,
    reason = "a field that a JSON value lacks is null"
)]

use super::door::Door;
use super::faults::{Deed, SHOP, Target};
use super::judge::{Write, writes_of};
#[cfg(test)]
use super::judge::{lists_of, rehearsals_of};
use super::shop::{self, ShopError};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use nightshift_sim::api::request::Query;
use nightshift_sim::api::{self, Answer, Request};
use nightshift_sim::auth::{MASTERS, User};
use nightshift_sim::resources::ids;
use nightshift_sim::server::{Server, Time};
use nightshift_sim::{Cluster, Key, Pace, Speed};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Before the story begins, the shop has run for so long.
const AGE: Duration = Duration::from_hours(2);
/// The cluster's time begins so long ago: fast time must not overtake the clock that kubectl counts
/// ages with.
const AGO: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why the world did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The shop cannot be set up.
    #[error("the shop cannot be set up")]
    Shop(#[from] ShopError),
    /// The API server refused.
    #[error("{what}: the simulated API server answered {code}: {message}")]
    Refused {
        /// What was asked of it.
        what: String,
        /// HTTP status.
        code: u16,
        /// Its message.
        message: String,
    },
    /// The shop did not come up.
    #[error("the shop is not up after {AGE:?} of the cluster's time: {0}")]
    NotUp(String),
}

/// The token of every person in the story.
const ADMIN: &str = "demo-administrator";
/// The token of whoever looks on with kubectl, and may do everything.
pub(super) const VISITOR: &str = "demo-visitor";
/// Their name in the audit lines.
const VISITOR_USER: &str = "visitor";
/// The agent's token.
const AGENT: &str = "demo-agent";
const AGENT_BEARER: &str = "Bearer demo-agent";
/// The agent's name in the audit lines.
const AGENT_USER: &str = "system:serviceaccount:nightshift:nightshift";

/// The simulated cluster.
#[derive(Debug)]
pub(super) struct World {
    pub(super) server: Server,
    pub(super) pace: Arc<Pace>,
}

impl World {
    /// A shop that has been running for a while, with an account for the agent that has these
    /// `rights` (manifests).
    pub(super) fn new(seed: u64, speed: Speed, rights: &[Value]) -> Result<Self, WorldError> {
        let start = nightshift_sim::pace::wall();
        let start = start.saturating_sub(AGO).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut cluster = Cluster::new(seed, start);
        shop::set_up(&mut cluster)?;
        for manifest in rights {
            shop::create(&mut cluster, "rights", &manifest.to_string()).map_err(ShopError::from)?;
        }
        let masters = User::new("demo", &[MASTERS]);
        cluster.tokens.add(ADMIN, masters, None);
        let visitor = User::new(VISITOR_USER, &[MASTERS]);
        cluster.tokens.add(VISITOR, visitor, None);
        // A token is good while the very account lives that it was made for.
        let account = Key::new(ids::SERVICE_ACCOUNTS, "nightshift", "nightshift");
        let uid = cluster
            .store
            .get(&account)
            .map(|account| account.meta.uid.to_string());
        let agent = User::service_account("nightshift", "nightshift", &uid.unwrap_or_default());
        cluster.tokens.add(AGENT, agent, None);
        cluster.pass(AGE);
        let pace = Arc::new(Pace::new(speed, cluster.now()));
        let server = Server::new(cluster, Time::Paced(Arc::clone(&pace)));
        let world = Self { server, pace };
        world.check_up()?;
        Ok(world)
    }

    fn check_up(&self) -> Result<(), WorldError> {
        for kind in ["deployments", "statefulsets"] {
            let list = self.request(
                "GET",
                &format!("/apis/apps/v1/namespaces/{SHOP}/{kind}"),
                None,
            )?;
            for workload in list["items"].as_array().into_iter().flatten() {
                let (spec, status) = (&workload["spec"], &workload["status"]);
                if spec["replicas"] != status["readyReplicas"] {
                    let name = &workload["metadata"]["name"];
                    return Err(WorldError::NotUp(format!("{name}: {status}")));
                }
            }
        }
        Ok(())
    }

    /// The API server as the agent reaches it: with its own token, and so its own rights.
    pub(super) fn door(&self) -> Door {
        Door {
            server: self.server.clone(),
            authorization: HeaderValue::from_static(AGENT_BEARER),
        }
    }

    /// How many audit lines there are.
    pub(super) fn audit_mark(&self) -> u64 {
        self.server.with(|cluster| cluster.audit.count())
    }

    /// The agent's writes after so many audit lines.
    pub(super) fn writes_since(&self, mark: u64) -> Vec<Write> {
        self.server
            .with(|cluster| writes_of(AGENT_USER, cluster.audit.since(mark)))
    }

    /// Whether a visitor has written anything, whatever became of it, after so many audit lines.
    pub(super) fn is_visited_since(&self, mark: u64) -> bool {
        let writes = self
            .server
            .with(|cluster| writes_of(VISITOR_USER, cluster.audit.since(mark)));
        !writes.is_empty()
    }

    /// How often the agent listed a resource in all namespaces, after so many audit lines.
    #[cfg(test)]
    pub(super) fn lists_since(&self, mark: u64, resource: &str) -> usize {
        self.server
            .with(|cluster| lists_of(AGENT_USER, resource, cluster.audit.since(mark)))
    }

    /// The agent's rehearsals.
    #[cfg(test)]
    pub(super) fn rehearsals(&self) -> Vec<Write> {
        self.server
            .with(|cluster| rehearsals_of(AGENT_USER, cluster.audit.since(0)))
    }

    /// An object.
    pub(super) fn get(&self, target: Target) -> Result<Value, WorldError> {
        self.request("GET", &target.path(), None)
    }

    /// The name of a pod of a Deployment.
    pub(super) fn a_pod_of(&self, deployment: &str) -> Result<String, WorldError> {
        let path = format!("/api/v1/namespaces/{SHOP}/pods?labelSelector=app%3D{deployment}");
        let list = self.request("GET", &path, None)?;
        let name = list["items"][0]["metadata"]["name"].as_str();
        Ok(name.unwrap_or_default().to_owned())
    }

    /// Does it. Alerts are not the world's business.
    pub(super) fn carry_out(&self, deed: &Deed) -> Result<(), WorldError> {
        match deed {
            Deed::Patch(target, patch) => {
                self.request("PATCH", &target.path(), Some(patch)).map(drop)
            }
            Deed::NodeSilent(name) => {
                self.server.with(|cluster| cluster.set_kubelet(name, false));
                Ok(())
            }
            Deed::NodeBack(name) => {
                self.server.with(|cluster| cluster.set_kubelet(name, true));
                Ok(())
            }
            Deed::Alert { .. } => Ok(()),
        }
    }

    /// As a person with kubectl would send it.
    pub(super) fn request(
        &self,
        method: &str,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Value, WorldError> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let request = Request {
            method: method.parse().unwrap_or_default(),
            path: path.to_owned(),
            query: Query::parse(query),
            accept: String::new(),
            content_type: "application/strategic-merge-patch+json".to_owned(),
            user_agent: "kubectl".to_owned(),
            token: Some(ADMIN.to_owned()),
            impersonate: None,
            upgrade: false,
            body: body.map(Value::to_string).unwrap_or_default().into(),
        };
        let refused = |code, message| WorldError::Refused {
            what: format!("{method} {path}"),
            code,
            message,
        };
        match self.server.with(|cluster| api::handle(cluster, &request)) {
            Answer::Whole(whole) => {
                let value: Value = serde_json::from_slice(&whole.body).unwrap_or_default();
                if whole.code < 300 {
                    return Ok(value);
                }
                Err(refused(whole.code, value["message"].to_string()))
            }
            Answer::List(_) | Answer::Watch(_) | Answer::Log(_) | Answer::Advance(_) => {
                Err(refused(500, "that was not asked for".to_owned()))
            }
        }
    }
}
