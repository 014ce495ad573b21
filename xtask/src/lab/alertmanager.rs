//! A real Alertmanager beside the agent, for stories that start with an alert.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Lab;
use super::packages;
use super::progress::Progress;
use super::wait::until;

/// Where Alertmanager listens, within the lab's network.
pub const ALERTMANAGER: &str = "http://10.99.0.1:9093";
const UNIT: &str = "alertmanager";

impl Lab {
    /// Starts Debian's Alertmanager, which sends every alert to `webhook_url` at once.
    /// `token` is what it sends as a bearer token.
    pub fn start_alertmanager(&self, webhook_url: &str, token: Option<&str>) -> Result<()> {
        packages::install(packages::ALERTMANAGER, &Progress::new())?;
        let folder = self.state().join(UNIT);
        fs::create_dir_all(&folder)?;
        let config = folder.join("config.yml");
        fs::write(
            &config,
            serde_json::to_vec_pretty(&configuration(webhook_url, token))?,
        )
        .with_context(|| format!("cannot write {}", config.display()))?;
        let argv = vec![
            "/usr/bin/prometheus-alertmanager".to_owned(),
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", folder.display()),
            "--web.listen-address=10.99.0.1:9093".to_owned(),
            // No gossip: there is no second one.
            "--cluster.listen-address=".to_owned(),
        ];
        self.start_program(UNIT, argv)?;
        until("Alertmanager to be ready", Duration::from_secs(20), || {
            self.units().running(UNIT)?;
            let asked = self.fetch_url(&format!("{ALERTMANAGER}/-/ready"));
            Ok(asked.map(drop).map_err(|error| error.to_string()))
        })
    }

    /// Ends Alertmanager.
    pub fn stop_alertmanager(&self) -> Result<()> {
        self.stop_program(UNIT)
    }

    /// Hands Alertmanager alerts, as Prometheus does: a list of `{labels, annotations, endsAt}`.
    pub fn send_alerts(&self, alerts: &Value) -> Result<()> {
        self.post(&format!("{ALERTMANAGER}/api/v2/alerts"), alerts)
            .map(drop)
    }
}

/// Everything at once, to one receiver. JSON is YAML.
fn configuration(webhook_url: &str, token: Option<&str>) -> Value {
    let mut webhook = json!({ "url": webhook_url, "send_resolved": true });
    if let Some(token) = token {
        webhook["http_config"] =
            json!({ "authorization": { "type": "Bearer", "credentials": token } });
    }
    json!({
        "route": {
            "receiver": "nightshift", "group_by": ["alertname", "namespace"],
            "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h",
        },
        "receivers": [{ "name": "nightshift", "webhook_configs": [webhook] }],
    })
}
