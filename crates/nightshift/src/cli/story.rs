//! One incident as a story for people: what was seen, why that is the cause, what the gates said,
//! what was written and whether it helped. Everything in it stands in the record.

mod page;

use crate::output::{Style, Tone, age};
use crate::serve::incidents::{IncidentReply, PastIncident};
use crate::store::Recorded;
use jiff::Timestamp;
use nightshift_core::diagnose::{Change, ChangeKind, Diagnosis, Evidence};
use nightshift_core::guard::{Rehearsal, Ruling, Verdict};
use nightshift_core::history::ActOutcome;
use nightshift_core::incident::{Attempt, Incident, Outcome, Phase};
use nightshift_core::record::EntryKind;
use nightshift_core::signal::SignalBody;
use nightshift_core::world::ObjectRef;
use page::Page;

/// Earlier incidents that are listed.
const PAST: usize = 5;

/// Tells it.
pub(super) fn tell(reply: &IncidentReply, style: Style) -> String {
    let IncidentReply {
        incident,
        events,
        analysis_markdown,
        past_incidents,
    } = reply;
    let mut page = Page::new(style);
    head(&mut page, incident);
    match &incident.diagnosis {
        Some(diagnosis) => why(&mut page, diagnosis),
        None => page.section("WHY", "no diagnosis yet"),
    }
    action(&mut page, incident, events);
    record(&mut page, events);
    past(&mut page, past_incidents);
    if let Some(analysis) = analysis_markdown {
        page.section("ANALYSIS", "");
        page.indented(2, Tone::Plain, analysis.trim_end());
    }
    page.text
}

fn head(page: &mut Page, incident: &Incident) {
    let (tone, state) = state(incident);
    let what = format!("{} on {}", incident.fingerprint.class, incident.owner);
    let title = [
        (Tone::Strong, incident.id.as_str()),
        (Tone::Strong, &what),
        (tone, &state),
    ];
    page.title(&title);
    if let Some(reason) = &incident.waiting_for {
        page.field("waits for", Tone::Warn, reason);
    }
    let opened = moment(incident.opened_at);
    let times = match incident.closed_at {
        Some(at) => {
            let after = age(at.duration_since(incident.opened_at));
            format!("{opened}, closed {} after {after}", moment(at))
        }
        None => opened,
    };
    page.field("opened", Tone::Dim, &times);
    page.field("subject", Tone::Dim, &incident.subject.to_string());
    for signal in &incident.alerts {
        let SignalBody::Alert(alert) = &signal.body else {
            continue;
        };
        let is_firing = incident.firing.contains_key(&signal.fingerprint);
        let state = if is_firing { "fires" } else { "resolved" };
        let heard = moment(signal.heard_at);
        page.field(
            "alert",
            Tone::Dim,
            &format!("{} {state}, heard {heard}", alert.name),
        );
    }
    if let Some(previous) = &incident.previous {
        page.field(
            "again",
            Tone::Warn,
            &format!("the same fault was {previous}"),
        );
    }
}

/// Where an incident stands, in few words.
pub(super) fn state(incident: &Incident) -> (Tone, String) {
    match (incident.phase, &incident.outcome) {
        (_, Some(Outcome::Fixed)) => (Tone::Good, "fixed".to_owned()),
        (_, Some(Outcome::Recovered)) => (Tone::Good, "recovered".to_owned()),
        (_, Some(Outcome::Merged(into))) => (Tone::Dim, format!("merged into {into}")),
        (_, Some(Outcome::Gone)) => (Tone::Dim, "gone".to_owned()),
        (_, Some(Outcome::Expired)) => (Tone::Dim, "expired".to_owned()),
        (Phase::Waiting, None) => (Tone::Warn, incident.phase.to_string()),
        (_, None) => (Tone::Plain, incident.phase.to_string()),
    }
}

