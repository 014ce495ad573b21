//! Tells the story: what the agent recorded, as it comes, for people as lines and for programs as one
//! JSON document a line.

use super::judge::Right;
use super::lines::{Lines, diagnosis};
use super::told::Told;
use crate::journal::Seq;
use crate::output::{Format, Style, Tone, print};
use crate::store::{Detail, Filter, Recorded, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use nightshift_core::engine::Input;
use nightshift_core::history::ActOutcome;
use nightshift_core::ids::{ClusterUid, IncidentId};
use nightshift_core::incident::{Incident, Outcome, Phase};
use nightshift_core::plan::{Action, OnNotFixed};
use nightshift_core::record::{Entry, EntryKind};
use nightshift_core::world::ObjectRef;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Incidents that are followed at once.
const FOLLOWED: u32 = 50;
/// Lines of the journal that are searched for the signal that an incident was opened on.
const SEARCHED: u64 = 200;

/// What the agent has on record about one fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Incidents on the fault's object, newest last.
    pub(super) phases: Vec<Phase>,
    /// Any other that was opened since the fault, and is open.
    pub(super) others_open: bool,
}

impl Progress {
    /// The newest incident on the object is over, or a person has it.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.phases.last(), Some(Phase::Closed | Phase::Waiting))
    }

    /// Nothing on the object is open.
    pub(super) fn is_closed(&self) -> bool {
        self.phases.iter().all(|phase| *phase == Phase::Closed)
    }
}

/// Tells.
#[derive(Debug)]
pub(super) struct Teller {
    format: Format,
    style: Style,
    speed: f64,
    /// The fault that is being told.
    fault: &'static str,
    since: Timestamp,
    /// Rows of each incident that are told.
    told: BTreeMap<IncidentId, usize>,
    /// Incidents of earlier faults.
    known: BTreeSet<IncidentId>,
    planned_at: BTreeMap<IncidentId, Timestamp>,
    /// The newest of its kind that people were told.
    newest: BTreeMap<(IncidentId, EntryKind), String>,
}

