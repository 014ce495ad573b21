//! What was seen, and what the record says happened.

use super::{code, moment};
use crate::diagnose::EvidenceSource;
use crate::incident::Incident;
use crate::record::{Entry, EntryKind};
use jiff::Timestamp;

/// Rows of the record that are shown: the first and the last ones.
const MAX_ROWS: usize = 40;

/// Pieces of evidence that are shown.
const MAX_EVIDENCE: usize = 30;

pub(super) fn section(incident: &Incident, entries: &[(Timestamp, Entry)]) -> Vec<String> {
    let all = incident
        .diagnosis
        .as_ref()
        .map(|d| d.evidence.as_slice())
        .unwrap_or_default();
    let mut lines: Vec<_> = all
        .iter()
        .take(MAX_EVIDENCE)
        .map(|evidence| {
            let at = evidence
                .at
                .map(|at| format!(", {}", moment(at)))
                .unwrap_or_default();
            let against = if evidence.supports {
                ""
            } else {
                ", speaks against it"
            };
            format!(
                "- {} ({}{at}{against}) on {}: {}",
                code(&evidence.id),
                source(evidence.source),
                code(&evidence.object),
                code(&evidence.fact)
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push("- No evidence was kept.".to_owned());
    }
    left_out(&mut lines, all.len(), MAX_EVIDENCE);
    let rows: Vec<_> = entries
        .iter()
        .filter(|(_, entry)| entry.kind != EntryKind::Analysis)
        .map(|(at, entry)| {
            format!(
                "- {} {}: {}",
                moment(*at),
                row(entry.kind),
                code(&entry.text)
            )
        })
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.push("From the record:".to_owned());
        lines.push(String::new());
        let head = rows.len().min(MAX_ROWS / 2);
        let tail = rows.len().saturating_sub(MAX_ROWS / 2).max(head);
        lines.extend(rows.iter().take(head).cloned());
        if tail > head {
            lines.push(format!("- ({} rows between are left out)", tail - head));
        }
        lines.extend(rows.iter().skip(tail).cloned());
    }
    lines
}

fn left_out(lines: &mut Vec<String>, all: usize, most: usize) {
    if all > most {
        lines.push(format!("- ({} more are left out)", all - most));
    }
}

fn source(source: EvidenceSource) -> &'static str {
    match source {
        EvidenceSource::Status => "status",
        EvidenceSource::Event => "event",
        EvidenceSource::Log => "log",
        EvidenceSource::Change => "change",
        EvidenceSource::Alert => "alert",
    }
}

/// What a row says, in words.
fn row(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::WebhookReceived => "alert received",
        EntryKind::Suppressed => "repeated signal",
        EntryKind::Rejected => "unusable alert",
        EntryKind::Opened => "opened",
        EntryKind::NotOpened => "not opened",
        EntryKind::Diagnosed => "diagnosed",
        EntryKind::Reclassified => "diagnosis corrected",
        EntryKind::Resumed => "taken up again",
        EntryKind::Merged => "merged",
        EntryKind::Planned => "planned",
        EntryKind::Ruled => "gates ruled",
        EntryKind::Intent => "about to write",
        EntryKind::Result => "result of the write",
        EntryKind::Checked => "checked",
        EntryKind::Waiting => "handed over",
        EntryKind::Resolved => "alert resolved",
        EntryKind::Silent => "alert fell silent",
        EntryKind::Final => "closed",
        EntryKind::Analysis => "analysed",
        EntryKind::KnownGood => "known good revision",
        EntryKind::Blind => "could not see",
    }
}
