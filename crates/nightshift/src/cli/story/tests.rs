//! One incident with everything in it, as it is told and listed.

use super::*;
use crate::journal::Seq;
use crate::output::wrap;
use nightshift_core::diagnose::{Confidence, EvidenceSource, FaultClass};
use nightshift_core::ids::{ClusterUid, Digest, IncidentId};
use nightshift_core::incident::Fingerprint;
use nightshift_core::plan::{Action, Author, Check, MemoryChange, Step};
use nightshift_core::record::Entry;
use nightshift_core::signal::{Alert, Signal};
use nightshift_core::world::{Kind, ObjectRef, Quantity, Source};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn at(time: &str) -> Timestamp {
    format!("2026-11-22T{time}Z").parse().unwrap()
}

fn object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef {
        kind,
        namespace: "demo".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
    }
}

fn evidence(id: &str, source: EvidenceSource, fact: &str, supports: bool) -> Evidence {
    Evidence {
        id: id.into(),
        source,
        object: object(Kind::Pod, "cart-6d9c5b4f6d-x2v9q"),
        fact: fact.into(),
        at: Some(at("08:01:10")),
        supports,
    }
}

fn diagnosis() -> Diagnosis {
    Diagnosis {
        class: FaultClass::OomKilled,
        reason: "limit".into(),
        owner: object(Kind::Deployment, "cart"),
        subject: object(Kind::Pod, "cart-6d9c5b4f6d-x2v9q"),
        container: Some("app".into()),
        since: at("08:01:10"),
        persistence: jiff::SignedDuration::from_secs(10),
        path: vec![
            "Pod demo/cart-6d9c5b4f6d-x2v9q restarts".into(),
            "container app is killed for memory".into(),
            "its limit of 256Mi is too low".into(),
        ],
        changes: vec![Change {
            kind: ChangeKind::Revision,
            object: object(Kind::Deployment, "cart"),
            at: at("07:58:00"),
            by: Some("kubectl-client-side-apply".into()),
            explains_fault: true,
        }],
        evidence: vec![
            evidence(
                "E1",
                EvidenceSource::Status,
                "last state terminated: OOMKilled, exit code 137",
                true,
            ),
            evidence("E2", EvidenceSource::Log, "no line speaks of memory", false),
        ],
        confidence: Confidence(85),
        confidence_rows: vec!["status: 0.70".into(), "change agrees: +0.15".into()],
        blind: vec![(Source::HorizontalPodAutoscalers, "403 forbidden".into())],
    }
}

fn step(incident: &IncidentId) -> Step {
    let quantity =
        |text: &str| -> Option<Quantity> { serde_json::from_value(json!(text)).unwrap() };
    let limit = MemoryChange {
        from: quantity("256Mi"),
        to: quantity("512Mi"),
    };
    let request = MemoryChange {
        from: quantity("256Mi"),
        to: quantity("256Mi"),
    };
    Step {
        id: "step-1".into(),
        incident: incident.clone(),
        action: Action::SetMemory {
            container: "app".into(),
            limit,
            request,
        },
        target: object(Kind::Deployment, "cart"),
        basis: Digest::of("basis"),
        undo: None,
        check: Check {
            class: FaultClass::OomKilled,
            owner: object(Kind::Deployment, "cart"),
            time_to_failure_ms: 20_000,
        },
        author: Author::Rule,
        runbook: "RB_OOM".into(),
        runbook_step: "raise".into(),
        is_undo: false,
        asks: Vec::new(),
    }
}

fn ruling(gate: &str, verdict: Verdict, reason: &str) -> Ruling {
    Ruling {
        gate: gate.into(),
        verdict,
        reason: reason.into(),
    }
}

fn row(seq: u64, time: &str, kind: EntryKind, text: &str, body: Value) -> Recorded {
    let incident = Some(IncidentId::from("inc-3f2a91c04b7e"));
    Recorded {
        seq: Seq(seq),
        at: at(time),
        entry: Entry {
            incident,
            kind,
            text: text.into(),
            body,
        },
        hash: Digest::of(&seq),
    }
}

const DONE: &str = "patch_memory_limit:demo/cart/app:256Mi→512Mi";

fn alert(subject: &ObjectRef) -> Signal {
    let alert = Alert {
        name: "KubePodCrashLooping".into(),
        firing: true,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        starts_at: Some(at("08:01:00")),
        runbook_hint: Some("KubePodCrashLooping".into()),
    };
    Signal {
        fingerprint: "5f8a3a6fd4d5a1c2".into(),
        subject: subject.clone(),
        heard_at: at("08:01:12"),
        body: SignalBody::Alert(alert),
    }
}

