//! A client of a few lines: what is measured is the server, so the client does as little as it can.

use nightshift_sim::{Cluster, Server, Time};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::world::TOKEN;

/// A cluster that is served over HTTP on loopback until the process ends. Its time stands still.
pub(crate) fn serve(cluster: Cluster) -> (Server, SocketAddr) {
    let server = Server::new(cluster, Time::Virtual);
    let serving = server.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async move {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let (listening, serve) = serving.listen(any, false).await.unwrap();
            tell.send(listening.address).unwrap();
            serve.await;
        });
    });
    (server, told.recv().unwrap())
}

/// Sends a GET, and gives what comes back, head first. HTTP/1.0, so that a body ends with the
/// connection and has no chunks.
pub(crate) fn get(address: SocketAddr, path: &str, accept: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.0\r\nhost: sim\r\nauthorization: Bearer {TOKEN}\r\naccept: {accept}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::with_capacity(256 * 1024, stream)
}

/// The whole answer to a GET: how many bytes it has.
pub(crate) fn length(address: SocketAddr, path: &str, accept: &str) -> usize {
    let mut answer = get(address, path, accept);
    let mut part = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        match answer.read(&mut part).unwrap() {
            0 => return length,
            read => length += read,
        }
    }
}

/// A connection that is kept.
pub(crate) struct Kept(BufReader<TcpStream>);

impl Kept {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Posts JSON, and reads the answer. Its code.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> u16 {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut code = 0;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.starts_with("HTTP/1.1 ") {
                code = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        code
    }
}
