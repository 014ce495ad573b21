//! The listener's part of the report: is its address free, and how does Alertmanager reach it.

use super::Checked;
use crate::cli::settings;
use crate::config::Config;
use crate::serve::{ListenError, Unsafe, bind};
use serde_json::Value;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long an agent that listens already may take to say so.
const AGENT_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer of an agent's `/readyz` in bytes; whatever says more is none.
const MAX_ANSWER: usize = 64 << 10;

/// Takes the address for a moment: what is free for us is free for the agent.
pub(super) async fn free(config: &Config) -> Checked {
    let address = config.listen;
    match bind(address, &config.tokens()).await {
        Ok(_) => Checked::ok("listener", format!("http://{address} is free")),
        Err(ListenError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            in_use(address).await
        }
        Err(error @ ListenError::Bind { .. }) => Checked::fail(
            "listener",
            settings::chain(&error),
            "set NIGHTSHIFT_LISTEN to an address of this machine and a port that this user may use",
        ),
        Err(ListenError::Unsafe(
            error @ (Unsafe::NoToken(_) | Unsafe::SameToken | Unsafe::ShortToken(_)),
        )) => {
            let next = "set NIGHTSHIFT_INTAKE_TOKEN and NIGHTSHIFT_API_TOKEN to different secrets";
            Checked::fail("listener", error.to_string(), next)
        }
    }
}

/// A doctor may be asked beside a running agent.
async fn in_use(address: SocketAddr) -> Checked {
    if is_agent(address).await {
        return Checked::ok("listener", format!("http://{address}: an agent listens"));
    }
    Checked::fail(
        "listener",
        format!("{address} is in use, and not by an agent"),
        "end what listens there, or set NIGHTSHIFT_LISTEN to another address",
    )
}

/// Whether what listens there answers `/readyz` as an agent does.
async fn is_agent(address: SocketAddr) -> bool {
    let asked = async {
        let client = reqwest::Client::builder()
            .timeout(AGENT_TIMEOUT)
            .no_proxy()
            .build()?;
        let url = format!("http://{}/readyz", reachable(address));
        let mut answer = client.get(url).send().await?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER {
                break;
            }
        }
        Ok::<_, reqwest::Error>(body)
    };
    let Ok(body) = asked.await else { return false };
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    answer.get("ready").is_some() && answer.get("blind").is_some()
}

/// Where one reaches it from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if address.ip().is_unspecified() {
        SocketAddr::new(loopback, address.port())
    } else {
        address
    }
}

/// Alertmanager cannot be asked from here; the hint is what people need most at this point.
pub(super) fn alertmanager(config: &Config) -> Checked {
    let (address, port) = (config.listen, config.listen.port());
    if address.ip().is_loopback() {
        return Checked::warn(
            "alertmanager",
            format!("only an Alertmanager on this machine reaches http://{address}/alertmanager"),
            "set NIGHTSHIFT_LISTEN and both tokens, or go on without alerts: watches hear faults too",
        );
    }
    let (host, which) = if address.ip().is_unspecified() {
        let which = ", where HOST is the name of our Service or of this machine";
        (format!("HOST:{port}"), which)
    } else {
        (address.to_string(), "")
    };
    let found = format!(
        "receiver: webhook_configs: [{{url: http://{host}/alertmanager, send_resolved: true}}]\
         {which}; it sends the intake's token (docs/http.md)"
    );
    Checked::ok("alertmanager", found)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use tokio_util::task::TaskTracker;

    fn listening(address: &str) -> Config {
        let variable = ("NIGHTSHIFT_LISTEN".to_owned(), address.to_owned());
        let tokens = [
            ("NIGHTSHIFT_INTAKE_TOKEN", "0123456789abcdef"),
            ("NIGHTSHIFT_API_TOKEN", "fedcba9876543210"),
        ];
        let mut env = crate::config::Env::from([variable]);
        env.extend(tokens.map(|(key, value)| (key.to_owned(), value.to_owned())));
        Config::load(None, &env).unwrap()
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_a_failure() {
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = other.local_addr().unwrap();
        let answering =
            TaskTracker::new().spawn(axum::serve(other, axum::Router::new()).into_future());
        let taken = free(&listening(&address.to_string())).await;
        assert_eq!(taken.level, Level::Fail, "{taken:?}");
        assert!(taken.found.contains("in use"), "{taken:?}");
        answering.abort();
        let free = free(&listening("127.0.0.1:0")).await;
        assert_eq!(free.level, Level::Ok, "{free:?}");
    }

    #[tokio::test]
    async fn a_port_that_an_agent_has_is_well() {
        let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = agent.local_addr().unwrap();
        let answer = axum::routing::get(async || r#"{"ready": true, "blind": {}}"#);
        let router = axum::Router::new().route("/readyz", answer);
        let answering = TaskTracker::new().spawn(axum::serve(agent, router).into_future());
        let taken = free(&listening(&address.to_string())).await;
        assert_eq!(taken.level, Level::Ok, "{taken:?}");
        answering.abort();
    }

    #[test]
    fn alertmanager_is_never_told_to_send_to_an_address_that_is_none() {
        let everywhere = alertmanager(&listening("0.0.0.0:8080")).found;
        assert!(
            everywhere.contains("http://HOST:8080/alertmanager"),
            "{everywhere}"
        );
        let one = alertmanager(&listening("10.0.0.1:8080")).found;
        assert!(one.contains("http://10.0.0.1:8080/alertmanager"), "{one}");
    }
}
