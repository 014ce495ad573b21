//! Who may send a request: one bearer token a scope. The intake's token is in the configuration of
//! every Alertmanager, so it opens nothing but the intake, and can never approve anything.

use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Fewest characters of a token that more than this machine can try: random ones in hexadecimal
/// have 64 bits then.
const MIN_CHARS: usize = 16;

/// A secret that is compared and never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token; surrounding white space (the line feed of a mounted file) is not part of it.
    /// `None` for an empty one, which would let everybody in.
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Self(secret.to_owned()))
    }

    fn is_short(&self) -> bool {
        self.0.chars().count() < MIN_CHARS
    }

    /// Compares in constant time.
    fn is(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// The token of each scope; without one, only direct requests from this machine are taken.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// For `POST /alertmanager`.
    pub intake: Option<Token>,
    /// For everything under `/api`.
    pub api: Option<Token>,
}

/// A listener that would not be safe; refused at start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// Everybody who reaches the address could send.
    #[error(
        "listening on {0} without a token for each of intake and API is refused: configure both, \
         or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// One secret for two scopes is one scope.
    #[error("the intake's token and the API's are the same: they must differ")]
    SameToken,
    /// It could be guessed.
    #[error(
        "listening on {0} with a token of fewer than {MIN_CHARS} characters is refused: \
         `openssl rand -hex 32` makes a good one"
    )]
    ShortToken(SocketAddr),
}

impl Tokens {
    /// Whether these tokens are enough for that address.
    pub fn check(&self, listen: SocketAddr) -> Result<(), Unsafe> {
        let (intake, api) = match (&self.intake, &self.api) {
            (Some(intake), Some(api)) if intake.is(&api.0) => return Err(Unsafe::SameToken),
            // From this machine requests are taken without a token too.
            _ if listen.ip().is_loopback() => return Ok(()),
            (Some(intake), Some(api)) => (intake, api),
            (None, _) | (_, None) => return Err(Unsafe::NoToken(listen)),
        };
        if intake.is_short() || api.is_short() {
            return Err(Unsafe::ShortToken(listen));
        }
        Ok(())
    }
}

/// Lets a request through that carries the scope's token, or, where none is configured, one that
/// comes from this machine and not from a page in its browser.
pub(super) async fn require(
    State(token): State<Option<Arc<Token>>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match token {
        Some(token) if carries(request.headers(), &token) => Ok(next.run(request).await),
        Some(_) => Err(Problem::unauthorized()),
        None if is_direct(&request) => Ok(next.run(request).await),
        None => Err(Problem::not_local()),
    }
}

fn carries(headers: &HeaderMap, token: &Token) -> bool {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some((scheme, secret)) = value.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.is(secret.trim())
}

/// A browser names the page's origin when it posts, and the page's host name when that was made to
/// resolve to this machine (DNS rebinding).
fn is_direct(request: &Request) -> bool {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .map(|value| value.to_str().unwrap_or_default())
        .or_else(|| {
            request
                .uri()
                .authority()
                .map(axum::http::uri::Authority::as_str)
        });
    !headers.contains_key(header::ORIGIN) && host.is_none_or(means_this_machine)
}

fn means_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(intake: &str, api: &str) -> Tokens {
        Tokens {
            intake: Token::new(intake),
            api: Token::new(api),
        }
    }

    #[test]
    fn beyond_loopback_needs_a_token_for_each_scope() {
        let open: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for (intake, api) in [("", ""), ("a", ""), ("", "b")] {
            assert_eq!(tokens(intake, api).check(open), Err(Unsafe::NoToken(open)));
            assert_eq!(tokens(intake, api).check(local), Ok(()));
        }
        let (long, other) = ("0123456789abcdef", "fedcba9876543210");
        assert_eq!(tokens(long, other).check(open), Ok(()));
        assert_eq!(
            tokens(long, other).check("[::]:80".parse().unwrap()),
            Ok(())
        );
        assert_eq!(tokens("a", "b").check(local), Ok(()));
        for (intake, api) in [("a", other), (long, "b"), (long, "fedcba987654321")] {
            assert_eq!(
                tokens(intake, api).check(open),
                Err(Unsafe::ShortToken(open))
            );
        }
        assert_eq!(tokens("a", "a").check(local), Err(Unsafe::SameToken));
    }

    #[test]
    fn a_token_is_never_shown_and_an_empty_one_is_none() {
        let token = Token::new(" hush\n").unwrap();
        assert!(token.is("hush"));
        assert!(!token.is("hus"));
        assert!(!format!("{token:?}").contains("hush"));
        assert!(Token::new(" \n").is_none());
    }

    #[test]
    fn only_names_of_this_machine_mean_it() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:80",
            "127.8.8.8",
            "[::1]:8080",
        ] {
            assert!(means_this_machine(host), "{host}");
        }
        for host in [
            "evil.example",
            "10.0.0.1:80",
            "localhost.evil.example",
            "",
            "[::]:80",
        ] {
            assert!(!means_this_machine(host), "{host}");
        }
    }
}
