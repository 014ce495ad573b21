//! `nightshift replay`: the same journal gives the same decisions, or somebody is told.

use super::{Exit, Failure, OrHelp as _};
use crate::journal;
use crate::output::{Output, Style, Tone};
use crate::replay::{ReplayError, Replayed, Row, replay};
use crate::store::Store;
use nightshift_core::ids::ClusterUid;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;

/// Decides on every input of a journal again, and compares; or writes a journal to a file
#[derive(Debug, clap::Args)]
#[command(override_usage = "nightshift replay [OPTIONS] FILE
       nightshift replay [OPTIONS] --export FILE --database URL")]
#[command(after_help = "Examples:
  nightshift replay --export incident.jsonl --database sqlite:///var/lib/nightshift/nightshift.db
  nightshift replay incident.jsonl
  nightshift replay incident.jsonl -o json | jq '.rows[] | select(.same | not)'

Exit codes: 0 every decision is the same, 1 one differs or the journal was changed,
            2 could not be read or written")]
pub(super) struct Args {
    /// The journal to replay
    #[arg(required_unless_present = "export")]
    file: Option<PathBuf>,
    /// Write the record's journal to this file instead
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "file",
        requires = "database"
    )]
    export: Option<PathBuf>,
    /// Database to export from
    #[arg(long, value_name = "URL", env = "DATABASE_URL")]
    database: Option<String>,
    /// Uid of the cluster to export, where the database holds more than one
    #[arg(long, value_name = "UID", requires = "export")]
    cluster: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        match (&self.export, &self.file) {
            (Some(to), _) => self.export(to).await,
            (None, Some(file)) => self.replay(file),
            (None, None) => Err(Failure::new(
                "no journal is named",
                "nightshift replay FILE",
            )),
        }
    }

    fn replay(&self, file: &std::path::Path) -> Result<Exit, Failure> {
        let what = format!("{} cannot be read", file.display());
        let journal =
            File::open(file).or_help(&what, "`nightshift replay --export FILE` writes one")?;
        match replay(BufReader::new(journal)) {
            Ok(replayed) => {
                self.output.print(&replayed, table)?;
                Ok(if replayed.same() {
                    Exit::Fine
                } else {
                    Exit::Found
                })
            }
            Err(error @ (ReplayError::Read { .. } | ReplayError::Input { .. })) => {
                Err(error).or_help(&what, "replay it with the version that wrote it")
            }
            Err(
                error @ (ReplayError::Line { .. }
                | ReplayError::Chain { .. }
                | ReplayError::NoStart),
            ) => {
                let help = "the file is not what was written: export it again and compare";
                Failure::new(super::settings::chain(&error), help).report();
                Ok(Exit::Found)
            }
        }
    }

    async fn export(&self, to: &std::path::Path) -> Result<Exit, Failure> {
        let help = "name the database of the agent with --database";
        let url = self.database.as_deref().unwrap_or_default();
        let store = Store::open_to_read(url)
            .await
            .or_help("the database could not be opened", help)?;
        let cluster = self.which(&store).await?;
        let what = format!("{} cannot be written", to.display());
        let file = File::create(to).or_help(&what, "name a file that this user may write")?;
        let count = journal::export(&store, &cluster, &mut BufWriter::new(file))
            .await
            .or_help(
                &what,
                "check the disk, and the database with `nightshift doctor`",
            )?;
        crate::output::complain(&format!("{count} inputs of cluster {cluster} written"));
        Ok(Exit::Fine)
    }

    async fn which(&self, store: &Store) -> Result<ClusterUid, Failure> {
        if let Some(uid) = &self.cluster {
            return Ok(ClusterUid::from(uid.as_str()));
        }
        let known = store
            .clusters()
            .await
            .or_help("the record cannot be read", "check --database")?;
        match known.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Failure::new(
                "the record holds no cluster",
                "has an agent run with it?",
            )),
            many => {
                let names: Vec<&str> = many.iter().map(ClusterUid::as_str).collect();
                let error = format!("the record holds {} clusters", many.len());
                Err(Failure::new(
                    error,
                    format!("name one with --cluster: {}", names.join(", ")),
                ))
            }
        }
    }
}

fn table(replayed: &Replayed, style: Style) -> String {
    let cells = |row: &Row| {
        let (tone, same) = if row.same {
            (Tone::Good, "same")
        } else {
            (Tone::Bad, "DIFFERS")
        };
        vec![
            (Tone::Dim, row.seq.to_string()),
            (Tone::Dim, row.at.strftime("%H:%M:%S%.3fZ").to_string()),
            (Tone::Plain, row.input.to_owned()),
            (tone, same.to_owned()),
            (Tone::Plain, row.decided.join("\n")),
        ]
    };
    let rows = replayed.rows.iter().map(cells).collect();
    let mut text = style.table(&["SEQ", "AT", "INPUT", "REPLAY", "DECIDED"], rows);
    let (tone, verdict) = if replayed.same() {
        (
            Tone::Good,
            format!("{} inputs, every decision the same", replayed.rows.len()),
        )
    } else {
        let why = format!(
            "the last decision above differs from the one taken by version {}: a rule or runbook changed",
            replayed.engine_version
        );
        (Tone::Bad, why)
    };
    text.push_str(&style.paint(tone, &verdict));
    text.push('\n');
    text
}