fn incident() -> Incident {
    let fingerprint = Fingerprint {
        cluster: ClusterUid::from("c-1"),
        owner: "uid-cart".into(),
        class: FaultClass::OomKilled,
    };
    let owner = object(Kind::Deployment, "cart");
    let subject = object(Kind::Pod, "cart-6d9c5b4f6d-x2v9q");
    let id = IncidentId::from("inc-3f2a91c04b7e");
    let done = ActOutcome::Done {
        generation: 4,
        resource_version: "1234".into(),
    };
    Incident {
        step: Some(step(&id)),
        id,
        phase: Phase::Closed,
        closed_at: Some(at("08:02:40")),
        outcome: Some(Outcome::Fixed),
        diagnosis: Some(diagnosis()),
        alerts: vec![alert(&subject)],
        runbook: Some("RB_OOM".into()),
        rulings: vec![
            ruling("dry_run", Verdict::Pass, "writes are on"),
            ruling("autonomy", Verdict::Pass, "auto: asks where a gate asks"),
            ruling("confidence", Verdict::Pass, "0.85 is over 0.75"),
        ],
        attempts: vec![Attempt {
            permit: "permit-1".into(),
            what: DONE.into(),
            is_undo: false,
            at: at("08:01:25"),
            outcome: Some(done),
            helped: Some(true),
        }],
        action_taken: Some(DONE.into()),
        ..Incident::open(fingerprint, owner, subject, at("08:01:12"))
    }
}

/// An incident that was repaired.
pub(in crate::cli) fn fixed() -> IncidentReply {
    let incident = incident();
    let diff = vec!["spec.template.spec.containers[app].resources.limits.memory: 256Mi -> 512Mi"];
    let ruled = json!({"rehearsal": {"Accepted": {"diff": diff}}, "rulings": []});
    let opened = "OomKilled on Deployment demo/cart";
    let fixed = "fixed: healthy on fresh looks for 60s";
    IncidentReply {
        events: vec![
            row(4, "08:01:12", EntryKind::Opened, opened, Value::Null),
            row(
                9,
                "08:01:24",
                EntryKind::Ruled,
                &format!("{DONE}: Pass"),
                ruled,
            ),
            row(9, "08:01:25", EntryKind::Intent, DONE, Value::Null),
            row(10, "08:01:25.250", EntryKind::Result, "done", Value::Null),
            row(14, "08:02:40", EntryKind::Final, fixed, Value::Null),
        ],
        past_incidents: vec![PastIncident {
            id: "inc-0c77d1aa52e9".into(),
            opened_at: at("02:00:00"),
            ..PastIncident::from(&incident)
        }],
        analysis_markdown: Some("## Summary\n\nThe memory limit of cart was too low.\n".into()),
        incident,
    }
}

/// The same fault where a person has to decide.
pub(in crate::cli) fn waiting() -> IncidentReply {
    let mut reply = fixed();
    let incident = &mut reply.incident;
    incident.phase = Phase::Waiting;
    incident.outcome = None;
    incident.closed_at = None;
    incident.action_recommended = incident.action_taken.take();
    incident.waiting_for = Some("confidence: 0.60 is not over 0.75".into());
    incident
        .rulings
        .push(ruling("confidence", Verdict::Ask, "0.60 is not over 0.75"));
    incident.rulings.push(ruling(
        "protected",
        Verdict::Deny,
        "namespace demo is protected",
    ));
    incident.attempts.clear();
    reply.events.truncate(2);
    reply.analysis_markdown = None;
    reply.past_incidents.clear();
    reply
}

#[test]
fn a_repaired_incident_tells_why_and_what() {
    insta::assert_snapshot!(tell(
        &fixed(),
        Style {
            colour: false,
            width: Some(100)
        }
    ));
}

#[test]
fn a_waiting_incident_tells_what_for() {
    insta::assert_snapshot!(tell(
        &waiting(),
        Style {
            colour: false,
            width: Some(72)
        }
    ));
}

#[test]
fn off_a_terminal_nothing_is_wrapped() {
    let told = tell(&waiting(), Style::PLAIN);
    assert_eq!(
        told,
        tell(
            &waiting(),
            Style {
                colour: false,
                width: Some(u16::MAX)
            }
        )
    );
    let longest = told.lines().map(|line| line.chars().count()).max();
    assert!(longest > Some(100), "{told}");
}

#[test]
fn an_incident_without_a_diagnosis_says_so() {
    let mut reply = waiting();
    reply.incident.diagnosis = None;
    reply.incident.step = None;
    reply.incident.rulings.clear();
    reply.events.clear();
    let told = tell(&reply, Style::PLAIN);
    assert!(told.contains("WHY  no diagnosis yet"), "{told}");
}

#[test]
fn text_of_the_cluster_cannot_draw_on_the_terminal() {
    let mut reply = waiting();
    if let Some(diagnosis) = &mut reply.incident.diagnosis {
        diagnosis.evidence[0].fact = "\u{1b}[2J\u{1b}[H all is well".into();
    }
    let told = tell(
        &reply,
        Style {
            colour: true,
            width: Some(80),
        },
    );
    assert!(!told.contains("\u{1b}[2J"), "{told:?}");
    assert!(told.contains("\u{fffd}[2J"));
}

#[test]
fn long_text_is_wrapped_behind_its_label_and_words_stay_whole() {
    assert_eq!(wrap("a b c", 3), ["a b", "c"]);
    assert_eq!(wrap("abcdef gh", 3), ["abcdef", "gh"]);
    assert_eq!(wrap("", 3), [""]);
    assert_eq!(wrap("  - ab cd", 6), ["  - ab", "    cd"]);
}
