//! Notifiers: how a notice reaches people. A new one is one file and one variant.

mod webhook;

pub use webhook::Webhook;

use crate::config::Config;
use crate::store::QueuedNotice;
use crate::telemetry::event;

/// A way to tell people.
#[derive(Debug)]
pub enum Notifier {
    /// JSON posted to a URL.
    Webhook(Webhook),
    /// The log of this process, where nothing else is configured.
    Log,
}

/// Why a notice did not arrive; never holds the URL, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDelivered(pub String);

/// Why there is no notifier.
#[derive(Debug, thiserror::Error)]
#[error("the notifier cannot be built: {0}")]
pub struct NotifierError(String);

impl Notifier {
    /// The notifier that the configuration asks for.
    pub fn from_config(config: &Config) -> Result<Self, NotifierError> {
        match &config.notify_webhook_url {
            None => Ok(Self::Log),
            Some(url) => Webhook::new(url.reveal(), &config.cluster_name)
                .map(Self::Webhook)
                .map_err(|error| NotifierError(error.without_url().to_string())),
        }
    }

    /// Delivers one notice. The receiver may see it twice and knows it by its key.
    pub async fn deliver(&self, queued: &QueuedNotice) -> Result<(), NotDelivered> {
        match self {
            Self::Webhook(webhook) => webhook.deliver(queued).await,
            Self::Log => {
                event::notice(&queued.notice);
                Ok(())
            }
        }
    }
}
