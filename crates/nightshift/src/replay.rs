//! Replay: the same journal gives the same decisions. A changed byte is noticed by the hash chain,
//! a changed rule by the digests of the decisions and by the text of the built-in runbooks.

use crate::journal::{self, Line, LineError, Seq};
use jiff::Timestamp;
use nightshift_core::engine::{Checkpoint, Decision, Effect, Engine, Input};
use nightshift_core::ids::Digest;
use nightshift_core::runbook::Library;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::BufRead;

/// One input and what was decided on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its number.
    pub seq: Seq,
    /// The time that the engine was told.
    pub at: Timestamp,
    /// Kind of input.
    pub input: &'static str,
    /// What the engine decides on it now, in words.
    pub decided: Vec<String>,
    /// Whether that is what was decided then.
    pub same: bool,
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// All inputs up to the first different decision: what follows one means nothing.
    pub rows: Vec<Row>,
    /// Version of the engine that wrote the journal, as its newest start says.
    pub engine_version: String,
    /// Built-in runbooks that read otherwise now. The replay itself goes by the journal's.
    pub changed_runbooks: BTreeSet<String>,
}

impl Replayed {
    /// Whether every decision is the one that was taken then, by the same rules.
    pub fn same(&self) -> bool {
        self.changed_runbooks.is_empty() && self.rows.iter().all(|row| row.same)
    }
}

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file could not be read.
    #[error("line {number} cannot be read")]
    Read {
        /// Line, from 1 on.
        number: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what was written.
    #[error("line {number} is not what was written")]
    Line {
        /// Line, from 1 on.
        number: usize,
        /// Why.
        #[source]
        source: LineError,
    },
    /// A line is missing, doubled, or from somewhere else.
    #[error("line {number} does not follow the one before it: a line is missing or was moved")]
    Chain {
        /// Line, from 1 on.
        number: usize,
    },
    /// An input of a kind or form that this version does not know.
    #[error("line {number} holds an input that this version cannot read")]
    Input {
        /// Line, from 1 on.
        number: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Without a start there is no state to begin from.
    #[error("the journal does not begin with a start of the agent")]
    NoStart,
}

/// Replays a journal of one cluster.
pub fn replay(journal: impl BufRead) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed {
        rows: Vec::new(),
        engine_version: String::new(),
        changed_runbooks: BTreeSet::new(),
    };
    let mut engine: Option<Engine> = None;
    let mut before: Option<(Line, Digest)> = None;
    for (index, text) in journal.lines().enumerate() {
        let number = index + 1;
        let text = text.map_err(|source| ReplayError::Read { number, source })?;
        let (line, hash) =
            Line::parse(&text).map_err(|source| ReplayError::Line { number, source })?;
        if !follows(&line, before.as_ref()) {
            return Err(ReplayError::Chain { number });
        }
        let input: Input = serde_json::from_str(line.input.get())
            .map_err(|source| ReplayError::Input { number, source })?;
        if let Input::Start(checkpoint) = &input {
            // The process began anew here, and so does its engine.
            engine = Some(Engine::new());
            replayed
                .engine_version
                .clone_from(&checkpoint.engine_version);
            replayed.changed_runbooks.extend(changed(checkpoint));
        }
        let kind = kind(&input);
        let decision = match &mut engine {
            Some(engine) => engine.handle(input, line.at),
            None => return Err(ReplayError::NoStart),
        };
        let same = journal::digest(&decision) == line.decision;
        replayed.rows.push(Row {
            seq: line.seq,
            at: line.at,
            input: kind,
            decided: words(&decision),
            same,
        });
        if !same {
            break;
        }
        before = Some((line, hash));
    }
    if before.is_none() && replayed.rows.is_empty() {
        return Err(ReplayError::NoStart);
    }
    Ok(replayed)
}

/// Runbooks that came with the version that wrote the journal, and have another text in this one.
fn changed(checkpoint: &Checkpoint) -> impl Iterator<Item = String> {
    let now = Library::built_in();
    let differs = move |(file, text): (&String, &String)| {
        let today = now.texts().get(file);
        today
            .is_some_and(|today| today != text)
            .then(|| file.clone())
    };
    checkpoint.runbooks.iter().filter_map(differs)
}

/// Whether the line is the next of the same chain. The first one may be any: retention drops the
/// oldest part of a journal.
fn follows(line: &Line, before: Option<&(Line, Digest)>) -> bool {
    match before {
        None => line.seq != Seq(1) || line.prev == journal::genesis(&line.cluster),
        Some((last, hash)) => {
            line.cluster == last.cluster && line.seq.0 == last.seq.0 + 1 && line.prev == *hash
        }
    }
}

fn kind(input: &Input) -> &'static str {
    match input {
        Input::Start(_) => "start",
        Input::Signal(_) => "signal",
        Input::Rejected { .. } => "rejected",
        Input::Observed { .. } => "observed",
        Input::NotObserved { .. } => "not observed",
        Input::Rehearsed { .. } => "rehearsed",
        Input::Acted { .. } => "acted",
        Input::KnownGood { .. } => "known good",
        Input::Stopping => "stopping",
        Input::Tick => "tick",
    }
}

/// The decision in words: what is recorded, then what is done.
fn words(decision: &Decision) -> Vec<String> {
    let entries = decision.batch.entries.iter();
    let recorded = entries.map(|entry| match &entry.incident {
        Some(incident) => format!("{incident}: {}", entry.text),
        None => entry.text.clone(),
    });
    let done = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Observe {
            scope, fresh: true, ..
        } => Some(format!("-> look afresh: {}", scope_words(scope))),
        Effect::Observe { scope, .. } => Some(format!("-> look: {}", scope_words(scope))),
        Effect::Rehearse(step) => Some(format!("-> rehearse {}", step_words(step))),
        Effect::Act(permit) => Some(format!("-> write {}", step_words(permit.step()))),
        Effect::ReadBack { step, .. } => Some(format!("-> read back {}", step_words(step))),
        Effect::WakeAt(_) => None,
    });
    recorded.chain(done).collect()
}

