//! The written analysis of an incident, from the record alone: no model, no clock. The same record
//! gives the same text.
//!
//! Text of a cluster or an alert is data. It only ever stands inside a code span, redacted, cut, and
//! without the characters that could end the span or begin a tag.

mod evidence;
mod follow_ups;
mod kin;
mod pattern;

pub use kin::{alike, kin_keys};

use crate::diagnose::{ChangeKind, Diagnosis, Evidence, EvidenceSource};
use crate::guard::Verdict;
use crate::history::ActOutcome;
use crate::incident::{Attempt, Incident, Outcome, Phase};
use crate::record::Entry;
use crate::redact;
use jiff::{SignedDuration, Timestamp};

/// Earlier incidents that are looked at, the newest ones.
pub const MAX_PAST: usize = 50;

/// Characters of one piece of text of a cluster.
const MAX_CHARS: usize = 300;

/// The analysis as Markdown. `entries` are the incident's rows in order; `past` may hold any other
/// incidents, those that are not [`alike`] are left out.
pub fn write(incident: &Incident, entries: &[(Timestamp, Entry)], past: &[Incident]) -> String {
    let action = if incident.action_taken.is_some() {
        "Action taken"
    } else {
        "Action recommended"
    };
    let sections = [
        ("Summary", summary(incident)),
        (
            "What happened (evidence)",
            evidence::section(incident, entries),
        ),
        ("Root cause hypothesis", cause(incident)),
        (action, actions(incident)),
        ("Why that action", why(incident)),
        (
            "Historical pattern & SRE recommendation",
            pattern::section(incident, past),
        ),
        ("Follow-ups", follow_ups::section(incident)),
    ];
    let text: Vec<_> = sections
        .into_iter()
        .map(|(heading, lines)| format!("## {heading}\n\n{}\n", lines.join("\n")))
        .collect();
    text.join("\n")
}

/// Text of a cluster as a code span: verbatim, on one line, never markup.
fn code(text: &(impl ToString + ?Sized)) -> String {
    let clean = redact::text(&text.to_string());
    let mut line: String = clean
        .chars()
        .map(|c| match c {
            '`' => '\'',
            '<' => '‹',
            c if c.is_control() || c.is_whitespace() || is_invisible(c) => ' ',
            c => c,
        })
        .take(MAX_CHARS + 1)
        .collect();
    if line.chars().count() > MAX_CHARS {
        line.pop();
        line.push('…');
    }
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        "`-`".to_owned()
    } else {
        format!("`{line}`")
    }
}

/// Marks that change the direction of a text or hide in it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// To the second: the record beside it has the rest.
fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Whole seconds are enough for people.
fn lasted(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    format!("{:#}", SignedDuration::from_secs(seconds))
}

fn summary(incident: &Incident) -> Vec<String> {
    let diagnosis = incident.diagnosis.as_ref();
    let confidence = diagnosis.map_or_else(
        || "without a diagnosis".to_owned(),
        |diagnosis| format!("confidence {}", diagnosis.confidence),
    );
    let mut lines = vec![format!(
        "- {} on {}, {confidence}.",
        code(&incident.fingerprint.class),
        code(&incident.owner)
    )];
    let opened = incident.opened_at;
    lines.push(match incident.closed_at {
        Some(closed) => format!(
            "- Opened at {}, closed after {}.",
            moment(opened),
            lasted(opened, closed)
        ),
        None => format!("- Opened at {}, now {}.", moment(opened), incident.phase),
    });
    lines.push(format!("- {}", ending(incident)));
    lines
}

