//! `nightshift incidents`: what happened, and why.

use super::{Exit, Failure, OrHelp as _, story};
use crate::output::{Output, Style, Tone, age};
use crate::serve::incidents::{IncidentReply, ListQuery, ListReply, list, show};
use crate::store::Store;
use jiff::Timestamp;
use nightshift_core::ids::IncidentId;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest wait for an answer of the agent.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer in bytes: 500 incidents with their diagnoses are some 10 MB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Lists incidents, or shows why one happened and what was done
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
}

/// Lists incidents, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift incidents list --status open
  nightshift incidents list -n demo --class OomKilled -o json
  nightshift incidents list --database sqlite:///var/lib/nightshift/nightshift.db

Exit codes: 0 done, 2 could not be read")]
struct ListArgs {
    #[command(flatten)]
    query: ListQuery,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    output: Output,
}

/// Shows one incident: evidence, cause, what every gate said, what was written, whether it helped
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift incidents show inc-3f2a91c04b7e
  nightshift incidents show inc-3f2a91c04b7e -o yaml | less

Exit codes: 0 done, 2 could not be read, or no such incident")]
struct ShowArgs {
    /// The incident's id, as `incidents list` prints it
    id: String,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    output: Output,
}

/// Where the record is read.
#[derive(Debug, clap::Args)]
struct From {
    /// The running agent
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Token of the agent's API
    #[arg(
        long,
        value_name = "TOKEN",
        env = "NIGHTSHIFT_API_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// Read this database instead, with or without an agent running; nothing in it is changed
    #[arg(long, value_name = "URL", conflicts_with = "token")]
    database: Option<String>,
}

impl Args {
    pub(super) async fn run(self, now: Timestamp) -> Result<Exit, Failure> {
        match self.command {
            Command::List(args) => args.run(now).await,
            Command::Show(args) => args.run().await,
        }
    }
}

impl ListArgs {
    async fn run(self, now: Timestamp) -> Result<Exit, Failure> {
        let reply: ListReply = match self.from.store().await? {
            Some(store) => list(&store, &self.query)
                .await
                .or_help("the incidents could not be read", READ_HELP)?,
            None => self.from.get("/api/incidents", &self.query).await?,
        };
        self.output
            .print(&reply, |reply, style| table(reply, style, now))?;
        Ok(Exit::Fine)
    }
}

impl ShowArgs {
    async fn run(self) -> Result<Exit, Failure> {
        let id = IncidentId::from(self.id.as_str());
        let reply: IncidentReply = match self.from.store().await? {
            Some(store) => show(&store, &id)
                .await
                .or_help("the incident could not be read", READ_HELP)?
                .ok_or_else(|| {
                    Failure::new(format!("there is no incident {id}"), NO_INCIDENT_HELP)
                })?,
            None => {
                self.from
                    .get(&format!("/api/incidents/{}", encoded(&self.id)), &())
                    .await?
            }
        };
        self.output.print(&reply, story::tell)?;
        Ok(Exit::Fine)
    }
}

const NO_INCIDENT_HELP: &str = "`nightshift incidents list` prints the ids";
const READ_HELP: &str = "check the database with `nightshift doctor`";

impl From {
    /// The database, where one is named.
    async fn store(&self) -> Result<Option<Store>, Failure> {
        let Some(url) = &self.database else {
            return Ok(None);
        };
        let help =
            "name an existing database, for example sqlite:///var/lib/nightshift/nightshift.db";
        Store::open_to_read(url)
            .await
            .or_help("the database could not be opened", help)
            .map(Some)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl serde::Serialize,
    ) -> Result<T, Failure> {
        let url = format!("{}{path}", self.server.trim_end_matches('/'));
        let what = format!("no answer from {url}");
        let help = "is the agent running? --server names another one, --database reads the record \
                    without an agent";
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .or_help("no HTTP client", help)?;
        let mut request = client.get(&url).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut answer = request.send().await.or_help(&what, help)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.or_help(&what, help)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER {
                let error = format!("{url} answered with more than {MAX_ANSWER} bytes");
                return Err(Failure::new(error, "ask for fewer with --limit"));
            }
        }
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        let help = "--server must name a Nightshift agent of about this version";
        serde_json::from_slice(&body).or_help(&format!("{url} gave no usable answer"), help)
    }
}