fn scope_words(scope: &nightshift_core::world::Scope) -> String {
    match scope {
        nightshift_core::world::Scope::Of(object) => object.to_string(),
        nightshift_core::world::Scope::Cluster => "the whole cluster".to_owned(),
    }
}

fn step_words(step: &nightshift_core::plan::Step) -> String {
    format!("{} {}", step.action.word(), step.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Commit;
    use crate::store::tests::{At, CLUSTER, store};
    use nightshift_core::ids::ClusterUid;
    use std::collections::BTreeMap;

    /// A journal of two runs of the agent. `forge` may change what is stored as decided.
    async fn journal(forge: impl Fn(&Input, &mut Decision)) -> String {
        journal_with(Library::built_in().texts().clone(), forge).await
    }

    async fn journal_with(
        runbooks: BTreeMap<String, String>,
        forge: impl Fn(&Input, &mut Decision),
    ) -> String {
        let (store, _folder) = store().await;
        let cluster = ClusterUid::from(CLUSTER);
        for run in 0..2 {
            let leader_epoch = store.take_lead(&cluster).await.unwrap();
            let loaded = store.checkpoint(&cluster, At::minutes(run)).await.unwrap();
            let start = Checkpoint {
                engine_version: "0.1.0".to_owned(),
                leader_epoch,
                runbooks: runbooks.clone(),
                ..loaded
            };
            let rejected = Input::Rejected {
                why: "it has no name".to_owned(),
                alert: "{}".to_owned(),
            };
            let mut engine = Engine::new();
            let at = At::minutes(run);
            for input in [Input::Start(Box::new(start)), rejected, Input::Stopping] {
                let mut decision = engine.handle(input.clone(), at);
                forge(&input, &mut decision);
                let commit = Commit {
                    cluster: &cluster,
                    leader_epoch,
                    at,
                    input: &input,
                    decision: &decision,
                    analyses: &BTreeMap::new(),
                };
                store.append(&[commit]).await.unwrap();
            }
        }
        let mut file = Vec::new();
        journal::export(&store, &cluster, &mut file).await.unwrap();
        String::from_utf8(file).unwrap()
    }

    #[tokio::test]
    async fn the_same_journal_gives_the_same_decisions() {
        let journal = journal(|_, _| {}).await;
        let replayed = replay(journal.as_bytes()).unwrap();
        assert!(replayed.same());
        let kinds: Vec<_> = replayed.rows.iter().map(|row| row.input).collect();
        let run = ["start", "rejected", "stopping"];
        assert_eq!(kinds, [run, run].concat());
        assert_eq!(replayed.engine_version, "0.1.0");
    }

    #[tokio::test]
    async fn a_decision_that_would_be_taken_otherwise_now_is_noticed() {
        let journal = journal(|input, decision| {
            if matches!(input, Input::Rejected { .. }) {
                decision.effects.push(Effect::WakeAt(At::minutes(9)));
            }
        })
        .await;
        let replayed = replay(journal.as_bytes()).unwrap();
        assert!(!replayed.same());
        let last = replayed.rows.last().unwrap();
        assert_eq!(
            (last.seq, last.input),
            (Seq(2), "rejected"),
            "it ends there"
        );
    }

    #[tokio::test]
    async fn a_built_in_runbook_that_reads_otherwise_now_is_noticed() {
        let mut runbooks = Library::built_in().texts().clone();
        let file = runbooks.keys().next().unwrap().clone();
        runbooks
            .get_mut(&file)
            .unwrap()
            .push_str("One more line.\n");
        runbooks.insert("ours.md".to_owned(), "not built in".to_owned());
        let journal = journal_with(runbooks, |_, _| {}).await;
        let replayed = replay(journal.as_bytes()).unwrap();
        assert!(!replayed.same());
        assert_eq!(replayed.changed_runbooks, [file].into());
    }

    #[tokio::test]
    async fn any_changed_byte_is_noticed() {
        let journal = journal_with(BTreeMap::new(), |_, _| {}).await;
        for line in journal.lines() {
            assert!(Line::parse(line).is_ok());
            for place in 0..line.len() {
                let mut changed = line.as_bytes().to_vec();
                changed[place] ^= 1;
                let changed = String::from_utf8(changed).unwrap();
                assert!(Line::parse(&changed).is_err(), "byte {place} of {line}");
            }
        }
        let changed = journal.replace("it has no name", "it has no fame");
        let found = replay(changed.as_bytes());
        assert!(matches!(found, Err(ReplayError::Line { number: 2, .. })));
    }

    #[tokio::test]
    async fn a_lost_doubled_or_moved_line_is_noticed() {
        let journal = journal(|_, _| {}).await;
        let lines: Vec<&str> = journal.lines().collect();
        let of = |order: &[usize]| {
            order
                .iter()
                .map(|&i| lines[i])
                .collect::<Vec<_>>()
                .join("\n")
        };
        for order in [&[0, 2][..], &[0, 1, 1], &[0, 2, 1]] {
            let found = replay(of(order).as_bytes());
            assert!(matches!(found, Err(ReplayError::Chain { .. })), "{order:?}");
        }
        // Retention may drop the oldest part, up to a start.
        assert!(replay(of(&[3, 4, 5]).as_bytes()).unwrap().same());
        for order in [&[1, 2][..], &[]] {
            let found = replay(of(order).as_bytes());
            assert!(matches!(found, Err(ReplayError::NoStart)), "{order:?}");
        }
    }
}
