//! A listener on loopback, with or without TLS.

use super::Server;
use axum::Router;
use axum::serve::Listener;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many clients may be about to.
const HANDSHAKES: usize = 256;

/// Why it cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A server that listens. The future that serves ends at [`Server::stop`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Address, with the port that was chosen where 0 was asked for.
    pub address: SocketAddr,
    /// Certificate in PEM; `None` without TLS.
    pub certificate: Option<String>,
}

impl Listening {
    /// `https://127.0.0.1:6443`: where a client on this machine finds it.
    pub fn url(&self) -> String {
        let mut address = self.address;
        // Nobody can be reached at "every address".
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{address}")
    }
}

impl Server {
    /// Listens on an address, and gives the future that serves.
    pub async fn listen(
        &self,
        address: SocketAddr,
        tls: bool,
    ) -> Result<(Listening, impl Future<Output = ()> + Send + 'static), ListenError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| ListenError { address, source };
        let tcp = TcpListener::bind(address)
            .await
            .map_err(|why| failed(why.into()))?;
        let address = tcp.local_addr().map_err(|why| failed(why.into()))?;
        let (certificate, acceptor) = if tls {
            let (certificate, acceptor) = acceptor(address).map_err(failed)?;
            (Some(certificate), Some(acceptor))
        } else {
            (None, None)
        };
        let router = Router::new().fallback_service(self.clone());
        let stop = self.shared.stop.clone();
        let serving = async move {
            let ended = match acceptor {
                None => {
                    let serve = axum::serve(tcp, router);
                    serve.with_graceful_shutdown(stop.cancelled_owned()).await
                }
                Some(acceptor) => {
                    let serve = axum::serve(Tls::new(tcp, acceptor), router);
                    serve.with_graceful_shutdown(stop.cancelled_owned()).await
                }
            };
            if let Err(why) = ended {
                tracing::warn!(%why, "the simulated API server ended");
            }
        };
        Ok((
            Listening {
                address,
                certificate,
            },
            serving,
        ))
    }
}

/// A kubeconfig for a listening server: JSON, which is YAML.
pub fn kubeconfig(listening: &Listening, token: &str) -> String {
    let mut cluster = json!({"server": listening.url()});
    if let (Some(certificate), Some(map)) = (&listening.certificate, cluster.as_object_mut()) {
        let data = crate::base64::encode(certificate.as_bytes());
        map.insert("certificate-authority-data".to_owned(), json!(data));
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sim", "cluster": cluster}],
        "users": [{"name": "sim", "user": {"token": token}}],
        "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}],
        "current-context": "sim",
    });
    serde_json::to_string_pretty(&config).unwrap_or_default()
}

fn acceptor(
    address: SocketAddr,
) -> Result<(String, TlsAcceptor), Box<dyn std::error::Error + Send + Sync>> {
    let mut addresses: BTreeSet<IpAddr> =
        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into();
    if !address.ip().is_unspecified() {
        addresses.insert(address.ip());
    }
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().map(IpAddr::to_string));
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    Ok((cert.pem(), TlsAcceptor::from(Arc::new(config))))
}

/// Accepts TLS without letting one slow client keep the others out.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Tls {
    fn new(tcp: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self {
            tcp,
            acceptor,
            handshakes: JoinSet::new(),
        }
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(client)) = done {
                        return client;
                    }
                }
                (stream, address) = Listener::accept(&mut self.tcp),
                    if self.handshakes.len() < HANDSHAKES =>
                {
                    let accept = self.acceptor.accept(stream);
                    self.handshakes.spawn(async move {
                        let stream = tokio::time::timeout(HANDSHAKE, accept).await;
                        Some((stream.ok()?.ok()?, address))
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_found_on_loopback() {
        let url = |address: &str| {
            let listening = Listening {
                address: address.parse().unwrap(),
                certificate: Some(String::new()),
            };
            listening.url()
        };
        assert_eq!(url("0.0.0.0:6443"), "https://127.0.0.1:6443");
        assert_eq!(url("[::]:6443"), "https://[::1]:6443");
        assert_eq!(url("192.0.2.1:6443"), "https://192.0.2.1:6443");
    }
}
