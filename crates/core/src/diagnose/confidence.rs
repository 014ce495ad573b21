//! How sure a diagnosis is: the written table, and nothing else. docs/diagnosis.md prints it.

use super::evidence::{Confidence, Evidence, EvidenceSource};
use std::collections::BTreeSet;

/// What a row demands of the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// That many independent sources agree.
    Agree(usize),
    /// Something speaks against it.
    Contradicted,
    /// A source that belongs to the diagnosis was not seen.
    Blind,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    when: When,
    /// What it says, in the words of docs/diagnosis.md.
    pub text: &'static str,
    /// Where the row applies, the confidence is at most this.
    pub at_most: Confidence,
}

const fn row(when: When, at_most: u8, text: &'static str) -> Row {
    Row {
        when,
        text,
        at_most: Confidence(at_most),
    }
}

/// What one source alone can give at most.
pub const ONE_SOURCE: Confidence = Confidence(70);

/// The table. Of the rows that apply, the lowest counts. Acting alone needs more than 75, so one
/// source alone, a contradiction or a blind spot is always a person's case.
pub const TABLE: &[Row] = &[
    row(When::Agree(1), ONE_SOURCE.0, "one source alone"),
    row(When::Agree(2), 85, "two independent sources agree"),
    row(When::Agree(3), 92, "three independent sources agree"),
    row(When::Agree(4), 97, "four or more independent sources agree"),
    row(When::Contradicted, 60, "something speaks against it"),
    row(When::Blind, 70, "a source that belongs to it was not seen"),
];

/// The largest number of sources that the table tells apart.
const MOST_SOURCES: usize = 4;

/// The confidence of evidence, with the rows that applied.
pub(super) fn confidence(evidence: &[Evidence], blind: bool) -> (Confidence, Vec<String>) {
    let supporting = evidence.iter().filter(|e| e.supports);
    let sources: BTreeSet<EvidenceSource> = supporting.map(|e| e.source).collect();
    let applies = |row: &&Row| match row.when {
        When::Agree(count) => count == sources.len().min(MOST_SOURCES),
        When::Contradicted => evidence.iter().any(|e| !e.supports),
        When::Blind => blind,
    };
    let rows: Vec<&Row> = TABLE.iter().filter(applies).collect();
    let lowest = rows.iter().map(|row| row.at_most).min().unwrap_or_default();
    let texts = rows
        .iter()
        .map(|row| format!("{}: at most {}", row.text, row.at_most));
    (lowest, texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::world::ObjectRef;

    fn evidence(source: EvidenceSource, supports: bool) -> Evidence {
        let fact = Evidence::status(ObjectRef::default(), None, "a fact");
        Evidence {
            source,
            supports,
            ..fact
        }
    }

    #[test]
    fn every_row_of_the_table_is_reached() {
        use EvidenceSource::{Alert, Change, Event, Log, Status};
        let yes = |source| evidence(source, true);
        let table: &[(Vec<Evidence>, bool, u8)] = &[
            (vec![], false, 0),
            (vec![yes(Status)], false, 70),
            (vec![yes(Status), yes(Status)], false, 70),
            (vec![yes(Status), yes(Event)], false, 85),
            (vec![yes(Status), yes(Event), yes(Log)], false, 92),
            (
                vec![yes(Status), yes(Event), yes(Log), yes(Change)],
                false,
                97,
            ),
            (
                vec![yes(Status), yes(Event), yes(Log), yes(Change), yes(Alert)],
                false,
                97,
            ),
            (
                vec![yes(Status), yes(Event), evidence(Event, false)],
                false,
                60,
            ),
            (vec![yes(Status), yes(Event)], true, 70),
        ];
        let mut reached = BTreeSet::new();
        for (evidence, blind, expected) in table {
            let (confidence, rows) = confidence(evidence, *blind);
            assert_eq!(confidence.0, *expected, "{rows:?}");
            reached.extend(rows);
        }
        assert_eq!(reached.len(), TABLE.len());
    }

    #[test]
    fn only_agreement_without_a_blind_spot_or_contradiction_lets_the_agent_act_alone() {
        let alone = |row: &Row| row.at_most.0 > Policy::default().confidence_over;
        let mut rows = TABLE.iter().filter(|row| alone(row));
        assert!(rows.all(|row| matches!(row.when, When::Agree(2..))));
    }

    #[test]
    fn the_documentation_prints_the_table() {
        let page = include_str!("../../../../docs/diagnosis.md");
        for row in TABLE {
            let line = format!("| {} | at most {} |", row.text, row.at_most);
            assert!(page.contains(&line), "docs/diagnosis.md lacks: {line}");
        }
    }
}