fn ending(incident: &Incident) -> String {
    match &incident.outcome {
        Some(Outcome::Fixed) => "Repaired: the fault was gone after our action.".to_owned(),
        Some(Outcome::Recovered) if incident.was_acted_on() => {
            "It recovered after our action; nothing shows that the action did it.".to_owned()
        }
        Some(Outcome::Recovered) => "It recovered without an action of ours.".to_owned(),
        Some(Outcome::Merged(into)) => format!("Handled in {}.", code(into)),
        Some(Outcome::Gone) => "The object is gone.".to_owned(),
        Some(Outcome::Expired) => {
            "Its alerts were not heard again, and what they named was never seen.".to_owned()
        }
        None => match (&incident.waiting_for, incident.phase) {
            (Some(why), _) => format!("A person has to decide: {}.", code(why)),
            (None, Phase::Waiting) => "A person has to decide.".to_owned(),
            (
                None,
                Phase::Open
                | Phase::Preparing
                | Phase::Acting
                | Phase::ReadingBack
                | Phase::Verifying
                | Phase::Closed,
            ) => "It is still being handled.".to_owned(),
        },
    }
}

fn cause(incident: &Incident) -> Vec<String> {
    let Some(diagnosis) = &incident.diagnosis else {
        return vec!["No diagnosis could be made: the cause is open.".to_owned()];
    };
    let mut lines: Vec<_> = diagnosis
        .path
        .iter()
        .enumerate()
        .map(|(index, step)| format!("{}. {}", index + 1, code(step)))
        .collect();
    if lines.is_empty() {
        lines.push(format!(
            "{} {}",
            code(&diagnosis.class),
            code(&diagnosis.reason)
        ));
    }
    lines.push(String::new());
    lines.push(format!("Confidence {}:", diagnosis.confidence));
    lines.push(String::new());
    lines.extend(
        diagnosis
            .confidence_rows
            .iter()
            .map(|row| format!("- {}", code(row))),
    );
    lines.extend(changed_last(diagnosis));
    let blind = diagnosis.blind.iter();
    lines.extend(
        blind.map(|(source, why)| format!("- {source:?} could not be seen: {}", code(why))),
    );
    lines
}

fn changed_last(diagnosis: &Diagnosis) -> Vec<String> {
    let is_change = |one: &&Evidence| one.source == EvidenceSource::Change;
    if diagnosis.changes.is_empty()
        && let Some(change) = diagnosis.evidence.iter().find(is_change)
    {
        return vec![format!("- {}.", code(&change.fact))];
    }
    if diagnosis.changes.is_empty() {
        return vec!["- No change before the fault was seen.".to_owned()];
    }
    let changes = diagnosis.changes.iter().map(|change| {
        let what = match change.kind {
            ChangeKind::Revision => "New revision",
            ChangeKind::ConfigMap => "Edited ConfigMap",
        };
        let by = change
            .by
            .as_ref()
            .map(|by| format!(" by {}", code(by)))
            .unwrap_or_default();
        let may = if change.explains_fault {
            ", shortly before the fault"
        } else {
            ""
        };
        format!(
            "- {what} {} at {}{by}{may}.",
            code(&change.object),
            moment(change.at)
        )
    });
    changes.collect()
}

fn actions(incident: &Incident) -> Vec<String> {
    let mut lines: Vec<_> = incident.attempts.iter().map(attempt).collect();
    if incident.action_taken.is_none() {
        lines.push(match &incident.action_recommended {
            Some(action) => format!("- {} (not carried out).", code(action)),
            None => "- None: no action was found that is safe to propose.".to_owned(),
        });
    }
    let error = incident.action_error.iter();
    lines.extend(error.map(|why| format!("- It failed: {}.", code(why))));
    lines
}

fn attempt(attempt: &Attempt) -> String {
    let undo = if attempt.is_undo { "taking back: " } else { "" };
    let helped = match attempt.helped {
        Some(true) => ", and it helped",
        Some(false) => ", and it did not help",
        None => "",
    };
    let (at, what) = (moment(attempt.at), code(&attempt.what));
    format!(
        "- {at} {undo}{what}: {}{helped}.",
        result(attempt.outcome.as_ref())
    )
}

