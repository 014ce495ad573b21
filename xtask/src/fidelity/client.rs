//! A small HTTP client for an API server: what is sent and what comes back, with nothing hidden.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::room::PATIENCE;

/// The longest that one answer may take. Watches have limits of their own.
const LIMIT: Duration = Duration::from_mins(1);
/// How long a connection is kept for the next request. An API server closes one that was idle for
/// 90 s: a request that is sent just then is lost.
const IDLE: Duration = Duration::from_secs(30);
/// What the server makes a field manager's name of, where none is given.
pub const AGENT: &str = "fidelity";

/// Somebody who talks to one API server.
#[derive(Clone)]
pub struct Client {
    runtime: Arc<Runtime>,
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    /// The user of a kubeconfig's current context. Only tokens are understood.
    pub fn from_kubeconfig(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let config: Kubeconfig = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is no kubeconfig", path.display()))?;
        let (cluster, token) = config.current()?;
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .pool_idle_timeout(IDLE);
        if let Some(pem) = cluster.authority()? {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        Ok(Self {
            runtime: Arc::new(Runtime::new()?),
            http: builder.build()?,
            server: cluster.server.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The same server as somebody else; nobody without a token.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// A request that can still be changed.
    pub fn request(&self, method: Method, path: &str) -> Request<'_> {
        let mut http = self
            .http
            .request(method, format!("{}{path}", self.server))
            .header(USER_AGENT, AGENT);
        if let Some(token) = &self.token {
            http = http.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        Request { client: self, http }
    }
}

/// A request before it is sent.
pub struct Request<'c> {
    client: &'c Client,
    http: reqwest::RequestBuilder,
}

impl Request<'_> {
    /// Asks for another form of the answer.
    pub fn accept(mut self, media_type: &str) -> Self {
        self.http = self.http.header(ACCEPT, media_type);
        self
    }

    /// A body of JSON.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Any body of any type.
    pub fn body(mut self, media_type: &str, body: String) -> Self {
        self.http = self.http.header(CONTENT_TYPE, media_type).body(body);
        self
    }

    /// Sends it and reads the whole answer.
    pub fn send(self) -> Result<Answer> {
        let http = self.http.timeout(LIMIT);
        self.client.runtime.block_on(async {
            let response = http.send().await?;
            let code = response.status().as_u16();
            let text = response.text().await?;
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            Ok(Answer { code, body, text })
        })
    }

    /// Sends it and leaves the answer open: a watch, or a log that is followed.
    pub fn stream(self) -> Result<Stream> {
        let client = self.client.clone();
        let response = client.runtime.block_on(async {
            let started = tokio::time::timeout(LIMIT, self.http.send());
            started
                .await
                .map_err(|_| anyhow!("no answer"))?
                .map_err(anyhow::Error::from)
        })?;
        ensure!(
            response.status() == 200,
            "the stream's code is {}",
            response.status()
        );
        Ok(Stream {
            client,
            response,
            rest: Vec::new(),
        })
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The body, null where it is not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body, if this is the code.
    pub fn is(self, code: u16) -> Result<Value> {
        ensure!(
            self.code == code,
            "{}, not {code}: {}",
            self.code,
            self.text
        );
        Ok(self.body)
    }

    /// The `Status` of a refusal, whose code, reason and message must be these.
    pub fn refused(self, code: u16, reason: &str, message: &str) -> Result<Value> {
        let status = self.status(code, reason)?;
        let said = status["message"].as_str().unwrap_or_default();
        ensure!(
            said == message,
            "the message is\n  {said}\nnot\n  {message}"
        );
        Ok(status)
    }

    /// The `Status` of a refusal with this code and reason; `""` is no reason at all.
    pub fn status(self, code: u16, reason: &str) -> Result<Value> {
        let status = self.is(code)?;
        let is_status = status["kind"] == "Status" && status["status"] == "Failure";
        ensure!(
            is_status && status["code"] == code,
            "no Status of {code}: {status}"
        );
        let found = status["reason"].as_str().unwrap_or_default();
        ensure!(
            found == reason,
            "the reason is {found}, not {reason}: {status}"
        );
        Ok(status)
    }
}

/// An answer that goes on.
pub struct Stream {
    client: Client,
    response: reqwest::Response,
    rest: Vec<u8>,
}

impl Stream {
    /// The next line, or nothing if the server ended the answer.
    pub fn line(&mut self) -> Result<Option<String>> {
        let runtime = Arc::clone(&self.client.runtime);
        let lines = self.read_line();
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, lines).await })
            .map_err(|_| anyhow!("nothing came within {} s", PATIENCE.as_secs()))?
    }

    async fn read_line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match self.response.chunk().await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.is_empty() => return Ok(None),
                None => bail!("the answer ends within a line"),
            }
        }
    }

    /// The next event of a watch.
    pub fn next(&mut self) -> Result<Value> {
        let line = self.line()?.context("the server ended the watch")?;
        serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))
    }

    /// The next event of a watch, which must have this type; returns its object.
    pub fn expect(&mut self, kind: &str) -> Result<Value> {
        let mut event = self.next()?;
        ensure!(event["type"] == kind, "not {kind}: {event}");
        Ok(event["object"].take())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: String,
    contexts: Vec<NamedContext>,
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

impl Cluster {
    /// The certificates that prove the server: from a file, or written out in Base64.
    fn authority(&self) -> Result<Option<Vec<u8>>> {
        match (
            &self.certificate_authority_data,
            &self.certificate_authority,
        ) {
            (Some(data), _) => Ok(Some(BASE64_STANDARD.decode(data).context("no Base64")?)),
            (None, Some(file)) => {
                let pem = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
                Ok(Some(pem))
            }
            (None, None) => Ok(None),
        }
    }
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
struct User {
    token: Option<String>,
}

impl Kubeconfig {
    /// Cluster and token of the current context.
    fn current(self) -> Result<(Cluster, Option<String>)> {
        let Self {
            current_context,
            contexts,
            clusters,
            users,
        } = self;
        let named = contexts
            .into_iter()
            .find(|named| named.name == current_context);
        let Context { cluster, user } = named.context("no current context")?.context;
        let named = clusters.into_iter().find(|named| named.name == cluster);
        let cluster = named
            .with_context(|| format!("no cluster {cluster}"))?
            .cluster;
        let named = users.into_iter().find(|named| named.name == user);
        Ok((cluster, named.and_then(|named| named.user.token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_counts() {
        let text = "{current-context: b, contexts: [{name: a, context: {cluster: x, user: u}},
            {name: b, context: {cluster: y, user: v}}], clusters: [{name: x, cluster: {server: s}},
            {name: y, cluster: {server: t, certificate-authority: /ca}}],
            users: [{name: v, user: {token: secret}}]}";
        let config: Kubeconfig = serde_saphyr::from_str(text).unwrap();
        let (cluster, token) = config.current().unwrap();
        assert_eq!(cluster.server, "t");
        assert_eq!(cluster.certificate_authority.as_deref(), Some("/ca"));
        assert_eq!(token.as_deref(), Some("secret"));
    }
}
