//! Two clients per cluster: one that can only read, and one for the few writes.
//!
//! They differ on purpose. Reads retry what the server asks to retry. A write is sent once: kube's
//! own retries would repeat an eviction that a budget refuses (a 429) for minutes.

use crate::clock::Clock;
use crate::eyes::fetch::{FetchError, fetch};
use crate::read_only::read_only;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use nightshift_core::ids::ClusterUid;
use nightshift_core::world::NamespaceObject;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::bytes::Bytes;
use tower::filter::FilterLayer;
use tower::layer::layer_fn;
use tower::timeout::Timeout;
use tower::util::BoxService;
use tower::{BoxError, Service, ServiceExt as _};

/// A write without an answer for this long is given up as unknown. Shorter than the margin of any
/// leader lease (15 s lease, renewed until 10 s), so that a former leader's write cannot arrive
/// after its successor has begun.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(4);

/// Largest answer to a write: one object, which etcd limits to 1.5 MiB.
const MAX_WRITE_ANSWER: usize = 4 << 20;

/// How long to wait for the cluster's identity.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients of one cluster.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "kube's client has no Debug, and could show credentials"
)]
pub struct Clients {
    /// GET only: no exec, attach, port-forward, proxy or Secret either.
    pub read: Client,
    /// Sends each request once and gives up after [`WRITE_TIMEOUT`]. Only the hands use it.
    pub write: Client,
    /// Where the API server is, such as `https://10.0.0.1:6443`, for messages. Never with the
    /// credentials that a URL may hold.
    pub server: String,
}

/// Why a cluster could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig could not be read.
    #[error("cannot read the kubeconfig {}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kubeconfig is none, or has no such context.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// Neither a kubeconfig nor a service account was found.
    #[error("found neither a kubeconfig nor a service account")]
    NoConfig(#[source] Box<kube::config::InferConfigError>),
    /// The client could not be built (certificates, proxy, credentials).
    #[error("cannot build a client")]
    Client(#[source] Box<kube::Error>),
    /// Namespace `kube-system`, whose uid identifies the cluster, could not be read.
    #[error("cannot read namespace kube-system of the API server at {server}")]
    Identity {
        /// Its address.
        server: String,
        /// Why.
        #[source]
        source: FetchError,
    },
}

/// Connects as `kubeconfig` and `context` say. Without both: the usual kubeconfig, else the service
/// account of the pod that we run in.
pub async fn connect(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Clients, ConnectError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let wrong = |error| match error {
        // kube's own text shows the path as Rust writes it.
        KubeconfigError::ReadConfig(source, path) => ConnectError::Read { path, source },
        other => ConnectError::Kubeconfig(Box::new(other)),
    };
    let config = match (kubeconfig, context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(wrong)?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(wrong)?
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(wrong)?,
        (None, None) => Config::infer()
            .await
            .map_err(|error| ConnectError::NoConfig(Box::new(error)))?,
    };
    Clients::from_config(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

impl Clients {
    /// Clients for a kube configuration.
    pub fn from_config(mut config: Config) -> Result<Self, kube::Error> {
        config.default_retry = true;
        let server = address(&config.cluster_url);
        let read = ClientBuilder::try_from(config.clone())?
            .with_layer(&FilterLayer::new(read_only))
            .build();
        config.default_retry = false;
        let write = ClientBuilder::try_from(config)?
            .with_layer(&layer_fn(answered_in_time))
            .build();
        Ok(Self {
            read,
            write,
            server,
        })
    }

    /// Clients over any service that speaks HTTP, instead of a network.
    pub fn from_service<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: BodyExt<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let read = ClientBuilder::new(service.clone(), "default")
            .with_layer(&FilterLayer::new(read_only))
            .build();
        let write = ClientBuilder::new(service, "default")
            .with_layer(&layer_fn(answered_in_time))
            .build();
        Self {
            read,
            write,
            server: "this process".to_owned(),
        }
    }

    /// The cluster's identity: the uid of its namespace `kube-system`.
    pub async fn identify(&self, clock: &dyn Clock) -> Result<ClusterUid, ConnectError> {
        let path = "/api/v1/namespaces/kube-system";
        let answer = fetch(&self.read, clock, IDENTIFY_TIMEOUT, path).await;
        let namespace: NamespaceObject =
            answer
                .and_then(|answer| answer.json())
                .map_err(|source| ConnectError::Identity {
                    server: self.server.clone(),
                    source,
                })?;
        Ok(ClusterUid::from(namespace.metadata.uid.as_str()))
    }
}

/// Scheme, host and port.
fn address(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("https");
    let host = url.host().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// The whole answer, body included, has to come within [`WRITE_TIMEOUT`].
fn answered_in_time<S, B>(service: S) -> BoxService<Request<Body>, Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: BodyExt<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let whole = service
        .map_err(Into::into)
        .and_then(async |answer: Response<B>| {
            let (parts, body) = answer.into_parts();
            let bytes = Limited::new(body, MAX_WRITE_ANSWER)
                .collect()
                .await?
                .to_bytes();
            Ok::<_, BoxError>(Response::from_parts(parts, Body::from(bytes)))
        });
    BoxService::new(Timeout::new(whole, WRITE_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn request(method: &str) -> Request<Body> {
        let request = Request::builder().method(method).uri("/api/v1/pods");
        request.body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let error = connect(Some(Path::new("/nope/config")), None).await;
        let text = error.err().expect("no such file").to_string();
        assert_eq!(text, "cannot read the kubeconfig /nope/config");
    }

    #[test]
    fn an_address_is_told_without_credentials() {
        for (url, told) in [
            (
                "https://me:hush@10.0.0.1:6443/path",
                "https://10.0.0.1:6443",
            ),
            ("http://[::1]:80", "http://[::1]:80"),
            ("https://api.test", "https://api.test"),
        ] {
            assert_eq!(address(&url.parse().unwrap()), told);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what the two clients let through"
    )]
    async fn sent(client: &Client, method: &str) -> Result<u16, String> {
        let answer = client.send(request(method)).await;
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| error.to_string())
    }

    fn server(status: u16) -> (Clients, Arc<AtomicU32>) {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let service = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = Response::builder().status(status).body(Body::empty());
            async { Ok::<_, BoxError>(answer?) }
        });
        (Clients::from_service(service), calls)
    }

    #[tokio::test]
    async fn the_reading_client_sends_only_gets() {
        let (clients, calls) = server(200);
        assert_eq!(sent(&clients.read, "GET").await, Ok(200));
        let refused = sent(&clients.read, "DELETE").await.unwrap_err();
        assert!(refused.contains("read-only"), "{refused}");
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_is_given_up_in_time() {
        let hangs = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, BoxError>>()
        });
        let clients = Clients::from_service(hangs);
        let before = tokio::time::Instant::now();
        assert!(sent(&clients.write, "PATCH").await.is_err());
        assert_eq!(before.elapsed().as_secs(), WRITE_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn a_refused_write_is_not_repeated() {
        let (clients, calls) = server(429);
        assert_eq!(sent(&clients.write, "POST").await, Ok(429));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