fn result(outcome: Option<&ActOutcome>) -> String {
    match outcome {
        None => "under way".to_owned(),
        Some(ActOutcome::Done { .. }) => "done".to_owned(),
        Some(ActOutcome::Refused { why }) => format!("refused ({})", code(why)),
        Some(ActOutcome::Blocked { why }) => format!("held back by a budget ({})", code(why)),
        Some(ActOutcome::Stale { why }) => format!("not sent, the object moved ({})", code(why)),
        Some(ActOutcome::Expired) => "not sent, the permit had expired".to_owned(),
        Some(ActOutcome::Unknown { why }) => format!("no answer yet ({})", code(why)),
        Some(ActOutcome::NotDone { why }) => format!("did not happen ({})", code(why)),
    }
}

fn why(incident: &Incident) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(runbook) = &incident.runbook {
        let step = incident
            .step
            .as_ref()
            .map(|step| format!(", step {}", code(&step.runbook_step)));
        lines.push(format!(
            "- Runbook {}{}.",
            code(runbook),
            step.unwrap_or_default()
        ));
    } else {
        lines.push("- No runbook was chosen.".to_owned());
    }
    let passed = incident
        .rulings
        .iter()
        .filter(|r| r.verdict == Verdict::Pass)
        .count();
    if !incident.rulings.is_empty() {
        lines.push(format!(
            "- {passed} of {} gates passed.",
            incident.rulings.len()
        ));
    }
    let against = incident
        .rulings
        .iter()
        .filter(|r| r.verdict != Verdict::Pass);
    lines.extend(against.map(|ruling| {
        let verdict = if ruling.verdict == Verdict::Ask {
            "asks"
        } else {
            "denies"
        };
        format!(
            "- Gate {} {verdict}: {}",
            code(&ruling.gate),
            code(&ruling.reason)
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Change;
    use crate::guard::stage::{Stage, done};
    use crate::guard::{Ruling, judge};
    use crate::incident::Fingerprint;
    use crate::record::EntryKind;
    use crate::signal::{Alert, Signal, SignalBody};
    use crate::testkit::reference;
    use crate::world::{Kind, ObjectRef, Source};
    use proptest::prelude::*;

    const HEADINGS: [&str; 7] = [
        "Summary",
        "What happened (evidence)",
        "Root cause hypothesis",
        "Action taken",
        "Why that action",
        "Historical pattern & SRE recommendation",
        "Follow-ups",
    ];

    fn at(seconds: i64) -> Timestamp {
        let start: Timestamp = "2026-01-05T10:00:00Z".parse().expect("a time");
        start + SignedDuration::from_secs(seconds)
    }

    fn fact(id: &str, source: EvidenceSource, object: &ObjectRef, fact: &str) -> Evidence {
        Evidence {
            id: id.into(),
            source,
            object: object.clone(),
            fact: fact.to_owned(),
            at: Some(at(-60)),
            supports: true,
        }
    }

    /// An incident about the step of a stage, opened so many seconds after the start.
    fn about(stage: &Stage, id: &str, opened: i64) -> Incident {
        let diagnosis = stage.diagnosis.clone().expect("a diagnosis");
        let owner = diagnosis.owner.clone();
        let fingerprint = Fingerprint {
            cluster: stage.snapshot.cluster.clone(),
            owner: owner.uid.clone(),
            class: diagnosis.class,
        };
        let mut incident =
            Incident::open(fingerprint, owner, diagnosis.subject.clone(), at(opened));
        incident.id = id.into();
        incident.runbook = Some(stage.step.runbook.clone());
        incident.rulings = judge(&stage.scene(), 1).0;
        incident.step = Some(stage.step.clone());
        incident.diagnosis = Some(diagnosis);
        incident
    }

    fn tried(incident: &mut Incident, what: &str, helped: Option<bool>) {
        incident.action_taken = Some(what.to_owned());
        incident.attempts.push(Attempt {
            permit: "permit-1".into(),
            what: what.to_owned(),
            is_undo: false,
            at: incident.opened_at + SignedDuration::from_secs(20),
            outcome: Some(done()),
            helped,
        });
    }

    fn closed(incident: &mut Incident, outcome: Outcome) {
        incident.phase = Phase::Closed;
        incident.outcome = Some(outcome);
        incident.closed_at = Some(incident.opened_at + SignedDuration::from_secs(200));
    }

    const RAISE: &str = "patch_memory_limit:demo/cart/app:256Mi→512Mi";

    fn repaired_oom() -> Incident {
        let pod = reference(Kind::Pod, "demo", "cart-2-a");
        let stage = Stage::memory().diagnosed(|d| {
            d.subject = pod.clone();
            d.path = vec!["app was killed at its limit of 256Mi".to_owned()];
            d.evidence = vec![
                fact(
                    "E1",
                    EvidenceSource::Status,
                    &pod,
                    "app was OOMKilled (exit code 137)",
                ),
                fact(
                    "E2",
                    EvidenceSource::Event,
                    &pod,
                    "BackOff: restarting failed container",
                ),
            ];
            d.confidence_rows = vec![
                "status alone: 0.70".to_owned(),
                "event agrees: +0.10".to_owned(),
            ];
            d.changes = vec![Change {
                kind: ChangeKind::Revision,
                object: reference(Kind::ReplicaSet, "demo", "cart-2"),
                at: at(-3600),
                by: Some("kubectl-set".to_owned()),
                explains_fault: false,
            }];
        });
        let mut incident = about(&stage, "incident-1", 0);
        tried(&mut incident, RAISE, Some(true));
        closed(&mut incident, Outcome::Fixed);
        incident
    }

    fn entry(seconds: i64, kind: EntryKind, text: &str) -> (Timestamp, Entry) {
        let entry = Entry {
            incident: Some("incident-1".into()),
            kind,
            text: text.to_owned(),
            body: serde_json::Value::Null,
        };
        (at(seconds), entry)
    }

    #[test]
    fn a_repaired_oom() {
        let entries = [
            entry(0, EntryKind::Opened, "OomKilled on Deployment demo/cart"),
            entry(20, EntryKind::Intent, RAISE),
            entry(21, EntryKind::Result, "done"),
            entry(200, EntryKind::Final, "fixed"),
            entry(
                201,
                EntryKind::Analysis,
                "an earlier analysis is not quoted",
            ),
        ];
        insta::assert_snapshot!(write(&repaired_oom(), &entries, &[]));
    }

    #[test]
    fn a_waiting_image_pull() {
        let pod = reference(Kind::Pod, "demo", "cart-2-a");
        let stage = Stage::image()
            .with(|s| s.policy = crate::policy::Policy::default())
            .diagnosed(|d| {
                d.reason = "not_found".to_owned();
                d.evidence = vec![fact(
                    "E1",
                    EvidenceSource::Event,
                    &pod,
                    "Failed: manifest for img.test/cart:2 not found",
                )];
                d.blind = vec![(Source::Logs, "forbidden".to_owned())];
            });
        let mut incident = about(&stage, "incident-1", 0);
        incident.phase = Phase::Waiting;
        incident.waiting_for = Some("autonomy: AGENT_MODE=recommend only proposes".to_owned());
        incident.action_recommended = Some(stage.step.describe());
        insta::assert_snapshot!(write(&incident, &[], &[]));
    }

    #[test]
    fn one_that_recovered_by_itself() {
        let mut incident = about(&Stage::delete_pod(), "incident-1", 0);
        incident.runbook = None;
        incident.step = None;
        incident.rulings.clear();
        closed(&mut incident, Outcome::Recovered);
        insta::assert_snapshot!(write(&incident, &[], &[]));
    }

    #[test]
    fn a_recovery_after_our_action_is_not_said_to_be_without_it() {
        let mut incident = about(&Stage::cordon(), "incident-1", 0);
        tried(&mut incident, "cordon:node1", None);
        closed(&mut incident, Outcome::Recovered);
        let text = write(&incident, &[], &[]);
        assert!(text.contains("It recovered after our action"), "{text}");
        assert!(!text.contains("without an action"), "{text}");
        let mut next = about(&Stage::cordon(), "incident-2", 3_600);
        next.outcome = None;
        let text = write(&next, &[], &[incident.clone()]);
        assert!(text.contains("1 × `recovered after our action`"), "{text}");
        // Taken back, or never done: that was no action.
        incident.attempts[0].is_undo = true;
        assert!(!incident.was_acted_on());
        incident.attempts[0].is_undo = false;
        incident.attempts[0].outcome = None;
        assert!(!incident.was_acted_on());
    }

    const DAY: i64 = 24 * 3600;

    #[test]
    fn a_recurrence_names_the_pattern() {
        let past: Vec<_> = (1..=3)
            .map(|days| {
                let mut earlier = repaired_oom();
                earlier.id = format!("earlier-{days}").into();
                earlier.opened_at = at(-days * DAY);
                earlier
            })
            .collect();
        insta::assert_snapshot!(write(&repaired_oom(), &[], &past));
    }

    /// The pattern among incidents of a crash loop, opened so many seconds ago, each changed.
    fn pattern_of(ago: &[i64], change: impl Fn(usize, &mut Incident)) -> String {
        let incident = about(&Stage::delete_pod(), "now", 0);
        let past: Vec<_> = ago
            .iter()
            .enumerate()
            .map(|(index, ago)| {
                let mut other = about(&Stage::delete_pod(), &format!("past-{index}"), -ago);
                change(index, &mut other);
                other
            })
            .collect();
        let text = write(&incident, &[], &past);
        let line = text.lines().find(|line| line.starts_with("- Pattern"));
        line.unwrap_or_default().to_owned()
    }

    #[test]
    fn each_pattern_has_its_name() {
        let helped = |helped| {
            move |_: usize, i: &mut Incident| tried(i, "delete_pod:demo/db-0", Some(helped))
        };
        let recovered = |_: usize, i: &mut Incident| closed(i, Outcome::Recovered);
        let other = |index: usize, i: &mut Incident| {
            i.owner = reference(Kind::Deployment, "demo", &format!("other-{index}"));
            i.subject = i.owner.clone();
        };
        for (name, found) in [
            ("first of its kind", pattern_of(&[], |_, _| ())),
            ("the repair does not last", pattern_of(&[DAY], helped(true))),
            (
                "the repair does not help",
                pattern_of(&[DAY], helped(false)),
            ),
            ("a storm", pattern_of(&[60, 120], |_, _| ())),
            (
                "periodic",
                pattern_of(&[DAY, 2 * DAY, 3 * DAY + 60], |_, _| ()),
            ),
            (
                "comes and goes by itself",
                pattern_of(&[DAY, 5 * DAY], recovered),
            ),
            ("recurring", pattern_of(&[DAY], |_, _| ())),
            ("first of its kind", pattern_of(&[DAY, DAY], other)),
        ] {
            assert!(found.contains(&format!("**{name}**")), "{name}: {found}");
        }
    }

    #[test]
    fn workloads_that_fail_on_one_node_point_at_the_node() {
        let on_node1 = |incident: &mut Incident| {
            let node = reference(Kind::Node, "", "node1");
            let evidence = fact("E1", EvidenceSource::Status, &node, "DiskPressure");
            incident.diagnosis.as_mut().expect("a diagnosis").evidence = vec![evidence];
        };
        let mut incident = about(&Stage::memory(), "now", 0);
        on_node1(&mut incident);
        let past: Vec<_> = (1..=2)
            .map(|index| {
                let mut other = about(&Stage::delete_pod(), &format!("past-{index}"), -index * DAY);
                other.owner.name = format!("other-{index}");
                on_node1(&mut other);
                other
            })
            .collect();
        let text = write(&incident, &[], &past);
        assert!(text.contains("**bound to a node**"), "{text}");
        assert!(text.contains("0 the workload or pod, 2 the node"), "{text}");
    }

    fn with_alert(incident: &mut Incident, name: &str, labels: &[(&str, &str)]) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        incident.alerts.push(Signal {
            fingerprint: "f".into(),
            subject: ObjectRef::default(),
            heard_at: at(0),
            body: SignalBody::Alert(Alert {
                name: name.to_owned(),
                firing: true,
                labels: labels.collect(),
                annotations: std::collections::BTreeMap::new(),
                starts_at: None,
                runbook_hint: None,
            }),
        });
    }

    #[test]
    fn incidents_are_alike_by_alert_pod_or_node_within_one_cluster() {
        let cart = about(&Stage::memory(), "a", 0);
        let db = about(&Stage::delete_pod(), "b", 0);
        assert!(!alike(&cart, &db));
        assert!(alike(&cart, &about(&Stage::image(), "c", 0)));
        let (mut by_name, mut same_name) = (cart.clone(), db.clone());
        with_alert(&mut by_name, "PodDown", &[]);
        with_alert(&mut same_name, "PodDown", &[]);
        assert!(alike(&by_name, &same_name));
        let mut by_pod = cart.clone();
        with_alert(
            &mut by_pod,
            "Other",
            &[("namespace", "demo"), ("pod", "db-0")],
        );
        assert!(alike(&by_pod, &db));
        let (mut one, mut two) = (cart.clone(), db);
        with_alert(&mut one, "One", &[("node", "node1")]);
        with_alert(&mut two, "Two", &[("node", "node1")]);
        assert!(alike(&one, &two));
        two.fingerprint.cluster = "another".into();
        assert!(!alike(&one, &two));
        let mut elsewhere = cart.clone();
        elsewhere.fingerprint.cluster = "another".into();
        assert!(!alike(&cart, &elsewhere));
    }

    #[test]
    fn the_past_is_bounded_to_the_newest() {
        let past: Vec<_> = (1..80)
            .map(|n| about(&Stage::memory(), &format!("p{n}"), -n))
            .collect();
        let text = write(&about(&Stage::memory(), "now", 0), &[], &past);
        assert!(text.contains("- 50 earlier incidents over 50s"), "{text}");
    }

    #[test]
    fn a_long_record_shows_its_beginning_and_its_end() {
        let entries: Vec<_> = (0..100)
            .map(|n| entry(n, EntryKind::Checked, &format!("check {n}.")))
            .collect();
        let text = write(&repaired_oom(), &entries, &[]);
        for shown in [
            "check 0.",
            "check 19.",
            "60 rows between",
            "check 80.",
            "check 99.",
        ] {
            assert!(text.contains(shown), "{shown}");
        }
        assert!(!text.contains("check 20."));
    }

    #[test]
    fn a_secret_in_a_fact_does_not_get_into_the_text() {
        let mut incident = repaired_oom();
        let diagnosis = incident.diagnosis.as_mut().expect("a diagnosis");
        diagnosis.evidence[0].fact = "env DB_PASSWORD=hunter2 given".to_owned();
        assert!(!write(&incident, &[], &[]).contains("hunter2"));
    }

    proptest! {
        /// Text of the cluster is data: whatever it is, headings and structure stay ours.
        #[test]
        fn data_is_never_markup(evil in "(\\PC|[`<>#\n\r*_\\[\\]()|]){0,60}") {
            let mut incident = repaired_oom();
            incident.owner.name.clone_from(&evil);
            incident.waiting_for = Some(evil.clone());
            incident.action_error = Some(evil.clone());
            incident.rulings = vec![Ruling {
                gate: evil.clone(),
                verdict: Verdict::Ask,
                reason: evil.clone(),
            }];
            let diagnosis = incident.diagnosis.as_mut().expect("a diagnosis");
            diagnosis.path = vec![evil.clone()];
            diagnosis.evidence[0].fact.clone_from(&evil);
            let text = write(&incident, &[entry(0, EntryKind::Waiting, &evil)], &[]);
            let headings: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("## ")).collect();
            prop_assert_eq!(headings, HEADINGS);
            prop_assert!(!text.contains('<'));
            for line in text.lines() {
                // Outside of code spans only our own words stand.
                prop_assert_eq!(line.matches('`').count() % 2, 0, "{}", line);
            }
        }
    }
}