impl Teller {
    pub(super) fn new(format: Format, style: Style, speed: f64) -> Self {
        Self {
            format,
            style,
            speed,
            fault: "",
            since: Timestamp::UNIX_EPOCH,
            told: BTreeMap::new(),
            known: BTreeSet::new(),
            planned_at: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// A text in a tone, as the terminal takes it.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        self.style.paint(tone, text)
    }

    /// One document, or its lines for people.
    pub(super) fn say(&self, told: &Told<'_>, lines: &str) -> io::Result<()> {
        match self.format {
            Format::Table => print(lines),
            Format::Json => print(&(serde_json::to_string(told)? + "\n")),
            Format::Yaml => {
                let text = serde_saphyr::to_string(told).map_err(io::Error::other)?;
                print(&format!("---\n{text}"))
            }
        }
    }

    /// A fault begins: from now on every new row is told with it.
    pub(super) fn begin(
        &mut self,
        number: usize,
        fault: &'static str,
        about: &str,
        at: Timestamp,
    ) -> io::Result<()> {
        self.fault = fault;
        self.since = at;
        self.known.extend(self.told.keys().cloned());
        let head = self
            .style
            .paint(Tone::Strong, &format!("{number}. {fault}"));
        self.say(
            &Told::Broken { fault, about, at },
            &format!("{head}: {about}\n"),
        )
    }

    pub(super) fn judged(&self, right: Right, verdict: &Result<(), String>) -> io::Result<()> {
        let why = verdict.as_ref().err().map(String::as_str);
        let told = Told::Judged {
            fault: self.fault,
            expected: right.says(),
            right: why.is_none(),
            why,
        };
        let line = match why {
            None => self.style.paint(Tone::Good, "judge: right"),
            Some(_) => self.style.paint(Tone::Bad, "judge: WRONG"),
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        self.say(
            &told,
            &format!(
                "   {line} ({}){}\n",
                right.says(),
                self.style.paint(Tone::Plain, &why)
            ),
        )
    }

    /// Tells every row that is new, and where the incidents on `object` stand.
    pub(super) async fn follow(
        &mut self,
        store: &Store,
        cluster: &ClusterUid,
        is_about: impl Fn(&ObjectRef) -> bool,
    ) -> Result<Progress, TellError> {
        let filter = Filter {
            cluster: Some(cluster.clone()),
            ..Filter::default()
        };
        let page = store.incidents(&filter, FOLLOWED, 0).await?;
        let mut progress = Progress::default();
        for incident in page.incidents.iter().rev() {
            if let Some(detail) = store.incident(&incident.id).await? {
                let is_about_it = is_about(&detail.incident.owner);
                self.tell(store, &detail, is_about_it).await?;
            }
            let is_known = self.known.contains(&incident.id);
            if is_known && incident.phase == Phase::Closed {
                continue;
            }
            if is_about(&incident.owner) {
                progress.phases.push(incident.phase);
            } else if incident.phase != Phase::Closed && !is_known {
                progress.others_open = true;
            }
        }
        Ok(progress)
    }

    /// Tells the new rows of an incident, which is about the fault's object or not.
    async fn tell(
        &mut self,
        store: &Store,
        detail: &Detail,
        is_about_it: bool,
    ) -> Result<(), TellError> {
        let id = &detail.incident.id;
        let told = self.told.get(id).copied().unwrap_or(0);
        for row in detail.events.iter().skip(told) {
            let agent_ms = self.agent_ms(store, &detail.incident, row).await?;
            let after_s = row.at.duration_since(self.since).as_secs_f64();
            let told = Told::Record {
                fault: self.fault,
                after_s,
                agent_ms,
                row,
            };
            let is_news = self.is_news(id, row);
            let mut lines = String::new();
            if is_news {
                let other = (!is_about_it).then_some(&detail.incident.owner);
                lines.push_str(&self.lines(row, after_s, agent_ms, other));
                lines.push_str(&self.waits(row, &detail.incident));
            }
            self.say(&told, &lines)?;
        }
        self.told.insert(id.clone(), detail.events.len());
        Ok(())
    }

    /// People are not told the same twice: a diagnosis of the same fault, or a plan that is made
    /// again. Programs get every row.
    fn is_news(&mut self, id: &IncidentId, row: &Recorded) -> bool {
        let text = match row.entry.kind {
            EntryKind::Diagnosed => diagnosis(row).map(|d| format!("{} ({})", d.class, d.reason)),
            EntryKind::Planned | EntryKind::Ruled | EntryKind::Checked => {
                Some(row.entry.text.clone())
            }
            _ => None,
        };
        let Some(text) = text else {
            return true;
        };
        let before = self
            .newest
            .insert((id.clone(), row.entry.kind), text.clone());
        before != Some(text)
    }

    /// Real time that the agent itself took: see [`Told::Record`].
    async fn agent_ms(
        &mut self,
        store: &Store,
        incident: &Incident,
        row: &Recorded,
    ) -> Result<Option<f64>, StoreError> {
        let from = match row.entry.kind {
            EntryKind::Opened => heard_at(store, incident, row.seq).await?,
            EntryKind::Planned => {
                self.planned_at.insert(incident.id.clone(), row.at);
                None
            }
            EntryKind::Intent => self.planned_at.remove(&incident.id),
            EntryKind::WebhookReceived
            | EntryKind::Suppressed
            | EntryKind::Rejected
            | EntryKind::Diagnosed
            | EntryKind::Reclassified
            | EntryKind::Resumed
            | EntryKind::Merged
            | EntryKind::Ruled
            | EntryKind::Result
            | EntryKind::Checked
            | EntryKind::Waiting
            | EntryKind::NotOpened
            | EntryKind::Resolved
            | EntryKind::Silent
            | EntryKind::Final
            | EntryKind::Analysis
            | EntryKind::KnownGood
            | EntryKind::Blind => None,
        };
        let real = |from| row.at.duration_since(from).as_secs_f64() * 1000.0 / self.speed;
        Ok(from.map(|from| tenths(real(from))))
    }

    /// After a write that was carried out nothing may come for long: until when, and what then.
    fn waits(&self, row: &Recorded, incident: &Incident) -> String {
        let outcome = row.entry.body.get("outcome").cloned().unwrap_or_default();
        let is_done = matches!(serde_json::from_value(outcome), Ok(ActOutcome::Done { .. }));
        let (Some(until), Some(step)) = (incident.verify_until, &incident.step) else {
            return String::new();
        };
        // A cordon mends nothing, so nobody waits for that.
        if !is_done || until < row.at || step.is_undo || step.action == Action::Cordon {
            return String::new();
        }
        let until = until.duration_since(self.since).as_secs_f64();
        let then = match step.action.on_not_fixed() {
            OnNotFixed::Undo => "it is taken back",
            OnNotFixed::Keep | OnNotFixed::Ask => "a person has it",
        };
        let mut page = Lines::new(self.style);
        let text = format!("until it is well; if it is not by {until:.1} s, {then}");
        page.line("", "waits", Tone::Dim, &text);
        page.text
    }

    /// The lines of one row; `other` is the owner of an incident that is not about the fault's object.
    fn lines(
        &self,
        row: &Recorded,
        after_s: f64,
        agent_ms: Option<f64>,
        other: Option<&ObjectRef>,
    ) -> String {
        let entry = &row.entry;
        let (word, tone) = match entry.kind {
            EntryKind::Opened => ("seen", Tone::Strong),
            EntryKind::Diagnosed => ("cause", Tone::Strong),
            EntryKind::Planned => ("plan", Tone::Plain),
            EntryKind::Ruled => ("gates", Tone::Plain),
            EntryKind::Intent => ("writes", Tone::Strong),
            EntryKind::Result => ("written", Tone::Good),
            EntryKind::Checked => ("checked", Tone::Plain),
            EntryKind::Waiting => ("person", Tone::Warn),
            EntryKind::Final => ("end", Tone::Good),
            EntryKind::WebhookReceived => ("alert", Tone::Warn),
            EntryKind::Resolved => ("resolved", Tone::Dim),
            EntryKind::Silent => ("silent", Tone::Dim),
            EntryKind::NotOpened => ("full", Tone::Warn),
            EntryKind::Blind => ("blind", Tone::Warn),
            EntryKind::Reclassified => ("rather", Tone::Plain),
            EntryKind::Resumed => ("resumed", Tone::Plain),
            EntryKind::Merged => ("merged", Tone::Dim),
            EntryKind::Suppressed
            | EntryKind::Rejected
            | EntryKind::Analysis
            | EntryKind::KnownGood => return String::new(),
        };
        let mut page = Lines::new(self.style);
        let took = match (entry.kind, agent_ms) {
            (EntryKind::Opened, Some(ms)) => format!(" (heard of {ms:.1} ms real before)"),
            (_, Some(ms)) => format!(" ({ms:.1} ms real from plan to intent)"),
            (_, None) => String::new(),
        };
        let text = match entry.kind {
            EntryKind::Diagnosed => diagnosis(row).map_or_else(
                || entry.text.clone(),
                |d| format!("{} ({}), confidence {}", d.class, d.reason, d.confidence),
            ),
            EntryKind::Final => ended(entry),
            _ => entry.text.clone(),
        };
        // These name whom they are about in any case.
        let names = matches!(entry.kind, EntryKind::Opened | EntryKind::WebhookReceived);
        let other = other.filter(|_| !names);
        let other = other.map(|owner| format!("[{owner}] ")).unwrap_or_default();
        page.line(
            &format!("{after_s:.1} s"),
            word,
            tone,
            &format!("{other}{text}{took}"),
        );
        if entry.kind == EntryKind::Diagnosed {
            page.diagnosis(row);
        } else if entry.kind == EntryKind::Ruled {
            page.rulings(row);
        }
        page.text
    }
}

/// Why the story cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The record cannot be read.
    #[error("the record cannot be read")]
    Store(#[from] StoreError),
    /// Nobody can be told.
    #[error("standard output cannot be written")]
    Io(#[from] io::Error),
}

/// How an incident ended and why, in that order.
fn ended(entry: &Entry) -> String {
    let word = match serde_json::from_value(entry.body.clone()) {
        Ok(Outcome::Recovered) => "recovered: ",
        // The text says these itself.
        Ok(Outcome::Fixed | Outcome::Merged(_) | Outcome::Gone | Outcome::Expired) | Err(_) => "",
    };
    format!("{word}{}", entry.text)
}

/// Milliseconds to the tenth: more is noise.
fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// When the newest signal about the incident's owner or subject was heard, before it was opened.
async fn heard_at(
    store: &Store,
    incident: &Incident,
    opened: Seq,
) -> Result<Option<Timestamp>, StoreError> {
    let from = Seq(opened.0.saturating_sub(SEARCHED).max(1));
    let limit = u32::try_from(opened.0.saturating_sub(from.0).saturating_add(1)).unwrap_or(1);
    let cluster = &incident.fingerprint.cluster;
    let lines = store.journal(cluster, from, limit).await?;
    let signals = lines.iter().rev().filter_map(|line| {
        match serde_json::from_str::<Input>(line.input.get()).ok()? {
            Input::Signal(signal) => Some(signal),
            _ => None,
        }
    });
    let about = |object: &ObjectRef| {
        object.same_name(&incident.owner) || object.same_name(&incident.subject)
    };
    Ok(signals
        .filter(|signal| about(&signal.subject))
        .map(|signal| signal.heard_at)
        .next())
}

/// `1m30s` of the cluster's time, for people.
pub(super) fn length(duration: SignedDuration) -> String {
    crate::output::age(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_end_begins_with_how_it_ended() {
        let entry = |text: &str, body| Entry {
            incident: None,
            kind: EntryKind::Final,
            text: text.to_owned(),
            body,
        };
        let fixed = entry("fixed: healthy on fresh looks", json!("fixed"));
        assert_eq!(ended(&fixed), "fixed: healthy on fresh looks");
        let recovered = entry("healthy on fresh looks", json!("recovered"));
        assert_eq!(ended(&recovered), "recovered: healthy on fresh looks");
    }

    #[test]
    fn a_tenth_of_a_millisecond_is_enough() {
        assert_eq!(tenths(1.404_012).to_string(), "1.4");
    }
}
