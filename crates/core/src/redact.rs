//! The one redaction layer: every text from a cluster or an alert passes [`text`] before it reaches
//! a log, the record, a notice, a face or a model. It takes out what looks like a secret and would
//! rather take too much than too little. It is no licence to read secrets: the agent has no verb on
//! Secrets at all.
//!
//! Text of several lines is handed over whole (a PEM block spans lines), then split.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// What stands where a secret stood.
pub const MARK: &str = "[redacted]";

/// Longest text that is looked at, in bytes; what is behind it is cut away.
pub const MAX_BYTES: usize = 64 * 1024;

/// Stands where a text was cut; on a line of its own, so that it is nobody's value.
const CUT: &str = "\n[cut]";

/// Part of a key that makes its value a secret.
const KEY: &str = r"[0-9A-Za-z_.\-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|encryption[_-]?key|session[_-]?id)[0-9A-Za-z_.\-]*";

/// A quoted value, also inside an escaped JSON string.
const QUOTED: &str = r#"(?:\\+"[^"\n]*"?|"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?)"#;

/// A value: quoted, or up to white space. A quote inside an unquoted value ends it only where JSON
/// would go on. A key in the place of a value takes what is its value with it.
const VALUE: &str = r#"(?:{QUOTED}(?:[ \t]*[:=]+[ \t]*(?:{QUOTED}|[^\s"']+))*|(?:(?:bearer|basic|{KEY})[:=]?[ \t]+)*(?:[^\s"\\]|\\[^"\s]|\\?"[^\s"\\,}\]:])+)"#;

/// One rule: a pattern, in which `{KEY}` and `{VALUE}` stand for [`KEY`] and [`VALUE`], and what it
/// puts in its place. Rules run in order.
struct Rule {
    pattern: Regex,
    replace: fn(&Captures<'_>) -> String,
}

impl Rule {
    fn new(pattern: &str, replace: fn(&Captures<'_>) -> String) -> Self {
        let pattern = pattern
            .replace("{VALUE}", VALUE)
            .replace("{QUOTED}", QUOTED)
            .replace("{KEY}", KEY);
        let pattern =
            Regex::new(&pattern).expect("patterns are constants and compiled by the tests");
        Self { pattern, replace }
    }
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    vec![
        // A PEM block; without an end (a cut log) everything behind its beginning.
        Rule::new(
            r"(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z)",
            |_| MARK.to_owned(),
        ),
        // User and password in a URL.
        Rule::new(r#"(?i)\b([a-z][a-z0-9+.\-]*://)[^\s/"'<>]+@"#, |found| {
            format!("{}{MARK}@", group(found, 1))
        }),
        // Headers whose whole value is a secret.
        Rule::new(
            r#"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\\*["']?[ \t]*[:=][ \t]*\\*["']?)[^\n"'\\]+"#,
            |found| format!("{}{}{MARK}", group(found, 1), group(found, 2)),
        ),
        // An environment variable in a manifest: the name tells that the value is a secret.
        Rule::new(
            r#"(?i)(\bname\\*["']?[ \t]*[:=][ \t]*\\*["']?{KEY}\\*["']?\s*,?\s*\\*["']?value\\*["']?[ \t]*[:=][ \t]*)({VALUE})"#,
            |found| format!("{}{}", group(found, 1), marked(group(found, 2))),
        ),
        // `password=...`, `"token": "..."`, `client-secret: old -> new`.
        Rule::new(
            r#"(?i)({KEY})(\\*["']?[ \t]*(?::=|=>|[:=])[ \t]*)({VALUE})(?:([ \t]*(?:->|→)[ \t]*)({VALUE}))?"#,
            key_value,
        ),
        // `--password ...` on a command line.
        Rule::new(r"(?i)(--{KEY}[ \t]+)({VALUE})", |found| {
            format!("{}{}", group(found, 1), marked(group(found, 2)))
        }),
        // Bearer tokens without a header's name.
        Rule::new(r#"(?i)\b((?:bearer[ \t]+)+)([^\s"',;\\]+)"#, |found| {
            let (bearer, value) = (group(found, 1), group(found, 2));
            let is_word = is_plain(value)
                || ["token", "tokens"].contains(&value.trim_end_matches([':', '=', '.']));
            format!("{bearer}{}", if is_word { value } else { MARK })
        }),
        // JSON Web Tokens, whole or cut.
        Rule::new(
            r"\beyJ[0-9A-Za-z_\-]{16,}(?:\.[0-9A-Za-z_\-]*){0,2}",
            |_| MARK.to_owned(),
        ),
        // Keys that vendors made recognisable.
        Rule::new(
            r"\b(?:(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{12,}|gh[pousr]_[0-9A-Za-z_]{16,}|github_pat_[0-9A-Za-z_]{16,}|glpat-[0-9A-Za-z_\-]{16,}|xox[abeprs]-[0-9A-Za-z_\-]{10,}|sk-[0-9A-Za-z_\-]{16,}|AIza[0-9A-Za-z_\-]{30,}|hvs\.[0-9A-Za-z_\-]{20,}|npm_[0-9A-Za-z_]{30,})",
            |_| MARK.to_owned(),
        ),
        // Long runs of base64. Digests are hex and stay: evidence names images by them.
        Rule::new(r"[A-Za-z0-9+/_\-]{32,}={0,2}", |found| {
            let run = group(found, 0);
            if looks_random(run) {
                MARK.to_owned()
            } else {
                run.to_owned()
            }
        }),
    ]
});