fn why(page: &mut Page, diagnosis: &Diagnosis) {
    let container = diagnosis.container.as_deref();
    let container = container
        .map(|name| format!(", container {name}"))
        .unwrap_or_default();
    page.section(
        "WHY",
        &format!(
            "{} ({}){container}, since {}",
            diagnosis.class,
            diagnosis.reason,
            moment(diagnosis.since)
        ),
    );
    for (n, step) in diagnosis.path.iter().enumerate() {
        page.item(if n == 0 { " " } else { "→" }, Tone::Dim, step);
    }
    page.field("evidence", Tone::Dim, "");
    for evidence in &diagnosis.evidence {
        evidence_line(page, evidence, &diagnosis.subject);
    }
    page.field("confidence", Tone::Dim, &diagnosis.confidence.to_string());
    for row in &diagnosis.confidence_rows {
        page.item("·", Tone::Dim, row);
    }
    if !diagnosis.changes.is_empty() {
        page.field("changed", Tone::Dim, "");
        for change in &diagnosis.changes {
            page.item("·", Tone::Dim, &change_line(change));
        }
    }
    for (source, reason) in &diagnosis.blind {
        page.field("not seen", Tone::Warn, &format!("{source:?}: {reason}"));
    }
}

fn evidence_line(page: &mut Page, evidence: &Evidence, subject: &ObjectRef) {
    let at = evidence
        .at
        .map(|at| format!(" ({})", moment(at)))
        .unwrap_or_default();
    let source = format!("{:?}", evidence.source).to_lowercase();
    let (tone, against) = if evidence.supports {
        (Tone::Good, "")
    } else {
        (Tone::Bad, "against: ")
    };
    // The subject stands above; only another object has to be named.
    let object = if evidence.object == *subject {
        String::new()
    } else {
        format!(", on {}", evidence.object)
    };
    let text = format!("{source}: {against}{}{object}{at}", evidence.fact);
    page.item(evidence.id.as_str(), tone, &text);
}

fn change_line(change: &Change) -> String {
    let what = match change.kind {
        ChangeKind::Revision => "new revision of",
        ChangeKind::ConfigMap => "edit of",
    };
    let by = change
        .by
        .as_deref()
        .map(|by| format!(" by {by}"))
        .unwrap_or_default();
    let explains = if change.explains_fault {
        ", shortly before the fault"
    } else {
        ""
    };
    format!(
        "{what} {} at {}{by}{explains}",
        change.object,
        moment(change.at)
    )
}

fn action(page: &mut Page, incident: &Incident, events: &[Recorded]) {
    let runbook = match (&incident.runbook, &incident.step) {
        (Some(runbook), Some(step)) => format!("runbook {runbook}, step {}", step.runbook_step),
        (Some(runbook), None) => format!("runbook {runbook}"),
        (None, _) => "no runbook".to_owned(),
    };
    page.section("WHAT", &runbook);
    if let Some(step) = &incident.step {
        for ask in &step.asks {
            page.field("asks", Tone::Warn, ask);
        }
    }
    for (label, tone, text) in [
        ("taken", Tone::Good, &incident.action_taken),
        ("recommended", Tone::Warn, &incident.action_recommended),
        ("error", Tone::Bad, &incident.action_error),
    ] {
        if let Some(text) = text {
            page.field(label, tone, text);
        }
    }
    rehearsal(page, events);
    rulings(page, &incident.rulings);
    for attempt in &incident.attempts {
        written(page, attempt);
    }
}

/// The newest rehearsal, from the record.
fn rehearsal(page: &mut Page, events: &[Recorded]) {
    let ruled = events
        .iter()
        .rev()
        .find(|event| event.entry.kind == EntryKind::Ruled);
    let found = ruled.and_then(|event| event.entry.body.get("rehearsal"));
    let Some(rehearsal) = found.and_then(|found| serde_json::from_value(found.clone()).ok()) else {
        return;
    };
    let (tone, text, diff) = match rehearsal {
        Rehearsal::Accepted { diff } => {
            (Tone::Dim, "the API server would take it".to_owned(), diff)
        }
        Rehearsal::Local { diff, why } => (Tone::Warn, format!("computed here: {why}"), diff),
        Rehearsal::NoRight { diff, why } => (Tone::Bad, format!("no right: {why}"), diff),
        Rehearsal::Forbidden { why } | Rehearsal::Refused { why } => {
            (Tone::Bad, format!("would be refused: {why}"), Vec::new())
        }
        Rehearsal::Stale { why } => (Tone::Warn, format!("the target changed: {why}"), Vec::new()),
        Rehearsal::Failed { why } => (Tone::Bad, format!("no answer: {why}"), Vec::new()),
    };
    page.field("rehearsed", tone, &text);
    for line in diff {
        page.item("±", Tone::Dim, &line);
    }
}

