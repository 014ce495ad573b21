//! What a client sends: method, path, query, a few headers and the body.

use crate::schema::read::Directive;
use crate::status::{Cause, Details, Reason, Status};
use axum::body::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, UPGRADE, USER_AGENT};
use http::{HeaderMap, HeaderName, Method};

/// One request, as far as the API looks at it.
#[derive(Clone, Debug)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path, still percent-encoded.
    pub path: String,
    /// Parameters of the query.
    pub query: Query,
    /// `Accept`; empty where there is none.
    pub accept: String,
    /// `Content-Type`; empty where there is none.
    pub content_type: String,
    /// `User-Agent`; its first part names the field manager where none is given.
    pub user_agent: String,
    /// The client wants to go on with another protocol.
    pub upgrade: bool,
    /// As whom the client wants to act: a user's name and groups.
    pub impersonate: Option<(String, Vec<String>)>,
    /// Bearer token.
    pub token: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    pub fn to(method: Method, url: &str) -> Self {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        Self {
            method,
            path: path.to_owned(),
            query: Query::parse(query),
            accept: String::new(),
            content_type: String::new(),
            user_agent: String::new(),
            upgrade: false,
            impersonate: None,
            token: None,
            body: Bytes::new(),
        }
    }

    /// What a path of the old form for watches asks for today:
    /// `/api/v1/watch/namespaces/shop/pods/cart` is a watch of that pod. `None`: it is no such path.
    pub(crate) fn of_old_watch(&self) -> Option<Self> {
        let mut parts: Vec<&str> = self
            .path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let place = match parts.as_slice() {
            ["api", _, "watch", _, ..] => 2,
            ["apis", _, _, "watch", _, ..] => 3,
            _ => return None,
        };
        if self.method != Method::GET {
            return None;
        }
        parts.remove(place);
        Some(Self {
            path: format!("/{}", parts.join("/")),
            query: Query::parse(&format!("watch=true&{}", self.query.raw)),
            ..self.clone()
        })
    }

    /// Path and query, as they were sent.
    pub fn uri(&self) -> String {
        if self.query.raw.is_empty() {
            return self.path.clone();
        }
        format!("{}?{}", self.path, self.query.raw)
    }

    /// A request from the head of an HTTP request and its body.
    pub fn new(head: &http::request::Parts, body: Bytes) -> Self {
        let authorization = header(&head.headers, AUTHORIZATION);
        let token = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().to_owned());
        let user = header(&head.headers, HeaderName::from_static("impersonate-user"));
        let groups = head.headers.get_all("impersonate-group").iter();
        let groups: Vec<String> = groups
            .filter_map(|group| Some(group.to_str().ok()?.to_owned()))
            .collect();
        let path_and_query = head.uri.path_and_query().map_or("/", |both| both.as_str());
        Self {
            accept: header(&head.headers, ACCEPT),
            content_type: header(&head.headers, CONTENT_TYPE),
            user_agent: header(&head.headers, USER_AGENT),
            upgrade: head.headers.contains_key(UPGRADE),
            impersonate: (!user.is_empty() || !groups.is_empty()).then_some((user, groups)),
            token,
            body,
            ..Self::to(head.method.clone(), path_and_query)
        }
    }

    /// Is it a trial? Any value of `dryRun` but `All` is refused, in the name of these options
    /// (`CreateOptions`, `DeleteOptions`, ...).
    pub fn dry_run(&self, options: &str) -> Result<bool, Status> {
        let wanted: Vec<&str> = self.query.all("dryRun").collect();
        check_dry_run(&wanted, options)
    }

    /// What becomes of fields that are not known. 422 for another `fieldValidation` than there are.
    pub(crate) fn directive(&self, options: &str) -> Result<Directive, Status> {
        match self.query.get("fieldValidation").unwrap_or_default() {
            "" | "Warn" => Ok(Directive::Warn),
            "Ignore" => Ok(Directive::Ignore),
            "Strict" => Ok(Directive::Strict),
            other => Err(invalid_options(
                options,
                "fieldValidation",
                "FieldValueNotSupported",
                format!(
                    "Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                ),
            )),
        }
    }
}

