//! Types of values: how each is read from a variable, and shown as YAML.

use super::ConfigError;
use super::keys::File;
use jiff::SignedDuration;
use nightshift_core::policy::Autonomy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A value that a key can have.
pub(super) trait Setting: Sized {
    /// Reads it from an environment variable. The error says what is expected, not what was given:
    /// it may be a secret.
    fn read(text: &str) -> Result<Self, String>;
    /// Shows it as YAML.
    fn show(&self) -> String;
}

/// Reads the file's text.
pub(super) fn file(path: &Path, text: &str) -> Result<File, ConfigError> {
    let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_empty) {
        return Ok(File::default());
    }
    // No snippet of the text in the message: the line may hold a secret.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// What is shown in the place of a secret.
pub(super) const SHOWN: &str = "[redacted]";

/// A value that is used and never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is no secret but the word that is shown instead of one.
    pub(super) fn is_shown(&self) -> bool {
        self.0.trim() == SHOWN
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the levels of the tracing crate")]
pub enum LogLevel {
    Error,
    #[serde(alias = "warning")]
    Warn,
    Info,
    Debug,
    Trace,
}

/// A JSON string is a YAML string.
fn quoted<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("text always serializes")
}

/// Reads one word of an enum as serde spells it.
fn one_of<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.to_lowercase().into()).map_err(|error| error.to_string())
}

impl Setting for Autonomy {
    fn read(text: &str) -> Result<Self, String> {
        one_of(text)
    }
    fn show(&self) -> String {
        quoted(self).trim_matches('"').to_owned()
    }
}

impl Setting for LogLevel {
    fn read(text: &str) -> Result<Self, String> {
        one_of(text)
    }
    fn show(&self) -> String {
        quoted(self).trim_matches('"').to_owned()
    }
}

impl Setting for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("expected `true` or `false`".to_owned()),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u8 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected a whole number from 0 to 255".to_owned())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected a whole number".to_owned())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
    fn show(&self) -> String {
        quoted(&self.display().to_string())
    }
}

impl Setting for Secret {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
    fn show(&self) -> String {
        quoted(SHOWN)
    }
}

impl Setting for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected an address with a port, such as 127.0.0.1:8080".to_owned())
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for SignedDuration {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected a duration such as 30s, 10m or 168h".to_owned())
    }
    fn show(&self) -> String {
        format!("{self:#}")
    }
}

/// In a variable: words with commas between them.
impl Setting for BTreeSet<String> {
    fn read(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim);
        Ok(words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect())
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(text: &str) -> Result<Self, String> {
        T::read(text).map(Some)
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), T::show)
    }
}