/// The text without what looks like a secret, and at most [`MAX_BYTES`] of it. Doing it twice
/// changes nothing.
pub fn text(raw: &str) -> String {
    within(raw, MAX_BYTES)
}

fn within(raw: &str, max: usize) -> String {
    let clean = RULES.iter().fold(cut(raw, max), |text, rule| {
        rule.pattern.replace_all(&text, rule.replace).into_owned()
    });
    // Marks can be longer than what they stand for.
    cut(&clean, max)
}

/// Cuts between words where there are any: half a secret would not be recognised as one.
fn cut(raw: &str, max: usize) -> String {
    if raw.len() <= max {
        return raw.to_owned();
    }
    let (head, _) = raw.split_at(raw.floor_char_boundary(max.saturating_sub(CUT.len())));
    let whole_words = head.rfind(char::is_whitespace).unwrap_or(0);
    let (kept, _) = head.split_at(whole_words);
    format!("{kept}{CUT}")
}

fn group<'a>(found: &'a Captures<'_>, index: usize) -> &'a str {
    found.get(index).map_or("", |part| part.as_str())
}

fn key_value(found: &Captures<'_>) -> String {
    let (key, separator, value) = (group(found, 1), group(found, 2), group(found, 3));
    let names_only = ["name", "ref"]
        .iter()
        .any(|end| key.to_lowercase().ends_with(end));
    if names_only || (separator.ends_with(' ') && is_plain(value)) {
        return group(found, 0).to_owned();
    }
    let then = group(found, 5);
    let then = if then.is_empty() {
        String::new()
    } else {
        marked(then)
    };
    format!("{key}{separator}{}{}{then}", marked(value), group(found, 4))
}

/// The mark inside the quotes that the value had.
fn marked(value: &str) -> String {
    let escapes = value.len() - value.trim_start_matches('\\').len();
    let opening = value.get(..=escapes).unwrap_or_default();
    if !opening.ends_with(['"', '\'']) {
        return MARK.to_owned();
    }
    let inside = value.strip_prefix(opening).unwrap_or_default();
    let closing = if inside.ends_with(opening) {
        opening
    } else {
        ""
    };
    format!("{opening}{MARK}{closing}")
}

/// Words that follow `token:` or `Bearer` in error messages: evidence, not secrets. None of them is
/// a key, or what it is the key of would pass with it.
const PLAIN: &[&str] = &[
    "401",
    "403",
    "authentication",
    "denied",
    "empty",
    "error",
    "expired",
    "failed",
    "false",
    "forbidden",
    "has",
    "invalid",
    "is",
    "missing",
    "nil",
    "no",
    "none",
    "not",
    "null",
    "required",
    "the",
    "true",
    "unauthorized",
    "unexpected",
    "was",
];

fn is_plain(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_punctuation());
    PLAIN.contains(&word.to_lowercase().as_str())
}