/// Is it a trial? See [`Request::dry_run`].
pub fn check_dry_run(wanted: &[&str], options: &str) -> Result<bool, Status> {
    if wanted.iter().all(|one| *one == "All") {
        return Ok(!wanted.is_empty());
    }
    let quoted: Vec<String> = wanted.iter().map(|one| format!("{one:?}")).collect();
    let message = format!(
        "Unsupported value: [{}]: supported values: \"All\"",
        quoted.join(",")
    );
    Err(invalid_options(
        options,
        "dryRun",
        "FieldValueNotSupported",
        message,
    ))
}

/// 422: a field of options is wrong.
pub fn invalid_options(options: &str, field: &str, reason: &str, message: String) -> Status {
    Status::new(
        Reason::Invalid,
        format!("{options}.meta.k8s.io \"\" is invalid: {field}: {message}"),
    )
    .with_details(Details {
        group: "meta.k8s.io".to_owned(),
        kind: options.to_owned(),
        causes: vec![Cause {
            reason: reason.to_owned(),
            message,
            field: field.to_owned(),
        }],
        ..Details::default()
    })
}

fn header(headers: &HeaderMap, name: HeaderName) -> String {
    let all: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    all.join(",")
}

/// Parameters in the order they were sent.
#[derive(Clone, Debug, Default)]
pub struct Query {
    raw: String,
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=b&c=d`. What is no UTF-8 after decoding is replaced by U+FFFD.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self {
            raw: text.to_owned(),
            pairs: decoded.collect(),
        }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs
            .iter()
            .filter(move |(one, _)| one == name)
            .map(|(_, value)| value.as_str())
    }

    /// A truth value as Kubernetes reads one: there, and neither `false` nor `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// A number; 400 for anything else.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {text:?}: invalid syntax"
            ))
        })?;
        Ok(Some(number))
    }
}

/// Decodes percent-encoding; in a query a plus is a blank.
pub fn decode(text: &str, query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let byte = match first {
            b'+' if query => b' ',
            b'%' => match hex_pair(after) {
                Some((byte, after)) => {
                    rest = after;
                    byte
                }
                None => b'%',
            },
            other => *other,
        };
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let (pair, rest) = text.split_at_checked(2)?;
    let byte = hex::decode(pair).ok()?;
    Some((*byte.first()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_odd_ones_do_no_harm() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&limit=5&x=%zz&y=a+b&&flag");
        assert_eq!(query.get("labelSelector"), Some("a=b,c"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert_eq!(query.get("x"), Some("%zz"));
        assert_eq!(query.get("y"), Some("a b"));
        assert!(query.flag("flag"));
        assert_eq!(query.number("y").unwrap_err().code, 400);
    }

    #[test]
    fn old_paths_of_watches_are_watches() {
        let watch = |url: &str| {
            let found = Request::to(Method::GET, url).of_old_watch()?;
            Some(found.uri())
        };
        assert_eq!(
            watch("/api/v1/watch/namespaces/shop/pods/cart?timeoutSeconds=1").as_deref(),
            Some("/api/v1/namespaces/shop/pods/cart?watch=true&timeoutSeconds=1")
        );
        assert_eq!(
            watch("/apis/apps/v1/watch/deployments").as_deref(),
            Some("/apis/apps/v1/deployments?watch=true&")
        );
        assert_eq!(watch("/api/v1/namespaces/watch"), None);
        assert_eq!(watch("/api/v1/namespaces/watch/pods"), None);
    }

    #[test]
    fn only_all_is_a_dry_run() {
        assert!(!check_dry_run(&[], "DeleteOptions").unwrap());
        assert!(check_dry_run(&["All"], "DeleteOptions").unwrap());
        let refused = check_dry_run(&["Some"], "DeleteOptions").unwrap_err();
        assert_eq!(
            refused.message,
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""
        );
    }
}
