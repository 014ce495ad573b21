//! A very small HTTP/1.1 client on one kept connection: what stamps a time should do little else.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// An answer may take so long; then the measurement is broken, not slow.
const LIMIT: Duration = Duration::from_secs(60);
/// Largest answer that is read.
const MAX_BODY: u64 = 256 << 20;
/// A patch whose lists replace the old ones.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// A kept connection to a server without TLS.
pub struct Connection {
    stream: BufReader<TcpStream>,
    address: String,
}

/// Status and body.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self {
            stream: BufReader::new(stream),
            address: address.to_owned(),
        })
    }

    /// Sends a request and reads the whole answer. `body` is a media type and its content.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Answer> {
        let (media, content) = body.map_or((String::new(), String::new()), |(media, content)| {
            (format!("Content-Type: {media}\r\n"), content.to_string())
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{media}Content-Length: {}\r\n\r\n{content}",
            self.address,
            content.len()
        );
        // In one write, so that it leaves in one piece.
        self.stream.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut self.stream).with_context(|| format!("{method} {}{path}", self.address))
    }

    /// Sends a request and wants a 2xx with JSON.
    pub fn json(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value> {
        let answer = self.send(method, path, body)?;
        if !(200..300).contains(&answer.status) {
            let said = String::from_utf8_lossy(&answer.body);
            bail!("{method} {path}: {} {said}", answer.status);
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("{path} is not JSON"))
    }

    /// Reads a path that answers with JSON.
    pub fn get(&mut self, path: &str) -> Result<Value> {
        self.json("GET", path, None)
    }
}

fn read_answer(from: &mut impl BufRead) -> Result<Answer> {
    let first = line(from)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status: u16 = status.with_context(|| format!("not a status line: {first}"))?;
    let mut length = 0;
    let mut chunked = false;
    loop {
        let header = line(from)?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "transfer-encoding" => chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = line(from)?;
            let size = u64::from_str_radix(size.trim(), 16)
                .with_context(|| format!("not a chunk's size: {size}"))?;
            exactly(from, size, &mut body)?;
            line(from)?;
            if size == 0 {
                break;
            }
        }
    } else {
        exactly(from, length, &mut body)?;
    }
    Ok(Answer { status, body })
}

fn exactly(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<()> {
    if body.len() as u64 + length > MAX_BODY {
        bail!("the answer is larger than {MAX_BODY} bytes");
    }
    let read = from.take(length).read_to_end(body)?;
    if read as u64 != length {
        bail!("the connection was closed in the middle of an answer");
    }
    Ok(())
}

/// One line without its end.
fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        bail!("the connection was closed");
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answer> {
        read_answer(&mut text.as_bytes())
    }

    #[test]
    fn a_body_is_as_long_as_it_says_or_comes_in_chunks() {
        let plain = read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more").unwrap();
        let hi = b"hi".to_vec();
        assert_eq!(
            plain,
            Answer {
                status: 200,
                body: hi
            }
        );
        let text = "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nb\r\n and there!\r\n0\r\n\r\n";
        let chunked = read(text).unwrap();
        assert_eq!(chunked.body, b"hi and there!");
    }

    #[test]
    fn two_answers_on_one_connection_do_not_mix() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nb";
        let mut from = text.as_bytes();
        assert_eq!(read_answer(&mut from).unwrap().body, b"a");
        assert_eq!(read_answer(&mut from).unwrap().status, 404);
    }

    #[test]
    fn half_an_answer_is_an_error() {
        assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").is_err());
        assert!(read("").is_err());
        assert!(read("SSH-2.0\r\n").is_err());
    }
}
