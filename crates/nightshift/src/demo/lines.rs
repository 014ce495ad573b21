//! A row of the record as lines for people.

use crate::output::{Style, Tone, wrap};
use crate::store::Recorded;
use nightshift_core::diagnose::Diagnosis;
use nightshift_core::guard::{Rehearsal, Ruling, Verdict};

/// Pieces of evidence that are printed; programs get all.
const EVIDENCE: usize = 5;

/// The diagnosis of a row, where it holds one.
pub(super) fn diagnosis(row: &Recorded) -> Option<Diagnosis> {
    serde_json::from_value(row.entry.body.clone()).ok()
}

/// Lines as they grow.
pub(super) struct Lines {
    pub(super) style: Style,
    pub(super) text: String,
}

impl Lines {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            text: String::new(),
        }
    }

    /// Time (none: what is said belongs to the line above), word and text, wrapped behind them.
    pub(super) fn line(&mut self, time: &str, word: &str, tone: Tone, text: &str) {
        const INDENT: usize = 21;
        let mut front = format!(
            "{}  {} ",
            self.style.paint(Tone::Dim, &format!("{time:>9}")),
            self.style.paint(tone, &format!("{word:<9}"))
        );
        for part in wrap(text, self.style.room(INDENT)) {
            let part = self.style.paint(Tone::Plain, &part);
            self.text.push_str(format!("{front}{part}").trim_end());
            self.text.push('\n');
            front = " ".repeat(INDENT);
        }
    }

    fn more(&mut self, mark: &str, tone: Tone, text: &str) {
        self.line("", mark, tone, text);
    }

    /// Path and evidence.
    pub(super) fn diagnosis(&mut self, row: &Recorded) {
        let Some(diagnosis) = diagnosis(row) else {
            return;
        };
        self.more("", Tone::Dim, &diagnosis.path.join(" <- "));
        for evidence in diagnosis.evidence.iter().take(EVIDENCE) {
            let source = format!("{:?}", evidence.source).to_lowercase();
            let tone = if evidence.supports {
                Tone::Dim
            } else {
                Tone::Bad
            };
            let text = format!("{source}: {}", evidence.fact);
            self.more(&format!("  {}", evidence.id), tone, &text);
        }
    }

    /// What every gate said: in one line those that pass, and each other one with its reason.
    pub(super) fn rulings(&mut self, row: &Recorded) {
        let body = |key: &str| row.entry.body.get(key).cloned().unwrap_or_default();
        let rulings: Vec<Ruling> = serde_json::from_value(body("rulings")).unwrap_or_default();
        let is_pass = |ruling: &&Ruling| ruling.verdict == Verdict::Pass;
        let passed: Vec<&str> = rulings
            .iter()
            .filter(is_pass)
            .map(|r| r.gate.as_str())
            .collect();
        self.more("  pass", Tone::Good, &passed.join(" · "));
        for ruling in rulings.iter().filter(|ruling| !is_pass(ruling)) {
            let (word, tone) = match ruling.verdict {
                Verdict::Deny => ("  deny", Tone::Bad),
                Verdict::Ask | Verdict::Pass => ("  ask", Tone::Warn),
            };
            self.more(word, tone, &format!("{}: {}", ruling.gate, ruling.reason));
        }
        let rehearsal: Option<Rehearsal> = serde_json::from_value(body("rehearsal")).ok();
        let diff = match rehearsal {
            Some(
                Rehearsal::Accepted { diff }
                | Rehearsal::Local { diff, .. }
                | Rehearsal::NoRight { diff, .. },
            ) => diff,
            Some(
                Rehearsal::Forbidden { why }
                | Rehearsal::Refused { why }
                | Rehearsal::Stale { why }
                | Rehearsal::Failed { why },
            ) => {
                vec![why]
            }
            None => Vec::new(),
        };
        for line in diff {
            self.more("  diff", Tone::Plain, &line);
        }
    }
}