/// Upper case, lower case and digits with few slashes: no path, name or digest.
fn looks_random(run: &str) -> bool {
    let has = |test: fn(&char) -> bool| run.chars().any(|c| test(&c));
    let few_slashes = run.len() / run.split('/').count() >= 12;
    few_slashes
        && has(char::is_ascii_uppercase)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &[(&str, &str)] = &[
        (
            "login password=hunter2 failed",
            "login password=[redacted] failed",
        ),
        (
            "DB_PASSWORD: \"a b c\" set",
            "DB_PASSWORD: \"[redacted]\" set",
        ),
        (
            r#"{"msg":"x","token":"abc","level":"error"}"#,
            r#"{"msg":"x","token":"[redacted]","level":"error"}"#,
        ),
        (
            r#"{"msg":"auth {\"password\":\"p w\"} no","level":"error"}"#,
            r#"{"msg":"auth {\"password\":\"[redacted]\"} no","level":"error"}"#,
        ),
        (
            r#"{"msg":"dial password=abc","error":"refused"}"#,
            r#"{"msg":"dial password=[redacted]","error":"refused"}"#,
        ),
        (
            "postgres://app:s3cret@db:5432/app refused",
            "postgres://[redacted]@db:5432/app refused",
        ),
        (
            "GET /?api_key=1234 HTTP/1.1",
            "GET /?api_key=[redacted] HTTP/1.1",
        ),
        (
            "Authorization: Basic dXNlcjpwYXNz",
            "Authorization: [redacted]",
        ),
        (
            "curl -H 'Authorization: Bearer abc' x",
            "curl -H 'Authorization: [redacted]' x",
        ),
        ("sent bearer abcdef now", "sent bearer [redacted] now"),
        ("token: Bearer abc def", "token: [redacted] def"),
        ("password: token: abc", "password: [redacted]"),
        (
            "password: \"token\":\"abc\" x",
            "password: \"[redacted]\" x",
        ),
        ("bearer token: abc", "bearer token: [redacted]"),
        (
            "run --db-password hunter2 --port 1",
            "run --db-password [redacted] --port 1",
        ),
        (
            "env.DB_PASSWORD: old1 -> new1",
            "env.DB_PASSWORD: [redacted] -> [redacted]",
        ),
        (
            r#"{"name":"DB_PASSWORD","value":"abc"}"#,
            r#"{"name":"DB_PASSWORD","value":"[redacted]"}"#,
        ),
        ("id AKIAABCDEFGHIJKLMNOP used", "id [redacted] used"),
        (
            "push with ghp_abcdefghijklmnop1234 no",
            "push with [redacted] no",
        ),
        (
            "jwt eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.abc-def end",
            "jwt [redacted] end",
        ),
        (
            "key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "key [redacted]",
        ),
        (
            "blob QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY= x",
            "blob [redacted] x",
        ),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb",
            "a\n[redacted]\nb",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted]"),
    ];

    #[test]
    fn secrets_are_taken_out_and_the_rest_stays() {
        for (raw, clean) in TABLE {
            assert_eq!(text(raw), *clean);
        }
    }

    #[test]
    fn an_empty_value_does_not_grow() {
        let once = text(r#"{"password":"","user":"u"}"#);
        assert_eq!(once, r#"{"password":"[redacted]","user":"u"}"#);
        assert_eq!(text(&once), once);
    }

    #[test]
    fn evidence_is_left_alone() {
        for fact in [
            "MountVolume.SetUp failed for volume \"tls\" : secret \"db-tls\" not found",
            "references non-existent secret key: tls.crt",
            "spec.template.spec.volumes[0].secret.secretName: db-tls",
            "failed to fetch oauth token: unexpected status from GET request: 401 Unauthorized",
            "Back-off pulling image \"img.test/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            "/var/lib/kubelet/pods/0c5f2a4e-5b0b-4b1e-9a57-1f3b6f1f8a10/volumes/kubernetes.io~projected/kube-api-access-x7v2k",
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            "container app was OOMKilled (exit code 137)",
            "no bearer token in the request",
        ] {
            assert_eq!(text(fact), fact);
        }
    }

    #[test]
    fn long_text_is_cut_between_words() {
        assert_eq!(within("one two password=three four", 22), "one two\n[cut]");
        assert!(text(&"word ".repeat(MAX_BYTES)).len() <= MAX_BYTES);
        assert_eq!(within(&"x".repeat(99), 50), CUT);
    }

    const KEYS: &[&str] = &[
        "password=",
        "\"password\":\"",
        "PASSWORD: ",
        "db_passwd=",
        "token: ",
        "token=",
        "client_secret=",
        "api-key: ",
        "apiKey=",
        "Authorization: Bearer ",
        "bearer ",
        "AWS_SECRET_ACCESS_KEY=",
        "https://user:",
        "--token ",
        "private_key: ",
    ];

    proptest! {
        #[test]
        fn a_planted_secret_never_survives(
            before in "[ -~\n]{0,40}",
            outer in proptest::sample::select(&["", "", "password: ", "token: ", "bearer ", "--secret "][..]),
            key in proptest::sample::select(KEYS),
            secret in "[A-Za-z0-9!#$%^*~+_]{8}[0-9Q]{6}",
            after in "( [ -~\n]{0,40})?",
        ) {
            let end = match key {
                "https://user:" => "@host",
                "\"password\":\"" => "\"",
                _ => "",
            };
            let clean = text(&format!("{before} {outer}{key}{secret}{end}{after}"));
            prop_assert!(!clean.contains(&secret), "{clean}");
        }

        #[test]
        fn twice_is_once(
            parts in proptest::collection::vec(
                prop_oneof![
                    "[ -~\n]{0,12}",
                    proptest::sample::select(KEYS).prop_map(str::to_owned),
                    Just("-----BEGIN X-----".to_owned()),
                    Just(" -> ".to_owned()),
                    Just("[redacted]".to_owned()),
                    "[A-Za-z0-9+/]{30,50}",
                ],
                0..12,
            ),
            max in 20_usize..400,
        ) {
            let once = within(&parts.concat(), max);
            prop_assert_eq!(within(&once, max), once);
        }

        #[test]
        fn any_text_is_bounded(raw in "\\PC{0,300}", max in 20_usize..200) {
            prop_assert!(within(&raw, max).len() <= max);
        }
    }
}