/// The agent's own words where it gave some; its help is for programs, and ours for people.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
    #[derive(serde::Deserialize)]
    struct Said {
        error: String,
        help: String,
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(Said { error, help }) => {
            let error = crate::output::harmless(&error);
            let help = match status {
                StatusCode::UNAUTHORIZED => {
                    "give the agent's NIGHTSHIFT_API_TOKEN: with --token, or in that variable here"
                        .to_owned()
                }
                StatusCode::NOT_FOUND => NO_INCIDENT_HELP.to_owned(),
                _ => crate::output::harmless(&help),
            };
            Failure::new(format!("{error} ({status})"), help)
        }
        Err(_) => Failure::new(
            format!("the server answered {status}"),
            "is it a Nightshift agent?",
        ),
    }
}

/// Ids have letters, digits and hyphens; whatever else is typed must not change the path.
fn encoded(id: &str) -> String {
    id.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn table(reply: &ListReply, style: Style, now: Timestamp) -> String {
    if reply.incidents.is_empty() {
        return "No incidents.\n".to_owned();
    }
    let rows = reply
        .incidents
        .iter()
        .map(|incident| {
            let (tone, state) = story::state(incident);
            let confidence = incident
                .diagnosis
                .as_ref()
                .map(|d| d.confidence.to_string());
            let action = incident.action_taken.clone().or_else(|| {
                let recommended = incident.action_recommended.as_deref();
                recommended.map(|action| format!("({action})"))
            });
            let age = age(now.duration_since(incident.opened_at));
            vec![
                (Tone::Strong, incident.id.to_string()),
                (Tone::Plain, incident.fingerprint.class.to_string()),
                (Tone::Plain, incident.owner.to_string()),
                (tone, state),
                (Tone::Dim, confidence.unwrap_or_default()),
                (Tone::Dim, age),
                (Tone::Plain, action.unwrap_or_default()),
            ]
        })
        .collect();
    let header = [
        "ID",
        "CLASS",
        "OWNER",
        "STATE",
        "CONFIDENCE",
        "AGE",
        "ACTION",
    ];
    let mut text = style.table(&header, rows);
    let shown = u64::try_from(reply.incidents.len()).unwrap_or(u64::MAX);
    if shown < reply.total {
        let more = format!(
            "{shown} of {} incidents; --offset and --limit show others",
            reply.total
        );
        text.push_str(&style.paint(Tone::Dim, &more));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::story::tests::{fixed, waiting};

    #[test]
    fn the_list_shows_what_was_done_or_would_be() {
        let reply = ListReply {
            incidents: vec![fixed().incident, waiting().incident],
            total: 7,
        };
        let now = "2026-11-22T08:10:00Z".parse().expect("a time");
        insta::assert_snapshot!(table(&reply, Style::PLAIN, now));
    }

    #[test]
    fn an_id_never_changes_the_path() {
        assert_eq!(encoded("inc-3f2a"), "inc-3f2a");
        assert_eq!(encoded("../x?y#z"), "%2E%2E%2Fx%3Fy%23z");
    }

    #[test]
    fn the_agents_own_words_are_passed_on_with_help_for_the_command_line() {
        let body = br#"{"error": "there is no incident inc-1", "help": "list them"}"#;
        let failure = refused(StatusCode::NOT_FOUND, body);
        assert_eq!(failure.text(), "there is no incident inc-1 (404 Not Found)");
        assert_eq!(failure.help(), NO_INCIDENT_HELP);
        let body = br#"{"error": "no token", "help": "send `Authorization: Bearer ...`"}"#;
        let failure = refused(StatusCode::UNAUTHORIZED, body);
        assert!(failure.help().contains("--token"), "{}", failure.help());
        let failure = refused(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(failure.text(), "the server answered 502 Bad Gateway");
    }
}