fn rulings(page: &mut Page, rulings: &[Ruling]) {
    if rulings.is_empty() {
        return;
    }
    page.field("gates", Tone::Dim, "");
    let longest = rulings
        .iter()
        .map(|ruling| ruling.gate.chars().count())
        .max()
        .unwrap_or(0);
    for ruling in rulings {
        let (tone, verdict) = match ruling.verdict {
            Verdict::Pass => (Tone::Good, "pass"),
            Verdict::Ask => (Tone::Warn, "ask"),
            Verdict::Deny => (Tone::Bad, "deny"),
        };
        let front = format!("    {verdict:<4} {:<longest$}  ", ruling.gate);
        page.labelled(&front, verdict, tone, &ruling.reason);
    }
}

fn written(page: &mut Page, attempt: &Attempt) {
    let outcome = match &attempt.outcome {
        Some(ActOutcome::Done {
            resource_version, ..
        }) => {
            format!("done, resourceVersion {resource_version}")
        }
        Some(other) => other.to_string(),
        None => "intent recorded, no result yet".to_owned(),
    };
    let helped = match attempt.helped {
        Some(true) => ", helped",
        Some(false) => ", did not help",
        None => "",
    };
    let tone = if attempt.helped == Some(false) {
        Tone::Bad
    } else {
        Tone::Dim
    };
    let label = if attempt.is_undo {
        "taken back"
    } else {
        "written"
    };
    let at = moment(attempt.at);
    page.field(
        label,
        tone,
        &format!(
            "{at} {}: {outcome}{helped} ({})",
            attempt.what, attempt.permit
        ),
    );
}

fn record(page: &mut Page, events: &[Recorded]) {
    page.section("RECORD", &count(events.len(), "entry", "entries"));
    for event in events {
        let tone = match event.entry.kind {
            EntryKind::Waiting | EntryKind::Rejected | EntryKind::NotOpened | EntryKind::Blind => {
                Tone::Warn
            }
            EntryKind::Intent | EntryKind::Result | EntryKind::Final => Tone::Strong,
            EntryKind::WebhookReceived
            | EntryKind::Suppressed
            | EntryKind::Opened
            | EntryKind::Diagnosed
            | EntryKind::Reclassified
            | EntryKind::Resumed
            | EntryKind::Merged
            | EntryKind::Planned
            | EntryKind::Ruled
            | EntryKind::Checked
            | EntryKind::Resolved
            | EntryKind::Silent
            | EntryKind::Analysis
            | EntryKind::KnownGood => Tone::Dim,
        };
        let kind = crate::serve::incidents::word(&event.entry.kind);
        let front = format!("  {}  {kind:<16} ", event.at.strftime("%H:%M:%S%.3fZ"));
        page.labelled(&front, &kind, tone, &event.entry.text);
    }
}

fn past(page: &mut Page, past: &[PastIncident]) {
    if past.is_empty() {
        return;
    }
    page.section(
        "BEFORE",
        &format!(
            "{} of the same alert, workload, pod or node",
            count(past.len(), "earlier incident", "earlier incidents")
        ),
    );
    for incident in past.iter().take(PAST) {
        let tried = incident
            .action_taken
            .as_deref()
            .unwrap_or("nothing was done");
        let line = format!(
            "{}  {} on {}: {}, {tried}",
            moment(incident.opened_at),
            incident.class,
            incident.owner,
            incident.state,
        );
        page.item(incident.id.as_str(), Tone::Dim, &line);
    }
}

fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
pub(super) mod tests;
